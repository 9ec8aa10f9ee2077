//! The buffer of the embedded set-up: a table of the SQLite file, one shard.
//!
//! Positions come from a counter row that the append's own transaction raises. Row ids would start again at 1 once the
//! table is empty, and fall below the checkpoint.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Buffer, Waiting};
use crate::database::Patience;
use crate::database::sqlite::{SqliteFile, Writing};
use crate::database::value::json;
use crate::entry::{Backlog, Batch, Entry, Floor, Line, Position, Shard};
use crate::error::{Error, Result};
use crate::model::{PostId, Time, UserId};

/// Other writers wait for tens of milliseconds while a transaction of so many entries runs.
const APPEND_ENTRIES_MAX: usize = 4_000;

/// The log in table `buffer`.
pub struct SqliteBuffer {
    file: Arc<SqliteFile>,
    append_timeout: Duration,
}

impl SqliteBuffer {
    /// The log of an open file.
    pub fn new(file: Arc<SqliteFile>, append_timeout: Duration) -> Self {
        Self { file, append_timeout }
    }

    /// Everything before the commit; returns the last position.
    async fn insert(&self, entries: &[Entry]) -> Result<(Writing, i64)> {
        let rows: Vec<[String; 3]> = entries
            .iter()
            .map(|entry| [entry.post.to_string(), entry.user.to_string(), entry.encode()])
            .collect();
        let rows = json(&rows)?;
        let mut writing = self.file.begin().await?;
        let count = entries.len() as i64;
        let (last,): (i64,) =
            sqlx::query_as("update buffer_head set last = last + $1, appends = appends + $1 returning last")
                .bind(count)
                .fetch_one(writing.connection()?)
                .await?;
        sqlx::query(
            "insert into buffer (position, post_id, user_id, payload)
             select $1 + 1 + key, value ->> 0, value ->> 1, cast(value ->> 2 as blob) from json_each($2)",
        )
        .bind(last - count)
        .bind(rows)
        .execute(writing.connection()?)
        .await?;
        Ok((writing, last))
    }
}

fn position(row: i64) -> Position {
    Position::new(0, row.unsigned_abs())
}

fn row_of(position: Position) -> i64 {
    i64::try_from(position.low).unwrap_or(i64::MAX)
}

#[async_trait]
impl Buffer for SqliteBuffer {
    fn append_max(&self) -> usize {
        APPEND_ENTRIES_MAX
    }

    async fn write(&self, _: Shard, entries: &[Entry]) -> Result<Vec<Position>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        // A transaction that is dropped before its commit is rolled back. A commit is awaited, however long it takes.
        let inserted = tokio::time::timeout(self.append_timeout, self.insert(entries)).await;
        let (writing, last) = inserted.unwrap_or_else(|_| {
            let ms = self.append_timeout.as_millis();
            Err(Error::Unavailable(format!("the data file was busy for {ms} ms; try again")))
        })?;
        writing.commit().await?;
        Ok((last - entries.len() as i64 + 1..=last).map(position).collect())
    }

    async fn read(&self, shard: Shard, from: Position, limit: usize) -> Result<Option<Batch>> {
        let mut reading = self.file.read(Patience::Quick).await?;
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "select position, payload from buffer where position > $1 order by position limit $2",
        )
        .bind(row_of(from))
        .bind(limit as i64)
        .fetch_all(reading.connection()?)
        .await?;
        reading.end();
        let lines = rows
            .into_iter()
            .map(|(row, payload)| Line { position: position(row), entry: Entry::decode(&payload) })
            .collect();
        Ok(Batch::of(shard, from, lines))
    }

    async fn trim(&self, _: Shard, through: Position) -> Result<()> {
        let mut writing = self.file.begin().await?;
        sqlx::query("delete from buffer where position <= $1")
            .bind(row_of(through))
            .execute(writing.connection()?)
            .await?;
        writing.commit().await
    }

    async fn backlog(&self, _: Shard, from: Position) -> Result<Backlog> {
        let mut reading = self.file.read(Patience::Quick).await?;
        // One statement is one snapshot: the counts belong together.
        let (waiting, oldest, appends, last): (i64, Option<i64>, i64, i64) = sqlx::query_as(
            "select (select count(*) from buffer where position > $1) as waiting,
                    (select held_at from buffer where position > $1 order by position limit 1) as oldest,
                    appends, last
             from buffer_head",
        )
        .bind(row_of(from))
        .fetch_one(reading.connection()?)
        .await?;
        reading.end();
        Ok(Backlog {
            waiting: waiting.unsigned_abs(),
            oldest: oldest.map(Time::from_ms),
            appends: appends.unsigned_abs(),
            last: position(last),
        })
    }

    async fn raise_floor(&self, _: Shard, floor: Floor) -> Result<()> {
        let mut writing = self.file.begin().await?;
        sqlx::query("update buffer_head set last = max(last, $1), appends = max(appends, $2)")
            .bind(row_of(floor.position))
            .bind(i64::try_from(floor.appends).unwrap_or(i64::MAX))
            .execute(writing.connection()?)
            .await?;
        writing.commit().await
    }

    async fn waiting_of(&self, keys: &[(PostId, UserId)]) -> Result<Vec<Option<Waiting>>> {
        let asked: Vec<[&str; 2]> = keys.iter().map(|(post, user)| [post.as_str(), user.as_str()]).collect();
        let mut reading = self.file.read(Patience::Quick).await?;
        let rows: Vec<(i64, i64, Vec<u8>)> = sqlx::query_as(
            "select asked.key, b.position, b.payload
             from json_each($1) asked
             cross join buffer b on b.user_id = asked.value ->> 1 and b.post_id = asked.value ->> 0
             order by b.position",
        )
        .bind(json(&asked)?)
        .fetch_all(reading.connection()?)
        .await?;
        reading.end();
        let mut found = vec![None; keys.len()];
        for (asked, row, payload) in rows {
            let slot = usize::try_from(asked).ok().and_then(|i| found.get_mut(i));
            // A retry is not what the user wants now.
            let (Ok(entry), Some(slot)) = (Entry::decode(&payload), slot) else { continue };
            if entry.origin.is_none() && entry.action.is_wish() {
                *slot = Some(Waiting { position: position(row), action: entry.action });
            }
        }
        Ok(found)
    }

    async fn describe(&self) -> Result<String> {
        Ok(format!("{} (write-ahead log, synchronous=full)", self.file.path.display()))
    }
}
