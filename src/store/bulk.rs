//! The commit of a decision that may touch any number of ratings: it is the batch's only line, and the decision visits
//! the post's ratings within the transaction, a page at a time.

use std::collections::HashMap;

use super::commit::{rank, stage, write};
use super::held::{HELD, held, write_held};
use super::prelude::*;
use super::ratings::{PAGE_OF_POST, RATINGS, WITHDRAWALS, delete, key, of_keys, rating};
use super::ratings::{write_rating, write_withdrawal};
use super::{ShardState, checkpoints, next_after};
use crate::faults;
use crate::merge::bulk::{BulkDecision, HeldFate};

/// Ratings that a decision visits at once.
const PAGE_ROWS: usize = 5_000;

impl Store {
    /// Like [`commit`](Store::commit), for a decision that has begun with what [`load`](Store::load) found: returns its
    /// result, or nothing when another drain moved the checkpoint first.
    ///
    /// The swap comes first: another drain of the shard that is at the same decision waits, or gives up for now, rather
    /// than doing it twice.
    pub async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        mut decision: BulkDecision,
        as_of: AsOf<'_>,
    ) -> Result<Option<Merged>> {
        let mut transaction = self.database.begin(Patience::Bulk).await?;
        if !checkpoints::swap(&mut transaction, batch, seen, (1, 0)).await? {
            transaction.roll_back().await?;
            return Ok(None);
        }
        let post = decision.post().clone();
        if decision.takes_ratings() {
            visit_ratings(&mut transaction, &post, &mut decision).await?;
        }
        if decision.takes_held() {
            visit_held(&mut transaction, &post, &mut decision).await?;
        }
        let merged = decision.finish();
        faults::reach("bulk.walked");
        let ranked = rank(&merged, as_of);
        stage(&mut transaction, &merged, &ranked).await?;
        write(&mut transaction, batch, &merged, &ranked).await?;
        transaction.commit().await?;
        Ok(Some(merged))
    }
}

/// Passes a post's ratings to `decision`, a page at a time, and writes back those that change.
async fn visit_ratings(
    transaction: &mut Transaction,
    post: &PostId,
    decision: &mut BulkDecision,
) -> Result<()> {
    let mut next = Some(String::new());
    while let Some(after) = next {
        let page = transaction.ask(&RATINGS.select(PAGE_OF_POST), values![post, &after, PAGE_ROWS]).await?;
        let mut changed = Vec::new();
        for row in &page {
            if let Some(rating) = decision.visit(&rating(row)?) {
                changed.push((key(row)?, rating));
            }
        }
        transaction.insert(&RATINGS, &changed, write_rating).await?;
        faults::reach("bulk.paged");
        next = next_after(&page, PAGE_ROWS, "user_id")?;
    }
    Ok(())
}

/// The same for a post's held ratings, each with the other rating of its user.
async fn visit_held(transaction: &mut Transaction, post: &PostId, decision: &mut BulkDecision) -> Result<()> {
    let mut next = Some(String::new());
    while let Some(after) = next {
        let page = match decision.only_user() {
            Some(user) => {
                let sql = HELD.select("where post_id = $1 and user_id = $2");
                transaction.ask(&sql, values![post, user]).await?
            }
            None => transaction.ask(&HELD.select(PAGE_OF_POST), values![post, &after, PAGE_ROWS]).await?,
        };
        let keys = page.iter().map(key).collect::<Result<Vec<Key>>>()?;
        let found = transaction.ask(&of_keys(&RATINGS, "r"), values![keys.as_slice()]).await?;
        let with_user = |row: &Row| Ok((row.user_id("user_id")?, rating(row)?));
        let beside = found.iter().map(with_user).collect::<Result<HashMap<_, _>>>()?;
        let (mut counted, mut changed, mut unheld, mut marks) = (vec![], vec![], vec![], vec![]);
        for (row, key) in page.iter().zip(keys) {
            let found = held(row)?;
            match decision.visit_held(&key.1, &found, beside.get(&key.1)) {
                HeldFate::Stays => {}
                HeldFate::Becomes(held) => changed.push((key, held)),
                HeldFate::Goes(withdrawal) => {
                    marks.push((key.clone(), withdrawal));
                    unheld.push(key);
                }
                HeldFate::Counts(rating) => {
                    counted.push((key.clone(), rating));
                    unheld.push(key);
                }
            }
        }
        transaction.insert(&RATINGS, &counted, write_rating).await?;
        transaction.insert(&HELD, &changed, write_held).await?;
        delete(transaction, &HELD, &unheld).await?;
        transaction.insert(&WITHDRAWALS, &marks, write_withdrawal).await?;
        faults::reach("bulk.paged");
        next = next_after(&page, PAGE_ROWS, "user_id")?;
    }
    Ok(())
}
