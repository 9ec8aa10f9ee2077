//! Evidence for moderators: what arrived when and from whom, and which posts are in a surge or crowded.
//!
//! Alerts come from the ranking, which every commit writes; the window that an alert suggests comes from the hours of the
//! post's history. Nobody is judged here: these are figures, and people decide.

use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{Invalid, Kind, Result};
use crate::merge::Hour;
use crate::model::{Page, PostId, Time, page};
use crate::smoothing::{Params, Published};
use crate::store::{AlertKey, Arrivals};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Steps of one answer.
pub const STEPS_MAX: i64 = 10_000;
/// Waves are looked for in what came since so long ago.
const WAVES_MS: i64 = 90 * DAY_MS;
/// A wave goes on while no more than this lies between two of its hours: a night ends none.
const WAVE_GAP_MS: i64 = 2 * DAY_MS;

/// How long a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A minute.
    Minute,
    /// A clock hour.
    Hour,
    /// A day in UTC.
    Day,
}

impl Step {
    /// The step of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "minute" => Some(Step::Minute),
            "hour" => Some(Step::Hour),
            "day" => Some(Step::Day),
            _ => None,
        }
    }

    /// Its length.
    pub fn ms(self) -> i64 {
        match self {
            Step::Minute => MINUTE_MS,
            Step::Hour => HOUR_MS,
            Step::Day => DAY_MS,
        }
    }
}

/// A post that is in a surge or crowded.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Alert {
    /// Which post
    pub post_id: PostId,
    /// Its title
    pub title: String,
    /// Since when
    pub since: Time,
    /// Far more ratings arrive than the post's history lets expect
    pub surge: bool,
    /// Ratings that have arrived lately; halves with each `surge_half_life_hours`
    pub intensity: f64,
    /// Above this intensity ratings take the surge lane
    pub surge_above: f64,
    /// Held and excluded ratings
    pub under_review: u64,
    /// Whether it takes no ratings
    pub frozen: bool,
    /// What it shows
    #[serde(flatten)]
    pub published: Published,
    /// The newest wave of arrivals: a window for an exclusion, if people agree
    pub window: Option<Wave>,
}

/// A stretch of hours in which far more ratings arrived than the history let expect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Wave {
    /// Its first moment
    pub from: Time,
    /// The first moment after it
    pub to: Time,
    /// Ratings that arrived within and were not held, edits included
    pub arrivals: u64,
    /// The exact mean before it
    pub raw_average_before: Option<f64>,
}

impl App {
    /// A post's arrivals from `from` up to `to`, without the steps in which there were none.
    ///
    /// # Errors
    /// `Invalid` when there would be more than [`STEPS_MAX`] steps; `NotFound` when there is no such post.
    pub async fn arrivals(
        &self,
        post: &PostId,
        (from, to): (Time, Time),
        step: Step,
        now: Time,
    ) -> Result<Vec<Arrivals>> {
        if to <= from {
            return Err(Invalid::new(Kind::InvalidWindow, format!("{to} is not after {from}")).into());
        }
        let steps = (to.ms() - from.ms()) / step.ms();
        if steps >= STEPS_MAX {
            let detail = format!("{steps} steps are more than {STEPS_MAX}; ask for longer ones, or for less");
            return Err(Invalid::new(Kind::InvalidWindow, detail).into());
        }
        self.state(post, now).await?;
        self.store.arrivals(post, (from, to), step.ms()).await
    }

    /// The newest alerts after `after`, out of at most `limit` posts, and where the next page begins.
    pub async fn alerts(
        &self,
        after: Option<&AlertKey>,
        limit: usize,
        now: Time,
    ) -> Result<Page<Alert, AlertKey>> {
        let keys = self.store.alerted(after, page::to_read(limit)).await?;
        let Page { items: keys, next } = Page::cut(keys, limit, AlertKey::clone);
        let mut alerts = Vec::with_capacity(keys.len());
        for key in &keys {
            alerts.extend(self.alert(key, now).await?);
        }
        Ok(Page { items: alerts, next })
    }

    /// The alert of a post; nothing when what was so at the last commit has passed.
    pub(crate) async fn alert(&self, (since, post): &AlertKey, now: Time) -> Result<Option<Alert>> {
        let view = self.post(post, None, now).await?;
        let average = &view.average;
        let (surge, published) = (average.is_surging(&self.params), Published::of(average, &self.params));
        if !surge && !published.crowded {
            return Ok(None);
        }
        let hours = self.store.hours_since(post, now.plus_ms(-WAVES_MS)).await?;
        Ok(Some(Alert {
            since: *since,
            surge,
            intensity: average.intensity,
            surge_above: average.surge_above(&self.params),
            under_review: view.standing.under_review(),
            frozen: view.standing.is_frozen,
            published,
            window: newest_wave(&hours, &self.params, now),
            title: view.post.title,
            post_id: post.clone(),
        }))
    }
}

/// The newest stretch of hours in which ratings arrived, counted or held, at the pace of a surge. Where there is none, of
/// hours with far more arrivals than an hour of this post has.
fn newest_wave(hours: &[Hour], params: &Params, now: Time) -> Option<Wave> {
    let (first, last) = (hours.first()?, hours.last()?);
    let half_life_ms = params.knobs().surge_half_life_hours * HOUR_MS as f64;
    let fades = |ms: i64| (-ms as f64 / half_life_ms).exp2();
    // At an even pace this share of the intensity has arrived within the last hour.
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

/// The newest stretch of hours that `stands_out` names.
fn wave(hours: &[Hour], stands_out: impl Fn(usize) -> bool, now: Time) -> Option<Wave> {
    let last = (0..hours.len()).rev().find(|&i| stands_out(i))?;
    let mut first = last;
    for i in (0..last).rev() {
        if hours[first].hour.ms() - hours[i].hour.ms() > WAVE_GAP_MS {
            break;
        }
        if stands_out(i) {
            first = i;
        }
    }
    let before = first.checked_sub(1).map(|i| &hours[i].average);
    Some(Wave {
        from: hours[first].hour,
        // A rating's time may lie ahead of the clock by a minute.
        to: hours[last].hour.plus_ms(HOUR_MS).min(now).max(hours[first].hour.plus_ms(1)),
        arrivals: hours[first..=last].iter().map(|hour| hour.arrivals).sum(),
        raw_average_before: before.and_then(|average| average.raw_mean()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Score;
    use crate::smoothing::{Average, Knobs};

    const START: Time = Time::from_ms(1_700_000_000_000 / HOUR_MS * HOUR_MS);

    /// A post's hours when ratings come at these hours after the start, so many each.
    fn hours(arrivals: &[(i64, u64)], params: &Params) -> Vec<Hour> {
        let mut average = Average::default();
        let mut hours = Vec::new();
        for &(hour, count) in arrivals {
            let at = START.plus_ms(hour * HOUR_MS);
            for i in 0..count {
                average.rate(None, Score::parse(3).unwrap(), at.plus_ms(i as i64), params);
            }
            let post = PostId::parse("p").unwrap();
            hours.push(Hour { post, hour: at, arrivals: count, average });
        }
        hours
    }

    #[test]
    fn the_newest_wave_is_told_from_its_first_hour_to_the_end_of_its_last() {
        let params = Params::new(&Knobs::default()).unwrap();
        let calm: Vec<(i64, u64)> = (0..100).map(|day| (day * 24, 1)).collect();
        let bombs = [(2_400, 50), (2_401, 40), (2_500, 30), (2_510, 1), (2_520, 60)];
        let all = [calm, bombs.to_vec()].concat();
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
        let calm: Vec<(i64, u64)> = (0..100).map(|day| (day * 24, 1)).collect();
        let mut all = hours(&calm, &params);
        let at = START.plus_ms(2_400 * HOUR_MS);
        let mut average = all.last().unwrap().average;
        for i in 0..50 {
            average.arrive(at.plus_ms(i), &params);
        }
        all.push(Hour { post: PostId::parse("p").unwrap(), hour: at, arrivals: 0, average });
        let found = newest_wave(&all, &params, at.plus_ms(DAY_MS)).unwrap();
        assert_eq!((found.from, found.to, found.arrivals), (at, at.plus_ms(HOUR_MS), 0));
    }

    #[test]
    fn a_drip_is_a_wave_of_busy_hours() {
        let params = Params::new(&Knobs::default()).unwrap();
        let mut all: Vec<(i64, u64)> = (0..4_000).map(|hour| (hour, 1)).collect();
        // Five an hour are no surge: the floor is five within the memory, which sees fewer.
        all.extend((4_000..4_020).map(|hour| (hour, 3)));
        let found = newest_wave(&hours(&all, &params), &params, START.plus_ms(5_000 * HOUR_MS)).unwrap();
        assert_eq!((found.from, found.arrivals), (START.plus_ms(4_000 * HOUR_MS), 60));
    }
}
