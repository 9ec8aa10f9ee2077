//! A post's history as a series of even steps in time. The store keeps the state after each clock hour's last entry; any
//! moment between is that state evaluated.

use serde::Serialize;
use utoipa::ToSchema;

use super::Reader;
use crate::error::Result;
use crate::merge::Hour;
use crate::model::{PostId, Time};
use crate::smoothing::{Average, Params, Published};

/// Most points of a series.
pub const POINTS_MAX: usize = 1_000;

/// One step of a series.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Point {
    /// The step's end; the means belong to this moment.
    pub at: Time,
    /// Ratings that arrived in the step, edits included.
    pub arrivals: u64,
    /// What was published at that moment.
    #[serde(flatten)]
    pub published: Published,
}

impl Reader {
    /// The post's history in `points` even steps (1 to [`POINTS_MAX`]) from its first rating to its `as_of`.
    /// Empty when it was never rated.
    pub async fn history(&self, id: &PostId, points: usize, now: Time) -> Result<Vec<Point>> {
        self.posts.state(id, now).await?;
        let hours = self.store.history(id).await?;
        let last_tick = self.context.ticks.around(now).last;
        Ok(series(&hours, last_tick, points.clamp(1, POINTS_MAX), &self.context.params))
    }
}

fn series(hours: &[Hour], last_tick: Time, points: usize, params: &Params) -> Vec<Point> {
    let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return Vec::new() };
    let begin = first.average.born.unwrap_or(first.hour);
    let end = last.average.last.unwrap_or(last.hour).max(last_tick);
    let span = i128::from(end.ms()) - i128::from(begin.ms());
    let mut rest = hours.iter().peekable();
    let mut state = Average::default();
    (1..=points)
        .map(|step| {
            let elapsed = span * step as i128 / points as i128;
            let at = begin.plus_ms(elapsed as i64);
            let mut arrivals = 0;
            // An hour belongs to the step of its last entry.
            while let Some(hour) = rest.next_if(|hour| hour.average.last.unwrap_or(hour.hour) <= at) {
                arrivals += hour.arrivals;
                state = hour.average;
            }
            Point { at, arrivals, published: Published::of(&state.at(at, params), params) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HOUR_MS;
    use crate::smoothing::{Knobs, UserState};

    const BORN: Time = Time::from_ms(1_700_000_000_000);

    #[test]
    fn a_series_ends_at_the_last_tick_and_counts_every_arrival() {
        let params = Params::new(&Knobs::default()).unwrap();
        let mut average = Average::default();
        let mut hours = Vec::new();
        for i in 0..20 {
            let at = BORN.plus_ms(i * HOUR_MS);
            UserState::rated(&mut average, i % 6, at, &params);
            hours.push(Hour { post: PostId::parse("p").unwrap(), hour: at, arrivals: 1, average });
        }
        let tick = BORN.plus_ms(40 * HOUR_MS);
        let points = series(&hours, tick, 7, &params);
        assert_eq!(points.len(), 7);
        assert_eq!(points.iter().map(|point| point.arrivals).sum::<u64>(), 20);
        let end = points.last().unwrap();
        assert_eq!((end.at, end.published.count), (tick, 20));
        assert_eq!(end.published.average, average.at(tick, &params).smoothed_mean(&params));
        assert!(series(&[], tick, 7, &params).is_empty());
    }
}
