//! A post's history as a series of even steps in time. The store keeps the state after each clock hour's last entry; any
//! moment between is that state evaluated.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde::Serialize;
use utoipa::ToSchema;

use super::Reader;
use crate::entry::Position;
use crate::error::{Error, Result};
use crate::merge::Hour;
use crate::model::{PostId, Time};
use crate::smoothing::{Average, Params, Published};

/// Most points of a series.
pub const POINTS_MAX: usize = 1_000;
/// Memory of one process for series that were asked for lately.
const KEPT_BYTES_MAX: u64 = 8 << 20;
/// One that is not asked for during this time is forgotten.
const KEPT_IDLE: Duration = Duration::from_secs(60);

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

/// Series that were asked for lately, each by what it depends on: the post, its state, the last tick, how many points.
/// Those who ask for the same one at once cost one question.
pub(super) struct Histories(Cache<(PostId, Position, Time, usize), Arc<Vec<Point>>>);

impl Histories {
    pub(super) fn new() -> Self {
        let bytes = |_: &_, series: &Arc<Vec<Point>>| (size_of::<Point>() * (series.len() + 1)) as u32;
        Self(Cache::builder().weigher(bytes).max_capacity(KEPT_BYTES_MAX).time_to_idle(KEPT_IDLE).build())
    }
}

impl Reader {
    /// The post's history in `points` even steps (1 to [`POINTS_MAX`]) from its first rating to its `as_of`.
    /// Empty when it was never rated.
    pub async fn history(&self, id: &PostId, points: usize, now: Time) -> Result<Vec<Point>> {
        let version = self.posts.state(id, now).await?.state.version;
        let (last_tick, points) = (self.context.ticks.around(now).last, points.clamp(1, POINTS_MAX));
        let asked = async {
            let found = self.store.history(id, last_tick, points).await?;
            let series = |(begin, hours): (Time, Vec<Hour>)| {
                series(begin, &hours, last_tick, points, &self.context.params)
            };
            Ok::<_, Error>(Arc::new(found.map(series).unwrap_or_default()))
        };
        let series = self.histories.0.try_get_with((id.clone(), version, last_tick, points), asked).await;
        series.map(Arc::unwrap_or_clone).map_err(|error| Error::clone(&error))
    }
}

/// The points of a history that begins at `begin`, from its hours in order.
fn series(begin: Time, hours: &[Hour], last_tick: Time, points: usize, params: &Params) -> Vec<Point> {
    let Some(last) = hours.last() else { return Vec::new() };
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
        let points = series(BORN, &hours, tick, 7, &params);
        assert_eq!(points.len(), 7);
        assert_eq!(points.iter().map(|point| point.arrivals).sum::<u64>(), 20);
        let end = points.last().unwrap();
        assert_eq!((end.at, end.published.count), (tick, 20));
        assert_eq!(end.published.average, average.at(tick, &params).smoothed_mean(&params));
        assert!(series(BORN, &[], tick, 7, &params).is_empty());
    }
}
