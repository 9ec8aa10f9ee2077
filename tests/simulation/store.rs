//! The store in memory: which effects a call has, one after the other.
//!
//! A commit is two calls, as it is on both databases: the load, without a lock, and the transaction. Between the
//! two anything may happen. One of the known mistakes makes the transaction two.

use std::collections::BTreeSet;

use async_trait::async_trait;
use damper::entry::{Batch, Position, Shard};
use damper::error::{Error, Result};
use damper::faults::{self, Mistake};
use damper::merge::PostState;
use damper::merge::{Hour, Merged, Rating, retried, touched};
use damper::model::User;
use damper::model::post::{Edit, Post};
use damper::model::{PostId, Time, UserId};
use damper::smoothing::Average;
use damper::store::{
    Added, AsOf, BulkFn, Checkpoint, DrainRun, Installation, MergeFn, PageKey, QuarantinedEntry, Recounted,
    ShardState, Sort, Store,
};

use crate::world::{Call, Kind, SHARDS, Seam, Side, World};

/// The store of one process.
pub struct MemoryStore(pub Seam);

pub fn read(name: &'static str) -> Call {
    Call { name, side: Side::Store, kind: Kind::Read }
}

fn write(name: &'static str) -> Call {
    Call { name, side: Side::Store, kind: Kind::Write }
}

/// What no simulated process asks for.
pub fn unasked<T>() -> Result<T> {
    Err(Error::Internal("the simulation does not do this".into()))
}

#[async_trait]
impl Store for MemoryStore {
    async fn installation(&self) -> Result<Installation> {
        let tell = |_: &mut World| Ok(Installation { id: "simulated".into(), shards: SHARDS });
        self.0.call(read("installation"), tell).await
    }

    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint> {
        self.0.call(read("checkpoint"), move |world| Ok(world.tables.checkpoints[shard.index()])).await
    }

    async fn commit(
        &self,
        batch: &Batch,
        seen: &ShardState,
        _: AsOf<'_>,
        merge: &MergeFn,
    ) -> Result<Option<Merged>> {
        let (keys, retried) = (touched(batch), retried(batch));
        let load = move |world: &mut World| Ok(world.tables.load(&keys, &retried));
        let merged = merge(self.0.call(read("commit.load"), load).await?);
        let (batch, seen, shard) = (batch.clone(), *seen, batch.shard);
        let is_split = faults::has(Mistake::CheckpointOutside);
        let swap = move |world: &mut World| {
            if !world.tables.swap(&batch, &seen, &merged)? {
                return Ok(None);
            }
            if !is_split {
                world.tables.write(shard, &merged);
            }
            Ok(Some(merged))
        };
        let Some(merged) = self.0.call(write("commit.swap"), swap).await? else {
            return Ok(None);
        };
        if !is_split {
            return Ok(Some(merged));
        }
        let write_late = move |world: &mut World| {
            world.tables.write(shard, &merged);
            Ok(Some(merged))
        };
        self.0.call(write("commit.write"), write_late).await
    }

    async fn commit_bulk(
        &self,
        _: &Batch,
        _: &ShardState,
        _: AsOf<'_>,
        _: &BulkFn,
    ) -> Result<Option<Merged>> {
        unasked()
    }

    async fn checkpoints(&self) -> Result<Vec<Position>> {
        unasked()
    }

    async fn changed(&self, _: Shard, _: Position, _: Position) -> Result<Option<BTreeSet<PostId>>> {
        unasked()
    }

    async fn recount(&self, shard: Shard, seen: &ShardState) -> Result<bool> {
        let seen = *seen;
        self.0.call(write("recount"), move |world| Ok(world.tables.recount(shard, &seen))).await
    }

    async fn check_schema(&self) -> Result<()> {
        self.0.call(read("check_schema"), |_| Ok(())).await
    }

    async fn admin_token(&self) -> Result<Option<String>> {
        unasked()
    }

    async fn keep_admin_token(&self, _: &str, _: bool) -> Result<bool> {
        unasked()
    }

    async fn ratings_by(&self, _: &UserId, _: Option<&PostId>, _: usize) -> Result<Vec<(PostId, Rating)>> {
        unasked()
    }

    async fn posts_by(&self, _: &UserId) -> Result<Vec<PostId>> {
        unasked()
    }

    async fn forget(&self, _: &UserId) -> Result<()> {
        unasked()
    }

    async fn quarantined(&self, _: Option<(Shard, Position)>, _: usize) -> Result<Vec<QuarantinedEntry>> {
        unasked()
    }

    async fn count_quarantined(&self) -> Result<u64> {
        unasked()
    }

    async fn forget_quarantined(&self, _: Shard, _: Position) -> Result<bool> {
        unasked()
    }

    async fn rerank(&self, _: AsOf<'_>, _: usize) -> Result<u64> {
        self.0.call(write("rerank"), |_| Ok(0)).await
    }

    async fn add_posts(&self, _: &[Post]) -> Result<u64> {
        unasked()
    }

    async fn add_post(&self, _: &Post, _: Option<u32>) -> Result<Added> {
        unasked()
    }

    async fn edit_post(&self, _: &PostId, _: &UserId, _: &Edit) -> Result<bool> {
        unasked()
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>> {
        let ids = ids.to_vec();
        self.0.call(read("posts"), move |world| Ok(world.tables.states(&ids))).await
    }

    async fn existing(&self, _: &[PostId]) -> Result<Vec<PostId>> {
        unasked()
    }

    async fn averages(&self, _: &[PostId]) -> Result<Vec<(PostId, Average)>> {
        unasked()
    }

    async fn page(&self, _: Sort, _: Option<&UserId>, _: Option<&PageKey>, _: usize) -> Result<Vec<PageKey>> {
        unasked()
    }

    async fn add_user(&self, _: &User) -> Result<bool> {
        unasked()
    }

    async fn user(&self, _: &UserId) -> Result<Option<User>> {
        unasked()
    }

    async fn users(&self, _: Option<&(Time, UserId)>, _: usize) -> Result<Vec<User>> {
        unasked()
    }

    async fn ratings_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Rating>>> {
        let keys: Vec<_> = posts.iter().map(|post| (post.clone(), user.clone())).collect();
        let look = move |world: &mut World| {
            Ok(keys.iter().map(|key| world.tables.ratings.get(key).copied()).collect())
        };
        self.0.call(read("ratings_of"), look).await
    }

    async fn history(&self, _: &PostId) -> Result<Vec<Hour>> {
        unasked()
    }

    async fn verify(&self, _: Option<&PostId>, _: &mut (dyn FnMut(Recounted) + Send)) -> Result<()> {
        unasked()
    }

    async fn count_posts(&self) -> Result<u64> {
        unasked()
    }

    async fn record_drain(&self, _: &DrainRun) -> Result<()> {
        self.0.call(write("record_drain"), |_| Ok(())).await
    }

    async fn drains(&self, _: usize) -> Result<Vec<DrainRun>> {
        unasked()
    }

    async fn close(&self) {}

    async fn describe(&self) -> Result<String> {
        Ok("memory".into())
    }
}
