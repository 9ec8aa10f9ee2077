//! What can go wrong, sorted by who must act: the caller, the operator, or time itself.
//!
//! Every message is lower case, shows the value and names the remedy. An error is logged once, where it is
//! handled; the API turns it into problem+json (`api::problem`), the CLI into a sentence and an exit code.

mod kind;

use std::fmt;

pub use kind::Kind;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A value that a caller must change before it can be taken; nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// What kind of problem it is.
    pub kind: Kind,
    /// What is wrong, with the value and what is allowed instead.
    pub detail: String,
}

impl Invalid {
    /// A problem of this kind, and what it is about this value.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Invalid {}

/// Everything an [`App`](crate::App) call can answer besides its value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The caller must change what was sent (4xx, exit 1 or 2).
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// What was asked for is there already (409).
    #[error("{0}")]
    Conflict(String),
    /// The caller may not do this (403).
    #[error("{0}")]
    Forbidden(String),
    /// The caller has done as much of it as is allowed for now (429, exit 1).
    #[error("{detail}")]
    Limited {
        /// What the limit is, and when it is possible again.
        detail: String,
        /// So long it takes.
        wait_seconds: u64,
    },
    /// What was asked for does not exist (404).
    #[error("{0}")]
    NotFound(String),
    /// A server did not answer; the same call may succeed later (503, exit 69).
    #[error("{0}")]
    Unavailable(String),
    /// A server answered that it cannot now: a lock, a deadlock, a full disk (503, exit 69).
    #[error("{0}")]
    Busy(String),
    /// The database will not have this data, however often it is asked (500, exit 1).
    #[error("{0}")]
    Refused(String),
    /// The operator must change a setting (exit 78).
    #[error("{0}")]
    Config(String),
    /// The program met something it should never meet (500, exit 1).
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Busy(_))
    }
}
