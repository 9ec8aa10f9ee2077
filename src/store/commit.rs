//! A commit: rows are brought to the server, the checkpoint is moved by compare-and-swap, the rows are written.
//!
//! The swap's row lock is what two drains of one shard meet at, so it comes late: everything is loaded, merged and
//! brought over first, which locks nothing that others need. On SQLite a transaction is what all other writers wait for;
//! there nothing is brought, and it holds the swap and the writes alone.

use std::time::Instant;

use super::averages::{AVERAGES, HISTORY, write_average, write_hour};
use super::checkpoints::{counts, swap};
use super::decisions::{AUDIT, EXCLUSIONS, write_decided, write_exclusion};
use super::held::{HELD, unhold, write_held};
use super::posts::{self, STANDINGS, write_standing};
use super::quarantine::{QUARANTINE, write_quarantined};
use super::ranking::{RANKING, Ranked, write_ranked};
use super::ratings::{RATINGS, WITHDRAWALS, write_rating, write_withdrawal};
use super::{AsOf, ShardState, Store, changes};
use crate::database::rows::Table;
use crate::database::{Dialect, Patience, Transaction, values};
use crate::entry::Batch;
use crate::error::Result;
use crate::faults::{self, Mistake};
use crate::merge::Merged;
use crate::model::PostId;

/// The tables whose rows a commit brings over before it locks anything.
pub const STAGED: [&Table; 4] = [&RATINGS, &AVERAGES, &HISTORY, &RANKING];

impl Store {
    /// Most entries of one commit, as of now.
    pub fn batch_max(&self) -> usize {
        match self.database.dialect() {
            Dialect::Postgres => usize::MAX,
            Dialect::Sqlite => self.pace.batch_max(),
        }
    }

    /// One transaction: moves the checkpoint from `seen.checkpoint` to `batch.to` by compare-and-swap, and writes what
    /// came out of the batch. `as_of` is the moment for which the ranking is published. Returns whether it did: nothing
    /// is written when another drain moved the checkpoint first.
    ///
    /// # Errors
    /// `Refused` when the database does not take what came out; halving the batch finds out which entry it is.
    pub async fn commit(
        &self,
        batch: &Batch,
        seen: &ShardState,
        merged: &Merged,
        as_of: AsOf<'_>,
    ) -> Result<bool> {
        let ranked = rank(merged, as_of);
        let mut transaction = self.database.begin(Patience::Commit).await?;
        let began = Instant::now();
        stage(&mut transaction, merged, &ranked).await?;
        faults::reach("commit.brought");
        if !swap(&mut transaction, batch, seen, counts(merged)).await? {
            transaction.roll_back().await?;
            return Ok(false);
        }
        if faults::has(Mistake::CheckpointOutside) {
            transaction.commit().await?;
            transaction = self.database.begin(Patience::Commit).await?;
            stage(&mut transaction, merged, &ranked).await?;
        }
        faults::reach("commit.swapped");
        write(&mut transaction, batch, merged, &ranked).await?;
        faults::reach("commit.written");
        transaction.commit().await?;
        self.pace.learn(batch.lines.len(), began.elapsed());
        Ok(true)
    }
}

/// The ranking of the posts that a commit changes, evaluated once.
pub(super) fn rank(merged: &Merged, as_of: AsOf<'_>) -> Vec<(PostId, Ranked)> {
    merged.averages.iter().map(|merged| (merged.post.clone(), Ranked::of(&merged.after, as_of))).collect()
}

/// Brings the rows of large tables to where [`write`] takes them from.
pub(super) async fn stage(
    transaction: &mut Transaction,
    merged: &Merged,
    ranked: &[(PostId, Ranked)],
) -> Result<()> {
    transaction.stage(&RATINGS, &merged.ratings, write_rating).await?;
    transaction.stage(&AVERAGES, &merged.averages, write_average).await?;
    transaction.stage(&HISTORY, &merged.history, write_hour).await?;
    transaction.stage(&RANKING, ranked, write_ranked).await
}

/// Writes what came out of a batch.
pub(super) async fn write(
    transaction: &mut Transaction,
    batch: &Batch,
    merged: &Merged,
    ranked: &[(PostId, Ranked)],
) -> Result<()> {
    changes::keep(transaction, batch, merged).await?;
    if !merged.created.is_empty() {
        posts::add(transaction, &merged.created).await?;
    }
    if !merged.withdrawn.is_empty() {
        let keys: Vec<_> = merged.withdrawn.iter().map(|(key, _)| key.clone()).collect();
        let sql = "delete from ratings where (post_id, user_id) in (select post_id, user_id from {keys})";
        transaction.change(sql, values![keys.as_slice()]).await?;
        transaction.insert(&WITHDRAWALS, &merged.withdrawn, write_withdrawal).await?;
    }
    transaction.write_staged(&RATINGS, &merged.ratings, write_rating).await?;
    faults::reach("commit.upserted");
    transaction.write_staged(&AVERAGES, &merged.averages, write_average).await?;
    faults::reach("commit.upserted");
    transaction.write_staged(&HISTORY, &merged.history, write_hour).await?;
    faults::reach("commit.upserted");
    transaction.write_staged(&RANKING, ranked, write_ranked).await?;
    faults::reach("commit.upserted");
    transaction.insert(&STANDINGS, &merged.standings, write_standing).await?;
    transaction.insert(&HELD, &merged.held, write_held).await?;
    unhold(transaction, &merged.unheld).await?;
    transaction.insert(&EXCLUSIONS, &merged.exclusions, write_exclusion).await?;
    let shard = batch.shard;
    transaction.insert(&AUDIT, &merged.decided, |row, decided| write_decided(row, shard, decided)).await?;
    let write = |row: &mut dyn crate::database::rows::Sink, entry: &_| write_quarantined(row, shard, entry);
    transaction.insert(&QUARANTINE, &merged.quarantined, write).await?;
    Ok(())
}
