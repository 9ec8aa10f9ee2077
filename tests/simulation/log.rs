//! The buffer in memory: a log per shard with positions like a Redis stream's.
//!
//! It keeps the bytes and decodes them at every read, as the real ones do, so that poison comes up as poison.

use std::collections::VecDeque;

use async_trait::async_trait;
use damper::buffer::{Buffer, Waiting};
use damper::entry::{Backlog, Batch, Entry, Floor, Line, Position, Shard};
use damper::error::Result;
use damper::model::{PostId, Time, UserId};

use crate::world::{Call, Kind, SHARDS, Seam, Side, World};

/// One shard's log.
#[derive(Default)]
pub struct Log {
    lines: VecDeque<(Position, Vec<u8>)>,
    appends: u64,
    last: Position,
}

impl Log {
    fn push(&mut self, now: Time, bytes: Vec<u8>) -> Position {
        let high = now.ms().unsigned_abs();
        // The log's clock may go back; its positions never do.
        self.last = if high > self.last.high {
            Position::new(high, 0)
        } else {
            Position::new(self.last.high, self.last.low + 1)
        };
        self.appends += 1;
        self.lines.push_back((self.last, bytes));
        self.last
    }

    /// Holds these lines, all of them new.
    pub fn refill(&mut self, lines: &[(Position, Vec<u8>)]) {
        self.lines = lines.iter().cloned().collect();
        self.appends = lines.len() as u64;
        self.last = lines.last().map(|(position, _)| *position).unwrap_or_default();
    }

    fn after(&self, from: Position) -> impl Iterator<Item = &(Position, Vec<u8>)> {
        self.lines.range(self.lines.partition_point(|(position, _)| *position <= from)..)
    }

    /// What waits after `from`.
    pub fn backlog(&self, from: Position) -> Backlog {
        let before = self.lines.partition_point(|(position, _)| *position <= from);
        Backlog {
            waiting: (self.lines.len() - before) as u64,
            oldest: self.lines.get(before).map(|(position, _)| Time::from_ms(position.high as i64)),
            appends: self.appends,
            last: self.last,
        }
    }
}

impl World {
    /// Appends a line that did not come through Damper.
    pub fn append_foreign(&mut self, shard: Shard, bytes: Vec<u8>) {
        self.push(shard, bytes);
    }

    fn push(&mut self, shard: Shard, bytes: Vec<u8>) -> Position {
        let position = self.logs[shard.index()].push(self.now, bytes.clone());
        self.trace.note("line", &[], || format!("{position} {}", String::from_utf8_lossy(&bytes)));
        self.oracle.shadow(shard, position, bytes);
        position
    }

    fn append(&mut self, shard: Shard, entries: &[Entry]) -> Vec<Position> {
        let mut positions = Vec::with_capacity(entries.len());
        for entry in entries {
            positions.push(self.push(shard, entry.encode().into_bytes()));
            self.oracle.landed(entry);
        }
        positions
    }
}

/// The buffer of one process.
pub struct MemoryBuffer(pub Seam);

fn call(name: &'static str, kind: Kind) -> Call {
    Call { name, side: Side::Buffer, kind }
}

#[async_trait]
impl Buffer for MemoryBuffer {
    fn append_max(&self) -> usize {
        10_000
    }

    async fn write(&self, shard: Shard, entries: &[Entry]) -> Result<Vec<Position>> {
        let entries = entries.to_vec();
        self.0.call(call("append", Kind::Append), move |world| Ok(world.append(shard, &entries))).await
    }

    async fn read(&self, shard: Shard, from: Position, limit: usize) -> Result<Option<Batch>> {
        let read = move |world: &mut World| {
            let lines = world.logs[shard.index()].after(from).take(limit);
            let decoded =
                lines.map(|(position, bytes)| Line { position: *position, entry: Entry::decode(bytes) });
            Ok(Batch::of(shard, from, decoded.collect()))
        };
        self.0.call(call("read", Kind::Read), read).await
    }

    async fn trim(&self, shard: Shard, through: Position) -> Result<()> {
        let trim = move |world: &mut World| {
            let lines = &mut world.logs[shard.index()].lines;
            lines.drain(..lines.partition_point(|(position, _)| *position <= through));
            Ok(())
        };
        self.0.call(call("trim", Kind::Write), trim).await
    }

    async fn backlog(&self, shard: Shard, from: Position) -> Result<Backlog> {
        let look = move |world: &mut World| Ok(world.logs[shard.index()].backlog(from));
        self.0.call(call("backlog", Kind::Read), look).await
    }

    async fn waiting_of(&self, keys: &[(PostId, UserId)]) -> Result<Vec<Option<Waiting>>> {
        let keys = keys.to_vec();
        let look = move |world: &mut World| {
            let newest = |(post, user): &(PostId, UserId)| {
                let log = &world.logs[Shard::of(post, SHARDS).index()];
                let decoded =
                    log.lines.iter().rev().filter_map(|(at, bytes)| Some((at, Entry::decode(bytes).ok()?)));
                let mut own = decoded.filter(|(_, entry)| {
                    let is_wish = entry.origin.is_none() && entry.action.is_wish();
                    is_wish && entry.post == *post && entry.user == *user
                });
                own.next().map(|(at, entry)| Waiting { position: *at, action: entry.action })
            };
            Ok(keys.iter().map(newest).collect())
        };
        self.0.call(call("waiting_of", Kind::Read), look).await
    }

    async fn raise_floor(&self, shard: Shard, floor: Floor) -> Result<()> {
        let raise = move |world: &mut World| {
            let log = &mut world.logs[shard.index()];
            log.last = log.last.max(floor.position);
            log.appends = log.appends.max(floor.appends);
            Ok(())
        };
        self.0.call(call("raise_floor", Kind::Write), raise).await
    }

    async fn describe(&self) -> Result<String> {
        Ok("memory".into())
    }
}
