//! A commit: rows are staged on the server, the checkpoint is moved by compare-and-swap, the rows are written.
//!
//! Two drains of one shard meet at the swap's row lock, so it comes late: rows are staged first, which locks nothing
//! that others need. In the SQLite file all other writers wait for a transaction: it has the swap and the writes only.

use std::time::Instant;

use super::averages::{ADOPTED_HISTORY, AVERAGES, HISTORY, write_average, write_hour};
use super::checkpoints::{Swap, swap};
use super::decisions::{AUDIT, EXCLUSIONS, write_decided, write_exclusion};
use super::held::{HELD, write_held};
use super::posts::{self, STANDINGS, write_standing};
use super::prelude::*;
use super::quarantine::{QUARANTINE, write_quarantined};
use super::ranking::{RANKING, Ranked, write_ranked};
use super::ratings::{NEW_RATINGS, RATINGS, WITHDRAWALS, delete, write_rating, write_withdrawal};
use super::{Pace, ShardState, changes};
use crate::database::Dialect;
use crate::faults::{self, Mistake};

/// The tables whose rows a commit stages before it locks anything.
pub const STAGED: [&Table; 5] = [&NEW_RATINGS, &RATINGS, &AVERAGES, &HISTORY, &RANKING];

impl Store {
    /// Most entries of one commit, as of now.
    pub fn batch_max(&self) -> usize {
        self.paced(&self.commit_pace)
    }

    /// Most rows of one transaction, as of now. Postgres takes any number.
    pub(super) fn paced(&self, pace: &Pace) -> usize {
        match self.database.dialect() {
            Dialect::Postgres => usize::MAX,
            Dialect::Sqlite => pace.rows(),
        }
    }

    /// One transaction: moves the checkpoint from `seen.checkpoint` to `batch.to` by compare-and-swap, and writes the
    /// result of the batch. `as_of` is the moment for which the ranking is published. Returns whether it did: nothing
    /// is written when another drain moved the checkpoint first.
    ///
    /// # Errors
    /// `Refused` when the database does not take the result; halving the batch finds the entry that is the cause.
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
        let counts = (merged.applied, merged.quarantined.len() as u64);
        if !swap(&mut transaction, batch, seen, Swap::Done(counts.0, counts.1)).await? {
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
        if batch.bulk().is_none() {
            self.commit_pace.learn(batch.lines.len(), began.elapsed());
        }
        Ok(true)
    }
}

/// The ranking of the posts that a commit changes, evaluated once.
fn rank(merged: &Merged, as_of: AsOf<'_>) -> Vec<(PostId, Ranked)> {
    merged.averages.iter().map(|merged| (merged.post.clone(), Ranked::of(&merged.after, as_of))).collect()
}

/// Stages the rows of large tables for [`write`].
async fn stage(transaction: &mut Transaction, merged: &Merged, ranked: &[(PostId, Ranked)]) -> Result<()> {
    transaction.stage(&NEW_RATINGS, &merged.rated, write_rating).await?;
    transaction.stage(&RATINGS, &merged.ratings, write_rating).await?;
    transaction.stage(&AVERAGES, &merged.averages, write_average).await?;
    transaction.stage(&HISTORY, &merged.history, write_hour).await?;
    transaction.stage(&RANKING, ranked, write_ranked).await
}

/// Writes the ratings that a decision changes in a step that is not its last.
pub(super) async fn write_rows(transaction: &mut Transaction, changes: &Merged) -> Result<()> {
    transaction.insert(&WITHDRAWALS, &changes.withdrawn, write_withdrawal).await?;
    transaction.insert(&RATINGS, &changes.ratings, write_rating).await?;
    write_held_rows(transaction, changes).await
}

async fn write_held_rows(transaction: &mut Transaction, merged: &Merged) -> Result<()> {
    transaction.insert(&HELD, &merged.held, write_held).await?;
    delete(transaction, &HELD, &merged.unheld).await
}

/// Writes the result of a batch.
async fn write(
    transaction: &mut Transaction,
    batch: &Batch,
    merged: &Merged,
    ranked: &[(PostId, Ranked)],
) -> Result<()> {
    changes::keep(transaction, batch, merged).await?;
    if !merged.created.is_empty() {
        posts::add(transaction, &merged.created).await?;
    }
    delete(transaction, &RATINGS, &merged.unrated).await?;
    delete(transaction, &WITHDRAWALS, &merged.unmarked).await?;
    transaction.insert(&WITHDRAWALS, &merged.withdrawn, write_withdrawal).await?;
    transaction.write_staged(&NEW_RATINGS, &merged.rated, write_rating).await?;
    transaction.write_staged(&RATINGS, &merged.ratings, write_rating).await?;
    faults::reach("commit.upserted");
    transaction.write_staged(&AVERAGES, &merged.averages, write_average).await?;
    faults::reach("commit.upserted");
    transaction.insert(&ADOPTED_HISTORY, &merged.adopted_hours, write_hour).await?;
    transaction.write_staged(&HISTORY, &merged.history, write_hour).await?;
    faults::reach("commit.upserted");
    transaction.write_staged(&RANKING, ranked, write_ranked).await?;
    faults::reach("commit.upserted");
    transaction.insert(&STANDINGS, &merged.standings, write_standing).await?;
    write_held_rows(transaction, merged).await?;
    transaction.insert(&EXCLUSIONS, &merged.exclusions, write_exclusion).await?;
    let shard = batch.shard;
    transaction.insert(&AUDIT, &merged.decided, |row, decided| write_decided(row, shard, decided)).await?;
    let write = |row: &mut dyn Sink, entry: &_| write_quarantined(row, shard, entry);
    transaction.insert(&QUARANTINE, &merged.quarantined, write).await.map(drop)
}
