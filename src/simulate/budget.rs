//! The attack budget: how many accounts it takes to move a post's published mean, by its size and age.
//!
//! A post's state is taken as it stood at some ages in the history. From there so many new accounts give the score that is
//! farthest from the mean, all at once or evenly over the time that they have; the cheaper way counts.

use std::collections::BTreeSet;

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
pub const ACCOUNTS_MAX: u64 = 10_000;
/// Numbers of accounts that come evenly are tried in steps of this.
const STEP: f64 = 1.3;
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
    let attack = Attack { average, from, setting, score };
    found = attack.at_once();
    let spans: BTreeSet<i64> = AIMS.iter().map(|(_, span_ms, _)| *span_ms).collect();
    for span_ms in spans {
        attack.evenly(span_ms, &mut found);
    }
    found
}

/// New accounts that give one score to a post.
struct Attack<'a> {
    average: &'a Average,
    from: Time,
    setting: &'a Setting,
    score: Score,
}

impl Attack<'_> {
    /// The fewest that reach each aim when all come at one moment: they are added one by one, and looked at now and then.
    fn at_once(&self) -> [Option<u64>; AIMS.len()] {
        let mut found = [None; AIMS.len()];
        let (mut attacked, mut next) = (*self.average, 1);
        for accounts in 1..=ACCOUNTS_MAX {
            self.rate(&mut attacked, self.from);
            if accounts < next && accounts < ACCOUNTS_MAX {
                continue;
            }
            next = (accounts + 1).max((accounts as f64 * PRECISION) as u64);
            for (aim, found) in AIMS.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
                *found = (self.shift(&attacked, aim.1) >= aim.0).then_some(accounts);
            }
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        found
    }

    /// Where fewer reach an aim when they come evenly within its time, so many. More of them may do less, once they are
    /// taken for a surge, so it is looked for from few to many.
    fn evenly(&self, span_ms: i64, found: &mut [Option<u64>; AIMS.len()]) {
        let aims = || AIMS.iter().enumerate().filter(|(_, aim)| aim.1 == span_ms);
        let (mut accounts, mut before) = (1, 0);
        let mut open: Vec<usize> = aims().map(|(aim, _)| aim).collect();
        while !open.is_empty() && accounts <= ACCOUNTS_MAX {
            open.retain(|aim| found[*aim].is_none_or(|known| accounts < known));
            let shift = if open.is_empty() { 0.0 } else { self.shift_evenly(accounts, span_ms) };
            let reached = open.iter().copied().filter(|aim| shift >= AIMS[*aim].0);
            for aim in reached.collect::<Vec<_>>() {
                let more = fewest(accounts - before, |more| {
                    self.shift_evenly(before + more, span_ms) >= AIMS[aim].0
                });
                found[aim] = more.map(|more| before + more);
                open.retain(|other| *other != aim);
            }
            before = accounts;
            accounts = (accounts + 1).max((accounts as f64 * STEP) as u64);
        }
    }

    fn shift_evenly(&self, accounts: u64, span_ms: i64) -> f64 {
        let mut attacked = *self.average;
        for i in 0..accounts {
            let offset = i as f64 / accounts as f64 * span_ms as f64;
            self.rate(&mut attacked, self.from.plus_ms(offset as i64));
        }
        self.shift(&attacked, span_ms)
    }

    fn rate(&self, attacked: &mut Average, at: Time) {
        let when = When { at, is_stated: false };
        UserState::default().rate(attacked, self.score, when, &self.setting.params);
    }

    fn shift(&self, attacked: &Average, span_ms: i64) -> f64 {
        let params = &self.setting.params;
        let end = self.from.plus_ms(span_ms);
        let mean = |average: &Average| average.at(end, params).smoothed_mean(params).unwrap_or_default();
        (mean(attacked) - mean(self.average)).abs()
    }
}

/// The fewest accounts that move the exact mean.
pub fn accounts_raw(average: &Average) -> [Option<u64>; AIMS.len()] {
    let (count, sum) = (average.count() as f64, average.sum() as f64);
    let farthest = if sum / count >= 2.5 { 0.0 } else { f64::from(Score::MAX) };
    AIMS.map(|(stars, ..)| {
        fewest(ACCOUNTS_MAX, |accounts| {
            let mean = (sum + farthest * accounts as f64) / (count + accounts as f64);
            (mean - sum / count).abs() >= stars
        })
    })
}

/// The least number up to `most` that passes, if more accounts never do less; found by doubling and halving.
fn fewest(most: u64, reaches: impl Fn(u64) -> bool) -> Option<u64> {
    let mut high = 1;
    while !reaches(high) {
        if high >= most {
            return None;
        }
        high = (high * 2).min(most);
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
        assert_eq!(fewest(9, |accounts| accounts >= 1), Some(1));
        assert_eq!(fewest(9, |accounts| accounts >= 7), Some(7));
        assert!(
            fewest(9_000, |accounts| accounts >= 1_000).is_some_and(|found| (1_000..=1_040).contains(&found))
        );
        assert_eq!(fewest(9, |_| false), None);
        assert_eq!(median(vec![None, Some(3), Some(9)]), Some(9));
        assert_eq!((median(vec![]), size_of(4), size_of(30)), (None, None, Some(1)));
    }
}
