//! A transaction on either database. One that is dropped is rolled back.

use futures_util::TryStreamExt;
use sqlx::postgres::Postgres;

use super::connection::Connection;
use super::patience::Deadline;
use super::postgres::rows as postgres_rows;
use super::rows::{Table, Write};
use super::sqlite::{Reading, Writing, parameters};
use super::{Database, Dialect, Patience, Row, Server, Value};
use crate::error::Result;

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
    Reading(Reading),
}

impl Open {
    fn connection(&mut self) -> Result<Connection<'_>> {
        Ok(match self {
            Open::Postgres(open) => Connection::Postgres(open),
            Open::Writing(writing) => Connection::Sqlite(writing.connection()?),
            Open::Reading(reading) => Connection::Sqlite(reading.connection()?),
        })
    }
}

impl Database {
    /// Begins a transaction, whose end is waited for as long as `patience` says from now on.
    pub async fn begin(&self, patience: Patience) -> Result<Transaction> {
        let opening = async {
            Ok(match &self.server {
                Server::Postgres(pools) => {
                    limited(pools.begin(patience, "begin").await?, pools.statement_ms(patience)).await?
                }
                Server::Sqlite(file) => Open::Writing(file.begin().await?),
            })
        };
        self.begun(patience, opening).await
    }

    /// Begins a transaction that reads a single state of the database, for as long as it takes.
    pub async fn snapshot(&self) -> Result<Transaction> {
        let opening = async {
            Ok(match &self.server {
                Server::Postgres(pools) => {
                    let begin = "begin isolation level repeatable read, read only";
                    limited(pools.begin(Patience::Heavy, begin).await?, Some(0)).await?
                }
                Server::Sqlite(file) => Open::Reading(file.read(Patience::Heavy).await?.begin().await?),
            })
        };
        self.begun(Patience::Endless, opening).await
    }

    async fn begun(
        &self,
        patience: Patience,
        open: impl Future<Output = Result<Open>>,
    ) -> Result<Transaction> {
        let mut deadline = self.watch.until(patience);
        let open = self.until(deadline, open).await?;
        deadline.goes_on = true;
        Ok(Transaction { open, database: self.clone(), deadline })
    }
}

impl Transaction {
    /// All rows that a question finds.
    pub async fn ask(&mut self, sql: &str, values: Vec<Value<'_>>) -> Result<Vec<Row>> {
        self.database.note_plan(sql, &values).await?;
        let Self { open, database, deadline } = self;
        let asked = async { open.connection()?.ask(sql, values).await };
        database.until(*deadline, asked).await
    }

    /// Hands rows over one after the other, of which there may be more than fit into memory.
    pub async fn each(
        &mut self,
        sql: &str,
        values: Vec<Value<'_>>,
        mut take: impl FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        let Self { open, database, deadline } = self;
        let taken = async {
            let mut found = open.connection()?.rows(sql, values)?;
            while let Some(row) = found.try_next().await? {
                take(&row)?;
            }
            Ok(())
        };
        database.until(*deadline, taken).await
    }

    /// Changes what a statement says; returns how many rows that were.
    pub async fn change(&mut self, sql: &str, values: Vec<Value<'_>>) -> Result<u64> {
        self.database.note_plan(sql, &values).await?;
        let Self { open, database, deadline } = self;
        let changed = async { open.connection()?.change(sql, values).await };
        database.until(*deadline, changed).await
    }

    /// Writes rows into a table. Returns how many rows that changed.
    pub async fn insert<T>(&mut self, table: &Table, rows: &[T], write: impl Write<T>) -> Result<u64> {
        let Self { open, database, deadline } = self;
        let written = async {
            match open.connection()? {
                Connection::Postgres(server) => {
                    Ok(postgres_rows::write_rows(server, |rows| table.write(rows), rows, write).await?)
                }
                Connection::Sqlite(file) => parameters::write_rows(file, table, rows, write).await,
            }
        };
        database.until(*deadline, written).await
    }

    /// Sends rows to the server that [`write_staged`](Self::write_staged) writes, and locks nothing: no server time-out
    /// ends a COPY whose client was stopped. The SQLite file is here, so nothing is sent.
    pub async fn stage<T>(&mut self, table: &Table, rows: &[T], write: impl Write<T>) -> Result<()> {
        let Self { open, database, deadline } = self;
        let staged = async {
            match open.connection()? {
                Connection::Postgres(server) => postgres_rows::stage(server, table, rows, write).await,
                Connection::Sqlite(_) => Ok(()),
            }
        };
        database.until(*deadline, staged).await
    }

    /// Writes the rows that [`stage`](Self::stage) has sent, in their order. They come sorted by key: neighbours in the
    /// index are touched together, and two drains never lock in opposite orders.
    pub async fn write_staged<T>(&mut self, table: &Table, rows: &[T], write: impl Write<T>) -> Result<u64> {
        if self.database.dialect() == Dialect::Sqlite {
            return self.insert(table, rows, write).await;
        }
        if rows.is_empty() {
            return Ok(0);
        }
        let staged = format!("select {} from {}", table.columns(), table.staged());
        self.change(&table.write(&staged), Vec::new()).await
    }

    /// Makes what was written durable. An error may come after it: the checkpoint tells whether it is.
    pub async fn commit(self) -> Result<()> {
        self.end(true).await
    }

    /// Leaves everything as it was.
    pub async fn roll_back(self) -> Result<()> {
        self.end(false).await
    }

    async fn end(self, commits: bool) -> Result<()> {
        let Self { open, database, deadline } = self;
        let ending = async {
            match open {
                Open::Postgres(open) if commits => Ok(open.commit().await?),
                Open::Postgres(open) => Ok(open.rollback().await?),
                Open::Writing(open) => open.end(commits).await,
                Open::Reading(open) => open.roll_back().await,
            }
        };
        database.until(deadline, ending).await
    }
}

/// Sets how long a statement of the transaction may take, where that is not what its connection is set to.
async fn limited(mut open: sqlx::Transaction<'static, Postgres>, ms: Option<u64>) -> Result<Open> {
    if let Some(ms) = ms {
        let set = format!("set local statement_timeout = {ms}");
        sqlx::query(sqlx::AssertSqlSafe(set)).execute(&mut *open).await?;
    }
    Ok(Open::Postgres(open))
}
