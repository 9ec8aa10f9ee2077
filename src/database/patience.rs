//! How long an answer of the database is waited for, and what happens when there is none.
//!
//! The first caller who waits in vain logs it, once; from then on all callers are answered at once, while a probe finds
//! out when the database is back. So an outage costs each process one wait, and not one a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use crate::error::{Error, Result};

/// A commit that takes longer is given up; whether it happened is read back from the checkpoint.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);
/// A decision that walks through all ratings of a post may take this long.
const BULK_TIMEOUT: Duration = Duration::from_secs(600);
/// Counts, lists, what a moderator decides by: a second more or less does not matter there.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a database that does not answer is asked again.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a caller waits for an answer, and by which connections it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A request waits: `store.answer_timeout_ms`.
    Quick,
    /// A person waits who is used to it.
    Patient,
    /// As long as that, but what takes longer does so for its own reasons: the database is no less there.
    Long,
    /// A drain waits; over the drains' connections.
    Commit,
    /// A drain waits for a walk through all ratings of a post; over the drains' connections.
    Bulk,
    /// However long it takes; over the drains' connections.
    Endless,
}

impl Patience {
    /// How long, when a quick answer takes at most `quick`; without a limit, nothing.
    fn limit(self, quick: Duration) -> Option<Duration> {
        match self {
            Patience::Quick => Some(quick),
            Patience::Patient | Patience::Long => Some(PATIENT_TIMEOUT),
            Patience::Commit => Some(COMMIT_TIMEOUT),
            Patience::Bulk => Some(BULK_TIMEOUT),
            Patience::Endless => None,
        }
    }

    /// Milliseconds after which Postgres itself ends a statement (0: never), where that is not what its connections are
    /// set to.
    pub(super) fn statement_ms(self) -> Option<u128> {
        match self {
            Patience::Long => Some(PATIENT_TIMEOUT.as_millis()),
            Patience::Endless => Some(0),
            Patience::Quick | Patience::Patient | Patience::Commit | Patience::Bulk => None,
        }
    }

    /// The error when it takes longer.
    fn late(self, quick: Duration) -> Error {
        let ms = self.limit(quick).unwrap_or_default().as_millis();
        match self {
            Patience::Long => Error::Busy(format!("it takes longer than {} s; ask for less", ms / 1_000)),
            _ => Error::Unavailable(format!("the database did not answer within {ms} ms")),
        }
    }
}

/// Whether the database answers, as far as this process knows.
#[derive(Clone)]
pub struct Watch {
    quick: Duration,
    is_down: Arc<AtomicBool>,
}

impl Watch {
    /// For a database from which a quick answer takes at most `quick`.
    pub fn new(quick: Duration) -> Self {
        Self { quick, is_down: Arc::default() }
    }

    /// The moment until which an answer that is asked for now is waited for.
    pub fn until(&self, patience: Patience) -> Deadline {
        let at = patience.limit(self.quick).map(|limit| tokio::time::Instant::now() + limit);
        Deadline { patience, at, goes_on: false }
    }

    /// Waits for an answer until `deadline`. When the database turns out to be gone, that is logged once, and `probe` is
    /// asked until it succeeds; meanwhile nothing else is. Needs a tokio runtime.
    pub async fn within<T, P: Future<Output = Result<()>> + Send>(
        &self,
        deadline: Deadline,
        call: impl Future<Output = Result<T>>,
        probe: impl Fn() -> P + Send + 'static,
    ) -> Result<T> {
        let Some(at) = deadline.at else { return call.await };
        if !deadline.goes_on && self.is_down.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("the database does not answer; trying again".into()));
        }
        let outcome = tokio::time::timeout_at(at, call).await;
        let outcome = outcome.unwrap_or_else(|_| Err(deadline.patience.late(self.quick)));
        if let Err(Error::Unavailable(why)) = &outcome
            && !self.is_down.swap(true, Ordering::Relaxed)
        {
            warn!(why, "the database does not answer; trying again");
            let Self { quick, is_down } = self.clone();
            tokio::spawn(async move {
                while !matches!(tokio::time::timeout(quick, probe()).await, Ok(Ok(()))) {
                    tokio::time::sleep(PROBE_INTERVAL).await;
                }
                is_down.store(false, Ordering::Relaxed);
                info!("the database answers again");
            });
        }
        outcome
    }
}

/// Until when an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    patience: Patience,
    /// Nothing without a limit.
    at: Option<tokio::time::Instant>,
    /// It is not given up because another caller waited in vain meanwhile.
    pub(super) goes_on: bool,
}
