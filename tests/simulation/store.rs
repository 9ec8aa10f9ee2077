//! The ledger in memory: which effects a call has, one after the other, behind the limits of a real database.
//!
//! A commit is two calls, as it is on both databases: the load, without a lock, and the transaction. Between the
//! two anything may happen. A decision over many ratings is such a pair for each of its steps.

use std::time::Duration;

use async_trait::async_trait;
use damper::database::Patience;
use damper::database::patience::Watch;
use damper::entry::{Batch, Position, Shard};
use damper::error::Result;
use damper::merge::bulk::BulkDecision;
use damper::merge::{Decided, Exclusion, HeldRating, Key, Loaded, Merged, PostState};
use damper::model::{PostId, Time, User, UserId};
use damper::store::{AsOf, Checkpoint, DrainRun, Installation, Ledger, ShardState, StoredRating};

use crate::walk::Step;
use crate::world::{Call, Kind, SHARDS, Seam, Side, World};

/// The ledger of one process.
pub struct MemoryStore {
    seam: Seam,
    watch: Watch,
    /// Most entries of a commit: a database with one writer has a limit, another has none.
    batch_max: usize,
}

impl MemoryStore {
    pub fn new(seam: Seam, answer_timeout: Duration, batch_max: usize) -> Self {
        Self { seam, watch: Watch::new(answer_timeout, answer_timeout), batch_max }
    }

    async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        look: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T> {
        self.call(Patience::Quick, name, Kind::Read, |world| Ok(look(world))).await
    }

    async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        effect: impl FnOnce(&mut World) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.call(Patience::Commit, name, Kind::Write, effect).await
    }

    async fn call<T: Send + 'static>(
        &self,
        patience: Patience,
        name: &'static str,
        kind: Kind,
        effect: impl FnOnce(&mut World) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let seam = self.seam.clone();
        let probe = move |_| {
            let seam = seam.clone();
            let call = Call { name: "installation", side: Side::Store, kind: Kind::Read };
            async move { seam.call(call, |_| Ok(())).await }
        };
        let call = self.seam.call(Call { name, side: Side::Store, kind }, effect);
        self.watch.within(self.watch.until(patience), call, probe).await
    }
}

#[async_trait]
impl Ledger for MemoryStore {
    fn batch_max(&self) -> usize {
        self.batch_max
    }

    async fn installation(&self) -> Result<Installation> {
        let found = |_: &mut World| Installation { id: "simulated".into(), shards: SHARDS };
        self.read("installation", found).await
    }

    async fn check_schema(&self) -> Result<()> {
        self.read("check_schema", |_| ()).await
    }

    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint> {
        self.read("checkpoint", move |world| world.tables.checkpoints[shard.index()]).await
    }

    async fn note_log(&self, shard: Shard, seen: &ShardState) -> Result<bool> {
        let seen = *seen;
        self.write("note_log", move |world| Ok(world.tables.note_log(shard, &seen))).await
    }

    async fn load(&self, batch: &Batch) -> Result<Loaded> {
        let batch = batch.clone();
        self.read("commit.load", move |world| world.tables.load(&batch)).await
    }

    async fn commit(
        &self,
        batch: &Batch,
        seen: &ShardState,
        merged: &Merged,
        (at, params): AsOf<'_>,
    ) -> Result<bool> {
        let (batch, seen, merged, params) = (batch.clone(), *seen, merged.clone(), *params);
        let commit = move |world: &mut World| {
            let has_moved = world.tables.swap(&batch, &seen, &merged)?;
            if has_moved {
                world.commit(batch.shard, &merged, (at, &params));
            }
            Ok(has_moved)
        };
        self.write("commit", commit).await
    }

    async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        decision: BulkDecision,
        as_of: AsOf<'_>,
    ) -> Result<Option<Merged>> {
        let (read, known) = (batch.clone(), *seen);
        let walk = move |world: &mut World| world.tables.walk(&read, &known, decision, world.pages);
        match self.read("bulk.walk", walk).await? {
            Step::Gone => Ok(None),
            Step::Last(merged) => Ok(self.commit(batch, seen, &merged, as_of).await?.then_some(*merged)),
            Step::More(changes, so_far) => {
                let (batch, seen) = (batch.clone(), *seen);
                let step = move |world: &mut World| Ok(world.tables.step(&batch, &seen, &changes, so_far));
                self.write("bulk.step", step).await.map(|_| None)
            }
        }
    }

    async fn under_way(&self, shard: Shard) -> Result<Option<Batch>> {
        self.read("under_way", move |world| world.tables.under_way(shard)).await
    }

    async fn rerank(&self, (at, params): AsOf<'_>, limit: usize) -> Result<u64> {
        let params = *params;
        self.write("rerank", move |world| Ok(world.tables.rerank((at, &params), limit))).await
    }

    async fn record_drain(&self, run: &DrainRun) -> Result<()> {
        let run = run.clone();
        let record = move |world: &mut World| {
            world.tables.drains.push(run);
            Ok(())
        };
        self.write("record_drain", record).await
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>> {
        let ids = ids.to_vec();
        self.read("posts", move |world| world.tables.states(&ids)).await
    }

    async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>> {
        let ids = ids.to_vec();
        let look = move |world: &mut World| {
            ids.into_iter().filter(|id| world.tables.posts.contains_key(id)).collect()
        };
        self.read("existing", look).await
    }

    async fn frozen(&self) -> Result<Vec<PostId>> {
        let look = |world: &mut World| {
            let frozen = world.tables.standings.iter().filter(|(_, standing)| standing.is_frozen);
            frozen.map(|(post, _)| post.clone()).collect()
        };
        self.read("frozen", look).await
    }

    async fn newest_of(&self, keys: &[Key]) -> Result<Vec<Option<StoredRating>>> {
        let keys = keys.to_vec();
        let look = move |world: &mut World| keys.iter().map(|key| world.tables.newest(key)).collect();
        self.read("newest_of", look).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>> {
        let id = id.clone();
        self.read("user", move |world| world.tables.users.get(&id).cloned()).await
    }

    async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>> {
        let post = post.clone();
        let look = move |world: &mut World| {
            world.tables.exclusions.values().filter(|one| one.post == post).cloned().collect()
        };
        self.read("exclusions", look).await
    }

    async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>> {
        let keys: Vec<Key> = posts.iter().map(|post| (post.clone(), user.clone())).collect();
        let look =
            move |world: &mut World| keys.iter().map(|key| world.tables.held.get(key).copied()).collect();
        self.read("held_of", look).await
    }

    async fn held_before(&self, before: Time, limit: usize) -> Result<Vec<(Key, HeldRating)>> {
        self.read("held_before", move |world| world.tables.held_before(before, limit)).await
    }

    async fn decided(&self, shard: Shard, position: Position) -> Result<Option<Decided>> {
        self.read("decided", move |world| world.tables.audit.get(&(shard, position)).cloned()).await
    }
}
