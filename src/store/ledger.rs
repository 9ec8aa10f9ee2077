//! The ledger: what a rating's way through Damper asks of the store. The simulation answers it from memory.

use async_trait::async_trait;

use super::{AsOf, Checkpoint, DrainRun, Installation, ShardState, Store};
use crate::entry::{Batch, Shard};
use crate::error::Result;
use crate::merge::bulk::BulkDecision;
use crate::merge::{HeldRating, Loaded, Merged, PostState, Rating};
use crate::model::{PostId, User, UserId};

/// Ratings, averages and checkpoints, as intake, readers and drains need them. Each question is described at the method
/// of [`Store`] by the same name.
#[async_trait]
#[allow(missing_docs, reason = "the methods of Store by the same names say it")]
pub trait Ledger: Send + Sync {
    async fn installation(&self) -> Result<Installation>;
    async fn check_schema(&self) -> Result<()>;
    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint>;
    async fn recount(&self, shard: Shard, seen: &ShardState) -> Result<bool>;
    fn batch_max(&self) -> usize {
        usize::MAX
    }
    async fn load(&self, batch: &Batch) -> Result<Loaded>;
    async fn commit(
        &self,
        batch: &Batch,
        seen: &ShardState,
        merged: &Merged,
        as_of: AsOf<'_>,
    ) -> Result<bool>;
    async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        decision: BulkDecision,
        as_of: AsOf<'_>,
    ) -> Result<Option<Merged>>;
    async fn rerank(&self, as_of: AsOf<'_>, limit: usize) -> Result<u64>;
    async fn record_drain(&self, run: &DrainRun) -> Result<()>;
    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>>;
    async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>>;
    async fn frozen(&self) -> Result<Vec<PostId>>;
    async fn ratings_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Rating>>>;
    async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>>;
    async fn user(&self, id: &UserId) -> Result<Option<User>>;
}

#[async_trait]
impl Ledger for Store {
    async fn installation(&self) -> Result<Installation> {
        self.installation().await
    }

    async fn check_schema(&self) -> Result<()> {
        self.check_schema().await
    }

    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint> {
        self.checkpoint(shard).await
    }

    async fn recount(&self, shard: Shard, seen: &ShardState) -> Result<bool> {
        self.recount(shard, seen).await
    }

    fn batch_max(&self) -> usize {
        self.batch_max()
    }

    async fn load(&self, batch: &Batch) -> Result<Loaded> {
        self.load(batch).await
    }

    async fn commit(
        &self,
        batch: &Batch,
        seen: &ShardState,
        merged: &Merged,
        as_of: AsOf<'_>,
    ) -> Result<bool> {
        self.commit(batch, seen, merged, as_of).await
    }

    async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        decision: BulkDecision,
        as_of: AsOf<'_>,
    ) -> Result<Option<Merged>> {
        self.commit_bulk(batch, seen, decision, as_of).await
    }

    async fn rerank(&self, as_of: AsOf<'_>, limit: usize) -> Result<u64> {
        self.rerank(as_of, limit).await
    }

    async fn record_drain(&self, run: &DrainRun) -> Result<()> {
        self.record_drain(run).await
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>> {
        self.posts(ids).await
    }

    async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>> {
        self.existing(ids).await
    }

    async fn frozen(&self) -> Result<Vec<PostId>> {
        self.frozen().await
    }

    async fn ratings_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Rating>>> {
        self.ratings_of(user, posts).await
    }

    async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>> {
        self.held_of(user, posts).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>> {
        self.user(id).await
    }
}
