//! The attack budget: how many accounts it takes to move a post's published mean, by its size and age.
//!
//! A post's state is taken as it stood at some ages in the history. From there so many new accounts give the score that is
//! farthest from the mean, all at once or evenly over the time that they have; the cheaper way counts.

use serde::Serialize;

use super::settings::Setting;
use crate::model::{DAY_MS, HOUR_MS, Score, Time};
use crate::smoothing::{Average, UserState, When};

/// Ages at which posts are attacked: a day, a week, six weeks, half a year.
pub const AGES: [(i64, &str); 4] =
    [(DAY_MS, "1 day"), (7 * DAY_MS, "1 week"), (42 * DAY_MS, "6 weeks"), (182 * DAY_MS, "6 months")];
/// Sizes of posts: from so many ratings on.
pub const SIZES: [(u64, &str); 4] =
    [(5, "5 to 29"), (30, "30 to 199"), (200, "200 to 1,999"), (2_000, "2,000 or more")];
/// Stars to move, and the time to do it in.
pub const AIMS: [(f64, i64, &str); 6] = [
    (0.1, HOUR_MS, ".1 in an hour"),
    (0.1, DAY_MS, ".1 in a day"),
    (0.1, 7 * DAY_MS, ".1 in a week"),
    (0.5, HOUR_MS, ".5 in an hour"),
    (0.5, DAY_MS, ".5 in a day"),
    (0.5, 7 * DAY_MS, ".5 in a week"),
];
/// Posts of one size and age that are attacked.
pub const SAMPLES: usize = 5;
/// More accounts are not tried.
pub const ACCOUNTS_MAX: u64 = 20_000;
/// The result is at most so much too large.
const PRECISION: f64 = 1.04;

/// The budget of posts of one size and age.
#[derive(Debug, Clone, Serialize)]
pub struct Budget {
    /// Their age.
    pub age: &'static str,
    /// How many ratings they have.
    pub size: &'static str,
    /// How many posts were attacked.
    pub posts: usize,
    /// By setting, then by aim: the median number of accounts; none, if more than [`ACCOUNTS_MAX`] would be needed.
    pub accounts: Vec<[Option<u64>; AIMS.len()]>,
    /// The same for the exact mean.
    pub raw: [Option<u64>; AIMS.len()],
}

/// The size of a post with so many ratings.
pub fn size_of(count: u64) -> Option<usize> {
    SIZES.iter().rposition(|(from, _)| count >= *from)
}

/// The fewest accounts that reach each aim from this state.
pub fn accounts(average: &Average, from: Time, setting: &Setting) -> [Option<u64>; AIMS.len()] {
    let mut found = [None; AIMS.len()];
    let Some(mean) = average.at(from, &setting.params).smoothed_mean(&setting.params) else { return found };
    let score = if mean >= 2.5 { 0 } else { i64::from(Score::MAX) };
    let Ok(score) = Score::parse(score) else { return found };
    for (aim, found) in AIMS.iter().zip(&mut found) {
        let reaches = |accounts: u64| {
            [false, true]
                .into_iter()
                .any(|is_spread| shift(average, from, setting, score, accounts, aim.1, is_spread) >= aim.0)
        };
        *found = fewest(reaches);
    }
    found
}

/// The fewest accounts that move the exact mean.
pub fn accounts_raw(average: &Average) -> [Option<u64>; AIMS.len()] {
    let (count, sum) = (average.count() as f64, average.sum() as f64);
    let farthest = if sum / count >= 2.5 { 0.0 } else { f64::from(Score::MAX) };
    AIMS.map(|(stars, ..)| {
        fewest(|accounts| {
            let mean = (sum + farthest * accounts as f64) / (count + accounts as f64);
            (mean - sum / count).abs() >= stars
        })
    })
}

fn shift(
    average: &Average,
    from: Time,
    setting: &Setting,
    score: Score,
    accounts: u64,
    span_ms: i64,
    is_spread: bool,
) -> f64 {
    let params = &setting.params;
    let end = from.plus_ms(span_ms);
    let mut attacked = *average;
    for i in 0..accounts {
        let offset = if is_spread { (i as f64 / accounts as f64 * span_ms as f64) as i64 } else { 0 };
        let when = When { at: from.plus_ms(offset), is_stated: false };
        UserState::default().rate(&mut attacked, score, when, params);
    }
    let mean = |average: &Average| average.at(end, params).smoothed_mean(params).unwrap_or_default();
    (mean(&attacked) - mean(average)).abs()
}

/// The least number that passes, if more accounts never do less; found by doubling and halving.
fn fewest(reaches: impl Fn(u64) -> bool) -> Option<u64> {
    let mut high = 1;
    while !reaches(high) {
        if high >= ACCOUNTS_MAX {
            return None;
        }
        high = (high * 2).min(ACCOUNTS_MAX);
    }
    let mut low = high / 2;
    while high > low + 1 && high as f64 > low as f64 * PRECISION {
        let middle = low + (high - low) / 2;
        if reaches(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The middle of several numbers, where none is the largest.
pub fn median(mut numbers: Vec<Option<u64>>) -> Option<u64> {
    numbers.sort_by_key(|number| number.unwrap_or(u64::MAX));
    numbers.get(numbers.len().checked_sub(1)? / 2).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_are_found() {
        assert_eq!(fewest(|accounts| accounts >= 1), Some(1));
        assert_eq!(fewest(|accounts| accounts >= 7), Some(7));
        assert!(fewest(|accounts| accounts >= 1_000).is_some_and(|found| (1_000..=1_040).contains(&found)));
        assert_eq!(fewest(|_| false), None);
        assert_eq!(median(vec![None, Some(3), Some(9)]), Some(9));
        assert_eq!((median(vec![]), size_of(4), size_of(30)), (None, None, Some(1)));
    }
}
