//! A commit on SQLite: load and fold without a lock, then swap and write in one short transaction.
//!
//! SQLite has one writer, so the transaction is what everybody else waits for; it holds nothing but the swap
//! and the writes. Loading before it is safe: only a commit changes what was loaded, and the swap fails if there
//! was one. Rows go in as parameters of many-row statements, since text would not carry a float's 8 bytes.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use sqlx::query_builder::Separated;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite};

use super::{POSTS, SqliteStore, json};
use crate::database::schema::{self, SCHEMA_VERSION};
use crate::entry::Batch;
use crate::error::Result;
use crate::faults::{self, Mistake};
use crate::merge::bulk::BulkDecision;
use crate::merge::{Key, Loaded, Merged, retried, touched};
use crate::model::PostId;
use crate::model::post::Post;
use crate::store::questions;
use crate::store::review::{self, AUDIT, EXCLUSIONS, HELD, HeldRow, Swept};
use crate::store::rows::{
    self, AVERAGES, HISTORY, PostStateRow, QUARANTINE, RANKING, RATINGS, RatingRow, ReviewRows, Sink, Table,
    WITHDRAWALS,
};
use crate::store::{AsOf, BULK_ROWS, BulkFn, MergeFn, Review, ShardState};

/// Rows that one statement writes: so few different statements are prepared once and kept, whatever a batch holds.
/// (SQLite allows 32,766 parameters.)
const ROWS_AT_ONCE: [usize; 3] = [256, 16, 1];

const LOAD_RATINGS: &str = "select r.* from json_each($1) k cross join ratings r
     on r.post_id = k.value ->> 0 and r.user_id = k.value ->> 1";
const LOAD_WITHDRAWALS: &str = "select w.post_id, w.user_id, w.position from json_each($1) k
     cross join withdrawals w on w.post_id = k.value ->> 0 and w.user_id = k.value ->> 1";

const LOAD_HELD: &str = "select h.* from json_each($1) k
     cross join held h on h.post_id = k.value ->> 0 and h.user_id = k.value ->> 1";
const LOAD_EXCLUSIONS: &str =
    "select e.* from json_each($1) k cross join exclusions e on e.post_id = k.value where e.undone = 0";

impl SqliteStore {
    pub(super) async fn commit_batch(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        merge: &MergeFn<'_>,
    ) -> Result<Option<Merged>> {
        let merged = merge(self.load(batch).await?);
        faults::reach("commit.loaded");
        let mut writing = self.file.begin().await?;
        let began = Instant::now();
        let counts = (merged.applied, merged.quarantined.len() as u64);
        if !swap(writing.connection()?, batch, seen, counts).await? {
            writing.roll_back().await?;
            return Ok(None);
        }
        if faults::has(Mistake::CheckpointOutside) {
            writing.commit().await?;
            writing = self.file.begin().await?;
        }
        faults::reach("commit.swapped");
        write(writing.connection()?, batch, &merged, as_of).await?;
        faults::reach("commit.written");
        writing.commit().await?;
        self.learn_pace(batch.lines.len(), began.elapsed());
        Ok(Some(merged))
    }

    /// The writer is taken for as long as the post has ratings to be walked through.
    pub(super) async fn bulk_batch(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        begin: &BulkFn<'_>,
    ) -> Result<Option<Merged>> {
        let Some((line, entry)) = batch.bulk() else { return Ok(None) };
        let post = &entry.post;
        let loaded = self.load_posts(&[post.as_str()]).await?;
        let begun = begin(line, rows::loaded_post(loaded)?, self.exclusions(post).await?);
        faults::reach("bulk.begun");
        let mut writing = self.file.begin().await?;
        let quarantined = begun.as_ref().err().map_or(0, |merged| merged.quarantined.len() as u64);
        if !swap(writing.connection()?, batch, seen, (1 - quarantined, quarantined)).await? {
            writing.roll_back().await?;
            return Ok(None);
        }
        let merged = match begun {
            Ok(sweep) => walk(writing.connection()?, post, sweep).await?,
            Err(merged) => *merged,
        };
        faults::reach("bulk.walked");
        write(writing.connection()?, batch, &merged, as_of).await?;
        writing.commit().await?;
        Ok(Some(merged))
    }

    async fn load_posts(&self, posts: &[&str]) -> Result<Vec<PostStateRow>> {
        let found = sqlx::query_as(AssertSqlSafe(POSTS.as_str())).bind(json(&posts)?);
        Ok(found.fetch_all(self.file.readers()).await?)
    }

    async fn load(&self, batch: &Batch) -> Result<Loaded> {
        let keys = touched(batch);
        let mut posts: Vec<&str> = keys.iter().map(|(post, _)| post.as_str()).collect();
        posts.dedup();
        let averages = self.load_posts(&posts).await?;
        let ratings: Vec<RatingRow> =
            sqlx::query_as(LOAD_RATINGS).bind(pairs(&keys)?).fetch_all(self.file.readers()).await?;
        let (mut review, retried) = (ReviewRows::default(), retried(batch));
        if !retried.is_empty() {
            review.withdrawals = sqlx::query_as(LOAD_WITHDRAWALS)
                .bind(pairs(&retried)?)
                .fetch_all(self.file.readers())
                .await?;
            let posts: BTreeSet<&str> = retried.iter().map(|(post, _)| post.as_str()).collect();
            review.exclusions =
                sqlx::query_as(LOAD_EXCLUSIONS).bind(json(&posts)?).fetch_all(self.file.readers()).await?;
        }
        let reviewed: HashSet<&str> = averages.iter().filter_map(PostStateRow::under_review).collect();
        if !reviewed.is_empty() {
            let keys: Vec<Key> =
                keys.iter().filter(|(post, _)| reviewed.contains(post.as_str())).cloned().collect();
            review.held =
                sqlx::query_as(LOAD_HELD).bind(pairs(&keys)?).fetch_all(self.file.readers()).await?;
        }
        rows::loaded(averages, ratings, review)
    }
}

/// Keys as SQLite takes a list of them.
fn pairs(keys: &[Key]) -> Result<String> {
    json(&keys.iter().map(|(post, user)| [post.as_str(), user.as_str()]).collect::<Vec<_>>())
}

/// Hands what a post has to `sweep`, and writes back what changes.
async fn walk(writer: &mut SqliteConnection, post: &PostId, mut sweep: BulkDecision) -> Result<Merged> {
    if sweep.takes_ratings() {
        walk_ratings(writer, post, &mut sweep).await?;
    }
    if sweep.takes_held() {
        walk_held(writer, post, &mut sweep).await?;
    }
    Ok(sweep.finish())
}

/// Held ratings, with those that their users have beside them, a page at a time.
async fn walk_held(writer: &mut SqliteConnection, post: &PostId, sweep: &mut BulkDecision) -> Result<()> {
    let mut after = String::new();
    loop {
        let page: Vec<HeldRow> = match sweep.only_user() {
            Some(user) => {
                let one = sqlx::query_as(review::HELD_ONE).bind(post.as_str()).bind(user.as_str());
                one.fetch_all(&mut *writer).await?
            }
            None => {
                let page = sqlx::query_as(review::HELD_PAGE_OF).bind(post.as_str()).bind(&after);
                page.bind(BULK_ROWS as i64).bind(1).fetch_all(&mut *writer).await?
            }
        };
        let keys = page.iter().map(|row| [row.post_id.as_str(), row.user_id.as_str()]);
        let keys = json(&keys.collect::<Vec<_>>())?;
        let beside: Vec<RatingRow> = sqlx::query_as(LOAD_RATINGS).bind(keys).fetch_all(&mut *writer).await?;
        let Swept { ratings, held, unheld, marks } = review::visit_held(&page, &beside, sweep)?;
        insert(writer, &RATINGS, &ratings, |row, (key, rating)| rows::write_rating(row, key, rating)).await?;
        insert(writer, &HELD, &held, |row, held| review::write_held(row, held)).await?;
        unhold(writer, &unheld).await?;
        insert(writer, &WITHDRAWALS, &marks, |row, mark| rows::write_withdrawal(row, mark)).await?;
        faults::reach("bulk.paged");
        match page.last() {
            Some(last) if page.len() == BULK_ROWS => after.clone_from(&last.user_id),
            _ => return Ok(()),
        }
    }
}

/// Hands a post's ratings to `sweep`, a page at a time, and writes back those that change.
async fn walk_ratings(writer: &mut SqliteConnection, post: &PostId, sweep: &mut BulkDecision) -> Result<()> {
    let mut after = String::new();
    loop {
        let page: Vec<RatingRow> = sqlx::query_as(review::RATINGS_PAGE)
            .bind(post.as_str())
            .bind(&after)
            .bind(BULK_ROWS as i64)
            .fetch_all(&mut *writer)
            .await?;
        let changed = review::visit(&page, sweep)?;
        insert(writer, &RATINGS, &changed, |row, (key, rating)| rows::write_rating(row, key, rating)).await?;
        faults::reach("bulk.paged");
        match page.last() {
            Some(last) if page.len() == BULK_ROWS => after.clone_from(&last.user_id),
            _ => return Ok(()),
        }
    }
}

async fn swap(
    writer: &mut SqliteConnection,
    batch: &Batch,
    seen: &ShardState,
    (applied, quarantined): (u64, u64),
) -> Result<bool> {
    let moved = sqlx::query(questions::SWAP)
        .bind(batch.shard.0 as i16)
        .bind(seen.checkpoint.position.to_bytes().as_slice())
        .bind(batch.to.to_bytes().as_slice())
        .bind(rows::signed(applied))
        .bind(rows::signed(quarantined))
        .bind(rows::signed(seen.log.appends))
        .bind(seen.log.last.to_bytes().as_slice())
        .bind(SCHEMA_VERSION)
        .bind(seen.checkpoint.accepted_base)
        .bind(rows::signed(seen.checkpoint.lost))
        .execute(&mut *writer)
        .await?;
    if moved.rows_affected() == 1 {
        return Ok(true);
    }
    let (version,): (i64,) = sqlx::query_as(questions::SCHEMA).fetch_one(writer).await?;
    schema::check(version)?;
    Ok(false)
}

/// Adds those of the posts that are not there yet; returns how many.
pub(super) async fn add_posts(writer: &mut SqliteConnection, posts: &[Post]) -> Result<u64> {
    let done = sqlx::query(
        "insert into posts (id, title, content, created_by, created_at, revision)
         select value ->> 'id', value ->> 'title', value ->> 'content', value ->> 'created_by',
                value ->> 'created_at', value ->> 'revision'
         from json_each($1) where true on conflict do nothing",
    )
    .bind(json(&posts.iter().map(post_json).collect::<Vec<_>>())?)
    .execute(&mut *writer)
    .await?;
    sqlx::query(
        "insert into ranking (post_id, smoothed, as_of, moving)
         select value, -1, 0, 0 from json_each($1) where true on conflict do nothing",
    )
    .bind(json(&posts.iter().map(|post| post.id.as_str()).collect::<Vec<_>>())?)
    .execute(writer)
    .await?;
    Ok(done.rows_affected())
}

/// A post as one element of a list, with times as numbers.
fn post_json(post: &Post) -> serde_json::Value {
    serde_json::json!({
        "id": post.id, "title": post.title, "content": post.content, "created_by": post.created_by,
        "created_at": post.created_at.ms(), "revision": post.revision,
    })
}

async fn write(writer: &mut SqliteConnection, batch: &Batch, merged: &Merged, as_of: AsOf<'_>) -> Result<()> {
    sqlx::query(questions::KEEP_CHANGES)
        .bind(batch.shard.0 as i16)
        .bind(batch.to.to_bytes().as_slice())
        .bind(batch.from.to_bytes().as_slice())
        .bind(questions::changed_text(merged))
        .execute(&mut *writer)
        .await?;
    if !merged.created.is_empty() {
        add_posts(writer, &merged.created).await?;
    }
    if !merged.withdrawn.is_empty() {
        let pairs: Vec<[&str; 2]> =
            merged.withdrawn.iter().map(|((post, user), _)| [post.as_str(), user.as_str()]).collect();
        sqlx::query(WITHDRAW).bind(json(&pairs)?).execute(&mut *writer).await?;
        insert(writer, &WITHDRAWALS, &merged.withdrawn, |row, withdrawn| {
            rows::write_withdrawal(row, withdrawn)
        })
        .await?;
    }
    insert(writer, &RATINGS, &merged.ratings, |row, (key, rating)| rows::write_rating(row, key, rating))
        .await?;
    faults::reach("commit.upserted");
    insert(writer, &AVERAGES, &merged.averages, |row, merged| rows::write_average(row, merged)).await?;
    insert(writer, &HISTORY, &merged.history, |row, hour| rows::write_hour(row, hour)).await?;
    insert(writer, &RANKING, &merged.averages, |row, merged| {
        rows::write_ranking(row, &merged.post, &merged.after, as_of);
    })
    .await?;
    for (post, standing) in &merged.standings {
        let (frozen, excluded, hold, held) = review::standing_values(standing);
        sqlx::query(review::SET_STANDING)
            .bind(post.as_str())
            .bind(frozen)
            .bind(excluded)
            .bind(hold)
            .bind(held)
            .execute(&mut *writer)
            .await?;
    }
    insert(writer, &HELD, &merged.held, |row, held| review::write_held(row, held)).await?;
    unhold(writer, &merged.unheld).await?;
    insert(writer, &EXCLUSIONS, &merged.exclusions, |row, exclusion| review::write_exclusion(row, exclusion))
        .await?;
    insert(writer, &AUDIT, &merged.decided, |row, decided| {
        review::write_decided(row, batch.shard.0 as i16, decided);
    })
    .await?;
    insert(writer, &QUARANTINE, &merged.quarantined, |row, entry| {
        rows::write_quarantined(row, batch.shard.0 as i16, entry);
    })
    .await
}

const WITHDRAW: &str =
    "delete from ratings where (post_id, user_id) in (select value ->> 0, value ->> 1 from json_each($1))";
const UNHOLD: &str =
    "delete from held where (post_id, user_id) in (select value ->> 0, value ->> 1 from json_each($1))";

/// Held ratings are held no more.
async fn unhold(writer: &mut SqliteConnection, keys: &[Key]) -> Result<()> {
    if !keys.is_empty() {
        sqlx::query(UNHOLD).bind(pairs(keys)?).execute(writer).await?;
    }
    Ok(())
}

/// Writes `rows` into `table`, many a statement.
pub(super) async fn insert<T>(
    writer: &mut SqliteConnection,
    table: &Table,
    rows: &[T],
    write: impl Fn(&mut dyn Sink, &T),
) -> Result<()> {
    let mut rest = rows;
    while let Some(count) = ROWS_AT_ONCE.into_iter().find(|&count| count <= rest.len()) {
        let chunk;
        (chunk, rest) = rest.split_at(count);
        let mut statement =
            QueryBuilder::<Sqlite>::new(format!("insert into {} ({}) ", table.name, table.columns()));
        statement.push_values(chunk, |values, row| write(&mut ParameterRow(values), row));
        statement.push(table.on_conflict());
        statement.build().persistent(true).execute(&mut *writer).await?;
    }
    Ok(())
}

/// Takes the parameters of one row.
pub(super) struct ParameterRow<'a>(Separated<'a, Sqlite, &'static str>);

impl Sink for ParameterRow<'_> {
    fn text(&mut self, value: &str) {
        self.0.push_bind(value.to_owned());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.0.push_bind(value.to_vec());
    }

    fn small(&mut self, value: i16) {
        self.0.push_bind(value);
    }

    fn int(&mut self, value: Option<i64>) {
        self.0.push_bind(value);
    }

    fn float(&mut self, value: f64) {
        self.0.push_bind(value);
    }
}

/// A page of post ids as SQLite takes a list.
pub(super) fn ids(posts: &[PostId]) -> Result<String> {
    json(&posts.iter().map(PostId::as_str).collect::<Vec<_>>())
}
