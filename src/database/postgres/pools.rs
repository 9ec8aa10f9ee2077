//! Postgres: two pools, and the time-outs that end what a stopped process left open.
//!
//! Reads have a pool of their own with a short statement time-out. The drain has another: a stalled read never
//! takes a connection from it, and its settings keep its promises (`synchronous_commit`: what was trimmed is on
//! disk) and its manners (a drain that stopped after the swap loses its locks within seconds).

use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::config::{ServerUrl, StoreKnobs};
use crate::database::rows::Table;
use crate::database::{is_passing, schema};
use crate::error::{Error, Result};

/// An idle connection is looked at before it is used again; one older than this is replaced.
const CONNECTION_SECONDS_MAX: u64 = 1_800;

/// The pools of a process; they can be opened anew.
pub struct Pools {
    url: ServerUrl,
    knobs: StoreKnobs,
    drains: u32,
    temporary_tables: Arc<str>,
    open: RwLock<Open>,
}

struct Open {
    readers: PgPool,
    drains: PgPool,
}

impl Pools {
    /// Pools for readers and for `drains` drains at once, which bring rows of the tables `staged` to temporary tables.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL cannot be read.
    pub fn new(url: &ServerUrl, knobs: &StoreKnobs, drains: usize, staged: &[&Table]) -> Result<Self> {
        // Two more than the drain uses side by side: for the ranking, and for a decision that somebody waits for.
        let drains = drains as u32 + 2;
        let table = |table: &&Table| {
            let (staged, name) = (table.staged(), table.name);
            format!("create temporary table {staged} (like {name}) on commit delete rows;")
        };
        let temporary_tables: Arc<str> = staged.iter().map(table).collect::<String>().into();
        let open = RwLock::new(Open::new(url, knobs, drains, &temporary_tables)?);
        Ok(Self { url: url.clone(), knobs: knobs.clone(), drains, temporary_tables, open })
    }

    /// Connections for reads and for the catalogue.
    pub fn readers(&self) -> PgPool {
        self.open.read().unwrap_or_else(PoisonError::into_inner).readers.clone()
    }

    /// Connections for drains.
    pub fn drains(&self) -> PgPool {
        self.open.read().unwrap_or_else(PoisonError::into_inner).drains.clone()
    }

    /// Opens new pools: connections that hang are not waited for.
    pub fn renew(&self) {
        // The URL could be read before.
        if let Ok(open) = Open::new(&self.url, &self.knobs, self.drains, &self.temporary_tables) {
            *self.open.write().unwrap_or_else(PoisonError::into_inner) = open;
        }
    }
}

impl Open {
    fn new(url: &ServerUrl, knobs: &StoreKnobs, drains: u32, temporary_tables: &Arc<str>) -> Result<Self> {
        Ok(Self {
            readers: read_pool(url, knobs)?,
            drains: drain_pool(url, knobs, drains, temporary_tables)?,
        })
    }
}

/// Connects to Postgres and brings its schema up to date, under Postgres' advisory lock.
///
/// # Errors
/// [`Error::Unavailable`] when it does not answer, [`Error::Config`] when it refuses us or its schema is newer.
pub async fn migrate(url: &ServerUrl, knobs: &StoreKnobs) -> Result<()> {
    let mut connection = connect(url, knobs).await?;
    schema::explain(schema::migrator(schema::POSTGRES).run(&mut connection).await)?;
    connection.close().await.ok();
    Ok(())
}

/// One connection, beside the pools.
///
/// # Errors
/// [`Error::Unavailable`] when Postgres does not answer, [`Error::Config`] when it refuses us.
pub(super) async fn connect(url: &ServerUrl, knobs: &StoreKnobs) -> Result<PgConnection> {
    let within = Duration::from_millis(knobs.connect_timeout_ms);
    let options = options(url)?;
    let connecting = PgConnection::connect_with(&options);
    match tokio::time::timeout(within, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(sqlx::Error::Database(e))) if !e.code().is_some_and(|code| is_passing(&code)) => {
            Err(Error::Config(format!(
                "postgres at {} refuses the login: {e}. DAMPER_DATABASE_URL says who and which database",
                url.host()
            )))
        }
        Ok(Err(e)) => Err(no_answer(url, within, &root_cause(&e))),
        Err(_) => Err(no_answer(url, within, "timed out")),
    }
}

fn read_pool(url: &ServerUrl, knobs: &StoreKnobs) -> Result<PgPool> {
    let statement_ms = knobs.statement_timeout_ms.to_string();
    let options = options(url)?.application_name("damper").options([
        ("statement_timeout", statement_ms.as_str()),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "5s"),
    ]);
    Ok(pool(knobs).max_connections(knobs.connections_max).connect_lazy_with(options))
}

fn drain_pool(url: &ServerUrl, knobs: &StoreKnobs, count: u32, tables: &Arc<str>) -> Result<PgPool> {
    let options = options(url)?.application_name("damper-drain").options([
        ("synchronous_commit", "on"),
        ("statement_timeout", "30s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("client_connection_check_interval", "2s"),
        // Batches touch scattered rows of large tables; by default the planner would rather scan them whole.
        ("random_page_cost", "1.1"),
    ]);
    let tables = tables.clone();
    let pool = pool(knobs).max_connections(count).after_connect(move |connection, _| {
        let tables = AssertSqlSafe(tables.clone());
        Box::pin(async move { sqlx::raw_sql(tables).execute(connection).await.map(drop) })
    });
    Ok(pool.connect_lazy_with(options))
}

fn pool(knobs: &StoreKnobs) -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(knobs.connect_timeout_ms))
        .max_lifetime(Duration::from_secs(CONNECTION_SECONDS_MAX))
}

fn options(url: &ServerUrl) -> Result<PgConnectOptions> {
    // sqlx' own message would repeat the URL, and with it the password.
    PgConnectOptions::from_str(url.expose()).map_err(|_| {
        Error::Config(format!("database_url {url} cannot be read; postgres://user:password@host/db"))
    })
}

fn no_answer(url: &ServerUrl, within: Duration, why: &str) -> Error {
    Error::Unavailable(format!(
        "no answer from postgres at {} within {} ms: {why}. Is it running? DAMPER_DATABASE_URL says where",
        url.host(),
        within.as_millis()
    ))
}

fn root_cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    }
}
