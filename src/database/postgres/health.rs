//! What a Postgres says of itself that decides whether ratings are safe with it. For `damper doctor`, which judges;
//! it needs no table of Damper's and changes nothing.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Connection, FromRow as _, PgConnection};

use super::fitness::{self, Finding};
use super::pools::{answered, connect};
use crate::config::{ServerUrl, StoreKnobs};
use crate::error::Result;

/// The settings that are asked for.
const SETTINGS: [&str; 9] = [
    "server_version",
    "server_version_num",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "default_transaction_read_only",
    "max_connections",
    "superuser_reserved_connections",
    "reserved_connections",
];
/// Connections of all, and of Damper's own processes (and this one); the limits of this role and this database, if there
/// are any; whether it follows another server; its clock.
const STATE: &str = "
    select (select coalesce(sum(numbackends), 0)::bigint from pg_stat_database),
           (select count(*) from pg_stat_activity
            where application_name in ('damper', 'damper-drain') or pid = pg_backend_pid()),
           (select nullif(rolconnlimit, -1)::bigint from pg_roles where rolname = current_user),
           (select nullif(datconnlimit, -1)::bigint from pg_database where datname = current_database()),
           pg_is_in_recovery(),
           (extract(epoch from clock_timestamp()) * 1000)::bigint";

/// A server's own words.
#[derive(Debug, Clone)]
pub struct PostgresHealth {
    settings: HashMap<String, String>,
    /// Whether it follows another server, and takes no writes.
    pub is_standby: bool,
    /// Its clock, in milliseconds since 1970.
    pub clock_ms: i64,
    /// Connections that are not Damper's.
    pub others: u64,
    /// Most connections that this role may have in this database.
    pub connections_max: Option<u64>,
    /// Whether Damper can work in it.
    pub fitness: Vec<Finding>,
}

impl PostgresHealth {
    /// Asks the server, over one connection; the errors are those of [`connect`].
    pub async fn ask(url: &ServerUrl, knobs: &StoreKnobs) -> Result<Self> {
        let (mut connection, mut second) = (connect(url, knobs).await?, connect(url, knobs).await?);
        let health = answered(url, Self::ask_over(&mut connection, &mut second)).await?;
        connection.close().await.ok();
        second.close().await.ok();
        Ok(health)
    }

    async fn ask_over(connection: &mut PgConnection, second: &mut PgConnection) -> Result<Self> {
        let fitness = fitness::examine(connection, second).await?;
        // Nothing is prepared: a pooler may hand the next question to another session.
        let names = SETTINGS.join("', '");
        let sql = format!("select name, coalesce(setting, '') from pg_settings where name in ('{names}')");
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
        let settings = rows.iter().map(<(String, String)>::from_row).collect::<sqlx::Result<Vec<_>>>()?;
        let settings: HashMap<String, String> = settings.into_iter().collect();
        type State = (i64, i64, Option<i64>, Option<i64>, bool, i64);
        let state = State::from_row(&sqlx::raw_sql(STATE).fetch_one(&mut *connection).await?)?;
        let (all, own, of_role, of_database, is_standby, clock_ms) = state;
        let number = |name: &str| settings.get(name).and_then(|value| value.parse::<u64>().ok());
        let reserved = ["superuser_reserved_connections", "reserved_connections"].map(number);
        let reserved: u64 = reserved.into_iter().flatten().sum();
        let of_server = number("max_connections").map(|most| most.saturating_sub(reserved));
        let limits = [of_role, of_database].map(|limit| limit.map(i64::unsigned_abs));
        Ok(Self {
            is_standby,
            clock_ms,
            others: (all - own).max(0).unsigned_abs(),
            connections_max: limits.into_iter().chain([of_server]).flatten().min(),
            settings,
            fitness,
        })
    }

    /// A setting as this role has it in this database.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}
