//! The ledger: what a rating's way through Damper asks of the store. The simulation answers it from memory.

use async_trait::async_trait;

use super::prelude::*;
use super::{Checkpoint, DrainRun, Installation, ShardState, StoredRating};
use crate::merge::bulk::BulkDecision;
use crate::merge::{Decided, Exclusion, Loaded, PostState};
use crate::model::User;

/// Declares each question once: a method of the trait, which [`Store`] answers by its method of the same name.
macro_rules! ledger {
    ($(async fn $ask:ident(&self $(, $name:ident: $kind:ty)* $(,)?) -> $answer:ty;)*) => {
        /// Ratings, averages and checkpoints, as intake, readers and drains need them. Each question is described at
        /// the method of [`Store`] by the same name.
        #[async_trait]
        #[allow(missing_docs, reason = "the methods of Store by the same names say it")]
        pub trait Ledger: Send + Sync {
            fn batch_max(&self) -> usize {
                usize::MAX
            }
            /// A ledger without long contents leaves out none.
            async fn posts_cut(
                &self,
                ids: &[PostId],
                _bytes_max: usize,
            ) -> Result<Vec<Option<(PostState, bool)>>> {
                Ok(self.posts(ids).await?.into_iter().map(|found| Some((found?, false))).collect())
            }
            $(async fn $ask(&self $(, $name: $kind)*) -> $answer;)*
        }

        #[async_trait]
        impl Ledger for Store {
            fn batch_max(&self) -> usize {
                self.batch_max()
            }
            async fn posts_cut(
                &self,
                ids: &[PostId],
                bytes_max: usize,
            ) -> Result<Vec<Option<(PostState, bool)>>> {
                self.posts_cut(ids, bytes_max).await
            }
            $(async fn $ask(&self $(, $name: $kind)*) -> $answer {
                self.$ask($($name),*).await
            })*
        }
    };
}

ledger! {
    async fn installation(&self) -> Result<Installation>;
    async fn check_schema(&self) -> Result<()>;
    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint>;
    async fn note_log(&self, shard: Shard, seen: &ShardState) -> Result<bool>;
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
    async fn under_way(&self, shard: Shard) -> Result<Option<Batch>>;
    async fn rerank(&self, as_of: AsOf<'_>, limit: usize) -> Result<u64>;
    async fn record_drain(&self, run: &DrainRun) -> Result<()>;
    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>>;
    async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>>;
    async fn frozen(&self) -> Result<Vec<PostId>>;
    async fn newest_of(&self, keys: &[Key]) -> Result<Vec<Option<StoredRating>>>;
    async fn user(&self, id: &UserId) -> Result<Option<User>>;
    async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>>;
    async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>>;
    async fn held_before(&self, before: Time, limit: usize) -> Result<Vec<(Key, HeldRating)>>;
    async fn decided(&self, shard: Shard, position: Position) -> Result<Option<Decided>>;
}
