//! A commit on Postgres: COPY into temporary tables, compare-and-swap, set-based SQL.
//!
//! The swap's row lock is what two drains of one shard meet at, so it comes late: everything is loaded, folded
//! and brought over first, holding no shared lock (no server time-out ends a COPY whose client was stopped).
//! Loading before the swap is safe: only a commit changes what was loaded, and the swap fails if there was one.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::PostgresStore;
use super::copy::copy_in;
use crate::connect::schema::{SCHEMA_VERSION, newer};
use crate::entry::{Backlog, Batch};
use crate::error::Result;
use crate::merge::{Key, Loaded, Merged, touched};
use crate::store::rows::{self, AVERAGES, HISTORY, PostStateRow, QUARANTINE, RANKING, RATINGS, RatingRow, Sink, Table};
use crate::store::{AsOf, MergeFn};

/// The temporary tables of a drain's connection; empty again after each transaction.
pub const TEMPORARY_TABLES: &str = r#"
    create temporary table batch_keys (post_id text collate "C", user_id text collate "C") on commit delete rows;
    create temporary table batch_withdrawn (like batch_keys) on commit delete rows;
    create temporary table batch_ratings (like ratings) on commit delete rows;
    create temporary table batch_averages (like averages) on commit delete rows;
    create temporary table batch_history (like history) on commit delete rows;
    create temporary table batch_ranking (like ranking) on commit delete rows;
"#;

const KEYS: (&str, &str, usize) = ("batch_keys", "post_id, user_id", 2);
const WITHDRAWN: (&str, &str, usize) = ("batch_withdrawn", "post_id, user_id", 2);

static LOAD_AVERAGES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from (select distinct post_id from batch_keys) k
         join posts p on p.id = k.post_id left join averages a on a.post_id = p.id",
        rows::post_state_columns()
    )
});
const LOAD_RATINGS: &str =
    "select r.* from batch_keys k join ratings r on r.post_id = k.post_id and r.user_id = k.user_id";

impl PostgresStore {
    pub(super) async fn commit_batch(
        &self,
        batch: &Batch,
        seen: &Backlog,
        as_of: AsOf<'_>,
        merge: &MergeFn<'_>,
    ) -> Result<Option<Merged>> {
        let mut connection = self.drain_pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        let loaded = load(&mut transaction, &touched(batch)).await?;
        let merged = merge(loaded);
        bring(&mut transaction, &merged, as_of).await?;
        if !swap(&mut transaction, batch, seen, &merged).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        write(&mut transaction, batch, &merged).await?;
        transaction.commit().await?;
        Ok(Some(merged))
    }
}

async fn load(connection: &mut PgConnection, keys: &[Key]) -> Result<Loaded> {
    copy_in(connection, KEYS, keys, |row, key| write_key(row, key)).await?;
    let averages: Vec<PostStateRow> =
        sqlx::query_as(AssertSqlSafe(LOAD_AVERAGES.as_str())).fetch_all(&mut *connection).await?;
    let ratings: Vec<RatingRow> = sqlx::query_as(LOAD_RATINGS).fetch_all(&mut *connection).await?;
    let mut loaded = Loaded { averages: HashMap::new(), ratings: HashMap::with_capacity(ratings.len()) };
    for row in averages {
        let state = row.post_state()?;
        loaded.averages.insert(state.post.id, (state.average, state.version));
    }
    for row in ratings {
        loaded.ratings.insert(row.key()?, row.rating()?);
    }
    Ok(loaded)
}

fn write_key(row: &mut impl Sink, (post, user): &Key) {
    row.text(post.as_str());
    row.text(user.as_str());
}

async fn bring(connection: &mut PgConnection, merged: &Merged, as_of: AsOf<'_>) -> Result<()> {
    let batch = |table: &Table| (format!("batch_{}", table.name), table.columns(), table.width());
    let (name, columns, width) = batch(&RATINGS);
    copy_in(connection, (&name, &columns, width), &merged.ratings, |row, (key, rating)| {
        rows::write_rating(row, key, rating);
    })
    .await?;
    let (name, columns, width) = batch(&AVERAGES);
    copy_in(connection, (&name, &columns, width), &merged.averages, |row, merged| {
        rows::write_average(row, merged);
    })
    .await?;
    let (name, columns, width) = batch(&HISTORY);
    copy_in(connection, (&name, &columns, width), &merged.history, |row, hour| rows::write_hour(row, hour))
        .await?;
    let (name, columns, width) = batch(&RANKING);
    copy_in(connection, (&name, &columns, width), &merged.averages, |row, merged| {
        rows::write_ranking(row, &merged.post, &merged.after, as_of);
    })
    .await?;
    if !merged.withdrawn.is_empty() {
        copy_in(connection, WITHDRAWN, &merged.withdrawn, |row, key| write_key(row, key)).await?;
    }
    Ok(())
}

async fn swap(connection: &mut PgConnection, batch: &Batch, seen: &Backlog, merged: &Merged) -> Result<bool> {
    let moved = sqlx::query(rows::SWAP)
        .bind(batch.shard.0 as i16)
        .bind(batch.from.to_bytes().as_slice())
        .bind(batch.to.to_bytes().as_slice())
        .bind(rows::signed(merged.applied))
        .bind(rows::signed(merged.quarantined.len() as u64))
        .bind(rows::signed(seen.appends))
        .bind(seen.last.to_bytes().as_slice())
        .bind(SCHEMA_VERSION)
        .execute(&mut *connection)
        .await?;
    if moved.rows_affected() == 1 {
        return Ok(true);
    }
    let (version,): (i64,) =
        sqlx::query_as("select schema_version from installation").fetch_one(connection).await?;
    if version == SCHEMA_VERSION { Ok(false) } else { Err(newer(version)) }
}

async fn write(connection: &mut PgConnection, batch: &Batch, merged: &Merged) -> Result<()> {
    if !merged.withdrawn.is_empty() {
        let delete = "delete from ratings r using batch_withdrawn w
                      where r.post_id = w.post_id and r.user_id = w.user_id";
        sqlx::query(delete).execute(&mut *connection).await?;
    }
    for upsert in UPSERTS.iter() {
        sqlx::query(AssertSqlSafe(upsert.as_str())).execute(&mut *connection).await?;
    }
    if !merged.quarantined.is_empty() {
        let shard = batch.shard.0 as i16;
        let (columns, width) = (QUARANTINE.columns(), QUARANTINE.width());
        copy_in(connection, (QUARANTINE.name, &columns, width), &merged.quarantined, |row, entry| {
            rows::write_quarantined(row, shard, entry);
        })
        .await?;
    }
    Ok(())
}

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
