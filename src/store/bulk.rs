//! The commit of a decision that may touch any number of ratings. It is the batch's only line, and is merged in steps:
//! each visits some pages of the post's ratings and commits what they become, with how far the decision has come.
//!
//! So no transaction is long, whatever the post's size, and a drain that is killed loses one step. The post's average and
//! standing change with the last step alone, which moves the checkpoint: until then readers see nothing of the decision,
//! and no later entry of the shard is merged. A decision that fits into one step is one ordinary commit.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::checkpoints::{Swap, swap};
use super::commit::write_rows;
use super::held::{HELD, held};
use super::prelude::*;
use super::ratings::{PAGE_OF_POST, RATINGS, key, of_keys, rating};
use super::{ShardState, next_after};
use crate::database::row::corrupt;
use crate::entry::{Entry, Line};
use crate::faults;
use crate::merge::bulk::{BulkDecision, HeldFate, Walked};
use crate::smoothing::Average;

/// Ratings that a decision visits at once, and about as many change in a step.
const PAGE_ROWS: usize = 5_000;
/// Pages of a step, also when hardly any of their ratings change: a drain that is stopped leaves soon.
const PAGES_MAX: usize = 20;

/// A decision under way, as the checkpoint of its shard keeps it.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    position: Position,
    /// Its entry: a log may come back without it, and half a decision must not stay.
    entry: String,
    next: NextPage,
    progress: Walked,
}

/// The page that a decision visits next.
#[derive(Default, Serialize, Deserialize)]
struct NextPage {
    /// Whether it is one of held ratings, which come last.
    is_held: bool,
    /// The last user before it.
    after: String,
}

impl NextPage {
    /// The first page of held ratings.
    const FIRST_HELD: Self = Self { is_held: true, after: String::new() };
}

impl Store {
    /// Merges a step of a decision that has begun with what [`load`](Store::load) found. Returns its result if that was
    /// the last step; nothing when more are to come, or when another drain moved the checkpoint first.
    pub async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        mut decision: BulkDecision,
        as_of: AsOf<'_>,
    ) -> Result<Option<Merged>> {
        let Some((line, entry)) = batch.bulk() else { return Ok(None) };
        let mut next = match (decision.takes_ratings(), decision.takes_held()) {
            (true, _) => Some(NextPage::default()),
            (false, true) => Some(NextPage::FIRST_HELD),
            (false, false) => None,
        };
        if seen.checkpoint.step > 0 {
            let Some(under_way) = self.read_under_way(batch.shard, seen.checkpoint.step).await? else {
                return Ok(None);
            };
            decision.resume(under_way.progress);
            next = Some(under_way.next);
        }
        let rows_max = PAGE_ROWS.min(self.paced(&self.bulk_pace));
        let (mut changes, mut pages) = (Merged::default(), 0);
        while let Some(place) = next.take_if(|_| changes.rows() < rows_max && pages < PAGES_MAX) {
            pages += 1;
            next = self.visit(&entry.post, place, rows_max, &mut decision, &mut changes).await?;
            faults::reach("bulk.paged");
        }
        let Some(next) = next else {
            let walked = decision.finish();
            faults::reach("bulk.walked");
            let Merged { ratings, held, unheld, withdrawn, .. } = changes;
            let merged = Merged { ratings, held, unheld, withdrawn, ..walked };
            return Ok(self.commit(batch, seen, &merged, as_of).await?.then_some(merged));
        };
        let (position, progress) = (line.position, decision.progress());
        let under_way = UnderWay { position, entry: entry.encode(), next, progress };
        let so_far = serde_json::to_string(&under_way).map_err(|e| Error::Internal(e.to_string()))?;
        let mut transaction = self.database.begin(Patience::Commit).await?;
        let began = Instant::now();
        if !swap(&mut transaction, batch, seen, Swap::Step(&so_far)).await? {
            transaction.roll_back().await?;
            return Ok(None);
        }
        write_rows(&mut transaction, &changes).await?;
        faults::reach("bulk.written");
        transaction.commit().await?;
        faults::reach("bulk.stepped");
        self.bulk_pace.learn(changes.rows(), began.elapsed());
        Ok(None)
    }

    /// The decision under way in a shard, as a batch; nothing when there is none.
    pub async fn under_way(&self, shard: Shard) -> Result<Option<Batch>> {
        let sql = "select position, under_way from checkpoints where shard = $1 and step > 0";
        let Some(row) = self.database.ask_optional(Patience::Commit, sql, values![shard]).await? else {
            return Ok(None);
        };
        let UnderWay { position, entry, .. } = under_way(&row)?;
        let line = Line { position, entry: Entry::decode(entry.as_bytes()) };
        Ok(Batch::of(shard, row.position("position")?, vec![line]))
    }

    async fn read_under_way(&self, shard: Shard, step: u64) -> Result<Option<UnderWay>> {
        let sql = "select under_way from checkpoints where shard = $1 and step = $2";
        let found = self.database.ask_optional(Patience::Commit, sql, values![shard, step]).await?;
        found.as_ref().map(under_way).transpose()
    }

    /// Passes a page of a post's ratings, or held ratings, to `decision`, and adds those that change to `changes`. Returns
    /// the next page's place. Nothing is locked: only a commit changes what is read here, and then the swap fails.
    async fn visit(
        &self,
        post: &PostId,
        place: NextPage,
        rows_max: usize,
        decision: &mut BulkDecision,
        changes: &mut Merged,
    ) -> Result<Option<NextPage>> {
        let NextPage { is_held, after } = place;
        let table = if is_held { &HELD } else { &RATINGS };
        let only = decision.only_user().cloned();
        let page = match &only {
            Some(user) => {
                let sql = table.select("where post_id = $1 and user_id = $2");
                self.database.ask(Patience::Commit, &sql, values![post, user]).await?
            }
            None => {
                let sql = table.select(PAGE_OF_POST);
                self.database.ask(Patience::Commit, &sql, values![post, &after, rows_max]).await?
            }
        };
        if is_held {
            self.visit_held(&page, decision, changes).await?;
        } else {
            for row in &page {
                if let Some(rating) = decision.visit(&rating(row)?) {
                    changes.ratings.push((key(row)?, rating));
                }
            }
        }
        let next = next_after(&page, rows_max, "user_id")?.filter(|_| only.is_none());
        Ok(match next {
            Some(after) => Some(NextPage { is_held, after }),
            None if !is_held && decision.takes_held() => Some(NextPage::FIRST_HELD),
            None => None,
        })
    }

    /// Passes held ratings to `decision`, each with the other rating of its user.
    async fn visit_held(
        &self,
        page: &[Row],
        decision: &mut BulkDecision,
        changes: &mut Merged,
    ) -> Result<()> {
        let keys = page.iter().map(key).collect::<Result<Vec<Key>>>()?;
        let asked = values![keys.as_slice()];
        let found = self.database.ask(Patience::Commit, &of_keys(&RATINGS, "r"), asked).await?;
        let with_user = |row: &Row| Ok((row.user_id("user_id")?, rating(row)?));
        let beside = found.iter().map(with_user).collect::<Result<HashMap<_, _>>>()?;
        for (row, key) in page.iter().zip(keys) {
            let found = held(row)?;
            match decision.visit_held(&key.1, &found, beside.get(&key.1)) {
                HeldFate::Stays => {}
                HeldFate::Becomes(held) => changes.held.push((key, held)),
                HeldFate::Goes(withdrawal) => {
                    changes.withdrawn.push((key.clone(), withdrawal));
                    changes.unheld.push(key);
                }
                HeldFate::Counts(rating) => {
                    changes.ratings.push((key.clone(), rating));
                    changes.unheld.push(key);
                }
            }
        }
        Ok(())
    }
}

fn under_way(row: &Row) -> Result<UnderWay> {
    let text = row.text("under_way")?;
    serde_json::from_str(text).map_err(|_| corrupt("a decision under way", text))
}

/// The averages that the ratings' rows give where a decision is under way: those that readers see are older.
pub(super) async fn averages_under_way(transaction: &mut Transaction) -> Result<BTreeMap<PostId, Average>> {
    let found = transaction.ask("select under_way from checkpoints where step > 0", values![]).await?;
    let average = |row: &Row| {
        let UnderWay { entry, progress, .. } = under_way(row)?;
        let entry = Entry::decode(entry.as_bytes()).map_err(|bad| corrupt("an entry", &bad.reason))?;
        Ok((entry.post, progress.post.average))
    };
    found.iter().map(average).collect()
}
