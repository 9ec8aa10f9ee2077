//! What every use case needs and nothing changes while a process runs: the settings, the arithmetic's parameters, the
//! timetable, and how many shards there are.

use crate::config::Config;
use crate::config::ticks::Ticks;
use crate::entry::Shard;
use crate::error::Result;
use crate::model::{PostId, Time};
use crate::smoothing::{Average, Params};

/// The frame that all use cases share.
pub struct Context {
    /// The settings that this process was started with.
    pub config: Config,
    /// The arithmetic's parameters.
    pub params: Params,
    /// The timetable.
    pub ticks: Ticks,
    /// How many shards the log has.
    pub shards: u16,
}

impl Context {
    /// The frame of an installation with so many shards.
    ///
    /// # Errors
    /// `Config` when a parameter or the tick is wrong.
    pub fn new(config: Config, shards: u16) -> Result<Self> {
        Ok(Self { params: config.params()?, ticks: config.ticks()?, shards, config })
    }

    /// The shard where a post's entries live.
    pub fn shard_of(&self, post: &PostId) -> Shard {
        Shard::of(post, self.shards)
    }

    /// Every shard, in order.
    pub fn all_shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.shards).map(Shard)
    }

    /// The moment for which a mean is published: the last tick, or the state's own time if that is later.
    pub fn as_of(&self, average: &Average, now: Time) -> Time {
        let last_tick = self.ticks.around(now).last;
        average.last.map_or(last_tick, |last| last.max(last_tick))
    }
}
