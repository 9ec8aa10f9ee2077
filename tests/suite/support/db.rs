//! A world's database, queried without Damper: plain SQL, over a new connection each time.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, FromRow, PgConnection, SqliteConnection};

use super::{PATIENCE, wait};

/// The database of the tables.
#[derive(Debug, Clone)]
pub enum Db {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Db {
    /// All rows of a query: texts, bytes, bigints and floats.
    #[track_caller]
    pub fn all<T>(&self, sql: &str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let statement = AssertSqlSafe(sql.to_owned());
        let rows = wait(async {
            match self {
                Db::Sqlite(path) => sqlx::query_as(statement).fetch_all(&mut sqlite(path).await?).await,
                Db::Postgres(url) => {
                    sqlx::query_as(statement).fetch_all(&mut PgConnection::connect(url).await?).await
                }
            }
        });
        rows.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The only row of a query.
    #[track_caller]
    pub fn one<T>(&self, sql: &str) -> T
    where
        T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut rows = self.all(sql);
        assert_eq!(rows.len(), 1, "{sql}");
        rows.remove(0)
    }

    /// The only whole number of a query.
    #[track_caller]
    pub fn count(&self, sql: &str) -> i64 {
        self.one::<(i64,)>(sql).0
    }

    /// The same; `None` while the database does not answer.
    pub fn try_count(&self, sql: &str) -> Option<i64> {
        let statement = AssertSqlSafe(sql.to_owned());
        let patience = Duration::from_secs(2);
        let count = wait(async {
            match self {
                Db::Sqlite(path) => {
                    let mut connection = sqlite(path).await.ok()?;
                    sqlx::query_as::<_, (i64,)>(statement).fetch_one(&mut connection).await.ok()
                }
                Db::Postgres(url) => {
                    let ask = async {
                        let mut connection = PgConnection::connect(url).await.ok()?;
                        sqlx::query_as::<_, (i64,)>(statement).fetch_one(&mut connection).await.ok()
                    };
                    tokio::time::timeout(patience, ask).await.ok()?
                }
            }
        });
        count.map(|(count,)| count)
    }

    /// Runs a statement that must change something.
    #[track_caller]
    pub fn change(&self, sql: &str) {
        let statement = AssertSqlSafe(sql.to_owned());
        let changed = wait(async {
            Ok::<_, sqlx::Error>(match self {
                Db::Sqlite(path) => {
                    sqlx::raw_sql(statement).execute(&mut sqlite(path).await?).await?.rows_affected()
                }
                Db::Postgres(url) => {
                    let mut connection = PgConnection::connect(url).await?;
                    sqlx::raw_sql(statement).execute(&mut connection).await?.rows_affected()
                }
            })
        });
        let changed = changed.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let is_definition =
            ["create", "alter", "drop", "grant", "revoke", "do $$"].iter().any(|word| sql.starts_with(word));
        assert!(changed > 0 || is_definition, "nothing changed by {sql}");
    }
}

async fn sqlite(path: &PathBuf) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).connect().await
}
