//! What a session with Postgres is set to, by statements: a pooler does not pass on the options of a connection's start.
//! What a drain relies on is read back.

use sqlx::{AssertSqlSafe, PgConnection};

/// Settings with their values, times in milliseconds.
pub type Settings = Vec<(&'static str, String)>;

/// Times that a role or a database may have been given. None may end a migration, or what has a limit of Damper's.
const UNLIMITED: [(&str, &str); 5] = [
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
];

/// `settings` over [`UNLIMITED`].
pub fn limited(settings: &[(&'static str, &str)]) -> Settings {
    let unlimited = UNLIMITED.iter().filter(|(name, _)| settings.iter().all(|(own, _)| own != name));
    unlimited.chain(settings).map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// Sets them for the session. Those that this version of Postgres does not have are left out.
pub async fn set(connection: &mut PgConnection, settings: &Settings) -> sqlx::Result<()> {
    let sql = format!(
        "select set_config(name, value, false) from (values {}) wanted (name, value)
         where current_setting(name, true) is not null",
        values(settings)
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// Passes when they are in force.
pub async fn read_back(connection: &mut PgConnection, settings: &Settings) -> sqlx::Result<()> {
    // A connection over a socket file has no keep-alives.
    let sql = format!(
        "select string_agg(name || ' is ' || setting || ', not ' || value, '; ')
         from (values {}) wanted (name, value) join pg_settings using (name)
         where setting <> value and name not like 'tcp_%'",
        values(settings)
    );
    let query = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false);
    let others: Option<String> = query.fetch_one(connection).await?;
    others.map_or(Ok(()), |others| {
        Err(sqlx::Error::Protocol(format!(
            "postgres did not keep what was set for the session: {others}. Does a pooler stand between?"
        )))
    })
}

/// Whether the server follows another, and takes no writes.
pub async fn is_on_standby(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_is_in_recovery()").persistent(false).fetch_one(connection).await
}

/// Names and values are Damper's own, and numbers.
fn values(settings: &Settings) -> String {
    let value = |(name, value): &(_, _)| format!("('{name}', '{value}')");
    settings.iter().map(value).collect::<Vec<_>>().join(", ")
}
