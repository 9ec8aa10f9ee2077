//! A transaction on either database. One that is dropped is rolled back.

use futures_util::TryStreamExt;
use sqlx::postgres::Postgres;
use sqlx::sqlite::{Sqlite, SqliteConnection};

use super::patience::Deadline;
use super::postgres::columns;
use super::postgres::copy::copy_in;
use super::rows::{Sink, Table};
use super::sqlite::parameters;
use super::sqlite::{SqliteFile, Writing};
use super::value::{Value, for_postgres, for_sqlite};
use super::{Database, Dialect, Patience, Row};
use crate::error::Result;

/// From so many rows on COPY is faster than arrays, in spite of its wait (see [`columns`]).
const COPY_ROWS_MIN: usize = 5_000;

/// A transaction under way.
pub struct Transaction {
    open: Open,
    database: Database,
    deadline: Deadline,
}

enum Open {
    Postgres(sqlx::Transaction<'static, Postgres>),
    /// The one writer.
    Writing(Writing),
    /// A reader, which sees the file as it was at its first question.
    Reading(sqlx::Transaction<'static, Sqlite>),
}

/// Runs `$call` with the open connection of either database, until the transaction's deadline.
macro_rules! over {
    ($transaction:expr, |$connection:ident| $postgres:expr, $sqlite:expr $(,)?) => {{
        let Transaction { open, database, deadline } = $transaction;
        database
            .until(*deadline, async {
                match open {
                    Open::Postgres($connection) => $postgres,
                    Open::Writing(writing) => {
                        let $connection = writing.connection()?;
                        $sqlite
                    }
                    Open::Reading(reading) => {
                        let $connection: &mut SqliteConnection = reading;
                        $sqlite
                    }
                }
            })
            .await
    }};
}

impl Transaction {
    pub(super) async fn on_postgres(database: &Database, patience: Patience) -> Result<Self> {
        let deadline = database.deadline(patience);
        let begun = async {
            let mut open = database.pool(patience)?.begin().await?;
            limit(&mut open, patience).await?;
            Ok(Open::Postgres(open))
        };
        Ok(Self {
            open: database.until(deadline, begun).await?,
            database: database.clone(),
            deadline: deadline.going_on(),
        })
    }

    pub(super) async fn on_sqlite(
        database: &Database,
        file: &SqliteFile,
        patience: Patience,
    ) -> Result<Self> {
        let deadline = database.deadline(patience);
        let open = Open::Writing(database.until(deadline, file.begin()).await?);
        Ok(Self { open, database: database.clone(), deadline: deadline.going_on() })
    }

    /// One that reads a single state of the database, however long it takes.
    pub(super) async fn snapshot(database: &Database) -> Result<Self> {
        let (patience, readers) = (Patience::Endless, database.readers());
        let open = match readers {
            super::Readers::Postgres(pool) => {
                let mut open = pool.begin_with("begin isolation level repeatable read, read only").await?;
                limit(&mut open, patience).await?;
                Open::Postgres(open)
            }
            super::Readers::Sqlite(pool) => Open::Reading(pool.begin().await?),
        };
        Ok(Self { open, database: database.clone(), deadline: database.deadline(patience) })
    }

    /// All rows that a question finds.
    pub async fn ask(&mut self, sql: &str, values: Vec<Value<'_>>) -> Result<Vec<Row>> {
        self.database.note_plan(sql, &values).await?;
        let sql = self.database.dialect().render(sql);
        over!(
            self,
            |connection| {
                let found = for_postgres(sql, values).fetch_all(&mut **connection).await?;
                Ok(found.into_iter().map(Row::Postgres).collect())
            },
            {
                let found = for_sqlite(sql, values)?.fetch_all(&mut *connection).await?;
                Ok(found.into_iter().map(Row::Sqlite).collect())
            },
        )
    }

    /// Hands rows over one after the other, of which there may be more than fit into memory.
    pub async fn each(
        &mut self,
        sql: &str,
        values: Vec<Value<'_>>,
        mut take: impl FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        let sql = self.database.dialect().render(sql);
        over!(
            self,
            |connection| {
                let mut found = for_postgres(sql, values).fetch(&mut **connection);
                while let Some(row) = found.try_next().await? {
                    take(&Row::Postgres(row))?;
                }
                Ok(())
            },
            {
                let mut found = for_sqlite(sql, values)?.fetch(&mut *connection);
                while let Some(row) = found.try_next().await? {
                    take(&Row::Sqlite(row))?;
                }
                Ok(())
            },
        )
    }

    /// Changes what a statement says; returns how many rows that were.
    pub async fn change(&mut self, sql: &str, values: Vec<Value<'_>>) -> Result<u64> {
        self.database.note_plan(sql, &values).await?;
        let sql = self.database.dialect().render(sql);
        over!(
            self,
            |connection| Ok(for_postgres(sql, values).execute(&mut **connection).await?.rows_affected()),
            Ok(for_sqlite(sql, values)?.execute(&mut *connection).await?.rows_affected()),
        )
    }

    /// Writes rows into a table; `write` puts a row's values in the order of the columns. Returns how many rows that
    /// changed.
    pub async fn insert<T>(
        &mut self,
        table: &Table,
        rows: &[T],
        write: impl Fn(&mut dyn Sink, &T),
    ) -> Result<u64> {
        over!(
            self,
            |connection| columns::write_rows(connection, |rows| table.write(rows), rows, write).await,
            parameters::write_rows(connection, table, rows, write).await,
        )
    }

    /// Brings rows to the server that [`write_staged`](Self::write_staged) writes, and locks nothing: no server time-out
    /// ends a COPY whose client was stopped. In the SQLite file, which is here, nothing is to be brought.
    pub async fn stage<T>(
        &mut self,
        table: &Table,
        rows: &[T],
        write: impl Fn(&mut dyn Sink, &T),
    ) -> Result<()> {
        let into = |rows: &str| format!("insert into {} ({}) {rows}", table.staged(), table.columns());
        over!(
            self,
            |connection| match rows.len() < COPY_ROWS_MIN {
                true => columns::write_rows(connection, into, rows, write).await.map(drop),
                false => copy_in(connection, table, rows, write).await,
            },
            {
                let _ = connection;
                Ok(())
            },
        )
    }

    /// Writes the rows that [`stage`](Self::stage) has brought, sorted by key: neighbours in the index are touched
    /// together, and two drains never lock in opposite orders.
    pub async fn write_staged<T>(
        &mut self,
        table: &Table,
        rows: &[T],
        write: impl Fn(&mut dyn Sink, &T),
    ) -> Result<u64> {
        if self.database.dialect() == Dialect::Sqlite {
            return self.insert(table, rows, write).await;
        }
        let (columns, staged, keys) = (table.columns(), table.staged(), table.keys.join(", "));
        let rows = format!("select {columns} from {staged} order by {keys}");
        self.change(&table.write(&rows), Vec::new()).await
    }

    /// Makes what was written durable. On SQLite its outcome is waited for: what was sent cannot be taken back.
    pub async fn commit(self) -> Result<()> {
        let Self { open, database, deadline } = self;
        let committing = async {
            match open {
                Open::Postgres(open) => Ok(open.commit().await?),
                Open::Writing(writing) => writing.commit().await,
                Open::Reading(open) => Ok(open.commit().await?),
            }
        };
        database.until(deadline, committing).await
    }

    /// Leaves everything as it was.
    pub async fn roll_back(self) -> Result<()> {
        let Self { open, database, deadline } = self;
        let ending = async {
            match open {
                Open::Postgres(open) => Ok(open.rollback().await?),
                Open::Writing(writing) => writing.roll_back().await,
                Open::Reading(open) => Ok(open.rollback().await?),
            }
        };
        database.until(deadline, ending).await
    }
}

/// Sets how long a statement of the transaction may take, where that is not what its connection is set to.
async fn limit(open: &mut sqlx::Transaction<'static, Postgres>, patience: Patience) -> Result<()> {
    if let Some(ms) = patience.statement_ms() {
        let set = format!("set local statement_timeout = {ms}");
        sqlx::query(sqlx::AssertSqlSafe(set)).execute(&mut **open).await?;
    }
    Ok(())
}
