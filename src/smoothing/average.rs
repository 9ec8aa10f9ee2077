//! A post's whole aggregate state. It folds entries one by one, each at its own time, and can be read at any
//! time.
//!
//! Only entries change the state. Readers evaluate a copy ([`Average::at`]), so neither reads nor ticks can
//! change a later figure. Every time here is an argument. A time before the last entry counts as the last
//! entry's time. The caller finds a user's row, stores it and deletes it.

use serde::{Deserialize, Serialize};

use crate::model::{Score, Time};

use super::lane::Lane;
use super::params::Params;
use super::row::{LaneName, Row};

/// Below this settled count a post's smoothed mean is marked early.
const EARLY_BELOW: f64 = 5.0;
/// The surge test counts at most this many ratings of history per calm rating: the calm one and up to three
/// from surges. If all surge ratings counted, a bomb would hide the drip that follows. If none counted,
/// honest growth would stay a surge for ever.
const KNOWN_PER_CALM: u64 = 4;

/// The average of one post; all zero, without times, before its first entry
/// (smoothing: docs/SMOOTHING.md, "State").
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Average {
    /// The lane of ordinary ratings.
    pub calm: Lane,
    /// The lane of ratings that came in a surge.
    pub surge: Lane,
    /// How many of the ratings that count have the score 0, 1, .. 5; exact.
    pub histogram: [u64; Score::COUNT],
    /// I: the arrival intensity, in ratings, as of `last`; halves every `surge_half_life_hours`.
    pub intensity: f64,
    /// Time of the first entry: set once, kept even if all ratings are withdrawn.
    pub born: Option<Time>,
    /// t: time of the last entry, up to which the lanes have vested.
    pub last: Option<Time>,
}

impl Average {
    /// The state at `time` if no entry comes before; for a time before the last entry's, the state
    /// as it is.
    pub fn at(&self, time: Time, params: &Params) -> Self {
        let mut copy = *self;
        copy.advance(time, params);
        copy
    }

    /// N: how many ratings count, exactly.
    pub fn count(&self) -> u64 {
        self.calm.count + self.surge.count
    }

    /// S: the sum of their scores, exactly.
    pub fn sum(&self) -> u64 {
        self.calm.sum + self.surge.sum
    }

    /// S / N; `None` when no rating counts.
    pub fn raw_mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum() as f64 / self.count() as f64)
    }

    /// The published value as of `last`, y = (L + w0·m) / (K + w0) with m the raw mean; `None` when no rating
    /// counts (smoothing: docs/SMOOTHING.md, "read").
    pub fn smoothed_mean(&self, params: &Params) -> Option<f64> {
        let seed = params.knobs().seed_weight;
        let settled_sum = self.calm.settled_sum + self.surge.settled_sum;
        let read = |mean| (settled_sum + seed * mean) / (self.settled_count() + seed);
        // Rounding alone can carry it over the edge of the scale, by the last bit.
        self.raw_mean().map(|mean: f64| read(mean).clamp(0.0, f64::from(Score::MAX)))
    }

    /// q of both lanes: the weight that is phasing in, in ratings; never negative.
    pub fn unvested(&self) -> f64 {
        self.calm.unvested().max(0.0) + self.surge.unvested().max(0.0)
    }

    /// Whether the settled count K is below five ratings, so that the smoothed mean says little yet.
    pub fn is_early(&self) -> bool {
        self.settled_count() < EARLY_BELOW
    }

    /// Whether so much is phasing in, in either lane, that the pace limit sets its speed. A post of age 0 is
    /// not.
    pub fn is_crowded(&self, params: &Params) -> bool {
        let (calm_room, surge_room) = self.rooms(params);
        let age_ms = self.age_ms();
        age_ms > 0.0
            && (self.calm.is_crowded(LaneName::Calm, calm_room, age_ms, params)
                || self.surge.is_crowded(LaneName::Surge, surge_room, age_ms, params))
    }

    /// K of both lanes.
    fn settled_count(&self) -> f64 {
        self.calm.settled_count + self.surge.settled_count
    }

    /// Advances to an entry's time. The first entry sets the birth of the post.
    pub(super) fn enter(&mut self, at: Time, params: &Params) {
        if self.born.is_none() {
            (self.born, self.last) = (Some(at), Some(at));
        }
        self.advance(at, params);
    }

    /// Vests both lanes and lets the intensity fade up to `to`. Does nothing before the first entry, or when
    /// `to` is not later than the last one.
    fn advance(&mut self, to: Time, params: &Params) {
        let (Some(born), Some(last)) = (self.born, self.last) else { return };
        if to <= last {
            return;
        }
        // Uses ages, not times: next to 1e12 ms since 1970 the end of youth would be lost to rounding, and a whole
        // bomb could vest at once.
        let (age_ms, end_ms) = (elapsed_ms(born, last), elapsed_ms(born, to));
        // Both rooms as the last entry left them, before either lane vests.
        let (calm_room, surge_room) = self.rooms(params);
        self.calm.vest(LaneName::Calm, calm_room, age_ms, end_ms, params);
        self.surge.vest(LaneName::Surge, surge_room, age_ms, end_ms, params);
        self.intensity *= (-elapsed_ms(last, to) / params.surge_half_life_ms).exp2();
        self.last = Some(to);
    }

    /// x of the calm lane, n0 + its own V, and of the surge lane, n0 + both lanes' V; in ratings.
    fn rooms(&self, params: &Params) -> (f64, f64) {
        let calm = params.knobs().grace_mass + self.calm.vested;
        (calm, calm + self.surge.vested)
    }

    /// Whether more ratings arrived lately than the post's own history suggests.
    pub fn is_surging(&self, params: &Params) -> bool {
        self.intensity > self.surge_above(params)
    }

    /// The intensity above which a rating takes the surge lane: k times what the post's own average rate
    /// would show.
    pub fn surge_above(&self, params: &Params) -> f64 {
        let knobs = params.knobs();
        let known = self.count().min(self.calm.count.saturating_mul(KNOWN_PER_CALM));
        let age_ms = self.age_ms().max(params.surge_half_life_ms);
        let expected = known as f64 * params.surge_memory_ms / age_ms;
        knobs.surge_floor.max(knobs.surge_factor * expected)
    }

    /// The post's age at its last entry; 0 before the first.
    fn age_ms(&self) -> f64 {
        self.born.zip(self.last).map_or(0.0, |(born, last)| elapsed_ms(born, last))
    }

    pub(super) fn lane(&self, name: LaneName) -> &Lane {
        match name {
            LaneName::Calm => &self.calm,
            LaneName::Surge => &self.surge,
        }
    }

    fn lane_mut(&mut self, name: LaneName) -> &mut Lane {
        match name {
            LaneName::Calm => &mut self.calm,
            LaneName::Surge => &mut self.surge,
        }
    }

    pub(super) fn put(&mut self, row: &Row, weight: f64) {
        self.lane_mut(row.lane).put(row, weight);
        self.histogram[row.score.index()] += 1;
    }

    pub(super) fn take_out(&mut self, row: &Row, weight: f64) {
        self.lane_mut(row.lane).take_out(row, weight);
        let bar = &mut self.histogram[row.score.index()];
        *bar = bar.saturating_sub(1);
    }
}

/// From `from` to `to` in milliseconds; wider than `i64` in between, so that no two times overflow.
fn elapsed_ms(from: Time, to: Time) -> f64 {
    (i128::from(to.ms()) - i128::from(from.ms())) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DAY_MS, HOUR_MS};
    use crate::smoothing::{Knobs, UserState, When};

    const NOON: Time = Time::from_ms(1_700_000_000_000);

    fn params() -> Params {
        Params::new(&Knobs::default()).unwrap()
    }

    #[test]
    fn an_empty_post_has_no_mean() {
        let (params, empty) = (params(), Average::default().at(NOON, &params()));
        assert_eq!(empty, Average::default());
        assert_eq!((empty.raw_mean(), empty.smoothed_mean(&params)), (None, None));
        assert!(empty.is_early() && !empty.is_crowded(&params));
    }

    #[test]
    fn zero_is_a_score() {
        let (params, mut average) = (params(), Average::default());
        let mut user = UserState::rated(&mut average, 0, NOON, &params);
        assert_eq!((average.smoothed_mean(&params), average.histogram), (Some(0.0), [1, 0, 0, 0, 0, 0]));
        for (days, score, histogram) in [(1, 5, [0, 0, 0, 0, 0, 1]), (2, 0, [1, 0, 0, 0, 0, 0])] {
            let when = When { at: NOON.plus_ms(days * DAY_MS), is_stated: false };
            user.rate(&mut average, Score::parse(score).unwrap(), when, &params);
            assert_eq!((average.raw_mean(), average.histogram), (Some(score as f64), histogram));
        }
    }

    #[test]
    fn a_crowd_phases_in_and_settles() {
        let (params, mut average) = (params(), Average::default());
        for _ in 0..20 {
            UserState::rated(&mut average, 4, NOON, &params);
        }
        assert!(average.is_early() && !average.is_crowded(&params), "a post of age 0 is not crowded");
        let grown = NOON.plus_ms(60 * DAY_MS);
        assert!(!average.at(grown, &params).is_early());
        for _ in 0..200 {
            UserState::rated(&mut average, 1, grown, &params);
        }
        let counts = (average.calm.count, average.surge.count);
        assert_eq!(counts, (25, 195), "the first five are below the floor");
        assert!((average.unvested() - 200.0).abs() < 1e-9 && average.is_crowded(&params));
        let settled = average.at(grown.plus_ms(1_000 * DAY_MS), &params);
        assert!(settled.unvested() >= 0.0 && settled.unvested() < 1e-9 && !settled.is_crowded(&params));
    }

    #[test]
    fn a_held_rating_is_an_arrival_and_nothing_else() {
        let (params, mut average) = (params(), Average::default());
        for (at, intensity) in [(NOON, 1.0), (NOON.plus_ms(HOUR_MS), 1.5)] {
            let (score, when) = (Score::parse(3).unwrap(), When { at, is_stated: false });
            UserState::default().hold(&mut average, score, when, &params);
            assert_eq!((average.born, average.intensity, average.count()), (Some(NOON), intensity, 0));
        }
    }
}
