//! What is read of a shard at once: lines in log order, and how much waits after them.

use super::{Entry, Position, Shard};
use crate::model::Time;

/// A line of the log that holds no entry: why, and what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Why it cannot be read, for whoever opens the quarantine.
    pub reason: String,
    /// The bytes as they stood in the log.
    pub payload: Vec<u8>,
}

/// Consecutive entries of one shard, read together: a unit of I/O, not of arithmetic.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Whose log they come from.
    pub shard: Shard,
    /// Where the read began (exclusive).
    pub from: Position,
    /// The last entry's position; at least one entry is here.
    pub to: Position,
    /// The entries in log order, readable or not.
    pub lines: Vec<Line>,
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it stands.
    pub position: Position,
    /// What it says, if it says anything.
    pub entry: Result<Entry, Undecodable>,
}

impl Line {
    /// Makes of an entry that cannot be kept a line to be put aside.
    pub fn refuse(&mut self, why: &str) {
        if let Ok(entry) = &self.entry {
            self.entry = Err(Undecodable { reason: why.to_owned(), payload: entry.encode().into_bytes() });
        }
    }
}

impl Batch {
    /// Ends the batch before its first decision that is to be merged by itself, or right behind one that comes first.
    pub fn cut_at_bulk(&mut self) {
        let is_bulk = |line: &Line| line.entry.as_ref().is_ok_and(|entry| entry.action.is_bulk());
        if let Some(first) = self.lines.iter().position(is_bulk) {
            self.lines.truncate(first.max(1));
            self.to = self.lines.last().map_or(self.to, |line| line.position);
        }
    }

    /// The decision that the batch is, if it is one that is merged by itself.
    pub fn bulk(&self) -> Option<(&Line, &Entry)> {
        let line = self.lines.first()?;
        let entry = line.entry.as_ref().ok().filter(|entry| entry.action.is_bulk())?;
        Some((line, entry))
    }

    /// A batch of what was read after `from`; nothing when nothing was.
    pub fn of(shard: Shard, from: Position, lines: Vec<Line>) -> Option<Self> {
        let to = lines.last()?.position;
        Some(Self { shard, from, to, lines })
    }
}

/// The state of one shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Entries after the position asked for, counted.
    pub waiting: u64,
    /// When the oldest of these was appended, by the log's own clock.
    pub oldest: Option<Time>,
    /// Entries ever appended, by the log's own count.
    pub appends: u64,
    /// The highest position that was ever handed out.
    pub last: Position,
}
