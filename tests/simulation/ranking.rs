//! The ranking: posts' published means as of a tick, and which of them still move.

use damper::model::Time;
use damper::smoothing::{AlertLevel, Average};
use damper::store::AsOf;

use crate::tables::Tables;

/// A post with less than this unvested no longer moves visibly.
const STILL: f64 = 1e-6;

/// A post's row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    pub smoothed: Option<f64>,
    pub as_of: Time,
    pub is_moving: bool,
}

impl Ranked {
    pub fn of(average: &Average, (as_of, params): AsOf<'_>) -> Self {
        let average = average.at(as_of, params);
        let is_moving = average.unvested() > STILL || average.alert_level(params) != AlertLevel::Over;
        Self { smoothed: average.smoothed_mean(params), as_of, is_moving }
    }
}

impl Tables {
    /// Updates posts that still move, those that lag most first.
    pub fn rerank(&mut self, as_of: AsOf<'_>, limit: usize) -> u64 {
        let lags = |ranked: &Ranked| ranked.is_moving && ranked.as_of < as_of.0;
        let mut behind: Vec<_> = self.ranking.iter().filter(|(_, ranked)| lags(ranked)).collect();
        behind.sort_by_key(|(_, ranked)| ranked.as_of);
        let behind: Vec<_> = behind.into_iter().take(limit).map(|(post, _)| post.clone()).collect();
        for post in &behind {
            let (average, _) = self.averages[post];
            self.ranking.insert(post.clone(), Ranked::of(&average, as_of));
        }
        behind.len() as u64
    }
}
