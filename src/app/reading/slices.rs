//! A stretch of a post's history in even slices: what arrived in each, by score, and the means at its end.
//!
//! It is read from the post's hours, a bounded number of rows, and never from its ratings. So the arrivals by score are what
//! the histogram gained from one state to the next: an edit moves a rating, and a held rating has no score here yet.

use super::Reader;
use crate::error::Result;
use crate::merge::Hour;
use crate::model::{PostId, Score, Time};
use crate::smoothing::{Average, Params, Published};

/// Most slices of one answer.
pub const SLICES_MAX: usize = 400;

/// A slice of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Its beginning.
    pub from: Time,
    /// Its end; the figures belong to this moment.
    pub to: Time,
    /// Ratings that arrived, held ones and edits included.
    pub arrivals: u64,
    /// Of these, by score; the rest are held, or edits that changed nothing in sum.
    pub by_score: [u64; Score::COUNT],
    /// The figures at its end.
    pub published: Published,
}

impl Reader {
    /// A post's history from `from` to `to` in `count` slices (1 to [`SLICES_MAX`]).
    pub async fn slices(&self, post: &PostId, (from, to): (Time, Time), count: usize) -> Result<Vec<Slice>> {
        let count = count.clamp(1, SLICES_MAX);
        if to <= from {
            return Ok(Vec::new());
        }
        let hours = self.store.history_between(post, (from, to), count).await?;
        Ok(slices(&hours, (from, to), count, &self.context.params))
    }
}

fn slices(hours: &[Hour], (from, to): (Time, Time), count: usize, params: &Params) -> Vec<Slice> {
    let entered = |hour: &Hour| hour.average.last.unwrap_or(hour.hour);
    let mut rest = hours.iter().peekable();
    let mut state = Average::default();
    while let Some(hour) = rest.next_if(|hour| entered(hour) < from) {
        state = hour.average;
    }
    let span = i128::from(to.ms()) - i128::from(from.ms());
    let end = |slice: usize| from.plus_ms((span * slice as i128 / count as i128) as i64);
    (0..count)
        .map(|slice| {
            let (from, to) = (end(slice), end(slice + 1));
            let (before, mut arrivals) = (state.histogram, 0);
            while let Some(hour) = rest.next_if(|hour| entered(hour) < to || slice + 1 == count) {
                arrivals += hour.arrivals;
                state = hour.average;
            }
            let by_score = gained(before, state.histogram, arrivals);
            Slice { from, to, arrivals, by_score, published: Published::of(&state.at(to, params), params) }
        })
        .collect()
}

/// What a histogram gained, by score, if that can be what arrived: what a decision gave back is no arrival.
fn gained(before: [u64; Score::COUNT], after: [u64; Score::COUNT], arrivals: u64) -> [u64; Score::COUNT] {
    let mut gained = [0; Score::COUNT];
    for (score, gain) in gained.iter_mut().enumerate() {
        *gain = after[score].saturating_sub(before[score]);
    }
    let all: u64 = gained.iter().sum();
    if all > arrivals {
        gained = gained.map(|gain| (u128::from(gain) * u128::from(arrivals) / u128::from(all)) as u64);
    }
    gained
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HOUR_MS;
    use crate::smoothing::{Knobs, UserState};

    const START: Time = Time::from_ms(1_700_000_000_000 / HOUR_MS * HOUR_MS);

    #[test]
    fn slices_hold_every_arrival_of_the_stretch_by_score() {
        let params = Params::new(&Knobs::default()).unwrap();
        let (mut average, mut hours) = (Average::default(), Vec::new());
        for i in 0..24 {
            UserState::rated(&mut average, i % 6, START.plus_ms(i * HOUR_MS), &params);
            let hour = START.plus_ms(i * HOUR_MS);
            hours.push(Hour { post: PostId::parse("p").unwrap(), hour, arrivals: 1, average });
        }
        let (from, to) = (START.plus_ms(6 * HOUR_MS), START.plus_ms(24 * HOUR_MS));
        // The store answers the last hour before, and then those within.
        let cut = slices(&hours[5..], (from, to), 3, &params);
        assert_eq!(cut.iter().map(|slice| slice.arrivals).collect::<Vec<_>>(), [6, 6, 6]);
        assert!(cut.iter().all(|slice| slice.by_score == [1; 6]), "{cut:?}");
        assert_eq!((cut[0].from, cut[2].to, cut[2].published.count), (from, to, 24));
    }

    #[test]
    fn what_comes_back_is_no_arrival() {
        assert_eq!(gained([5, 0, 0, 0, 0, 9], [25, 0, 0, 0, 0, 9], 0), [0; 6]);
        assert_eq!(gained([0; 6], [8, 0, 0, 0, 0, 2], 5), [4, 0, 0, 0, 0, 1]);
        assert_eq!(gained([5, 0, 0, 0, 0, 0], [4, 1, 0, 0, 0, 0], 1), [0, 1, 0, 0, 0, 0]);
    }
}
