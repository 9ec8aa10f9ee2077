//! Checkpoints: up to where each shard's log is in the averages, and the counts that must balance.

use super::prelude::*;
use crate::database::schema::{self, SCHEMA_VERSION};
use crate::entry::{Backlog, Floor};

pub(super) const CHECKPOINTS: Table =
    Table { name: "checkpoints", keys: &["shard"], others: &["position", "seen_position"], rule: Rule::Keep };

/// One shard's row of `checkpoints`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Up to here the log is in the averages.
    pub position: Position,
    /// Entries that were folded in.
    pub applied: u64,
    /// Entries that were ever quarantined.
    pub quarantined: u64,
    /// The log's count of appends when it was last seen.
    pub seen_appends: u64,
    /// The log's last position when it was last seen.
    pub seen_position: Position,
    /// What is added to the log's own count of appends to get all that was accepted and is not lost.
    pub accepted_base: i64,
    /// Entries that a drain had seen waiting, and that the log's server has lost.
    pub lost: u64,
    /// Steps of a decision over many ratings that are committed, while it is under way; 0 when none is.
    pub step: u64,
}

impl Checkpoint {
    /// What the log may not fall below: it has held what is merged and what was seen of it.
    pub fn floor(&self) -> Floor {
        let merged = (self.applied + self.quarantined).saturating_add_signed(-self.accepted_base);
        Floor { position: self.position.max(self.seen_position), appends: self.seen_appends.max(merged) }
    }

    /// All that was accepted and is not lost, when the log counts `appends`.
    pub fn accepted(&self, appends: u64) -> u64 {
        appends.saturating_add_signed(self.accepted_base)
    }
}

/// A shard as a drain sees it: how far it is merged, and what its log holds after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardState {
    /// Read first.
    pub checkpoint: Checkpoint,
    /// Read after the checkpoint.
    pub log: Backlog,
}

impl Store {
    /// Up to where a shard's log is in the averages.
    pub async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint> {
        let sql = "
            select position, applied, quarantined, seen_appends, seen_position, accepted_base, lost, step
            from checkpoints where shard = $1";
        let row = self.database.ask_one(Patience::Quick, sql, values![shard]).await?;
        Ok(Checkpoint {
            position: row.position("position")?,
            applied: row.count("applied")?,
            quarantined: row.count("quarantined")?,
            seen_appends: row.count("seen_appends")?,
            seen_position: row.position("seen_position")?,
            accepted_base: row.int("accepted_base")?,
            lost: row.count("lost")?,
            step: row.count("step")?,
        })
    }

    /// Up to where each shard's log is in the averages, in the order of the shards.
    pub async fn checkpoints(&self) -> Result<Vec<Position>> {
        let sql = "select position from checkpoints order by shard";
        let found = self.database.ask(Patience::Quick, sql, values![]).await?;
        found.iter().map(|row| row.position("position")).collect()
    }

    /// Notes how far a log was seen, and recounts what it has accepted if it has lost entries, unless the checkpoint has
    /// moved; returns whether it did. Accepted is what is merged and what waits. What is missing of the appends that the
    /// log counts is lost: so let the log get its floor first.
    pub async fn note_log(&self, shard: Shard, seen: &ShardState) -> Result<bool> {
        let sql = "
            update checkpoints set
                lost = lost + case when accepted_base + $3 > applied + quarantined + $2
                    then accepted_base + $3 - applied - quarantined - $2 else 0 end,
                accepted_base = applied + quarantined + $2 - $3,
                seen_appends = case when seen_appends < $3 then $3 else seen_appends end,
                seen_position = case when seen_position < $4 then $4 else seen_position end
            where shard = $1 and position = $5 and accepted_base = $6 and lost = $7";
        let ShardState { checkpoint, log } = seen;
        let (position, base, lost) = (checkpoint.position, checkpoint.accepted_base, checkpoint.lost);
        let values = values![shard, log.waiting, log.appends, log.last, position, base, lost];
        Ok(self.database.change(Patience::Commit, sql, values).await? == 1)
    }
}

/// What a swap makes of a shard's checkpoint.
pub(super) enum Swap<'a> {
    /// The batch is merged, with these counts of applied and quarantined entries.
    Done(u64, u64),
    /// The batch is a decision that has come one step further: so far.
    Step(&'a str),
}

/// The compare-and-swap: moves a shard's checkpoint and its counts, or its step, unless another drain moved either
/// first, the log was recounted meanwhile, or the schema is not the one that this program was written for. Returns
/// whether it did; a newer schema is a `Config` error.
pub(super) async fn swap(
    transaction: &mut Transaction,
    batch: &Batch,
    seen: &ShardState,
    swap: Swap<'_>,
) -> Result<bool> {
    let sql = "
        update checkpoints set
            position = $3,
            applied = applied + $4,
            quarantined = quarantined + $5,
            seen_appends = case when seen_appends < $6 then $6 else seen_appends end,
            seen_position = case when seen_position < $7 then $7 else seen_position end,
            step = $12,
            under_way = $13
        where shard = $1 and position = $2 and (select schema_version from installation) = $8
            and accepted_base = $9 and lost = $10 and step = $11";
    let ShardState { checkpoint, log } = seen;
    let (position, (applied, quarantined), step, under_way) = match swap {
        Swap::Done(applied, quarantined) => (batch.to, (applied, quarantined), 0, None),
        Swap::Step(so_far) => (checkpoint.position, (0, 0), checkpoint.step + 1, Some(so_far)),
    };
    let values = values![
        batch.shard,
        checkpoint.position,
        position,
        applied,
        quarantined,
        log.appends,
        // Of a decision under way the log may come back without it: its place must not be given out again.
        log.last.max(batch.to),
        SCHEMA_VERSION,
        checkpoint.accepted_base,
        checkpoint.lost,
        checkpoint.step,
        step,
        under_way,
    ];
    if transaction.change(sql, values).await? == 1 {
        return Ok(true);
    }
    let found = transaction.ask("select schema_version from installation", values![]).await?;
    let none = || Error::Internal("the database has no installation".into());
    schema::check(found.first().ok_or_else(none)?.int("schema_version")?)?;
    Ok(false)
}
