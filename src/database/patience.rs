//! How long an answer of the database is waited for, and what happens when there is none.
//!
//! A time-out fails its own request, and no other: the question may be a slow one. It only makes a probe look whether the
//! database is there. When the probe is not answered either, that is logged, once; from then on all callers are answered at
//! once, until the probe succeeds. So an outage costs a process a moment, and not a wait for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::tasks;

/// A commit that takes longer is given up; whether it happened is read back from the checkpoint.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);
/// Counts, lists, what a moderator decides by: a second more or less does not matter there.
pub(super) const PATIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a caller waits for an answer, and by which connections it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A request waits: `store.answer_timeout_ms`.
    Quick,
    /// A person waits who is used to it.
    Patient,
    /// As long as that, for a question that may read much: over connections of its own, so that it takes none from others.
    Heavy,
    /// A drain waits; over the drains' connections.
    Commit,
    /// However long it takes; over the drains' connections.
    Endless,
}

impl Patience {
    /// How long, when a quick answer takes at most `quick`; without a limit, nothing.
    fn limit(self, quick: Duration) -> Option<Duration> {
        match self {
            Patience::Quick => Some(quick),
            Patience::Patient | Patience::Heavy => Some(PATIENT_TIMEOUT),
            Patience::Commit => Some(COMMIT_TIMEOUT),
            Patience::Endless => None,
        }
    }

    /// The error when it takes longer.
    fn late(self, quick: Duration) -> Error {
        let ms = self.limit(quick).unwrap_or_default().as_millis();
        match self {
            Patience::Heavy => Error::Busy(format!("it takes longer than {} s; ask for less", ms / 1_000)),
            _ => Error::Unavailable(format!("the database did not answer within {ms} ms")),
        }
    }
}

/// Whether the database answers, as far as this process knows.
#[derive(Clone)]
pub struct Watch {
    quick: Duration,
    /// How long a probe may take: it connects anew.
    probe: Duration,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_down: AtomicBool,
    /// Whether a probe is on its way.
    is_probing: AtomicBool,
}

impl Watch {
    /// For a database from which a quick answer takes at most `quick`, and a new connection at most `connect`.
    pub fn new(quick: Duration, connect: Duration) -> Self {
        Self { quick, probe: quick.max(connect), state: Arc::default() }
    }

    /// The moment until which an answer that is asked for now is waited for.
    pub fn until(&self, patience: Patience) -> Deadline {
        let at = patience.limit(self.quick).map(|limit| tokio::time::Instant::now() + limit);
        Deadline { patience, at, goes_on: false }
    }

    /// Waits for an answer until `deadline`. When there is none, or a connection fails, `probe` is asked, and while that
    /// is not answered nothing else is asked. `probe` takes whether the database is known to be away. Needs a tokio
    /// runtime.
    pub async fn within<T, P: Future<Output = Result<()>> + Send + 'static>(
        &self,
        deadline: Deadline,
        call: impl Future<Output = Result<T>>,
        probe: impl Fn(bool) -> P + Send + Sync + 'static,
    ) -> Result<T> {
        let Some(at) = deadline.at else { return call.await };
        if !deadline.goes_on && self.state.is_down.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("the database does not answer; trying again".into()));
        }
        let outcome = tokio::time::timeout_at(at, call).await;
        let outcome = outcome.unwrap_or_else(|_| Err(deadline.patience.late(self.quick)));
        if let Err(Error::Unavailable(why)) = &outcome
            && !self.state.is_probing.swap(true, Ordering::Relaxed)
        {
            let (watch, why, probe) = (self.clone(), why.clone(), Arc::new(probe));
            tasks::keep("probe of the database", move || watch.clone().look(why.clone(), probe.clone()));
        }
        outcome
    }

    /// Asks `probe` until it is answered.
    async fn look<P: Future<Output = Result<()>> + Send>(
        self,
        why: String,
        probe: Arc<impl Fn(bool) -> P + Send + Sync>,
    ) {
        let State { is_down, is_probing } = &*self.state;
        while is_away(tokio::time::timeout(self.probe, probe(is_down.load(Ordering::Relaxed))).await) {
            if !is_down.swap(true, Ordering::Relaxed) {
                warn!(why, "the database does not answer; trying again");
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
        if is_down.swap(false, Ordering::Relaxed) {
            info!("the database answers again");
        } else {
            // It is there, and slow: probes are not to add to that.
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
        is_probing.store(false, Ordering::Relaxed);
    }
}

/// Whether a probe found no server. One that refuses it, for having too many connections for example, is there.
fn is_away(probed: Result<Result<()>, tokio::time::error::Elapsed>) -> bool {
    matches!(probed, Err(_) | Ok(Err(Error::Unavailable(_))))
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
