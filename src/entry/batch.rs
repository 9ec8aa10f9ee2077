//! One read of a shard: lines in log order, and the backlog after them.

use super::{Entry, Position, Shard};
use crate::model::Time;

/// A log line without a valid entry: the error and the original bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// The error, for people who read the quarantine.
    pub reason: String,
    /// The original bytes from the log.
    pub payload: Vec<u8>,
}

/// Consecutive lines of one shard's log, read together. A unit of I/O, not of arithmetic.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The shard.
    pub shard: Shard,
    /// Where the read began (exclusive).
    pub from: Position,
    /// The last line's position.
    pub to: Position,
    /// The lines in log order; at least one.
    pub lines: Vec<Line>,
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its position.
    pub position: Position,
    /// Its entry, or the error.
    pub entry: Result<Entry, Undecodable>,
}

impl Line {
    /// Its entry, if that is a bulk decision.
    fn bulk(&self) -> Option<&Entry> {
        self.entry.as_ref().ok().filter(|entry| entry.action.is_bulk())
    }

    /// Turns an entry that cannot be stored into a line for the quarantine.
    pub fn refuse(&mut self, why: &str) {
        if let Ok(entry) = &self.entry {
            self.entry = Err(Undecodable { reason: why.to_owned(), payload: entry.encode().into_bytes() });
        }
    }
}

impl Batch {
    /// A batch of the lines read after `from`; `None` without lines.
    pub fn of(shard: Shard, from: Position, lines: Vec<Line>) -> Option<Self> {
        let to = lines.last()?.position;
        Some(Self { shard, from, to, lines })
    }

    /// Cuts the batch after `limit` lines, and before its first bulk decision, or right behind one that comes first.
    /// Returns what is cut off.
    pub fn cut(&mut self, limit: usize) -> Option<Self> {
        let first_bulk = self.lines.iter().position(|line| line.bulk().is_some());
        let kept = first_bulk.unwrap_or(usize::MAX).min(limit).max(1).min(self.lines.len());
        let rest = self.lines.split_off(kept);
        self.to = self.lines.last().map_or(self.to, |line| line.position);
        Self::of(self.shard, self.to, rest)
    }

    /// The bulk decision, if the batch is one.
    pub fn bulk(&self) -> Option<(&Line, &Entry)> {
        let line = self.lines.first()?;
        Some((line, line.bulk()?))
    }
}

/// The state of one shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Number of entries after a given position.
    pub waiting: u64,
    /// When the oldest of them was appended, by the log's clock.
    pub oldest: Option<Time>,
    /// Entries ever appended, as counted by the log.
    pub appends: u64,
    /// The highest position ever assigned.
    pub last: Position,
}

/// What is known of one shard's log, and what it never falls below again, though it may come back with less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    /// The highest position known: no append may get one at or below it.
    pub position: Position,
    /// Appends known: the log's count goes on from here, so that what is missing is missed.
    pub appends: u64,
}
