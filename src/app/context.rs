//! What every use case needs and nothing changes while a process runs: the settings, the arithmetic's parameters, the
//! timetable, and how many shards there are; and [`apart`], for work that must not be cut off.

use crate::config::Config;
use crate::config::ticks::Ticks;
use crate::entry::Shard;
use crate::error::{Error, Result};
use crate::model::{PostId, Time};
use crate::smoothing::{Average, Params};

/// The frame that all use cases share.
pub struct Context {
    pub config: Config,
    pub params: Params,
    pub ticks: Ticks,
    pub shards: u16,
}

impl Context {
    /// The shard where a post's entries live.
    pub fn shard_of(&self, post: &PostId) -> Shard {
        Shard::of(post, self.shards)
    }

    pub fn all_shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.shards).map(Shard)
    }

    /// The moment for which a mean is published: the last tick, or the state's own time if that is later.
    pub fn as_of(&self, average: &Average, now: Time) -> Time {
        let last_tick = self.ticks.around(now).last;
        average.last.map_or(last_tick, |last| last.max(last_tick))
    }
}

/// Runs `work` in a task of its own, where it goes on when the caller goes away: a caller that disconnects must not leave
/// a transaction open on a pooled connection.
pub async fn apart<T: Send + 'static>(
    what: &str,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|e| Err(Error::Internal(format!("{what} stopped: {e}"))))
}
