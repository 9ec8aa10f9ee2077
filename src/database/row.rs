//! A row of either database, and how its columns are read into the types of the model.
//!
//! A function of the store reads a row straight into what it answers: no type stands between.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::entry::Position;
use crate::error::{Error, Result};
use crate::model::{PostId, Score, Time, UserId};

pub enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

/// Reads columns as they are stored, a function for each type.
macro_rules! columns {
    ($($name:ident: $kind:ty),* $(,)?) => {
        $(pub fn $name(&self, name: &str) -> Result<$kind> {
            match self {
                Row::Postgres(row) => Ok(sqlx::Row::try_get(row, name)?),
                Row::Sqlite(row) => Ok(sqlx::Row::try_get(row, name)?),
            }
        })*
    };
}

impl Row {
    columns! {
        text: &str,
        text_or_null: Option<&str>,
        bytes: &[u8],
        small: i16,
        int: i64,
        int_or_null: Option<i64>,
        float: f64,
    }

    /// A number that is never negative.
    pub fn count(&self, name: &str) -> Result<u64> {
        self.int(name).map(i64::unsigned_abs)
    }

    pub fn flag(&self, name: &str) -> Result<bool> {
        self.small(name).map(|flag| flag != 0)
    }

    pub fn time(&self, name: &str) -> Result<Time> {
        self.int(name).map(Time::from_ms)
    }

    pub fn post_id(&self, name: &str) -> Result<PostId> {
        self.parsed(name, |text| PostId::parse(text).ok())
    }

    pub fn user_id(&self, name: &str) -> Result<UserId> {
        self.parsed(name, |text| UserId::parse(text).ok())
    }

    pub fn position(&self, name: &str) -> Result<Position> {
        let bytes = self.bytes(name)?;
        Position::from_bytes(bytes).ok_or_else(|| corrupt(name, bytes))
    }

    pub fn score(&self, name: &str) -> Result<Score> {
        let score = self.small(name)?;
        Score::parse(score.into()).map_err(|_| corrupt(name, score))
    }

    /// What `parse` makes of a text; a text of which it makes nothing is corrupt.
    pub fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let text = self.text(name)?;
        parse(text).ok_or_else(|| corrupt(name, text))
    }
}

/// The error of a value that Damper has never written.
pub fn corrupt(what: &str, found: impl std::fmt::Debug) -> Error {
    Error::Internal(format!("the database holds {found:?} for {what}; damper verify looks at every row"))
}
