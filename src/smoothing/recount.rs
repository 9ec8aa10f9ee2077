//! Recomputes a post's state from its rows, and reports differences from the stored state.
//!
//! This is law 7 of docs/SMOOTHING.md as code; `damper verify` uses it. Counts, sums and the histogram must
//! agree exactly. V, K and L are sums of floats that were built in another order, entry by entry, and may
//! differ by rounding. Intensity, clocks and times stand in no row and cannot be recomputed. Loading the rows
//! and the average in one snapshot is left to the caller.

use crate::model::Score;

use super::average::Average;
use super::lane::Lane;
use super::row::{LaneName, Row};

/// By how much V, K and L may differ: this, and this much more for each rating in the lane.
const TOLERANCE: f64 = 1e-6;
const TOLERANCE_PER_RATING: f64 = 1e-9;

/// The names of the figures: of a lane V, K, L, count and sum, then the histogram by score.
const CALM: [&str; 5] = ["calm vested", "calm settled_count", "calm settled_sum", "calm count", "calm sum"];
const SURGE: [&str; 5] =
    ["surge vested", "surge settled_count", "surge settled_sum", "surge count", "surge sum"];
const HISTOGRAM: [&str; Score::COUNT] =
    ["histogram 0", "histogram 1", "histogram 2", "histogram 3", "histogram 4", "histogram 5"];

/// A figure of an average that differs from its rows.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Difference {
    /// The figure's name: `calm settled_sum`, `histogram 3`.
    pub figure: &'static str,
    /// The stored value.
    pub stored: f64,
    /// The value recomputed from the rows.
    #[serde(rename = "recounted")]
    pub recomputed: f64,
}

/// Adds up rows one at a time, so that a post of any size takes the same memory.
#[derive(Debug, Clone, Default)]
pub struct Recount {
    calm: Tally,
    surge: Tally,
    histogram: [u64; Score::COUNT],
    /// Rows that were taken out of it, and left their rounding.
    excluded: u64,
}

impl Recount {
    /// Starts with the clocks of the rows' average.
    pub fn new(calm_clock: f64, surge_clock: f64) -> Self {
        let tally = |clock| Tally { clock, ..Tally::default() };
        Self { calm: tally(calm_clock), surge: tally(surge_clock), ..Self::default() }
    }

    /// Notes an excluded row.
    pub fn pass_excluded(&mut self) {
        self.excluded += 1;
    }

    /// Adds a row that counts. Excluded rows are not added.
    pub fn add(&mut self, row: &Row) {
        match row.lane {
            LaneName::Calm => self.calm.add(row),
            LaneName::Surge => self.surge.add(row),
        }
        self.histogram[row.score.index()] += 1;
    }

    /// The figures of `average` that differ from the added rows; empty when all is well.
    pub fn differences(&self, average: &Average) -> Vec<Difference> {
        let calm = self.calm.figures(&average.calm, self.excluded);
        let surge = self.surge.figures(&average.surge, self.excluded);
        let histogram = average.histogram.into_iter().zip(self.histogram);
        let histogram = histogram.map(|(stored, recomputed)| (stored as f64, recomputed as f64, 0.0));
        let figures = calm.into_iter().chain(surge).chain(histogram);
        let difference = |(figure, (stored, recomputed, tolerance)): (_, (f64, f64, f64))| {
            // Written this way round so that not-a-number differs.
            let agrees = (stored - recomputed).abs() <= tolerance;
            (!agrees).then_some(Difference { figure, stored, recomputed })
        };
        CALM.into_iter().chain(SURGE).chain(HISTOGRAM).zip(figures).filter_map(difference).collect()
    }
}

/// The totals of one lane's rows. The unvested parts are summed, not the vested ones: on a settled post they
/// are small, and so lose the least precision.
#[derive(Debug, Clone, Default)]
struct Tally {
    clock: f64,
    count: u64,
    sum: u64,
    unvested: f64,
    unvested_count: f64,
    unvested_sum: f64,
}

impl Tally {
    fn add(&mut self, row: &Row) {
        let weight = row.weight(self.clock);
        self.count += 1;
        self.sum += u64::from(row.score.get());
        self.unvested += weight;
        self.unvested_count += row.unvested_count * weight;
        self.unvested_sum += row.unvested_sum * weight;
    }

    /// The lane's figures: as stored, as recomputed, and by how much they may differ.
    ///
    /// V = Σ(1 − w), K = Σ(1 − b·w), L = Σ(r − a·w). A lane that was tidied up when it was empty or wholly
    /// vested (V = K = n, L = s) needs no special case: no rows give zero, and rows whose weights sum up
    /// to no more than rounding give n and s within the tolerance.
    fn figures(&self, lane: &Lane, excluded: u64) -> [(f64, f64, f64); 5] {
        let (count, sum) = (self.count as f64, self.sum as f64);
        // A sum that was large keeps the rounding of a large one.
        let tolerance = TOLERANCE + TOLERANCE_PER_RATING * (self.count + excluded) as f64;
        [
            (lane.vested, count - self.unvested, tolerance),
            (lane.settled_count, count - self.unvested_count, tolerance),
            (lane.settled_sum, sum - self.unvested_sum, tolerance),
            (lane.count as f64, count, 0.0),
            (lane.sum as f64, sum, 0.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use crate::smoothing::{Knobs, Params, UserState, When};

    /// A post with rows in both lanes and an edit, and its rows.
    fn post() -> (Average, Vec<Row>) {
        let params = Params::new(&Knobs::default()).unwrap();
        let at = |hours: i64| Time::from_ms(1_700_000_000_000).plus_ms(hours * 3_600_000);
        let mut average = Average::default();
        let mut users: Vec<UserState> =
            (0..30).map(|i| UserState::rated(&mut average, i % 6, at(24 * i), &params)).collect();
        for _ in 0..40 {
            users.push(UserState::rated(&mut average, 1, at(24 * 31), &params));
        }
        let when = When { at: at(24 * 32), is_stated: false };
        users[7].rate(&mut average, Score::parse(5).unwrap(), when, &params);
        assert!(average.surge.count > 0 && average.calm.count > 0);
        (average, users.iter().filter_map(|user| user.rated).map(|rated| rated.row).collect())
    }

    fn differences(average: &Average, rows: &[Row]) -> Vec<Difference> {
        let mut recount = Recount::new(average.calm.clock, average.surge.clock);
        rows.iter().for_each(|row| recount.add(row));
        recount.differences(average)
    }

    #[test]
    fn a_sound_post_has_no_differences() {
        let (average, rows) = post();
        assert_eq!(differences(&average, &rows), []);
        assert_eq!(Recount::new(0.0, 0.0).differences(&Average::default()), []);
    }

    #[test]
    fn every_figure_that_follows_from_rows_is_checked() {
        let (sound, rows) = post();
        type Spoil = fn(&mut Average);
        let table: [(Spoil, &[&str]); 12] = [
            (|a| a.calm.count += 1, &["calm count"]),
            (|a| a.calm.sum -= 1, &["calm sum"]),
            (|a| a.calm.vested += 2e-6, &["calm vested"]),
            (|a| a.calm.settled_count -= 2e-6, &["calm settled_count"]),
            (|a| a.calm.settled_sum = f64::NAN, &["calm settled_sum"]),
            (|a| a.surge.count += 1, &["surge count"]),
            (|a| a.surge.sum += 1, &["surge sum"]),
            (|a| a.surge.vested -= 2e-6, &["surge vested"]),
            (|a| a.surge.settled_count += 2e-6, &["surge settled_count"]),
            (|a| a.surge.settled_sum -= 2e-6, &["surge settled_sum"]),
            (|a| a.histogram.swap(0, 1), &["histogram 0", "histogram 1"]),
            // Rounding is not a difference.
            (|a| a.calm.settled_sum += 1e-7, &[]),
        ];
        for (spoil, figures) in table {
            let mut average = sound;
            spoil(&mut average);
            let found: Vec<_> = differences(&average, &rows).iter().map(|d| d.figure).collect();
            assert_eq!(found, figures);
        }
    }

    #[test]
    fn rows_that_were_taken_out_leave_room_for_their_rounding() {
        let (sound, rows) = post();
        let off = Average { calm: Lane { vested: sound.calm.vested + 5e-6, ..sound.calm }, ..sound };
        let mut recount = Recount::new(sound.calm.clock, sound.surge.clock);
        rows.iter().for_each(|row| recount.add(row));
        assert_eq!(recount.differences(&off).len(), 1);
        (0..10_000).for_each(|_| recount.pass_excluded());
        assert_eq!(recount.differences(&off), []);
        let far = Average { calm: Lane { vested: sound.calm.vested + 2e-5, ..sound.calm }, ..sound };
        assert_eq!(recount.differences(&far).len(), 1);
    }

    #[test]
    fn a_missing_row_shows_with_both_values() {
        let (average, mut rows) = post();
        rows.pop();
        let found = differences(&average, &rows);
        let count = found.iter().find(|d| d.figure == "surge count").unwrap();
        assert_eq!(count.stored, average.surge.count as f64);
        assert_eq!(count.recomputed, average.surge.count as f64 - 1.0);
    }
}
