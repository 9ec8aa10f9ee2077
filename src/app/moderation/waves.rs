//! Waves: stretches of hours in which far more ratings arrived than a post's history lets expect. Pure.
//!
//! An alert suggests the newest wave as the window of an exclusion.

use serde::Serialize;
use utoipa::ToSchema;

use crate::merge::Hour;
use crate::model::{DAY_MS, HOUR_MS, Time};
use crate::smoothing::Params;

/// A wave continues while the gap between two of its hours is no longer than this: a night does not end it.
const WAVE_GAP_MS: i64 = 2 * DAY_MS;

/// An hour with less than one in so many of the arrivals of a wave's busiest hour is no part of it: chance makes an hour of
/// ordinary traffic stand out now and then, and a wave would reach back over all of them.
const WAVE_SHARE: u64 = 20;

/// A stretch of hours in which far more ratings arrived than the history let expect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Wave {
    /// The first moment in it
    pub from: Time,
    /// The first moment after it
    pub to: Time,
    /// Ratings that arrived within, edits and held ones included
    pub arrivals: u64,
    /// The exact mean before it
    pub raw_average_before: Option<f64>,
}

/// The newest stretch of hours in which ratings arrived, counted or held, at the pace of a surge. If there is none, the
/// newest stretch of hours with far more arrivals than usual for this post.
pub(super) fn newest_wave(hours: &[Hour], params: &Params, now: Time) -> Option<Wave> {
    let (first, last) = (hours.first()?, hours.last()?);
    let half_life_ms = params.knobs().surge_half_life_hours * HOUR_MS as f64;
    let fades = |ms: i64| (-ms as f64 / half_life_ms).exp2();
    // At an even pace this share of the intensity arrived within the last hour.
    let hour_share = 1.0 - fades(HOUR_MS);
    let surges = |i: usize| {
        let average = &hours[i].average;
        let before = i.checked_sub(1).map(|i| &hours[i].average);
        let left = before.zip(average.last).and_then(|(before, last)| {
            before.last.map(|then| before.intensity * fades(last.ms() - then.ms()))
        });
        average.intensity - left.unwrap_or_default() > average.surge_above(params) * hour_share
    };
    let span_hours = ((last.hour.ms() - first.hour.ms()) / HOUR_MS + 1) as f64;
    let arrivals: u64 = hours.iter().map(|hour| hour.arrivals).sum();
    let many = params.knobs().surge_factor * arrivals as f64 / span_hours;
    let is_busy = |i: usize| hours[i].arrivals as f64 > many;
    wave(hours, surges, now).or_else(|| wave(hours, is_busy, now))
}

/// The newest stretch of hours for which `stands_out` holds.
fn wave(hours: &[Hour], stands_out: impl Fn(usize) -> bool, now: Time) -> Option<Wave> {
    let last = (0..hours.len()).rev().find(|&i| stands_out(i))?;
    let (mut first, mut busiest) = (last, hours[last].arrivals);
    for i in (0..last).rev().filter(|&i| stands_out(i)) {
        if hours[first].hour.ms() - hours[i].hour.ms() > WAVE_GAP_MS {
            break;
        }
        if hours[i].arrivals * WAVE_SHARE >= busiest {
            (first, busiest) = (i, busiest.max(hours[i].arrivals));
        }
    }
    let before = first.checked_sub(1).map(|i| &hours[i].average);
    Some(Wave {
        from: hours[first].hour,
        // A rating's time may lie up to a minute ahead of the clock.
        to: hours[last].hour.plus_ms(HOUR_MS).min(now).max(hours[first].hour.plus_ms(1)),
        arrivals: hours[first..=last].iter().map(|hour| hour.arrivals).sum(),
        raw_average_before: before.and_then(|average| average.raw_mean()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PostId, Score};
    use crate::smoothing::{Average, Knobs, UserState, When};

    const START: Time = Time::from_ms(1_700_000_000_000 / HOUR_MS * HOUR_MS);

    /// A rating a day.
    fn calm() -> Vec<(i64, u64)> {
        (0..100).map(|day| (day * 24, 1)).collect()
    }

    /// A post's hours when `count` ratings arrive in each of the given hours after the start.
    fn hours(arrivals: &[(i64, u64)], params: &Params) -> Vec<Hour> {
        let mut average = Average::default();
        let mut hours = Vec::new();
        for &(hour, count) in arrivals {
            let at = START.plus_ms(hour * HOUR_MS);
            for i in 0..count {
                UserState::rated(&mut average, 3, at.plus_ms(i as i64), params);
            }
            let post = PostId::parse("p").unwrap();
            hours.push(Hour { post, hour: at, arrivals: count, average });
        }
        hours
    }

    #[test]
    fn the_newest_wave_runs_from_its_first_hour_to_the_end_of_its_last() {
        let params = Params::new(&Knobs::default()).unwrap();
        let bombs = [(2_400, 50), (2_401, 40), (2_500, 30), (2_510, 1), (2_520, 60)];
        let all = [calm(), bombs.to_vec()].concat();
        let hour = |hour: i64| START.plus_ms(hour * HOUR_MS);
        let found = newest_wave(&hours(&all, &params), &params, hour(3_000)).unwrap();
        assert_eq!((found.from, found.to, found.arrivals), (hour(2_500), hour(2_521), 91));
        assert_eq!(found.raw_average_before, Some(3.0));
        let now = hour(2_520).plus_ms(60_000);
        let found = newest_wave(&hours(&all, &params), &params, now).unwrap();
        assert_eq!(found.to, now, "an exclusion covers what has been");
        assert_eq!(newest_wave(&[], &params, now), None);
    }

    #[test]
    fn held_arrivals_are_a_wave_too() {
        let params = Params::new(&Knobs::default()).unwrap();
        let mut all = hours(&calm(), &params);
        let at = START.plus_ms(2_400 * HOUR_MS);
        let mut average = all.last().unwrap().average;
        for i in 0..50 {
            let when = When { at: at.plus_ms(i), is_stated: false };
            UserState::default().hold(&mut average, Score::parse(3).unwrap(), when, &params);
        }
        all.push(Hour { post: PostId::parse("p").unwrap(), hour: at, arrivals: 50, average });
        let found = newest_wave(&all, &params, at.plus_ms(DAY_MS)).unwrap();
        assert_eq!((found.from, found.to, found.arrivals), (at, at.plus_ms(HOUR_MS), 50));
    }

    #[test]
    fn a_drip_is_a_wave_of_busy_hours() {
        let params = Params::new(&Knobs::default()).unwrap();
        let mut all: Vec<(i64, u64)> = (0..4_000).map(|hour| (hour, 1)).collect();
        // Five an hour are no surge: the floor is five within the memory, which holds fewer.
        all.extend((4_000..4_020).map(|hour| (hour, 3)));
        let found = newest_wave(&hours(&all, &params), &params, START.plus_ms(5_000 * HOUR_MS)).unwrap();
        assert_eq!((found.from, found.arrivals), (START.plus_ms(4_000 * HOUR_MS), 60));
    }

    #[test]
    fn what_chance_gathers_before_a_wave_is_no_part_of_it() {
        let params = Params::new(&Knobs::default()).unwrap();
        // Two ratings an hour, and once a day six.
        let calm = (0..2_000).map(|hour| (hour, if hour % 24 == 7 { 6 } else { 2 }));
        let bomb = (2_000..2_012).map(|hour| (hour, 300));
        let all: Vec<(i64, u64)> = calm.chain(bomb).collect();
        let hour = |hour: i64| START.plus_ms(hour * HOUR_MS);
        let found = newest_wave(&hours(&all, &params), &params, hour(2_100)).unwrap();
        assert_eq!((found.from, found.to, found.arrivals), (hour(2_000), hour(2_012), 3_600));
    }
}
