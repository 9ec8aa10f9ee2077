//! Connections: how a process reaches the SQLite file, Postgres and Redis.
//!
//! Time-outs, reconnects and messages for people are settled here, once for all who talk to the same server;
//! what is said over a connection is the business of `buffer`, `store` and `cache`.

pub mod postgres;
pub mod redis;
pub mod schema;
pub mod sqlite;

use crate::error::Error;

/// Sorts a database's error by who must act: most pass by themselves, the rest is a mistake of ours.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let passing = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(e) => e.code().is_some_and(|code| is_passing(&code)),
            _ => false,
        };
        let text = match &error {
            sqlx::Error::PoolTimedOut => "the database gave no connection in time".to_owned(),
            error => format!("the database did not do it: {error}"),
        };
        if passing { Error::Unavailable(text) } else { Error::Internal(text) }
    }
}

/// Codes of conditions that pass without anybody changing a statement: Postgres' SQLSTATE classes for
/// connections, resources, roll-backs, operators, systems and lock time-outs; SQLite's BUSY, LOCKED, IOERR, FULL,
/// CANTOPEN with all their extended forms.
fn is_passing(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "53", "40", "57", "58"].contains(&&code[..2]) || code == "55P03" || code == "25P03";
    }
    code.parse::<u32>().is_ok_and(|code| [5, 6, 10, 13, 14].contains(&(code & 0xff)))
}
