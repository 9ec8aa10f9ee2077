//! The buffer: a durable log per shard that holds entries until they are merged. It does not know what an average is.
//!
//! Two logs implement it: a Redis stream per shard ([`redis`]) and a table of the SQLite file ([`sqlite`]). A third is
//! a file or folder here, and a line in [`open`]. One suite, `tests/suite/buffer.rs`, holds them all.

pub mod group;
pub mod redis;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::config::Config;
use crate::database::sqlite::SqliteFile;
use crate::entry::{Action, Backlog, Batch, Entry, Floor, Position, Shard};
use crate::error::{Error, Result};
use crate::model::{PostId, Time, UserId};
use crate::redis::link::RedisLink;

/// A durable log per shard, read in order.
///
/// Callers use [`append`](Self::append); a log implements [`write`](Self::write), and [`prepare`](Self::prepare) if it
/// has something to check or to say before it takes entries.
#[async_trait]
pub trait Buffer: Send + Sync {
    /// The most entries of one append.
    fn append_max(&self) -> usize;

    /// Appends all of `entries` (at most [`append_max`](Self::append_max), all of `shard`) or none, and returns
    /// their positions once every one is held durably. Never hands out a position at or below the highest known.
    ///
    /// `now` is the time on this machine's clock, when the entries carry that time: a log with a clock of its own
    /// takes them only while the two agree. Entries that carry times from elsewhere, of an import or a retry, come
    /// without it.
    ///
    /// # Errors
    /// `Unavailable` or `Busy` when it is certain that the entries will not take effect after the end of this call.
    /// They may have taken effect before it (a lost reply): a retry is safe, since the latest rating wins.
    async fn append(&self, shard: Shard, entries: &[Entry], now: Option<Time>) -> Result<Vec<Position>> {
        self.prepare(shard, now).await?;
        let written = self.write(shard, entries).await;
        if matches!(written, Err(Error::Busy(_))) && self.prepare(shard, now).await? {
            return self.write(shard, entries).await;
        }
        written
    }

    /// Gets the log of `shard` ready for an append, before it joins a group: what is slow here delays no other
    /// caller, and a caller that goes away has appended nothing. Returns whether there was something to do; then a
    /// write that was `Busy` is worth a second attempt. Its errors are those of [`append`](Self::append).
    async fn prepare(&self, _: Shard, _: Option<Time>) -> Result<bool> {
        Ok(false)
    }

    /// Appends to a log that is ready, as [`append`](Self::append) does and with its errors; `Busy` when nothing was
    /// appended.
    async fn write(&self, shard: Shard, entries: &[Entry]) -> Result<Vec<Position>>;

    /// The same for several shards, each as by itself; together at most [`append_max`](Self::append_max) entries. A log
    /// that is in one place does it in one call.
    async fn write_all(&self, appends: &[(Shard, &[Entry])]) -> Vec<Result<Vec<Position>>> {
        join_all(appends.iter().map(|&(shard, entries)| self.write(shard, entries))).await
    }

    /// Whether all shards are in one place, so that none is slower than another.
    fn is_one_place(&self) -> bool {
        false
    }

    /// The oldest entries of `shard` after `from`, at most `limit`; `None` when there are none.
    async fn read(&self, shard: Shard, from: Position, limit: usize) -> Result<Option<Batch>>;

    /// Forgets everything up to and including `through`.
    async fn trim(&self, shard: Shard, through: Position) -> Result<()>;

    /// The number of entries after `from`, and the figures that the log keeps about itself.
    async fn backlog(&self, shard: Shard, from: Position) -> Result<Backlog>;

    /// The newest entry for each of these posts and users that is still in the log, with its position. It may have
    /// been merged a moment ago; its position tells.
    async fn waiting_of(&self, keys: &[(PostId, UserId)]) -> Result<Vec<Option<Waiting>>>;

    /// From now on no append gets a position at or below the floor's, nor at or below any that this process knows, and
    /// the log's count of appends is the floor's at least. The drain raises it when a log came back with less than it
    /// had accepted; a log that is gone is created again.
    async fn raise_floor(&self, shard: Shard, floor: Floor) -> Result<()>;

    /// Which log this is and how it keeps its entries, for people: `redis 7.0.15 (16 shards, …)`.
    async fn describe(&self) -> Result<String>;
}

/// A user's newest entry for a post that is still in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the log.
    pub position: Position,
    /// What it asks for.
    pub action: Action,
}

/// Says which positions are taken, and how many there were, for a log that may come back with less than it had.
#[async_trait]
pub trait Floors: Send + Sync {
    /// The highest position of `shard` that may have been merged, below which no later entry may stand, and the appends up
    /// to there.
    async fn floor(&self, shard: Shard) -> Result<Floor>;
}

/// Where the log lives.
pub enum Home {
    /// In the data file of the embedded set-up.
    File(Arc<SqliteFile>),
    /// In the Redis of the server set-up.
    Redis(Arc<RedisLink>),
}

impl Home {
    /// The Redis, if there is one.
    pub fn redis(&self) -> Option<Arc<RedisLink>> {
        match self {
            Home::Redis(link) => Some(link.clone()),
            Home::File(_) => None,
        }
    }
}

/// Opens the log at `home` of an installation, with that many shards.
///
/// # Errors
/// [`Error::Unavailable`] when it does not answer, [`Error::Config`] when it belongs to another installation or would
/// lose ratings by its own settings.
pub async fn open(
    config: &Config,
    home: &Home,
    installation: &str,
    shards: u16,
    floors: Arc<dyn Floors>,
) -> Result<Arc<dyn Buffer>> {
    Ok(match home {
        Home::File(file) => {
            let append_timeout = Duration::from_millis(config.buffer.append_timeout_ms);
            Arc::new(sqlite::SqliteBuffer::new(file.clone(), append_timeout))
        }
        Home::Redis(link) => {
            redis::admit(link, config, installation, shards).await?;
            Arc::new(redis::RedisBuffer::open(link.clone(), shards, floors).await?)
        }
    })
}
