//! What can go wrong, sorted by who must act: the caller, the operator, or time itself.
//!
//! Every message is lower case, shows the value and names the remedy. An error is logged once, where it is
//! handled; the API turns it into problem+json (`api::problem`), the CLI into a sentence and an exit code.

use std::fmt;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A value that a caller must change before it can be taken; nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Stable name of the problem, the last segment of its `type` path (`score-out-of-range`).
    pub problem: &'static str,
    /// What is wrong, with the value and what is allowed instead.
    pub detail: String,
}

impl Invalid {
    /// A problem by its stable name, told for this value.
    pub fn new(problem: &'static str, detail: impl Into<String>) -> Self {
        Self { problem, detail: detail.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Invalid {}

/// Everything an [`App`](crate::App) call can answer besides its value.
#[derive(Debug, thiserror::Error)]
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
    /// The same error once more, for each of several callers that shared one call.
    pub fn again(&self) -> Self {
        match self {
            Error::Invalid(invalid) => Error::Invalid(invalid.clone()),
            Error::Conflict(text) => Error::Conflict(text.clone()),
            Error::Forbidden(text) => Error::Forbidden(text.clone()),
            Error::Limited { detail, wait_seconds } => {
                Error::Limited { detail: detail.clone(), wait_seconds: *wait_seconds }
            }
            Error::NotFound(text) => Error::NotFound(text.clone()),
            Error::Unavailable(text) => Error::Unavailable(text.clone()),
            Error::Config(text) => Error::Config(text.clone()),
            Error::Busy(text) => Error::Busy(text.clone()),
            Error::Refused(text) => Error::Refused(text.clone()),
            Error::Internal(text) => Error::Internal(text.clone()),
        }
    }

    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Busy(_))
    }
}
