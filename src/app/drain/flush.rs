//! A flush: a drain by hand, and its result.

use serde::Serialize;
use utoipa::ToSchema;

use super::{DrainOrder, Drainer, Move};
use crate::error::Result;
use crate::model::Time;

/// The result of a flush.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Flushed {
    /// Entries merged.
    pub applied: u64,
    /// Entries quarantined.
    pub quarantined: u64,
    /// Posts whose average changed.
    pub posts: u64,
    /// Entries that wait now.
    pub waiting: u64,
    /// Commits.
    pub batches: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Whether everything that waited at its start is merged.
    pub complete: bool,
    /// The posts whose published mean moved most.
    pub moves: Vec<Move>,
}

impl Drainer {
    /// Drains as [`Drainer::drain`] does, and counts what waits afterwards.
    ///
    /// # Errors
    /// What stopped a shard; what was drained by then stays drained.
    pub async fn flush(&self, now: Time, order: &DrainOrder<'_>) -> Result<Flushed> {
        let drained = self.drain(now, order).await;
        if let Some(error) = drained.failure {
            return Err(error);
        }
        Ok(Flushed {
            applied: drained.applied,
            quarantined: drained.quarantined,
            posts: drained.posts,
            waiting: self.balance().await?.0.waiting,
            batches: drained.batches,
            duration_ms: drained.duration_ms,
            complete: drained.complete,
            moves: drained.moves,
        })
    }
}
