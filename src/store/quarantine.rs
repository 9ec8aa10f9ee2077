//! The quarantine: entries that could not be read or applied, with the reason and what stood in the log.

use super::prelude::*;
use crate::merge::Quarantined;

pub(super) const QUARANTINE: Table = Table::new("quarantine", &["shard", "position"], &["reason", "payload"]);

/// An entry in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedEntry {
    /// In which shard's log it stood.
    pub shard: Shard,
    /// Where, why, and what.
    pub entry: Quarantined,
}

pub(super) fn write_quarantined(sink: &mut dyn Sink, shard: Shard, entry: &Quarantined) {
    sink.small(shard.0 as i16);
    sink.bytes(&entry.position.to_bytes());
    // Postgres cannot keep NUL in a text.
    sink.text(&entry.reason.replace('\0', "\u{fffd}"));
    sink.bytes(&entry.payload);
}

fn entry(row: &Row) -> Result<QuarantinedEntry> {
    let (reason, payload) = (row.text("reason")?.to_owned(), row.bytes("payload")?.to_vec());
    let entry = Quarantined { position: row.position("position")?, reason, payload };
    Ok(QuarantinedEntry { shard: Shard(row.small("shard")?.unsigned_abs()), entry })
}

impl Store {
    /// The quarantine in order of shard and position: at most `limit` that come after `after`.
    pub async fn quarantined(
        &self,
        after: Option<(Shard, Position)>,
        limit: usize,
    ) -> Result<Vec<QuarantinedEntry>> {
        let sql = QUARANTINE.select("where (shard, position) > ($1, $2) order by shard, position limit $3");
        // Below every shard's number.
        let (shard, position) = after.map_or((-1, Position::START), |(shard, at)| (shard.0 as i16, at));
        let found = self.database.ask(Patience::Patient, &sql, values![shard, position, limit]).await?;
        found.iter().map(entry).collect()
    }

    /// One entry of the quarantine, if it is there.
    pub async fn quarantined_at(&self, shard: Shard, position: Position) -> Result<Option<QuarantinedEntry>> {
        let sql = QUARANTINE.select("where shard = $1 and position = $2");
        let found = self.database.ask_optional(Patience::Patient, &sql, values![shard, position]).await?;
        found.as_ref().map(entry).transpose()
    }

    /// How many entries are in the quarantine.
    pub async fn count_quarantined(&self) -> Result<u64> {
        let sql = "select count(*) as entries from quarantine";
        self.database.ask_one(Patience::Patient, sql, values![]).await?.count("entries")
    }

    /// Forgets a quarantined entry; returns whether it was there.
    pub async fn forget_quarantined(&self, shard: Shard, position: Position) -> Result<bool> {
        let sql = "delete from quarantine where shard = $1 and position = $2";
        Ok(self.database.change(Patience::Commit, sql, values![shard, position]).await? == 1)
    }
}
