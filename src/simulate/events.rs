//! What happened to a post, found in its ratings: bursts, and lasting changes of what people think.

use super::spool::Rating;
use crate::model::{DAY_MS, HOUR_MS, Time};

/// A burst has at least so many ratings within a day.
const BURST_RATINGS_MIN: usize = 40;
/// And so many times what the post's own past lets expect of a day.
const BURST_FACTOR: f64 = 8.0;
/// A post that is younger has no past to burst out of.
const PAST_MS_MIN: i64 = 7 * DAY_MS;
/// And so many ratings of it.
const PAST_RATINGS_MIN: usize = 20;
/// The past that counts besides all of it: after a launch a post has many ratings for a while.
const LATELY_MS: i64 = 30 * DAY_MS;
/// A burst's crowd is there in force with this part of its largest day.
const FORCE: usize = 4;
/// Two bursts are so far apart, or one.
const APART_MS: i64 = 30 * DAY_MS;
/// A change is looked for among so many ratings.
const CHANGE_RATINGS_MIN: usize = 150;
/// The test value of a change: its largest chance deviation, at one in a hundred and more.
const CHANGE_MIN: f64 = 2.0;
/// Stars between before and after.
const CHANGE_STARS_MIN: f64 = 0.25;
/// A change this near to a burst is the burst.
const NEAR_MS: i64 = 14 * DAY_MS;

/// A burst of ratings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// Its first moment.
    pub from: Time,
    /// Ratings within a day from then on.
    pub ratings: usize,
    /// Their mean.
    pub mean: f64,
    /// The mean of all before.
    pub before: f64,
}

/// The bursts of a post, in order of time. Each begins where its crowd comes in force, not with its first few.
pub fn bursts(ratings: &[Rating]) -> Vec<Burst> {
    let mut found: Vec<Burst> = Vec::new();
    // Moments that many ratings follow, of one burst: the place, and how many come within a day.
    let mut cluster: Vec<(usize, usize)> = Vec::new();
    let (mut end, mut lately) = (0, 0);
    for i in PAST_RATINGS_MIN..ratings.len() {
        let at = ratings[i].at.ms();
        end = end.max(i);
        while end < ratings.len() && ratings[end].at.ms() < at + DAY_MS {
            end += 1;
        }
        while ratings[lately].at.ms() < at - LATELY_MS {
            lately += 1;
        }
        let age_ms = at - ratings[0].at.ms();
        let days = |ms: i64| ms.max(1) as f64 / DAY_MS as f64;
        let expected = (i as f64 / days(age_ms)).max((i - lately) as f64 / days(LATELY_MS.min(age_ms)));
        let within = end - i;
        let is_one =
            age_ms >= PAST_MS_MIN && within >= BURST_RATINGS_MIN && within as f64 >= BURST_FACTOR * expected;
        let is_over = cluster.last().is_some_and(|(last, _)| at - ratings[*last].at.ms() > NEAR_MS);
        if is_over {
            found.extend(burst(ratings, &std::mem::take(&mut cluster), found.last()));
        }
        if is_one {
            cluster.push((i, within));
        }
    }
    found.extend(burst(ratings, &cluster, found.last()));
    found
}

fn burst(ratings: &[Rating], cluster: &[(usize, usize)], last: Option<&Burst>) -> Option<Burst> {
    let most = cluster.iter().map(|(_, within)| *within).max()?;
    let (place, within) = cluster.iter().copied().find(|(_, within)| within * FORCE >= most)?;
    let day = &ratings[place..place + within];
    let from = begin(day);
    let is_apart = last.is_none_or(|last| from.ms() - last.from.ms() >= APART_MS);
    is_apart.then(|| Burst { from, ratings: within, mean: mean(day), before: mean(&ratings[..place]) })
}

/// Where within its day a burst really begins: the first hour with a part of it.
fn begin(day: &[Rating]) -> Time {
    let first = day[0].at;
    let enough = (day.len() / 24).max(2);
    let hours = (0..24).map(|hour| first.plus_ms(hour * HOUR_MS));
    let mut hours = hours.filter(|from| {
        let is_in = |rating: &&Rating| (from.ms()..from.ms() + HOUR_MS).contains(&rating.at.ms());
        day.iter().filter(is_in).count() >= enough
    });
    hours.next().unwrap_or(first)
}

/// The moment of a lasting change of the scores, if there is one that is no chance and no burst: where their sum is farthest
/// from a straight line.
pub fn change(ratings: &[Rating], bursts: &[Burst]) -> Option<Time> {
    if ratings.len() < CHANGE_RATINGS_MIN {
        return None;
    }
    let count = ratings.len() as f64;
    let overall = mean(ratings);
    let spread = ratings.iter().map(|r| (f64::from(r.score.get()) - overall).powi(2)).sum::<f64>() / count;
    let (mut sum, mut farthest) = (0.0, (0.0_f64, 0));
    let tenth = ratings.len() / 10;
    for (i, rating) in ratings.iter().enumerate() {
        sum += f64::from(rating.score.get()) - overall;
        if (tenth..ratings.len() - tenth).contains(&i) && sum.abs() > farthest.0 {
            farthest = (sum.abs(), i + 1);
        }
    }
    let (distance, place) = farthest;
    if spread <= 0.0 || distance / (spread * count).sqrt() < CHANGE_MIN || place == 0 {
        return None;
    }
    let at = ratings.get(place)?.at;
    let stars = (mean(&ratings[place..]) - mean(&ratings[..place])).abs();
    let is_burst = bursts.iter().any(|burst| (burst.from.ms() - at.ms()).abs() < NEAR_MS);
    (stars >= CHANGE_STARS_MIN && !is_burst).then_some(at)
}

fn mean(ratings: &[Rating]) -> f64 {
    let sum: f64 = ratings.iter().map(|rating| f64::from(rating.score.get())).sum();
    sum / ratings.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Score, UserId};

    fn ratings(scores: impl Iterator<Item = (i64, i64)>) -> Vec<Rating> {
        let rating = |(i, (at, score)): (usize, (i64, i64))| Rating {
            user: UserId::parse(&format!("u{i}")).unwrap(),
            score: Score::parse(score).unwrap(),
            at: Time::from_ms(1_500_000_000_000 + at),
        };
        scores.enumerate().map(rating).collect()
    }

    #[test]
    fn a_burst_is_found_and_a_launch_is_none() {
        let calm = (0..400).map(|i| (i * 6 * HOUR_MS, 3 + i % 3));
        let mut all: Vec<(i64, i64)> =
            calm.clone().chain((0..300).map(|i| (60 * DAY_MS + i * 60_000, 0))).collect();
        all.sort_unstable();
        let found = bursts(&ratings(all.into_iter()));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].from.ms() - 1_500_000_000_000, 60 * DAY_MS);
        assert!((300..310).contains(&found[0].ratings) && found[0].mean < 0.5 && found[0].before > 3.9);
        assert_eq!(bursts(&ratings(calm)), []);
        assert_eq!(bursts(&ratings((0..1_000).map(|i| (i * 60_000, 5)))), [], "a launch");
    }

    #[test]
    fn a_lasting_change_is_found_and_chance_is_none() {
        let at = |i: i64| (i * 6 * HOUR_MS, if i < 250 { 4 + i % 2 } else { 2 + i % 3 });
        let found = change(&ratings((0..500).map(at)), &[]).unwrap();
        assert!(((found.ms() - 1_500_000_000_000) / (6 * HOUR_MS) - 250).abs() < 5);
        assert_eq!(change(&ratings((0..500).map(|i| (i * HOUR_MS, i * 7 % 6))), &[]), None);
    }
}
