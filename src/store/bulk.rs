//! The commit of a decision that may touch any number of ratings: it is the batch's only line, and the decision visits
//! the post's ratings within the transaction, a page at a time.

use std::collections::HashMap;

use super::commit::{rank, stage, write};
use super::held::{HELD, held, unhold, write_held};
use super::ratings::{self, RATINGS, WITHDRAWALS, key, rating, write_rating, write_withdrawal};
use super::{AsOf, ShardState, Store, checkpoints};
use crate::database::{Patience, Row, Transaction, values};
use crate::entry::Batch;
use crate::error::Result;
use crate::faults;
use crate::merge::bulk::{BulkDecision, HeldFate};
use crate::merge::{Key, Merged};
use crate::model::PostId;

/// Ratings that a decision visits at once.
const PAGE_ROWS: usize = 5_000;

impl Store {
    /// Like [`commit`](Store::commit), for a decision that has begun with what [`load`](Store::load) found: returns what
    /// came of it, or nothing when another drain moved the checkpoint first.
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

/// Hands a post's ratings to `decision`, a page at a time, and writes back those that change.
async fn visit_ratings(
    transaction: &mut Transaction,
    post: &PostId,
    decision: &mut BulkDecision,
) -> Result<()> {
    let mut after = String::new();
    loop {
        let page = transaction.ask(&ratings::page_of_post(), values![post, &after, PAGE_ROWS]).await?;
        let mut changed = Vec::new();
        for row in &page {
            if let Some(rating) = decision.visit(&rating(row)?) {
                changed.push((key(row)?, rating));
            }
        }
        transaction.insert(&RATINGS, &changed, write_rating).await?;
        faults::reach("bulk.paged");
        match last_user(&page)? {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Hands over held ratings, with those that their users have beside them, a page at a time, and writes what becomes of
/// them.
async fn visit_held(transaction: &mut Transaction, post: &PostId, decision: &mut BulkDecision) -> Result<()> {
    let mut after = String::new();
    loop {
        let page = match decision.only_user() {
            Some(user) => {
                let sql = format!("select {} from held where post_id = $1 and user_id = $2", HELD.columns());
                transaction.ask(&sql, values![post, user]).await?
            }
            None => {
                let sql = format!(
                    "select {} from held where post_id = $1 and user_id > $2 order by user_id limit $3",
                    HELD.columns()
                );
                transaction.ask(&sql, values![post, &after, PAGE_ROWS]).await?
            }
        };
        let keys = page.iter().map(key).collect::<Result<Vec<Key>>>()?;
        let mut beside = HashMap::new();
        for row in transaction.ask(&ratings::of_keys(), values![keys.as_slice()]).await? {
            beside.insert(row.user_id("user_id")?, rating(&row)?);
        }
        let (mut counted, mut changed, mut unheld, mut marks) = (vec![], vec![], vec![], vec![]);
        for (row, key) in page.iter().zip(keys) {
            let found = held(row)?;
            match decision.visit_held(&key.1, &found, beside.get(&key.1)) {
                HeldFate::Stays => {}
                HeldFate::Becomes(held) => changed.push((key, held)),
                HeldFate::Goes => {
                    // Where a rejected one stood is kept: an older entry shall not come back for it.
                    marks.push((key.clone(), found.position));
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
        unhold(transaction, &unheld).await?;
        transaction.insert(&WITHDRAWALS, &marks, write_withdrawal).await?;
        faults::reach("bulk.paged");
        match last_user(&page)? {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Whose row the next page comes after; nothing after the last page.
fn last_user(page: &[Row]) -> Result<Option<String>> {
    let last = page.last().filter(|_| page.len() == PAGE_ROWS);
    last.map(|row| Ok(row.text("user_id")?.to_owned())).transpose()
}
