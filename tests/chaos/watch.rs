//! What all threads of a round share while it runs: figures, what they saw that must not be, and when Redis is away.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::law::{Findings, Law};

/// So long after Redis is back a service may not have found it yet: docs/RELIABILITY.md says about 2 s.
const RECONNECT: Duration = Duration::from_secs(5);

/// What a round's threads share.
pub struct Watch {
    began: Instant,
    stop: AtomicBool,
    /// The moderator decides nothing for now.
    rests: AtomicBool,
    pub acknowledged: AtomicU64,
    /// Answered 503.
    pub refused: AtomicU64,
    /// Answered 423.
    pub frozen: AtomicU64,
    /// Not answered.
    pub unanswered: AtomicU64,
    /// Decisions that were answered with their outcome.
    pub decided: AtomicU64,
    /// Answers that readers looked at.
    pub looks: AtomicU64,
    /// When each service last answered a rating as it does while it works, in ms since the start.
    pub last_acknowledged_ms: [AtomicU64; 2],
    /// Open requests, by service.
    pub in_flight: [AtomicUsize; 2],
    /// Open decisions.
    pub deciding: AtomicUsize,
    /// Until when Redis may be away, in ms since the start; the maximum while it is.
    redis_away_until_ms: AtomicU64,
    findings: Mutex<Findings>,
}

impl Watch {
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            stop: AtomicBool::default(),
            rests: AtomicBool::default(),
            acknowledged: AtomicU64::default(),
            refused: AtomicU64::default(),
            frozen: AtomicU64::default(),
            unanswered: AtomicU64::default(),
            decided: AtomicU64::default(),
            looks: AtomicU64::default(),
            last_acknowledged_ms: Default::default(),
            in_flight: Default::default(),
            deciding: AtomicUsize::default(),
            redis_away_until_ms: AtomicU64::default(),
            findings: Mutex::default(),
        }
    }

    /// Whether writers, readers and the moderator shall end.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether the moderator shall wait.
    pub fn rests(&self) -> bool {
        self.rests.load(Ordering::SeqCst)
    }

    pub fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::SeqCst);
    }

    /// Notes a broken law.
    pub fn note(&self, law: Law, seen: String) {
        self.findings.lock().expect("the lock is not poisoned").note(law, seen);
    }

    pub fn into_findings(self) -> Findings {
        self.findings.into_inner().expect("the lock is not poisoned")
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Runs a fault that takes Redis away.
    pub fn without_redis<T>(&self, fault: impl FnOnce() -> T) -> T {
        self.redis_away_until_ms.store(u64::MAX, Ordering::SeqCst);
        let outcome = fault();
        self.redis_away_until_ms.store(self.now_ms() + RECONNECT.as_millis() as u64, Ordering::SeqCst);
        outcome
    }

    /// Whether Redis has been there since `since_ms`, so that every service has found it.
    pub fn has_redis(&self, since_ms: u64) -> bool {
        self.redis_away_until_ms.load(Ordering::SeqCst) <= since_ms
    }
}
