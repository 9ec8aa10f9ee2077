//! A commit on Postgres: rows into temporary tables, compare-and-swap, set-based SQL.
//!
//! The swap's row lock is what two drains of one shard meet at, so it comes late: everything is loaded, folded
//! and brought over first, holding no shared lock (no server time-out ends a COPY whose client was stopped).
//! Loading before the swap is safe: only a commit changes what was loaded, and the swap fails if there was one.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::columns::insert;
use super::copy::copy_in;
use super::{POSTS, PostgresStore};
use crate::database::schema::{self, SCHEMA_VERSION};
use crate::entry::Batch;
use crate::error::Result;
use crate::faults::{self, Mistake};
use crate::merge::bulk::BulkDecision;
use crate::merge::{Key, Loaded, Merged, retried, touched};
use crate::model::post::Post;
use crate::model::{PostId, UserId};
use crate::store::questions;
use crate::store::review::{self, AUDIT, EXCLUSIONS, ExclusionRow, HELD, HeldRow, Swept};
use crate::store::rows::{
    self, AVERAGES, HISTORY, PostStateRow, QUARANTINE, RANKING, RATINGS, RatingRow, ReviewRows, Sink, Table,
    WITHDRAWALS,
};
use crate::store::{AsOf, BULK_ROWS, BulkFn, MergeFn, ShardState};

/// The temporary tables of a drain's connection; empty again after each transaction.
pub const TEMPORARY_TABLES: &str = r#"
    create temporary table batch_ratings (like ratings) on commit delete rows;
    create temporary table batch_averages (like averages) on commit delete rows;
    create temporary table batch_history (like history) on commit delete rows;
    create temporary table batch_ranking (like ranking) on commit delete rows;
"#;

/// From so many rows on COPY is faster than arrays, in spite of its wait (see [`columns`](super::columns)).
const COPY_ROWS_MIN: usize = 5_000;

const LOAD_RATINGS: &str = "select r.* from unnest($1::text[], $2::text[]) k (post_id, user_id)
     join ratings r on r.post_id = k.post_id collate \"C\" and r.user_id = k.user_id collate \"C\"";
const LOAD_WITHDRAWALS: &str = "select w.post_id, w.user_id, w.position
     from unnest($1::text[], $2::text[]) k (post_id, user_id)
     join withdrawals w on w.post_id = k.post_id collate \"C\" and w.user_id = k.user_id collate \"C\"";

const LOAD_HELD: &str = "select h.* from unnest($1::text[], $2::text[]) k (post_id, user_id)
     join held h on h.post_id = k.post_id collate \"C\" and h.user_id = k.user_id collate \"C\"";
const LOAD_EXCLUSIONS: &str = "select * from exclusions where post_id = any($1) and undone = 0";

impl PostgresStore {
    pub(super) async fn commit_batch(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        merge: &MergeFn<'_>,
    ) -> Result<Option<Merged>> {
        let mut connection = self.drain_pool().acquire().await?;
        let mut transaction = connection.begin().await?;
        let loaded = load(&mut transaction, batch).await?;
        faults::reach("commit.loaded");
        let merged = merge(loaded);
        bring(&mut transaction, &merged, as_of).await?;
        faults::reach("commit.brought");
        let counts = (merged.applied, merged.quarantined.len() as u64);
        let has_moved = if faults::has(Mistake::CheckpointOutside) {
            swap(&mut *self.read_pool().acquire().await?, batch, seen, counts).await?
        } else {
            swap(&mut transaction, batch, seen, counts).await?
        };
        if !has_moved {
            transaction.rollback().await?;
            return Ok(None);
        }
        faults::reach("commit.swapped");
        write(&mut transaction, batch, &merged).await?;
        faults::reach("commit.written");
        transaction.commit().await?;
        Ok(Some(merged))
    }
}

impl PostgresStore {
    /// The swap comes first: another drain of the shard that is at the same decision waits, or gives up for now, rather
    /// than doing it twice.
    pub(super) async fn bulk_batch(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        begin: &BulkFn<'_>,
    ) -> Result<Option<Merged>> {
        let Some((line, entry)) = batch.bulk() else { return Ok(None) };
        let post = &entry.post;
        let mut connection = self.drain_pool().acquire().await?;
        let mut transaction = connection.begin().await?;
        let loaded: Vec<PostStateRow> = sqlx::query_as(AssertSqlSafe(POSTS.as_str()))
            .bind(vec![post.as_str()])
            .fetch_all(&mut *transaction)
            .await?;
        let exclusions: Vec<ExclusionRow> =
            sqlx::query_as(review::EXCLUSIONS_OF).bind(post.as_str()).fetch_all(&mut *transaction).await?;
        let exclusions = exclusions.into_iter().map(ExclusionRow::exclusion).collect::<Result<Vec<_>>>()?;
        let begun = begin(line, rows::loaded_post(loaded)?, exclusions);
        faults::reach("bulk.begun");
        let quarantined = begun.as_ref().err().map_or(0, |merged| merged.quarantined.len() as u64);
        if !swap(&mut transaction, batch, seen, (1 - quarantined, quarantined)).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        let merged = match begun {
            Ok(sweep) => walk(&mut transaction, post, sweep).await?,
            Err(merged) => *merged,
        };
        faults::reach("bulk.walked");
        bring(&mut transaction, &merged, as_of).await?;
        write(&mut transaction, batch, &merged).await?;
        transaction.commit().await?;
        Ok(Some(merged))
    }
}

/// Hands what a post has to `sweep`, and writes back what changes.
async fn walk(connection: &mut PgConnection, post: &PostId, mut sweep: BulkDecision) -> Result<Merged> {
    if sweep.takes_ratings() {
        walk_ratings(connection, post, &mut sweep).await?;
    }
    if sweep.takes_held() {
        walk_held(connection, post, &mut sweep).await?;
    }
    Ok(sweep.finish())
}

/// Held ratings, with those that their users have beside them, a page at a time.
async fn walk_held(connection: &mut PgConnection, post: &PostId, sweep: &mut BulkDecision) -> Result<()> {
    let mut after = String::new();
    loop {
        let page: Vec<HeldRow> = match sweep.only_user() {
            Some(user) => {
                let one = sqlx::query_as(review::HELD_ONE).bind(post.as_str()).bind(user.as_str());
                one.fetch_all(&mut *connection).await?
            }
            None => {
                let page = sqlx::query_as(review::HELD_PAGE_OF).bind(post.as_str()).bind(&after);
                page.bind(BULK_ROWS as i64).bind(1).fetch_all(&mut *connection).await?
            }
        };
        let (posts, users): (Vec<&str>, Vec<&str>) =
            page.iter().map(|row| (row.post_id.as_str(), row.user_id.as_str())).unzip();
        let beside: Vec<RatingRow> =
            sqlx::query_as(LOAD_RATINGS).bind(posts).bind(users).fetch_all(&mut *connection).await?;
        let Swept { ratings, held, unheld, marks } = review::visit_held(&page, &beside, sweep)?;
        insert_into(connection, &RATINGS, &ratings, |row, (key, rating)| {
            rows::write_rating(row, key, rating)
        })
        .await?;
        insert_into(connection, &HELD, &held, review::write_held).await?;
        unhold(connection, &unheld).await?;
        insert_into(connection, &WITHDRAWALS, &marks, rows::write_withdrawal).await?;
        faults::reach("bulk.paged");
        match page.last() {
            Some(last) if page.len() == BULK_ROWS => after.clone_from(&last.user_id),
            _ => return Ok(()),
        }
    }
}

/// Hands a post's ratings to `sweep`, a page at a time, and writes back those that change.
async fn walk_ratings(connection: &mut PgConnection, post: &PostId, sweep: &mut BulkDecision) -> Result<()> {
    let mut after = String::new();
    loop {
        let page: Vec<RatingRow> = sqlx::query_as(review::RATINGS_PAGE)
            .bind(post.as_str())
            .bind(&after)
            .bind(BULK_ROWS as i64)
            .fetch_all(&mut *connection)
            .await?;
        let changed = review::visit(&page, sweep)?;
        insert_into(connection, &RATINGS, &changed, |row, (key, rating)| {
            rows::write_rating(row, key, rating)
        })
        .await?;
        faults::reach("bulk.paged");
        match page.last() {
            Some(last) if page.len() == BULK_ROWS => after.clone_from(&last.user_id),
            _ => return Ok(()),
        }
    }
}

async fn load(connection: &mut PgConnection, batch: &Batch) -> Result<Loaded> {
    let keys = touched(batch);
    let (mut posts, users) = columns_of(&keys);
    let ratings: Vec<RatingRow> =
        sqlx::query_as(LOAD_RATINGS).bind(&posts).bind(users).fetch_all(&mut *connection).await?;
    posts.dedup();
    let averages: Vec<PostStateRow> =
        sqlx::query_as(AssertSqlSafe(POSTS.as_str())).bind(posts).fetch_all(&mut *connection).await?;
    let (mut review, retried) = (ReviewRows::default(), retried(batch));
    if !retried.is_empty() {
        let (posts, users) = columns_of(&retried);
        review.withdrawals =
            sqlx::query_as(LOAD_WITHDRAWALS).bind(&posts).bind(users).fetch_all(&mut *connection).await?;
        review.exclusions = sqlx::query_as(LOAD_EXCLUSIONS).bind(posts).fetch_all(&mut *connection).await?;
    }
    let reviewed: HashSet<&str> = averages.iter().filter_map(PostStateRow::under_review).collect();
    if !reviewed.is_empty() {
        let (posts, users): (Vec<&str>, Vec<&str>) = keys
            .iter()
            .filter(|(post, _)| reviewed.contains(post.as_str()))
            .map(|(post, user)| (post.as_str(), user.as_str()))
            .unzip();
        review.held = sqlx::query_as(LOAD_HELD).bind(posts).bind(users).fetch_all(connection).await?;
    }
    rows::loaded(averages, ratings, review)
}

fn columns_of(keys: &[Key]) -> (Vec<&str>, Vec<&str>) {
    keys.iter().map(|(post, user)| (post.as_str(), user.as_str())).unzip()
}

/// Brings what the batch changes into the temporary tables.
async fn bring(connection: &mut PgConnection, merged: &Merged, as_of: AsOf<'_>) -> Result<()> {
    bring_rows(connection, &RATINGS, &merged.ratings, |row, (key, rating)| {
        rows::write_rating(row, key, rating);
    })
    .await?;
    bring_rows(connection, &AVERAGES, &merged.averages, rows::write_average).await?;
    bring_rows(connection, &HISTORY, &merged.history, rows::write_hour).await?;
    bring_rows(connection, &RANKING, &merged.averages, |row, merged| {
        rows::write_ranking(row, &merged.post, &merged.after, as_of);
    })
    .await
}

async fn bring_rows<T>(
    connection: &mut PgConnection,
    table: &Table,
    rows: &[T],
    write: impl Fn(&mut dyn Sink, &T),
) -> Result<()> {
    let (name, columns) = (format!("batch_{}", table.name), table.columns());
    if rows.len() < COPY_ROWS_MIN {
        insert(connection, (&name, &columns, ""), rows, write).await
    } else {
        copy_in(connection, (&name, &columns, table.width()), rows, write).await
    }
}

async fn swap(
    connection: &mut PgConnection,
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
        .execute(&mut *connection)
        .await?;
    if moved.rows_affected() == 1 {
        return Ok(true);
    }
    let (version,): (i64,) = sqlx::query_as(questions::SCHEMA).fetch_one(connection).await?;
    schema::check(version)?;
    Ok(false)
}

/// Adds those of the posts that are not there yet; returns how many.
pub(super) async fn add_posts(connection: &mut PgConnection, posts: &[Post]) -> Result<u64> {
    let column = |of: fn(&Post) -> Option<&str>| posts.iter().map(of).collect::<Vec<Option<&str>>>();
    let done = sqlx::query(
        "with new as (
             insert into posts (id, title, content, created_by, created_at, revision)
             select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
             on conflict do nothing returning id
         )
         insert into ranking (post_id, smoothed, as_of, moving) select id, -1, 0, 0 from new",
    )
    .bind(column(|post| Some(post.id.as_str())))
    .bind(column(|post| Some(&post.title)))
    .bind(column(|post| post.content.as_deref()))
    .bind(column(|post| post.created_by.as_ref().map(UserId::as_str)))
    .bind(posts.iter().map(|post| post.created_at.ms()).collect::<Vec<_>>())
    .bind(posts.iter().map(|post| rows::signed(post.revision)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

async fn write(connection: &mut PgConnection, batch: &Batch, merged: &Merged) -> Result<()> {
    sqlx::query(questions::KEEP_CHANGES)
        .bind(batch.shard.0 as i16)
        .bind(batch.to.to_bytes().as_slice())
        .bind(batch.from.to_bytes().as_slice())
        .bind(questions::changed_text(merged))
        .execute(&mut *connection)
        .await?;
    if !merged.created.is_empty() {
        add_posts(connection, &merged.created).await?;
    }
    if !merged.withdrawn.is_empty() {
        let (posts, users): (Vec<&str>, Vec<&str>) =
            merged.withdrawn.iter().map(|((post, user), _)| (post.as_str(), user.as_str())).unzip();
        sqlx::query(WITHDRAW).bind(posts).bind(users).execute(&mut *connection).await?;
        insert_into(connection, &WITHDRAWALS, &merged.withdrawn, rows::write_withdrawal).await?;
    }
    for upsert in UPSERTS.iter() {
        sqlx::query(AssertSqlSafe(upsert.as_str())).execute(&mut *connection).await?;
        faults::reach("commit.upserted");
    }
    for (post, standing) in &merged.standings {
        let (frozen, excluded, hold, held) = review::standing_values(standing);
        sqlx::query(review::SET_STANDING)
            .bind(post.as_str())
            .bind(frozen)
            .bind(excluded)
            .bind(hold)
            .bind(held)
            .execute(&mut *connection)
            .await?;
    }
    insert_into(connection, &HELD, &merged.held, review::write_held).await?;
    unhold(connection, &merged.unheld).await?;
    insert_into(connection, &EXCLUSIONS, &merged.exclusions, review::write_exclusion).await?;
    insert_into(connection, &AUDIT, &merged.decided, |row, decided| {
        review::write_decided(row, batch.shard.0 as i16, decided);
    })
    .await?;
    insert_into(connection, &QUARANTINE, &merged.quarantined, |row, entry| {
        rows::write_quarantined(row, batch.shard.0 as i16, entry);
    })
    .await
}

/// Writes `rows` straight into `table`: few, as a rule.
async fn insert_into<T>(
    connection: &mut PgConnection,
    table: &Table,
    rows: &[T],
    write: impl Fn(&mut dyn Sink, &T),
) -> Result<()> {
    let (columns, tail) = (table.columns(), table.on_conflict());
    insert(connection, (table.name, &columns, &tail), rows, write).await
}

/// Held ratings are held no more.
async fn unhold(connection: &mut PgConnection, keys: &[Key]) -> Result<()> {
    if !keys.is_empty() {
        let (posts, users) = columns_of(keys);
        sqlx::query(UNHOLD).bind(posts).bind(users).execute(connection).await?;
    }
    Ok(())
}

const UNHOLD: &str = "delete from held h using unnest($1::text[], $2::text[]) u (post_id, user_id)
     where h.post_id = u.post_id collate \"C\" and h.user_id = u.user_id collate \"C\"";
const WITHDRAW: &str = "delete from ratings r using unnest($1::text[], $2::text[]) w (post_id, user_id)
     where r.post_id = w.post_id collate \"C\" and r.user_id = w.user_id collate \"C\"";

/// Sorted by key: neighbours in the index are touched together, and two drains never lock in opposite orders.
static UPSERTS: LazyLock<[String; 4]> = LazyLock::new(|| {
    [&RATINGS, &AVERAGES, &HISTORY, &RANKING].map(|table| {
        let (name, columns) = (table.name, table.columns());
        format!(
            "insert into {name} ({columns}) select {columns} from batch_{name} order by {}{}",
            table.keys.join(", "),
            table.on_conflict()
        )
    })
});
