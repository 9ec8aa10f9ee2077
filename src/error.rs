//! What can go wrong, sorted by who must act: the caller, the operator, or time itself.
//!
//! Every message is lower case, shows the value and names the remedy. An error is logged once, where it is
//! handled; the API turns it into problem+json (`api::problem`), the CLI into a sentence and an exit code.

mod kind;

pub use kind::{Kind, Page};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A value that a caller must change before it can be taken; nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
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

/// Everything an [`App`](crate::App) call can answer besides its value.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub enum Error {
    /// The caller must change what was sent (4xx, exit 1 or 2).
    Invalid(#[from] Invalid),
    /// What was asked for is there already (409).
    Conflict(String),
    /// The caller may not do this (403).
    Forbidden(String),
    /// The caller has done all that is allowed for now (429, exit 1).
    #[error("{detail}")]
    Limited {
        /// What the limit is, and when it is possible again.
        detail: String,
        /// How long that takes.
        wait_seconds: u64,
    },
    /// What was asked for does not exist (404).
    NotFound(String),
    /// A server did not answer; the same call may succeed later (503, exit 69).
    Unavailable(String),
    /// A server answered that it cannot now: a lock, a deadlock, a full disk (503, exit 69).
    Busy(String),
    /// A server answered that it only reads for now, as one does that another has taken over from (503, exit 69).
    ReadOnly(String),
    /// The database refuses this data, however often it is sent (500, exit 1).
    Refused(String),
    /// The operator must change a setting (exit 78).
    Config(String),
    /// The program met something it should never meet (500, exit 1).
    Internal(String),
}

impl Error {
    /// Whether the same call may succeed later without any change.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Busy(_) | Error::ReadOnly(_))
    }
}
