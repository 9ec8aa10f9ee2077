//! Group commit over several shards.

use std::sync::Arc;

use async_trait::async_trait;
use damper::Error;
use damper::buffer::group::Grouped;
use damper::buffer::{Buffer, Waiting};
use damper::entry::{Backlog, Batch, Entry, Floor, Position, Shard};
use damper::model::{PostId, UserId};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::{Engine, SHARD, ratings};

/// A Redis whose first shard takes an append only while there is a permit.
struct SlowShard {
    redis: Arc<dyn Buffer>,
    permits: Arc<Semaphore>,
}

#[async_trait]
impl Buffer for SlowShard {
    fn append_max(&self) -> usize {
        self.redis.append_max()
    }

    async fn write(&self, shard: Shard, entries: &[Entry]) -> damper::Result<Vec<Position>> {
        if shard == SHARD {
            self.permits.acquire().await.expect("it stays open").forget();
        }
        self.redis.write(shard, entries).await
    }

    async fn read(&self, shard: Shard, from: Position, limit: usize) -> damper::Result<Option<Batch>> {
        self.redis.read(shard, from, limit).await
    }

    async fn trim(&self, shard: Shard, through: Position) -> damper::Result<()> {
        self.redis.trim(shard, through).await
    }

    async fn backlog(&self, shard: Shard, from: Position) -> damper::Result<Backlog> {
        self.redis.backlog(shard, from).await
    }

    async fn waiting_of(&self, keys: &[(PostId, UserId)]) -> damper::Result<Vec<Option<Waiting>>> {
        self.redis.waiting_of(keys).await
    }

    async fn raise_floor(&self, shard: Shard, floor: Floor) -> damper::Result<()> {
        self.redis.raise_floor(shard, floor).await
    }

    async fn describe(&self) -> damper::Result<String> {
        self.redis.describe().await
    }
}

#[tokio::test]
async fn a_slow_shard_delays_no_other_and_keeps_its_order() {
    let engine = Engine::redis().await;
    let permits = Arc::new(Semaphore::new(0));
    let slow = SlowShard { redis: engine.buffer.clone(), permits: permits.clone() };
    let grouped = Grouped::new(Arc::new(slow), 2_000);
    let entries = ratings(3);
    let append = |shard: u16, i: usize| {
        let (grouped, entry) = (&grouped, &entries[i]);
        async move { grouped.append(Shard(shard), std::slice::from_ref(entry), None).await }
    };
    let (mut first, mut second) = (Box::pin(append(0, 0)), Box::pin(append(0, 1)));
    assert!((&mut first).now_or_never().is_none(), "its shard is slow");
    for shard in 1..16 {
        append(shard, 2).await.expect("another shard takes it");
    }
    assert!((&mut second).now_or_never().is_none(), "it stands behind the first");
    permits.add_permits(2);
    let (second, first) = (second.await.expect("it is held"), first.await.expect("it is held"));
    assert!(first < second, "{first:?} {second:?}");
}

#[tokio::test]
async fn in_one_call_each_shard_takes_its_own_entries_or_refuses_them() {
    let engine = Engine::redis().await.grouped();
    let redis = engine.world.redis();
    redis.command(&["DEL", "damper:{3}:ratings"]);
    redis.command(&["SET", "damper:{3}:ratings", "of another program"]);
    redis.command(&["DEL", "damper:{4}:ratings"]);
    let entries = ratings(6);
    let append = |shard: u16, i: usize| engine.buffer.write(Shard(shard), std::slice::from_ref(&entries[i]));
    let shards = [2, 3, 4, 2, 3, 5];
    let outcomes = join_all(shards.iter().enumerate().map(|(i, &shard)| append(shard, i))).await;
    for (shard, outcome) in shards.iter().zip(&outcomes) {
        match (shard, outcome) {
            (3, Err(Error::Internal(why))) => assert!(why.contains("WRONGTYPE"), "{why}"),
            (4, Err(Error::Busy(why))) => assert!(why.contains("lost this log"), "{why}"),
            (2 | 5, Ok(positions)) => assert_eq!(positions.len(), 1),
            (shard, outcome) => panic!("shard {shard}: {outcome:?}"),
        }
    }
    let held = engine.buffer.read(Shard(2), Position::START, 10).await.expect("an answer").expect("a batch");
    let held: Vec<Entry> = held.lines.into_iter().map(|line| line.entry.expect("it is whole")).collect();
    assert_eq!(held, [entries[0].clone(), entries[3].clone()], "in the order in which they were sent");
}
