//! The ledger in memory: which effects a call has, one after the other, behind the limits of a real database.
//!
//! A commit is two calls, as it is on both databases: the load, without a lock, and the transaction. Between the
//! two anything may happen. One of the known mistakes makes the transaction two.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use damper::database::Patience;
use damper::database::patience::Watch;
use damper::entry::{Batch, Shard};
use damper::error::Result;
use damper::faults::{self, Mistake};
use damper::merge::bulk::BulkDecision;
use damper::merge::{Key, Loaded, Merged, PostState};
use damper::model::{PostId, User, UserId};
use damper::store::{AsOf, Checkpoint, DrainRun, Installation, Ledger, ShardState, StoredRating};

use crate::world::{Call, Kind, SHARDS, Seam, Side, World};

/// The ledger of one process.
pub struct MemoryStore {
    seam: Seam,
    watch: Watch,
}

impl MemoryStore {
    pub fn new(seam: Seam, answer_timeout: Duration) -> Self {
        Self { seam, watch: Watch::new(answer_timeout, answer_timeout) }
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

    async fn commit(&self, batch: &Batch, seen: &ShardState, merged: &Merged, _: AsOf<'_>) -> Result<bool> {
        let (batch, seen, shard, merged) = (batch.clone(), *seen, batch.shard, Arc::new(merged.clone()));
        let (is_split, late) = (faults::has(Mistake::CheckpointOutside), merged.clone());
        let swap = move |world: &mut World| {
            let has_moved = world.tables.swap(&batch, &seen, &merged)?;
            if has_moved && !is_split {
                world.tables.write(shard, &merged);
            }
            Ok(has_moved)
        };
        let has_moved = self.write("commit.swap", swap).await?;
        if has_moved && is_split {
            let write = move |world: &mut World| {
                world.tables.write(shard, &late);
                Ok(())
            };
            self.write("commit.write", write).await?;
        }
        Ok(has_moved)
    }

    async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        decision: BulkDecision,
        _: AsOf<'_>,
    ) -> Result<Option<Merged>> {
        let (batch, seen) = (batch.clone(), *seen);
        let decide = move |world: &mut World| {
            if !world.tables.is_at(batch.shard, &seen) {
                return Ok(None);
            }
            let merged = world.tables.decide(decision);
            world.tables.swap(&batch, &seen, &merged)?;
            world.tables.write(batch.shard, &merged);
            Ok(Some(merged))
        };
        self.call(Patience::Commit, "commit.bulk", Kind::Write, decide).await
    }

    async fn rerank(&self, _: AsOf<'_>, _: usize) -> Result<u64> {
        // Nobody lists posts here.
        self.write("rerank", |_| Ok(0)).await
    }

    async fn record_drain(&self, _: &DrainRun) -> Result<()> {
        self.write("record_drain", |_| Ok(())).await
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
        let look = move |world: &mut World| {
            let newest = |key: &Key| {
                let rating =
                    world.tables.ratings.get(key).map(|rating| (rating.position, rating.row.score, false));
                let held = world.tables.held.get(key).map(|held| (held.position, held.score, true));
                let (position, score, is_held) =
                    held.into_iter().chain(rating).max_by_key(|found| found.0)?;
                Some(StoredRating { position, score, is_held })
            };
            keys.iter().map(newest).collect()
        };
        self.read("newest_of", look).await
    }

    async fn user(&self, _: &UserId) -> Result<Option<User>> {
        // Users here have given no names.
        self.read("user", |_| None).await
    }
}
