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
