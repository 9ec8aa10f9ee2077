//! A connection of either database: how it takes a statement with its values, and what comes back.
//!
//! The few places where the two databases' SQL differs are words in braces in a statement's text. Loads by key must be
//! answered from the primary keys, whatever the planner thinks of a list: `tests/suite/plans.rs` looks at the plans.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, query};

use super::value::json;
use super::{Row, Value};
use crate::error::Result;

/// Which SQL a statement is rendered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Sqlite,
}

/// A word, and what takes its place in Postgres and in SQLite. A list is always the statement's first value.
const WORDS: [(&str, &str, &str); 5] = [
    // The table k (id) of a list of ids.
    (
        "{ids}",
        "(select id collate \"C\" as id from unnest($1::text[]) u (id)) k",
        "(select value as id from json_each($1)) k",
    ),
    // The table k (post_id, user_id) of a list of keys.
    (
        "{keys}",
        "(select post_id collate \"C\" as post_id, user_id collate \"C\" as user_id
          from unnest($1::text[], $2::text[]) u (post_id, user_id)) k",
        "(select value ->> 0 as post_id, value ->> 1 as user_id from json_each($1)) k",
    ),
    // SQLite goes through a cross join's tables in the order in which they are written.
    ("{join}", "join", "cross join"),
    // Compares a text byte by byte, as SQLite always does.
    ("{binary}", " collate \"C\"", ""),
    // Locks the rows of r, and leaves out those that another transaction has locked. SQLite's one writer needs none.
    ("{lock_r}", "for update of r skip locked", ""),
];

impl Dialect {
    pub fn render(self, sql: &str) -> String {
        let mut rendered = sql.to_owned();
        for (word, postgres, sqlite) in WORDS {
            if rendered.contains(word) {
                rendered = rendered.replace(word, if self == Dialect::Postgres { postgres } else { sqlite });
            }
        }
        rendered
    }
}

pub(super) enum Connection<'a> {
    Postgres(&'a mut PgConnection),
    Sqlite(&'a mut SqliteConnection),
}

impl<'a> Connection<'a> {
    /// The rows that a question finds, one after the other.
    pub fn rows(self, sql: &str, values: Vec<Value<'a>>) -> Result<BoxStream<'a, sqlx::Result<Row>>> {
        Ok(match self {
            Connection::Postgres(server) => {
                for_postgres(sql, values).fetch(server).map_ok(Row::Postgres).boxed()
            }
            Connection::Sqlite(file) => for_sqlite(sql, values)?.fetch(file).map_ok(Row::Sqlite).boxed(),
        })
    }

    /// All rows that a question finds.
    pub async fn ask(self, sql: &str, values: Vec<Value<'a>>) -> Result<Vec<Row>> {
        Ok(self.rows(sql, values)?.try_collect().await?)
    }

    /// Changes what a statement says; returns how many rows that were.
    pub async fn change(self, sql: &str, values: Vec<Value<'a>>) -> Result<u64> {
        Ok(match self {
            Connection::Postgres(server) => for_postgres(sql, values).execute(server).await?.rows_affected(),
            Connection::Sqlite(file) => for_sqlite(sql, values)?.execute(file).await?.rows_affected(),
        })
    }
}

/// The statement as Postgres takes it; lists are arrays.
fn for_postgres<'a>(sql: &str, values: Vec<Value<'a>>) -> Query<'a, Postgres, PgArguments> {
    let mut statement = query(AssertSqlSafe(Dialect::Postgres.render(sql)));
    for value in values {
        statement = match value {
            Value::Text(text) => statement.bind(text),
            Value::Position(position) => statement.bind(position.to_bytes().to_vec()),
            Value::Small(number) => statement.bind(number),
            Value::Int(number) => statement.bind(number),
            Value::Float(number) => statement.bind(number),
            Value::Texts(texts) => statement.bind(texts),
            Value::Keys(keys) => {
                let (posts, users): (Vec<&str>, Vec<&str>) = keys.into_iter().unzip();
                statement.bind(posts).bind(users)
            }
        };
    }
    statement
}

/// The statement as SQLite takes it; lists are JSON.
fn for_sqlite<'a>(sql: &str, values: Vec<Value<'a>>) -> Result<Query<'a, Sqlite, SqliteArguments>> {
    let mut statement = query(AssertSqlSafe(Dialect::Sqlite.render(sql)));
    for value in values {
        statement = match value {
            Value::Text(text) => statement.bind(text),
            Value::Position(position) => statement.bind(position.to_bytes().to_vec()),
            Value::Small(number) => statement.bind(number),
            Value::Int(number) => statement.bind(number),
            Value::Float(number) => statement.bind(number),
            Value::Texts(texts) => statement.bind(json(&texts)?),
            Value::Keys(keys) => statement.bind(json(&keys)?),
        };
    }
    Ok(statement)
}
