//! A row of either database, and how its columns are read into the types of the model.
//!
//! A function of the store reads a row straight into what it answers: no type stands between.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::entry::Position;
use crate::error::{Error, Result};
use crate::model::{PostId, Score, Time, UserId};

/// A row that a statement has found.
pub enum Row {
    /// Of Postgres.
    Postgres(PgRow),
    /// Of SQLite.
    Sqlite(SqliteRow),
}

macro_rules! read {
    ($row:expr, $name:expr) => {
        match $row {
            Row::Postgres(row) => Ok(sqlx::Row::try_get(row, $name)?),
            Row::Sqlite(row) => Ok(sqlx::Row::try_get(row, $name)?),
        }
    };
}

impl Row {
    /// A text.
    pub fn text(&self, name: &str) -> Result<&str> {
        read!(self, name)
    }

    /// A text, if it is not null.
    pub fn text_or_null(&self, name: &str) -> Result<Option<&str>> {
        read!(self, name)
    }

    /// Bytes.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        read!(self, name)
    }

    /// A small number.
    pub fn small(&self, name: &str) -> Result<i16> {
        read!(self, name)
    }

    /// A number.
    pub fn int(&self, name: &str) -> Result<i64> {
        read!(self, name)
    }

    /// A number, if it is not null.
    pub fn int_or_null(&self, name: &str) -> Result<Option<i64>> {
        read!(self, name)
    }

    /// A float.
    pub fn float(&self, name: &str) -> Result<f64> {
        read!(self, name)
    }

    /// A number that is never negative.
    pub fn count(&self, name: &str) -> Result<u64> {
        self.int(name).map(i64::unsigned_abs)
    }

    /// A flag.
    pub fn flag(&self, name: &str) -> Result<bool> {
        self.small(name).map(|flag| flag != 0)
    }

    /// A post's id.
    pub fn post_id(&self, name: &str) -> Result<PostId> {
        let text = self.text(name)?;
        PostId::parse(text).map_err(|_| corrupt("a post id", text))
    }

    /// A user's id.
    pub fn user_id(&self, name: &str) -> Result<UserId> {
        let text = self.text(name)?;
        UserId::parse(text).map_err(|_| corrupt("a user id", text))
    }

    /// A place in a log.
    pub fn position(&self, name: &str) -> Result<Position> {
        let bytes = self.bytes(name)?;
        Position::from_bytes(bytes).ok_or_else(|| corrupt("a position", bytes))
    }

    /// A moment.
    pub fn time(&self, name: &str) -> Result<Time> {
        self.int(name).map(Time::from_ms)
    }

    /// A score.
    pub fn score(&self, name: &str) -> Result<Score> {
        let score = self.small(name)?;
        Score::parse(score.into()).map_err(|_| corrupt("a score", score))
    }

    /// What `parse` makes of a text; it is corrupt when that is nothing.
    pub fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let text = self.text(name)?;
        parse(text).ok_or_else(|| corrupt(&format!("the column {name}"), text))
    }
}

/// The error of a value that Damper has never written.
pub fn corrupt(what: &str, found: impl std::fmt::Debug) -> Error {
    Error::Internal(format!("the database holds {found:?} for {what}; damper verify looks at every row"))
}
