//! The databases: how a process reaches Postgres or the SQLite file, asks it, changes it, and what its errors mean.
//!
//! One handle, [`Database`], over both: a statement, the values of its parameters, and how long its answer is waited
//! for. What is asked is the business of `store` and `buffer`.

pub mod dialect;
pub mod patience;
pub mod plans;
pub mod postgres;
pub mod row;
pub mod rows;
pub mod schema;
pub mod sqlite;
mod transaction;
pub mod value;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;

use self::patience::{Deadline, Watch};
use self::plans::Plans;
use self::postgres::pools::{self, Pools};
use self::rows::Table;
use self::sqlite::SqliteFile;
use self::value::{for_postgres, for_sqlite};
use crate::config::{ServerUrl, StoreKnobs};
use crate::error::{Error, Result};

pub use self::dialect::Dialect;
pub use self::patience::Patience;
pub use self::row::Row;
pub use self::transaction::Transaction;
pub use self::value::{Value, values};

/// An open database.
#[derive(Clone)]
pub struct Database {
    server: Server,
    watch: Watch,
    /// Where the plans of questions are noted, if they are.
    plans: Option<Plans>,
}

#[derive(Clone)]
enum Server {
    Postgres(Arc<Pools>),
    Sqlite(Arc<SqliteFile>),
}

/// Connections that only read.
enum Readers<'a> {
    Postgres(PgPool),
    Sqlite(&'a SqlitePool),
}

impl Database {
    /// Migrates a Postgres database and opens pools for readers and for `drains` drains at once, which stage rows of the
    /// tables `staged`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not answer, [`Error::Config`] when it refuses us or its schema is newer.
    pub async fn postgres(
        url: &ServerUrl,
        knobs: &StoreKnobs,
        drains: usize,
        staged: &[&Table],
    ) -> Result<Self> {
        pools::migrate(url, knobs).await?;
        let pools = Arc::new(Pools::new(url, knobs, drains, staged)?);
        Ok(Self { server: Server::Postgres(pools), watch: watch(knobs), plans: None })
    }

    /// The database in an open file.
    pub fn sqlite(file: Arc<SqliteFile>, knobs: &StoreKnobs) -> Self {
        Self { server: Server::Sqlite(file), watch: watch(knobs), plans: None }
    }

    /// All rows that a question finds.
    pub async fn ask(&self, patience: Patience, sql: &str, values: Vec<Value<'_>>) -> Result<Vec<Row>> {
        self.note_plan(sql, &values).await?;
        let asked = match &self.server {
            Server::Postgres(_) if patience.statement_ms().is_some() => {
                return self.begin(patience).await?.ask(sql, values).await;
            }
            server => {
                async {
                    let sql = self.dialect().render(sql);
                    Ok(match server {
                        Server::Postgres(_) => {
                            let found = for_postgres(sql, values).fetch_all(&self.pool(patience)?).await?;
                            found.into_iter().map(Row::Postgres).collect()
                        }
                        Server::Sqlite(file) => {
                            let found = for_sqlite(sql, values)?.fetch_all(file.readers()).await?;
                            found.into_iter().map(Row::Sqlite).collect()
                        }
                    })
                }
            }
        };
        self.until(self.deadline(patience), asked).await
    }

    /// The first row that a question finds, if it finds any.
    pub async fn ask_optional(
        &self,
        patience: Patience,
        sql: &str,
        values: Vec<Value<'_>>,
    ) -> Result<Option<Row>> {
        Ok(self.ask(patience, sql, values).await?.into_iter().next())
    }

    /// The row that a question finds.
    ///
    /// # Errors
    /// [`Error::Internal`] when there is none.
    pub async fn ask_one(&self, patience: Patience, sql: &str, values: Vec<Value<'_>>) -> Result<Row> {
        let found = self.ask_optional(patience, sql, values).await?;
        found.ok_or_else(|| Error::Internal(format!("the database has no row for: {sql}")))
    }

    /// Changes what one statement says; returns how many rows that were.
    pub async fn change(&self, patience: Patience, sql: &str, values: Vec<Value<'_>>) -> Result<u64> {
        if let (Server::Postgres(_), None) = (&self.server, patience.statement_ms()) {
            let changed = async {
                let sql = self.dialect().render(sql);
                Ok(for_postgres(sql, values).execute(&self.pool(patience)?).await?.rows_affected())
            };
            return self.until(self.deadline(patience), changed).await;
        }
        let mut transaction = self.begin(patience).await?;
        let changed = transaction.change(sql, values).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Begins a transaction, whose end is waited for as long as `patience` says from now on.
    pub async fn begin(&self, patience: Patience) -> Result<Transaction> {
        match &self.server {
            Server::Postgres(_) => Transaction::on_postgres(self, patience).await,
            Server::Sqlite(file) => Transaction::on_sqlite(self, file, patience).await,
        }
    }

    /// Begins a transaction that reads a single state of the database, for as long as it takes.
    pub async fn snapshot(&self) -> Result<Transaction> {
        Transaction::snapshot(self).await
    }

    /// Whose SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        match &self.server {
            Server::Postgres(_) => Dialect::Postgres,
            Server::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Which database this is, for people: `postgres 15.18`.
    pub async fn describe(&self) -> Result<String> {
        let (name, sql) = match &self.server {
            Server::Postgres(_) => ("postgres", "select current_setting('server_version') as version"),
            Server::Sqlite(_) => ("sqlite", "select sqlite_version() as version"),
        };
        let row = self.ask_one(Patience::Quick, sql, Vec::new()).await?;
        let version = row.text("version")?;
        Ok(format!("{name} {}", version.split(' ').next().unwrap_or(version)))
    }

    /// Closes the connections; nothing is asked afterwards.
    pub async fn close(&self) {
        match &self.server {
            Server::Postgres(pools) => {
                pools.readers().close().await;
                pools.drains().close().await;
            }
            Server::Sqlite(file) => file.close().await,
        }
    }

    fn readers(&self) -> Readers<'_> {
        match &self.server {
            Server::Postgres(pools) => Readers::Postgres(pools.readers()),
            Server::Sqlite(file) => Readers::Sqlite(file.readers()),
        }
    }

    /// The pool of Postgres for what is waited for so long.
    fn pool(&self, patience: Patience) -> Result<PgPool> {
        match &self.server {
            Server::Postgres(pools) if patience.is_of_drains() => Ok(pools.drains()),
            Server::Postgres(pools) => Ok(pools.readers()),
            Server::Sqlite(_) => Err(Error::Internal("a SQLite file has no pool of Postgres".into())),
        }
    }

    fn deadline(&self, patience: Patience) -> Deadline {
        self.watch.until(patience)
    }

    async fn until<T>(&self, deadline: Deadline, call: impl Future<Output = Result<T>>) -> Result<T> {
        let server = self.server.clone();
        let probe = move || {
            let server = server.clone();
            async move { server.probe().await }
        };
        self.watch.within(deadline, call, probe).await
    }
}

impl Server {
    /// Passes when the database answers again, over new connections: those that were left hanging are not waited for.
    async fn probe(self) -> Result<()> {
        let sql = "select id from installation";
        match self {
            Server::Postgres(pools) => {
                pools.renew();
                sqlx::query(sql).fetch_one(&pools.readers()).await?;
            }
            Server::Sqlite(file) => drop(sqlx::query(sql).fetch_one(file.readers()).await?),
        }
        Ok(())
    }
}

fn watch(knobs: &StoreKnobs) -> Watch {
    Watch::new(Duration::from_millis(knobs.answer_timeout_ms))
}

/// Sorts a database's error by what it asks for: patience, other data, or a mended program.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let text = match &error {
            sqlx::Error::PoolTimedOut => "the database gave no connection in time".to_owned(),
            error => format!("the database did not do it: {error}"),
        };
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Error::Unavailable(text),
            sqlx::Error::Database(e) => match e.code().as_deref().map(meaning) {
                Some(Meaning::Gone) => Error::Unavailable(text),
                Some(Meaning::Passing) => Error::Busy(text),
                Some(Meaning::Data) => Error::Refused(text),
                Some(Meaning::Mistake) | None => Error::Internal(text),
            },
            _ => Error::Internal(text),
        }
    }
}

/// What an error's code says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The server or the connection went away.
    Gone,
    /// The same statement may succeed later.
    Passing,
    /// These values will never do.
    Data,
    /// The statement itself, or a setting, is wrong.
    Mistake,
}

/// Postgres' SQLSTATE has five characters, SQLite's extended codes are numbers whose low byte is the plain code.
fn meaning(code: &str) -> Meaning {
    if code.len() == 5 {
        return match (&code[..2], code) {
            // Administrator's shutdown, crash, starting up; a lost connection.
            (_, "57P01" | "57P02" | "57P03") | ("08", _) => Meaning::Gone,
            // Resources (a full disk among them), roll-backs (deadlock, serialization), cancelled, system, lock and
            // idle time-outs, a server that only reads.
            ("53" | "40" | "57" | "58", _) | (_, "55P03" | "25P03" | "25006") => Meaning::Passing,
            // Data, constraints, views, limits, and what a trigger raises.
            ("22" | "23" | "44" | "54" | "P0", _) => Meaning::Data,
            _ => Meaning::Mistake,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
        Ok(5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15) => Meaning::Passing,
        // TOOBIG, CONSTRAINT, MISMATCH.
        Ok(18..=20) => Meaning::Data,
        _ => Meaning::Mistake,
    }
}

/// Whether a refused login may be taken the next time.
fn is_passing(code: &str) -> bool {
    matches!(meaning(code), Meaning::Gone | Meaning::Passing)
}
