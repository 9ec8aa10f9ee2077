//! Taking over a state that another installation computed: a post's average and what is kept of its users.
//!
//! It is done in pieces, and each leaves a state that obeys the laws: the post begins with clocks and no ratings, every row
//! adds what it is worth, and at last the average gets the very bits that the sums of the rows may have lost. A rating that
//! comes in between is folded as always; then the last piece does not fit and is left out.

use super::average::Average;
use super::row::{LaneName, Row};
use super::user::{Arrival, Rated};

impl Rated {
    /// Whether it is the same rating, however much of it has vested.
    pub fn is_same(&self, other: &Rated) -> bool {
        (self.row.score, self.rated_at) == (other.row.score, other.rated_at)
    }
}

impl Average {
    /// The same moment, clocks and intensity, without ratings.
    pub fn emptied(&self) -> Self {
        let mut empty =
            Self { intensity: self.intensity, born: self.born, last: self.last, ..Self::default() };
        (empty.calm.clock, empty.surge.clock) = (self.calm.clock, self.surge.clock);
        empty
    }

    /// Puts in a rating as it stood in another installation, whose post was born at the same time. It arrived there, so it is
    /// no arrival here. Returns it as it is kept here.
    pub fn adopt(&mut self, rated: Rated) -> Rated {
        if rated.is_excluded {
            // It has no clock.
            return rated;
        }
        let vest_clock = self.adopted_clock(rated.row.lane, rated.row.vest_clock);
        let row = Row { vest_clock, ..rated.row };
        self.put(&row, row.weight(self.lane(row.lane).clock));
        Rated { row, ..rated }
    }

    /// An arrival of another installation, as it is kept here.
    pub fn adopted(&self, arrival: Arrival) -> Arrival {
        Arrival { vest_clock: self.adopted_clock(arrival.lane, arrival.vest_clock), ..arrival }
    }

    /// Whether `whole` is this state, but for what the rows' sums may have lost to rounding.
    pub fn becomes(&self, whole: &Average) -> bool {
        let exact = |average: &Average| {
            let lane = |lane: &super::Lane| (lane.count, lane.sum, lane.clock.to_bits());
            (
                lane(&average.calm),
                lane(&average.surge),
                average.histogram,
                average.intensity.to_bits(),
                average.born,
                average.last,
            )
        };
        exact(self) == exact(whole)
    }

    /// Where this post's clock is behind the other installation's, nothing has vested here yet of what is ahead of it.
    fn adopted_clock(&self, lane: LaneName, vest_clock: f64) -> f64 {
        vest_clock.min(self.lane(lane).clock)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{DAY_MS, Score, Time};
    use crate::smoothing::{Average, Knobs, Params, Rated, UserState, When};

    const BORN: Time = Time::from_ms(1_700_000_000_000);

    fn params() -> Params {
        Params::new(&Knobs::default()).unwrap()
    }

    /// A post with a burst in its surge lane, and its users' ratings.
    fn post() -> (Average, Vec<Rated>) {
        let mut average = Average::default();
        let calm = |i: i64| (3 + i % 3, BORN.plus_ms(i * DAY_MS));
        let burst = |i: i64| (0, BORN.plus_ms(40 * DAY_MS + i * 1_000));
        let all: Vec<_> = (0..40).map(calm).chain((0..30).map(burst)).collect();
        let mut rated = Vec::new();
        for (score, at) in all {
            rated.extend(UserState::rated(&mut average, score, at, &params()).rated);
        }
        assert!(average.calm.count > 0 && average.surge.count > 0);
        (average, rated)
    }

    #[test]
    fn a_post_that_is_emptied_and_gets_its_ratings_back_becomes_what_it_was() {
        let (whole, rated) = post();
        let mut average = whole.emptied();
        assert_eq!((average.count(), average.raw_mean(), average.unvested()), (0, None, 0.0));
        assert_eq!((average.born, average.last), (Some(BORN), whole.last));
        assert!(!average.becomes(&whole));
        rated.iter().for_each(|one| assert_eq!(average.adopt(*one), *one));
        assert!(average.becomes(&whole));
        // The sums of the rows are those of the entries, but for their rounding.
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(average.unvested(), whole.unvested()));
        let later = BORN.plus_ms(60 * DAY_MS);
        let mean = |average: &Average| average.at(later, &params()).smoothed_mean(&params()).unwrap();
        assert!(close(mean(&average), mean(&whole)));
    }

    #[test]
    fn an_excluded_rating_is_not_adopted() {
        let (whole, rated) = post();
        let mut average = whole.emptied();
        average.adopt(Rated { is_excluded: true, ..rated[0] });
        assert_eq!(average, whole.emptied());
    }

    #[test]
    fn of_ratings_from_a_later_clock_one_can_be_taken_out_and_the_other_is_what_is_left() {
        let (whole, rated) = post();
        let mut average = whole.emptied();
        (average.calm.clock, average.surge.clock) = (0.0, 0.0);
        let [_, .., other, last] = rated.as_slice() else { panic!("there are many") };
        assert!(other.row.vest_clock > 0.0 && other.row.lane == last.row.lane);
        let [other, last] = [*other, *last].map(|later| average.adopt(later));
        assert_eq!((average.count(), average.unvested()), (2, 2.0), "nothing has vested here");
        let when = When { at: BORN.plus_ms(41 * DAY_MS), is_stated: false };
        UserState { rated: Some(last), ..UserState::default() }.withdraw(&mut average, when, &params());
        let left = other.row.unvested_count * other.row.weight(average.lane(other.row.lane).clock);
        assert!(left > 0.0 && (average.unvested() - left).abs() < 1e-9, "{} {left}", average.unvested());
    }

    #[test]
    fn a_rating_is_the_same_while_its_score_and_time_are() {
        let (_, rated) = post();
        let mut vested = rated[0];
        vested.row.unvested_sum /= 2.0;
        assert!(rated[0].is_same(&vested));
        let other = Rated { rated_at: rated[0].rated_at.plus_ms(1), ..rated[0] };
        assert!(!rated[0].is_same(&other));
        let mut other = rated[0];
        other.row.score = Score::parse(0).unwrap();
        assert!(!rated[0].is_same(&other));
    }
}
