//! One lane: its rows' totals, putting a row in and taking it out, and vesting over a span of ages.
//!
//! A lane solves dq/dt = −min(λq, pace·x) in closed form, so a span of any length costs the same. Its q
//! is the unvested mass, its room x grows with what vests, and the pace is 1/age while the lane is bound to a
//! young post's age, ρ otherwise. All rows of a lane vest alike, each by its own unvested weight, so one
//! clock a lane is enough. [`average`](super::average) decides which rating takes which lane, and computes
//! the rooms.

use serde::{Deserialize, Serialize};

use crate::model::Score;

use super::params::Params;
use super::row::{LaneName, Row, one_zero};

/// The logarithm of the least share of unvested mass that a lane can keep, 1e-300. It must be finite.
const LEFT_LOG_MIN: f64 = -690.775_527_898_213_7;

/// The totals of one lane's rows that count; all zero at first (smoothing: docs/SMOOTHING.md, "State").
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Lane {
    /// n: how many ratings are in the lane, exactly.
    pub count: u64,
    /// s: the sum of their scores, exactly.
    pub sum: u64,
    /// V: vested mass, in ratings; each row gives 1 − w.
    pub vested: f64,
    /// K: settled count, in ratings; each row gives 1 − b·w. An edit leaves it as it is, where V falls.
    pub settled_count: f64,
    /// L: settled sum, in scores; each row gives r − a·w.
    pub settled_sum: f64,
    /// Z: the vesting clock, without a unit; only grows, at λ while nothing is unvested.
    pub clock: f64,
}

impl Lane {
    /// q = n − V: the unvested mass, in ratings. Rounding may leave it slightly below zero.
    pub fn unvested(&self) -> f64 {
        self.count as f64 - self.vested
    }

    /// Puts `row` in. The share `weight` of its unvested sum and count is still unvested.
    pub(super) fn put(&mut self, row: &Row, weight: f64) {
        self.count += 1;
        self.sum += u64::from(row.score.get());
        self.vested += 1.0 - weight;
        self.settled_count += 1.0 - row.unvested_count * weight;
        self.settled_sum += f64::from(row.score.get()) - row.unvested_sum * weight;
        self.tidy();
    }

    /// Takes `row` out. The share `weight` of its unvested sum and count is still unvested.
    pub(super) fn take_out(&mut self, row: &Row, weight: f64) {
        // A row that was never put in must not end the program: `damper verify` will show it (recount.rs).
        self.count = self.count.saturating_sub(1);
        self.sum = self.sum.saturating_sub(u64::from(row.score.get()));
        self.vested -= 1.0 - weight;
        self.settled_count -= 1.0 - row.unvested_count * weight;
        self.settled_sum -= f64::from(row.score.get()) - row.unvested_sum * weight;
        self.tidy();
    }

    /// Removes rounding errors: an empty or wholly vested lane has settled exactly its count and sum.
    fn tidy(&mut self) {
        let count = self.count as f64;
        if self.count == 0 || self.vested >= count {
            self.vested = count;
            self.settled_count = count;
            self.settled_sum = self.sum as f64;
            return;
        }
        // The true figures lie in these bounds, so only rounding can cross them, by some 1e-16 of the largest
        // count so far. Left alone, it could make K + w0 zero after a large lane has nearly been taken out.
        self.vested = within(self.vested, count);
        self.settled_count = within(self.settled_count, count);
        self.settled_sum = within(self.settled_sum, f64::from(Score::MAX) * self.settled_count);
    }

    /// Vests while the post's age goes from `age_ms` to `end_ms`; `room` is x, in ratings.
    ///
    /// The steps are those of docs/SMOOTHING.md, "advance": at a young post's pace, then at a grown post's,
    /// as long as the lane is crowded; then the rest of the span at the half-life. A lane that is not crowded
    /// does not become so by vesting.
    pub(super) fn vest(&mut self, name: LaneName, room: f64, age_ms: f64, end_ms: f64, params: &Params) {
        let unvested = self.unvested();
        let (vest, pace, grown) = (params.vest_per_ms, params.pace_per_ms, params.grown_age_ms);
        let (mut q, mut x, mut age) = (unvested, room, age_ms);
        let mut moved = 0.0;

        if name == LaneName::Calm && age < grown && is_crowded_young(q, x, age, params) {
            // Until the span ends, the post is grown, or λq has come down to x/age.
            let until = end_ms.min(grown).min(age * (q / x + 1.0) - 1.0 / vest).max(age);
            let d = x * (until - age) / age;
            x += d;
            q -= d;
            moved += d;
            age = until;
        }
        if (name == LaneName::Surge || age >= grown) && age < end_ms && is_crowded_grown(q, x, params) {
            // Until the span ends, or λq has come down to ρx.
            let span = ((vest * (q + x) / ((vest + pace) * x)).ln() / pace).min(end_ms - age).max(0.0);
            moved += x * (pace * span).exp_m1();
            age += span;
        }
        // `age + (end − age)` can round to just above the end.
        let rest_ms = (end_ms - age).max(0.0);
        // ln(1 − m/q) of a bomb's first milliseconds would be lost if 1 − m/q were rounded first. All moved,
        // or by rounding more than all, the logarithm is no number, and `max` takes the other.
        let left_log = if moved > 0.0 { (-moved / unvested).ln_1p().max(LEFT_LOG_MIN) } else { 0.0 };
        let step = vest * rest_ms - left_log;
        let share = -(-step).exp_m1();

        let count = self.count as f64;
        self.clock = one_zero(self.clock + step);
        self.vested = one_zero(self.vested + share * (count - self.vested));
        self.settled_count = one_zero(self.settled_count + share * (count - self.settled_count));
        self.settled_sum = one_zero(self.settled_sum + share * (self.sum as f64 - self.settled_sum));
    }

    /// Whether the pace limit, not the half-life, sets the speed at this age: λq > pace·x.
    pub(super) fn is_crowded(&self, name: LaneName, room: f64, age_ms: f64, params: &Params) -> bool {
        if name == LaneName::Calm && age_ms < params.grown_age_ms {
            is_crowded_young(self.unvested(), room, age_ms, params)
        } else {
            is_crowded_grown(self.unvested(), room, params)
        }
    }
}

/// λq > x/age, without the division: at age 0 nothing is crowded.
fn is_crowded_young(unvested: f64, room: f64, age_ms: f64, params: &Params) -> bool {
    params.vest_per_ms * age_ms * unvested > room
}

/// λq > ρx.
fn is_crowded_grown(unvested: f64, room: f64, params: &Params) -> bool {
    params.vest_per_ms * unvested > params.pace_per_ms * room
}

/// The value moved into 0..=`max`.
fn within(value: f64, max: f64) -> f64 {
    one_zero(value.max(0.0).min(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smoothing::Knobs;

    const DAY_MS: f64 = crate::model::DAY_MS as f64;

    fn params() -> Params {
        Params::new(&Knobs::default()).unwrap()
    }

    /// A lane of `count` ratings of 4, of which `vested` have vested.
    fn lane(count: u64, vested: f64) -> Lane {
        let settled_sum = 4.0 * vested;
        Lane { count, sum: 4 * count, vested, settled_count: vested, settled_sum, clock: 0.0 }
    }

    /// Steps of the differential equation itself, small enough to be good to some 1e-4.
    fn integrate(mut q: f64, mut x: f64, name: LaneName, from: f64, to: f64, params: &Params) -> f64 {
        let steps = 200_000;
        let dt = (to - from) / f64::from(steps);
        for i in 0..steps {
            let age = from + dt * (f64::from(i) + 0.5);
            let pace = match name {
                LaneName::Calm => params.pace_per_ms.max(1.0 / age),
                LaneName::Surge => params.pace_per_ms,
            };
            let d = (params.vest_per_ms * q).min(pace * x) * dt;
            q -= d;
            x += d;
        }
        q
    }

    /// Ages before the knee at 40.4 days, across it and after it, at which lanes of `COUNTS` are never
    /// crowded, are so for a while, and throughout.
    const SPANS_DAYS: [(f64, f64); 7] =
        [(1.0, 30.0), (2.0, 20.0), (5.0, 45.0), (20.0, 80.0), (39.0, 80.0), (60.0, 90.0), (90.0, 400.0)];
    const COUNTS: [u64; 5] = [3, 23, 40, 400, 5_000];

    fn cases() -> impl Iterator<Item = (LaneName, u64, f64, f64)> {
        let lanes = [LaneName::Calm, LaneName::Surge].into_iter();
        let counts = lanes.flat_map(|name| COUNTS.map(|count| (name, count)));
        counts
            .flat_map(|(name, count)| SPANS_DAYS.map(|(from, to)| (name, count, from * DAY_MS, to * DAY_MS)))
    }

    #[test]
    fn a_lane_follows_its_differential_equation() {
        let params = params();
        for (name, count, from, to) in cases() {
            let mut lane = lane(count, 2.5);
            let expected = integrate(lane.unvested(), 12.5, name, from, to, &params);
            lane.vest(name, 12.5, from, to, &params);
            let error = (lane.unvested() - expected).abs() / count as f64;
            assert!(error < 1e-4, "{name:?} {count} {from}..{to}: {} {expected}", lane.unvested());
        }
    }

    #[test]
    fn a_span_may_be_cut_anywhere() {
        let params = params();
        for (name, count, from, to) in cases() {
            let (mut whole, mut cut) = (lane(count, 2.0), lane(count, 2.0));
            whole.vest(name, 12.0, from, to, &params);
            for i in 0..37 {
                let age = |i: i32| from + (to - from) * f64::from(i) / 37.0;
                cut.vest(name, 10.0 + cut.vested, age(i), age(i + 1), &params);
            }
            assert!((whole.vested - cut.vested).abs() < 1e-9, "{name:?} {count} {from}..{to}");
            // Compares the rows' weights: the clock itself stops once all has vested.
            let (weight, weight_cut) = ((-whole.clock).exp(), (-cut.clock).exp());
            assert!((weight - weight_cut).abs() < 1e-12, "{name:?} {count} {from}..{to}");
        }
    }

    #[test]
    fn a_crowd_vests_at_the_pace_of_its_room() {
        let params = params();
        let mut surge = lane(1_000, 0.0);
        surge.vest(LaneName::Surge, 110.0, DAY_MS, 29.0 * DAY_MS, &params);
        assert!((surge.vested - 110.0).abs() < 1e-9, "a doubling of the room in 28 days: {}", surge.vested);
        let mut calm = lane(1_000, 0.0);
        calm.vest(LaneName::Calm, 10.0, 3.0 * DAY_MS, 12.0 * DAY_MS, &params);
        assert!((calm.vested - 30.0).abs() < 1e-9, "the room grows with the age: {}", calm.vested);
    }

    #[test]
    fn a_bomb_of_any_size_is_held_millisecond_by_millisecond() {
        let params = params();
        let mut surge = lane(5_000_000, 0.0);
        for ms in 0..100_000 {
            let age_ms = 60.0 * DAY_MS + f64::from(ms);
            surge.vest(LaneName::Surge, 30.0 + surge.vested, age_ms, age_ms + 1.0, &params);
        }
        let expected = 30.0 * (100_000.0 * params.pace_per_ms).exp_m1();
        assert!((surge.vested / expected - 1.0).abs() < 1e-6, "{} {expected}", surge.vested);
    }

    #[test]
    fn a_lane_that_vests_at_once_keeps_every_figure_finite() {
        let params = Params::new(&Knobs { vest_half_life_hours: 0.1, ..Knobs::default() }).unwrap();
        let mut lane = lane(30, 20.0);
        lane.vest(LaneName::Calm, 30.0, 5.0 * DAY_MS, 5e4 * DAY_MS, &params);
        assert!(lane.clock.is_finite() && (lane.vested - 30.0).abs() < 1e-12, "{lane:?}");
    }

    #[test]
    fn an_uncrowded_lane_and_a_new_post_vest_by_the_half_life() {
        let params = params();
        let mut few = lane(3, 0.0);
        few.vest(LaneName::Surge, 1_000.0, 0.0, DAY_MS, &params);
        assert!((few.vested - 1.5).abs() < 1e-12);
        let mut launch = lane(1_000, 0.0);
        launch.vest(LaneName::Calm, 10.0, 0.0, DAY_MS, &params);
        assert!((launch.vested - 500.0).abs() < 1e-9);
        assert!(!launch.is_crowded(LaneName::Calm, 10.0, 0.0, &params));
        assert!(launch.is_crowded(LaneName::Calm, 10.0, DAY_MS, &params));
    }

    fn calm_row(score: i64, unvested_sum: f64, unvested_count: f64) -> Row {
        let score = Score::parse(score).unwrap();
        Row { score, lane: LaneName::Calm, vest_clock: 0.0, unvested_sum, unvested_count }
    }

    #[test]
    fn a_lane_that_empties_or_vests_wholly_keeps_no_rounding() {
        let mut lane = Lane { settled_sum: 1e-12, vested: 1e-13, ..Lane::default() };
        lane.put(&calm_row(2, 0.1, 0.7), 0.3);
        lane.take_out(&calm_row(2, 0.1, 0.7), 0.3);
        assert_eq!(lane, Lane::default());
        let (settled_count, settled_sum) = (1.0 - 1e-13, 3.0 - 1e-12);
        let mut lane = Lane { count: 1, sum: 3, vested: 1.0, settled_count, settled_sum, clock: 9.0 };
        lane.put(&calm_row(5, 0.1, 0.7), 0.0);
        let expected =
            Lane { count: 2, sum: 8, vested: 2.0, settled_count: 2.0, settled_sum: 8.0, clock: 9.0 };
        assert_eq!(lane, expected);
    }

    #[test]
    fn rounding_never_leaves_the_bounds() {
        let mut lane =
            Lane { count: 2, sum: 2, vested: 0.1, settled_count: 0.1, settled_sum: 0.1, clock: 0.5 };
        lane.take_out(&calm_row(1, 1.0, 1.0), 0.9 - 1e-9);
        for figure in [lane.vested, lane.settled_count, lane.settled_sum] {
            assert_eq!(figure.to_bits(), 0.0_f64.to_bits());
        }
    }
}
