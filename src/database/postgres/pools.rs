//! Postgres: three pools, and the time-outs that end what a stopped process left open.
//!
//! A question that takes too long is ended by Postgres soon after, so that its connection is free again. Heavy
//! questions have a pool of their own, so that quick ones always find a connection; drains have one too: a stalled read
//! never takes a connection from it, what was trimmed is on disk (`synchronous_commit`), and a drain that stopped after
//! the swap loses its locks within seconds.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Transaction};

use super::fitness;
use super::session::{self, Settings};
use crate::config::{ServerUrl, StoreKnobs};
use crate::database::patience::PATIENT_TIMEOUT;
use crate::database::rows::Table;
use crate::database::{Patience, meaning, schema};
use crate::error::{Error, Result};

/// An idle connection is looked at before it is used again; one older than this is replaced.
const CONNECTION_SECONDS_MAX: u64 = 1_800;

/// While a server only reads, its connections are left at most this often.
const ANEW_INTERVAL: Duration = Duration::from_secs(1);
/// The limit of looking at a database before anything is changed in it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Drains' connections beside those of the shards that they work on: for the ranking, and for a decision that a moderator
/// waits for.
const DRAINS_BESIDES: u32 = 2;
/// What a process opens beside its pools: a connection for the migration at its start, later for probes.
const BESIDES: u32 = 1;

/// How often Postgres looks whether the client of a long question is still there.
const GONE_INTERVAL_MS: &str = "500";

/// A question under way. A heavy one that is dropped before its end takes its connection with it: so Postgres notices, and
/// ends it. A quick one has its time-out, and not many connections anew.
pub struct Asking {
    pub connection: PoolConnection<Postgres>,
    closes: bool,
}

pub struct Pools {
    readers: RwLock<PgPool>,
    heavy: RwLock<PgPool>,
    drains: RwLock<PgPool>,
    probe: PgConnectOptions,
    patient_ms: u64,
    /// Connections that were opened before this moment are not used again.
    oldest: Arc<Mutex<Instant>>,
    for_drains: Arc<DrainSession>,
}

/// What a drain's session needs.
struct DrainSession {
    settings: Settings,
    /// The statements that create the tables in which rows are staged.
    tables: String,
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
        let oldest = Arc::new(Mutex::new(Instant::now()));
        let opened = oldest.clone();
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(knobs.connect_timeout_ms))
            .max_lifetime(Duration::from_secs(CONNECTION_SECONDS_MAX))
            .before_acquire(move |_, meta| {
                let since = opened.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
                Box::pin(std::future::ready(Ok(meta.age <= since)))
            });
        let options = options(url)?;
        let limits = [("lock_timeout", "2000"), ("idle_in_transaction_session_timeout", "5000")];
        let for_reading = |connections: u32, ms: u128| {
            let ms = ms.to_string();
            let gone = ("client_connection_check_interval", GONE_INTERVAL_MS);
            let settings = session::limited(&[limits[0], limits[1], gone, ("statement_timeout", &ms)]);
            let pool = pool.clone().max_connections(connections).after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move { session::set(connection, &settings).await })
            });
            RwLock::new(pool.connect_lazy_with(options.clone()))
        };
        let readers = for_reading(knobs.connections_max, knobs.answer_timeout_ms.into());
        let heavy = for_reading(knobs.heavy_connections_max, PATIENT_TIMEOUT.as_millis());
        let settings = session::limited(&[
            limits[0],
            limits[1],
            ("synchronous_commit", "on"),
            ("statement_timeout", "30000"),
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            ("client_connection_check_interval", "2000"),
            // Batches touch scattered rows of large tables; by default the planner would rather scan them whole.
            ("random_page_cost", "1.1"),
        ]);
        let table = |table: &&Table| {
            let (staged, name) = (table.staged(), table.name);
            format!("create temporary table {staged} (like {name}) on commit delete rows;")
        };
        let for_drains = Arc::new(DrainSession { settings, tables: staged.iter().map(table).collect() });
        let prepared = for_drains.clone();
        let drains = pool.clone().max_connections(drains as u32 + DRAINS_BESIDES).after_connect(
            move |connection, _| {
                let prepared = prepared.clone();
                Box::pin(async move { prepared.prepare(connection).await })
            },
        );
        let drains = RwLock::new(drains.connect_lazy_with(options.clone().application_name("damper-drain")));
        let (probe, patient_ms) = (options, knobs.statement_timeout_ms);
        Ok(Self { readers, heavy, drains, probe, patient_ms, oldest, for_drains })
    }

    /// Does at a start what the first drain would do first, over a connection that is closed then.
    ///
    /// # Errors
    /// [`Error::Config`] when the server does not let us.
    pub async fn rehearse(&self, mut connection: PgConnection) -> Result<()> {
        let prepared = self.for_drains.prepare(&mut connection).await;
        prepared.map_err(|error| match error {
            sqlx::Error::Protocol(why) => Error::Config(why),
            error => match Error::from(error) {
                Error::Internal(why) => Error::Config(format!("a drain would fail here: {why}")),
                error => error,
            },
        })?;
        connection.close().await.ok();
        Ok(())
    }

    /// Uses no connection again that is open now: a server that only reads may not be the one that a new one reaches.
    pub fn connect_anew(&self) {
        let mut oldest = self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        if oldest.elapsed() >= ANEW_INTERVAL {
            *oldest = Instant::now();
        }
    }

    /// The pool for questions of this patience.
    fn of(&self, patience: Patience) -> PgPool {
        let pool = match patience {
            Patience::Quick | Patience::Patient => &self.readers,
            Patience::Heavy => &self.heavy,
            Patience::Commit | Patience::Endless => &self.drains,
        };
        pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection for one question.
    pub async fn read(&self, patience: Patience) -> Result<Asking> {
        Ok(Asking { connection: self.acquire(patience).await?, closes: patience == Patience::Heavy })
    }

    /// A connection. The pool's future has 14 KB, which every caller would move about: it stays in one place.
    pub async fn acquire(&self, patience: Patience) -> Result<PoolConnection<Postgres>> {
        Ok(Box::pin(self.of(patience).acquire()).await?)
    }

    /// A connection with an open transaction.
    pub async fn begin(
        &self,
        patience: Patience,
        statement: &'static str,
    ) -> Result<Transaction<'static, Postgres>> {
        Ok(Box::pin(self.of(patience).begin_with(statement)).await?)
    }

    /// Milliseconds after which Postgres itself ends a statement (0: never), where that is not what the connections of
    /// its pool are set to.
    pub fn statement_ms(&self, patience: Patience) -> Option<u64> {
        match patience {
            Patience::Patient => Some(self.patient_ms),
            Patience::Endless => Some(0),
            Patience::Quick | Patience::Heavy | Patience::Commit => None,
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

impl Asking {
    /// Gives the connection back.
    pub fn end(mut self) {
        self.closes = false;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.closes {
            self.connection.close_on_drop();
        }
    }
}

impl DrainSession {
    async fn prepare(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        session::set(connection, &self.settings).await?;
        // A server that follows another takes no tables. A session that only reads takes these.
        let tables = format!("begin read write; {} commit", self.tables);
        if !session::is_on_standby(connection).await? {
            sqlx::raw_sql(AssertSqlSafe(tables)).execute(&mut *connection).await?;
        }
        session::read_back(connection, &self.settings).await
    }
}

/// Connects to Postgres and, if Damper can work in it, brings its schema up to date under an advisory lock. Returns a
/// second connection, which has no limits yet.
pub async fn migrate(url: &ServerUrl, knobs: &StoreKnobs) -> Result<PgConnection> {
    let (mut connection, mut second) = (connect(url, knobs).await?, connect(url, knobs).await?);
    answered(url, fitness::require(&mut connection, &mut second, url.host())).await?;
    schema::explain(schema::migrator(schema::POSTGRES).run(&mut connection).await)?;
    connection.close().await.ok();
    Ok(second)
}

/// What was asked beside the pools, within the limit.
pub(super) async fn answered<T>(url: &ServerUrl, asked: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LOOK_TIMEOUT, asked).await.unwrap_or_else(|_| {
        let seconds = LOOK_TIMEOUT.as_secs();
        Err(Error::Unavailable(format!("postgres at {} took more than {seconds} s to answer", url.host())))
    })
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
    let options = PgConnectOptions::from_str(&url.with_host()).map_err(|_| {
        Error::Config(format!("database_url {url} cannot be read; postgres://user:password@host/db"))
    })?;
    // A pooler does not take it at the start of a connection, and every version that we use has it right.
    Ok(options.extra_float_digits(None).application_name("damper"))
}
