//! The quarantine: entries that could not be applied are listed, retried, or dropped.
//!
//! A retry is an append that names the entry's first place as its origin, so the merge never lets it beat what the same
//! user wanted later. A crash before it has left the quarantine leaves it in both; the merge ignores the second of two
//! entries from one place. The balance counts what was ever quarantined, so neither a retry nor a drop lowers it.

use std::fmt;
use std::str::FromStr;

use super::Upkeep;
use crate::app::intake::Source;
use crate::entry::{Action, Entry, Position, Shard};
use crate::error::{Invalid, Kind, Result};
use crate::faults;
use crate::model::Time;
use crate::store::{QuarantinedEntry, Store};

/// Entries read together; a payload may be large.
const PAGE: usize = 100;
/// Behind everything in a shard.
const LAST: Position = Position::new(u64::MAX, u64::MAX);

/// A quarantined entry's name for people, `SHARD/POSITION`: `3/1790000000000-7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuarantineId {
    shard: Shard,
    position: Position,
}

impl QuarantineId {
    /// The name of `kept`.
    pub fn of(kept: &QuarantinedEntry) -> Self {
        Self { shard: kept.shard, position: kept.entry.position }
    }

    /// When it was appended, for a log whose positions are times; `None` for one that counts its rows.
    pub fn appended_at(&self) -> Option<Time> {
        i64::try_from(self.position.high).ok().filter(|ms| *ms > 0).map(Time::from_ms)
    }
}

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shard, self.position)
    }
}

impl FromStr for QuarantineId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parsed = text.split_once('/').and_then(|(shard, at)| {
            Some(Self { shard: Shard(shard.parse().ok()?), position: Position::parse(at)? })
        });
        parsed.ok_or_else(|| {
            let example = "3/1790000000000-7 as damper quarantine list shows it";
            Invalid::new(Kind::InvalidId, format!("{text:?} is no quarantined entry's id; write {example}"))
        })
    }
}

/// A walk through everything that is in the quarantine when it begins.
pub struct QuarantineWalk<'a> {
    store: &'a Store,
    after: Option<(Shard, Position)>,
    /// By shard: entries quarantined behind this came later, perhaps from a retry of this very walk.
    ends: Vec<Position>,
}

impl QuarantineWalk<'_> {
    /// The next entries; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<QuarantinedEntry>>> {
        loop {
            let mut page = self.store.quarantined(self.after, PAGE).await?;
            let Some(last) = page.last().map(QuarantineId::of) else { return Ok(None) };
            let is_in =
                |id: QuarantineId| self.ends.get(id.shard.index()).is_none_or(|end| id.position <= *end);
            self.after = Some((last.shard, if is_in(last) { last.position } else { LAST }));
            page.retain(|kept| is_in(QuarantineId::of(kept)));
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }
}

impl Upkeep {
    /// The first entries of the quarantine in order of shard and position, at most `limit`, and how many there are.
    pub async fn quarantine(&self, limit: usize) -> Result<(Vec<QuarantinedEntry>, u64)> {
        let first = self.store.quarantined(None, limit).await?;
        Ok((first, self.store.count_quarantined().await?))
    }

    /// One entry of the quarantine, if it is there.
    pub async fn quarantined(&self, id: QuarantineId) -> Result<Option<QuarantinedEntry>> {
        self.store.quarantined_at(id.shard, id.position).await
    }

    /// Begins a walk through the quarantine.
    pub async fn walk_quarantine(&self) -> Result<QuarantineWalk<'_>> {
        let mut ends = Vec::new();
        for shard in self.core.context.all_shards() {
            ends.push(self.store.checkpoint(shard).await?.position);
        }
        Ok(QuarantineWalk { store: &self.store, after: None, ends })
    }

    /// Appends those of `kept` that can be read now and whose posts exist now, in this order, and removes them from the
    /// quarantine. Returns each as it waits in the log now, or why it stays.
    ///
    /// # Errors
    /// When some may be in the log and still in the quarantine. Trying again is safe.
    pub async fn retry_quarantined(
        &self,
        kept: &[QuarantinedEntry],
        now: Time,
    ) -> Result<Vec<Result<Entry, String>>> {
        let mut entries: Vec<_> = kept.iter().map(entry_of).collect();
        let readable: Vec<Entry> = entries.iter().flatten().cloned().collect();
        // An entry without its post would be quarantined again, under another id.
        let mut refusals = self.core.intake.take(readable, Source::Quarantine, now).await?.into_iter();
        for entry in entries.iter_mut().filter(|entry| entry.is_ok()) {
            if let Some(refusal) = refusals.next().flatten() {
                *entry = Err(refusal.to_string());
            }
        }
        faults::reach("retry.held");
        for (kept, _) in kept.iter().zip(&entries).filter(|(_, entry)| entry.is_ok()) {
            self.store.forget_quarantined(kept.shard, kept.entry.position).await?;
        }
        Ok(entries)
    }

    /// Drops an entry for good; returns whether it was there.
    pub async fn drop_quarantined(&self, id: QuarantineId) -> Result<bool> {
        self.store.forget_quarantined(id.shard, id.position).await
    }
}

/// The entry to be appended, with its place as its origin; one that was retried before keeps its first.
///
/// # Errors
/// Why it still cannot be read.
pub(super) fn entry_of(kept: &QuarantinedEntry) -> Result<Entry, String> {
    let entry = Entry::decode(&kept.entry.payload).map_err(|bad| bad.reason)?;
    if matches!(entry.action, Action::Adopt(_)) {
        return Err("a state that was taken over is not retried; import the export again".to_owned());
    }
    if matches!(entry.action, Action::Decide(_)) {
        return Err("a decision is not retried, since others may have followed it; decide again".to_owned());
    }
    Ok(Entry { origin: Some(entry.place(kept.entry.position)), ..entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for text in ["0/0-17", "3/1790000000000-7"] {
            assert_eq!(text.parse::<QuarantineId>().unwrap().to_string(), text);
        }
        for wrong in ["", "3", "3/7", "x/1-1", "70000/1-1", "3/1-1/2"] {
            assert!(wrong.parse::<QuarantineId>().unwrap_err().detail.contains("damper quarantine list"));
        }
    }
}
