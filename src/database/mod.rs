//! The databases: how a process reaches Postgres or the SQLite file, and what their errors mean.
//!
//! What is asked of them is the business of `store` and `buffer`.

pub mod postgres;
pub mod schema;
pub mod sqlite;

use crate::error::Error;

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
            sqlx::Error::Database(e) => match e.code().as_deref().map(meaning) {
                Some(Meaning::Gone) => Error::Unavailable(text),
                Some(Meaning::Passing) => Error::Busy(text),
                Some(Meaning::Data) => Error::Refused(text),
                Some(Meaning::Mistake) | None => Error::Internal(text),
            },
            _ => Error::Internal(text),
        }
    }
}

/// What an error's code says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The server or the connection went away.
    Gone,
    /// The same statement may succeed later.
    Passing,
    /// These values will never do.
    Data,
    /// The statement itself, or a setting, is wrong.
    Mistake,
}

/// Postgres' SQLSTATE has five characters, SQLite's extended codes are numbers whose low byte is the plain code.
fn meaning(code: &str) -> Meaning {
    if code.len() == 5 {
        return match (&code[..2], code) {
            // Administrator's shutdown, crash, starting up; a lost connection.
            (_, "57P01" | "57P02" | "57P03") | ("08", _) => Meaning::Gone,
            // Resources (a full disk among them), roll-backs (deadlock, serialization), cancelled, system, lock and
            // idle time-outs, a server that only reads.
            ("53" | "40" | "57" | "58", _) | (_, "55P03" | "25P03" | "25006") => Meaning::Passing,
            // Data, constraints, views, limits, and what a trigger raises.
            ("22" | "23" | "44" | "54" | "P0", _) => Meaning::Data,
            _ => Meaning::Mistake,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
        Ok(5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15) => Meaning::Passing,
        // TOOBIG, CONSTRAINT, MISMATCH.
        Ok(18..=20) => Meaning::Data,
        _ => Meaning::Mistake,
    }
}

/// Whether a refused login may be taken the next time.
fn is_passing(code: &str) -> bool {
    matches!(meaning(code), Meaning::Gone | Meaning::Passing)
}
