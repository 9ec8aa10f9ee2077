//! The databases: how a process reaches Postgres or the SQLite file, asks it, changes it, and what its errors mean.
//!
//! One handle, [`Database`], over both: a statement, the values of its parameters, and how long its answer is waited
//! for. What is asked is the business of `store` and `buffer`.

mod connection;
pub mod patience;
pub mod plans;
pub mod postgres;
pub(crate) mod row;
pub(crate) mod rows;
pub mod schema;
pub mod sqlite;
mod transaction;
pub(crate) mod value;

use std::sync::Arc;
use std::time::Duration;

use self::connection::Connection;
use self::patience::{Deadline, Watch};
use self::plans::Plans;
use self::postgres::pools::{self, Pools};
use self::rows::Table;
use self::sqlite::SqliteFile;
use crate::config::{ServerUrl, StoreKnobs};
use crate::error::{Error, Result};

pub(crate) use self::connection::Dialect;
pub use self::patience::Patience;
pub(crate) use self::row::Row;
pub use self::transaction::Transaction;
pub(crate) use self::value::{Value, values};

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
        let session = pools::migrate(url, knobs).await?;
        let pools = Pools::new(url, knobs, drains, staged)?;
        pools.rehearse(session).await?;
        Ok(Self::on(Server::Postgres(Arc::new(pools)), knobs))
    }

    /// The database in an open file.
    pub fn sqlite(file: Arc<SqliteFile>, knobs: &StoreKnobs) -> Self {
        Self::on(Server::Sqlite(file), knobs)
    }

    fn on(server: Server, knobs: &StoreKnobs) -> Self {
        let [quick, connect] = [knobs.answer_timeout_ms, knobs.connect_timeout_ms].map(Duration::from_millis);
        let watch = Watch::new(quick, connect);
        Self { server, watch, plans: None }
    }

    /// All rows that a question finds.
    pub async fn ask(&self, patience: Patience, sql: &str, values: Vec<Value<'_>>) -> Result<Vec<Row>> {
        if self.server.statement_ms(patience).is_some() {
            return self.begin(patience).await?.ask(sql, values).await;
        }
        self.note_plan(sql, &values).await?;
        self.until(self.watch.until(patience), self.server.ask(patience, sql, values)).await
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
        if let (Server::Postgres(pools), None) = (&self.server, self.server.statement_ms(patience)) {
            let changed = async {
                let mut connection = pools.acquire(patience).await?;
                Connection::Postgres(&mut connection).change(sql, values).await
            };
            return self.until(self.watch.until(patience), changed).await;
        }
        let mut transaction = self.begin(patience).await?;
        let changed = transaction.change(sql, values).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    pub(crate) fn dialect(&self) -> Dialect {
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
            Server::Postgres(pools) => pools.close().await,
            Server::Sqlite(file) => file.close().await,
        }
    }

    async fn until<T>(&self, deadline: Deadline, call: impl Future<Output = Result<T>>) -> Result<T> {
        let server = self.server.clone();
        let probe = move |is_down| server.clone().probe(is_down);
        let outcome = self.watch.within(deadline, call, probe).await;
        if let (Server::Postgres(pools), Err(Error::ReadOnly(_))) = (&self.server, &outcome) {
            pools.connect_anew();
        }
        outcome
    }
}

impl Server {
    /// Asks outside a transaction, over a connection that only reads where `patience` is not a drain's.
    async fn ask(&self, patience: Patience, sql: &str, values: Vec<Value<'_>>) -> Result<Vec<Row>> {
        match self {
            Server::Postgres(pools) => {
                let mut asking = pools.read(patience).await?;
                let rows = Connection::Postgres(&mut asking.connection).ask(sql, values).await;
                asking.end();
                rows
            }
            Server::Sqlite(file) => {
                let mut reading = file.read(patience).await?;
                let rows = Connection::Sqlite(reading.connection()?).ask(sql, values).await?;
                reading.end();
                Ok(rows)
            }
        }
    }

    /// As [`Pools::statement_ms`]; SQLite's questions end when their callers go away.
    fn statement_ms(&self, patience: Patience) -> Option<u64> {
        match self {
            Server::Postgres(pools) => pools.statement_ms(patience),
            Server::Sqlite(_) => None,
        }
    }

    /// Passes when the database answers. Once it is known to be away, its pools are opened anew: connections that were
    /// left hanging are not waited for.
    async fn probe(self, is_down: bool) -> Result<()> {
        match self {
            Server::Postgres(pools) => {
                if is_down {
                    pools.renew();
                }
                pools.probe().await
            }
            Server::Sqlite(file) => file.probe().await,
        }
    }
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
            sqlx::Error::Database(e) => match e.code() {
                Some(code) => meaning(&code)(text),
                None => Error::Internal(text),
            },
            _ => Error::Internal(text),
        }
    }
}

/// Which of our errors an error's code stands for. Postgres' SQLSTATE has five characters, SQLite's extended codes are
/// numbers whose low byte is the plain code.
fn meaning(code: &str) -> fn(String) -> Error {
    if code.len() == 5 {
        return match (&code[..2], code) {
            // Administrator's shutdown, crash, starting up; a lost connection.
            (_, "57P01" | "57P02" | "57P03") | ("08", _) => Error::Unavailable,
            (_, "25006") => Error::ReadOnly,
            // Resources (a full disk among them), roll-backs (deadlock, serialization), cancelled, system, lock, idle
            // and transaction time-outs.
            ("53" | "40" | "57" | "58", _) | (_, "55P03" | "25P03" | "25P04") => Error::Busy,
            // Data, constraints, views, limits, and what a trigger raises.
            ("22" | "23" | "44" | "54" | "P0", _) => Error::Refused,
            _ => Error::Internal,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
        Ok(5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15) => Error::Busy,
        // TOOBIG, CONSTRAINT, MISMATCH.
        Ok(18..=20) => Error::Refused,
        _ => Error::Internal,
    }
}
