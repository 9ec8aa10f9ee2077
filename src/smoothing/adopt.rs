//! Taking over a state that another installation computed: a post's average and what is kept of its users.
//!
//! It is done in pieces, and each leaves a state that obeys the laws: the post begins with clocks and no ratings, every row
//! adds what it is worth, and at last the average gets the very bits that the sums of the rows may have lost. A rating that
//! comes in between is folded as always; then the last piece does not fit and is left out.

use super::average::Average;
use super::row::Row;
use super::user::Rated;

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
    /// no arrival here.
    pub fn adopt(&mut self, rated: &Rated) {
        let Rated { row, is_excluded, .. } = rated;
        if !is_excluded {
            self.put(row, self.adopted_weight(row));
        }
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

    fn adopted_weight(&self, row: &Row) -> f64 {
        row.weight(self.lane(row.lane).clock).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{DAY_MS, Score, Time};
    use crate::smoothing::{Average, Knobs, Params, Rated, UserState};

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
        rated.iter().for_each(|one| average.adopt(one));
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
        average.adopt(&Rated { is_excluded: true, ..rated[0] });
        assert_eq!(average, whole.emptied());
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
