//! The buffer: a durable log per shard that holds entries until they are merged.
//!
//! Two logs implement it: a Redis stream per shard ([`redis`]) and a table of the SQLite file ([`sqlite`]);
//! [`group`] puts many callers' entries into one call of either. One suite, `tests/suite/buffer.rs`, holds
//! both. Nothing here knows what an average is: the drain reads, the store merges, the drain trims.

pub mod group;
pub mod redis;
pub mod sqlite;

use async_trait::async_trait;

use crate::entry::{Action, Backlog, Batch, Entry, Position, Shard};
use crate::error::Result;
use crate::model::{PostId, Time, UserId};

/// A durable log per shard, read in order.
#[async_trait]
pub trait Buffer: Send + Sync {
    /// Most entries that one append takes.
    fn append_max(&self) -> usize;

    /// Appends all of `entries` (at most [`append_max`](Self::append_max), all of `shard`) or none, and returns
    /// their positions once every one is held durably. Never hands out a position at or below the highest known.
    ///
    /// # Errors
    /// `Unavailable` when it is certain that the entries will not take effect after this call's end. They may
    /// have taken effect before it (a lost reply): a retry is safe, since the latest rating wins. `Busy` when they
    /// have not, and the floor must be raised first.
    async fn append(&self, shard: Shard, entries: &[Entry]) -> Result<Vec<Position>>;

    /// The oldest entries of `shard` after `from`, at most `limit`; `None` when there are none.
    async fn read(&self, shard: Shard, from: Position, limit: usize) -> Result<Option<Batch>>;

    /// Forgets everything up to and including `through`.
    async fn trim(&self, shard: Shard, through: Position) -> Result<()>;

    /// What waits after `from`, and what the log knows of itself.
    async fn backlog(&self, shard: Shard, from: Position) -> Result<Backlog>;

    /// What of this user's is still in the log for each of these posts: the newest, with its position. It may
    /// still tell of an entry that has just been merged; its position says so.
    async fn waiting_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Waiting>>>;

    /// Passes when the log's own clock, where it has one, agrees with the caller's: entries are stamped by the one
    /// and ordered by the other.
    async fn check_clock(&self, _: Shard, _: Time) -> Result<()> {
        Ok(())
    }

    /// Whether the log may have come back with less since its floor was last raised: then it must be raised anew
    /// before the next append.
    fn needs_floor(&self, _: Shard) -> bool {
        false
    }

    /// From now on no append gets a position at or below `floor`, nor at or below any that this process knows. A
    /// log that is gone is made anew.
    async fn raise_floor(&self, shard: Shard, floor: Position) -> Result<()>;

    /// Which log this is and how it keeps what it holds, for people: `redis 7.0.15 (16 shards, …)`.
    async fn describe(&self) -> Result<String>;
}

/// A user's newest entry for a post that is still in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where it stands.
    pub position: Position,
    /// What it asks for.
    pub action: Action,
}
