//! Postgres: three pools, and the time-outs that end what a stopped process left open.
//!
//! A question that nobody waits for any more is ended by Postgres soon after, so that its connection is free again. Heavy
//! questions have a pool of their own, so that quick ones always find a connection; drains have one too: a stalled read
//! never takes a connection from it, what was trimmed is on disk (`synchronous_commit`), and a drain that stopped after
//! the swap loses its locks within seconds.

use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::config::{ServerUrl, StoreKnobs};
use crate::database::patience::PATIENT_TIMEOUT;
use crate::database::rows::Table;
use crate::database::{Patience, meaning, schema};
use crate::error::{Error, Result};

/// An idle connection is looked at before it is used again; one older than this is replaced.
const CONNECTION_SECONDS_MAX: u64 = 1_800;

/// Drains' connections beside those of the shards that they work on: for the ranking, and for a decision that a moderator
/// waits for.
const DRAINS_BESIDES: u32 = 2;
/// What a process opens beside its pools: a connection for the migration at its start, later for probes.
const BESIDES: u32 = 1;

pub struct Pools {
    readers: RwLock<PgPool>,
    heavy: RwLock<PgPool>,
    drains: RwLock<PgPool>,
    probe: PgConnectOptions,
    patient_ms: u64,
}

/// The most connections that a process opens, with `drains` drains at once.
pub fn connections_max(knobs: &StoreKnobs, drains: usize) -> u64 {
    let besides = u64::from(DRAINS_BESIDES + BESIDES);
    u64::from(knobs.connections_max) + u64::from(knobs.heavy_connections_max) + drains as u64 + besides
}

impl Pools {
    /// Pools for readers and for `drains` drains at once, which stage rows of the tables `staged` in temporary tables.
    /// Nothing is connected yet.
    pub fn new(url: &ServerUrl, knobs: &StoreKnobs, drains: usize, staged: &[&Table]) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(knobs.connect_timeout_ms))
            .max_lifetime(Duration::from_secs(CONNECTION_SECONDS_MAX));
        let options =
            options(url)?.options([("lock_timeout", "2s"), ("idle_in_transaction_session_timeout", "5s")]);
        let for_reading = |ms: u128| {
            options.clone().application_name("damper").options([("statement_timeout", ms.to_string())])
        };
        let for_readers = for_reading(knobs.answer_timeout_ms.into());
        let for_heavy = for_reading(PATIENT_TIMEOUT.as_millis());
        let for_drains = options.application_name("damper-drain").options([
            ("synchronous_commit", "on"),
            ("statement_timeout", "30s"),
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            ("client_connection_check_interval", "2s"),
            // Batches touch scattered rows of large tables; by default the planner would rather scan them whole.
            ("random_page_cost", "1.1"),
        ]);
        let table = |table: &&Table| {
            let (staged, name) = (table.staged(), table.name);
            format!("create temporary table {staged} (like {name}) on commit delete rows;")
        };
        let tables: Arc<str> = staged.iter().map(table).collect::<String>().into();
        let readers =
            pool.clone().max_connections(knobs.connections_max).connect_lazy_with(for_readers.clone());
        let heavy = pool.clone().max_connections(knobs.heavy_connections_max);
        let heavy = heavy.connect_lazy_with(for_heavy);
        let drains =
            pool.max_connections(drains as u32 + DRAINS_BESIDES).after_connect(move |connection, _| {
                let tables = AssertSqlSafe(tables.clone());
                Box::pin(async move { sqlx::raw_sql(tables).execute(connection).await.map(drop) })
            });
        let drains = drains.connect_lazy_with(for_drains);
        let [readers, heavy, drains] = [readers, heavy, drains].map(RwLock::new);
        Ok(Self { readers, heavy, drains, probe: for_readers, patient_ms: knobs.statement_timeout_ms })
    }

    /// The pool for questions of this patience.
    pub fn of(&self, patience: Patience) -> PgPool {
        let pool = match patience {
            Patience::Quick | Patience::Patient => &self.readers,
            Patience::Heavy => &self.heavy,
            Patience::Commit | Patience::Bulk | Patience::Endless => &self.drains,
        };
        pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Milliseconds after which Postgres itself ends a statement (0: never), where that is not what the connections of
    /// its pool are set to.
    pub fn statement_ms(&self, patience: Patience) -> Option<u64> {
        match patience {
            Patience::Patient => Some(self.patient_ms),
            Patience::Endless => Some(0),
            Patience::Quick | Patience::Heavy | Patience::Commit | Patience::Bulk => None,
        }
    }

    /// Passes when the server answers over a new connection, however busy those of the pools are.
    pub async fn probe(&self) -> Result<()> {
        let mut connection = PgConnection::connect_with(&self.probe).await?;
        sqlx::raw_sql("select 1").execute(&mut connection).await?;
        connection.close().await.ok();
        Ok(())
    }

    /// Opens all pools anew: connections that hang are not waited for.
    pub fn renew(&self) {
        for pool in [&self.readers, &self.heavy, &self.drains] {
            let mut pool = pool.write().unwrap_or_else(PoisonError::into_inner);
            let options = PgConnectOptions::clone(&pool.connect_options());
            *pool = pool.options().clone().connect_lazy_with(options);
        }
    }

    pub async fn close(&self) {
        for patience in [Patience::Quick, Patience::Heavy, Patience::Commit] {
            self.of(patience).close().await;
        }
    }
}

/// Connects to Postgres and brings its schema up to date, under Postgres' advisory lock.
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
    let connecting = tokio::time::timeout(within, PgConnection::connect_with(&options)).await;
    // A refused login may be taken the next time.
    let is_passing = |code: &str| meaning(code)(String::new()).is_transient();
    let why = match connecting {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(sqlx::Error::Database(e))) if !e.code().is_some_and(|code| is_passing(&code)) => {
            return Err(Error::Config(format!(
                "postgres at {} refuses the login: {e}. DAMPER_DATABASE_URL says who and which database",
                url.host()
            )));
        }
        Ok(Err(sqlx::Error::Io(e))) => e.to_string(),
        Ok(Err(e)) => e.to_string(),
        Err(_) => "timed out".to_owned(),
    };
    Err(Error::Unavailable(format!(
        "no answer from postgres at {} within {} ms: {why}. Is it running? DAMPER_DATABASE_URL says where",
        url.host(),
        within.as_millis()
    )))
}

fn options(url: &ServerUrl) -> Result<PgConnectOptions> {
    // sqlx' own message would repeat the URL, and with it the password.
    PgConnectOptions::from_str(&url.with_host()).map_err(|_| {
        Error::Config(format!("database_url {url} cannot be read; postgres://user:password@host/db"))
    })
}
