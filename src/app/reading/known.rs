//! Answers of the store that a process remembers: a yes for good, a no for a moment, so that a flood of requests asks the
//! store once.

use std::hash::Hash;

use moka::future::Cache;

use crate::model::Time;

/// Most remembered answers of each kind, of at most 300 bytes each; those not asked for lately are forgotten first. An
/// outdated no counts among them until then. A no is forgotten soon, so fewer do.
const YES_MAX: u64 = 200_000;
const NO_MAX: u64 = 20_000;

/// Remembered answers to one question.
pub struct Known<K> {
    yes: Cache<K, ()>,
    no: Cache<K, Time>,
    no_ms: i64,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Known<K> {
    /// A no is forgotten after `no_ms`.
    pub fn new(no_ms: i64) -> Self {
        Self { yes: Cache::new(YES_MAX), no: Cache::new(NO_MAX), no_ms }
    }

    pub async fn is_yes(&self, key: &K) -> bool {
        self.yes.get(key).await.is_some()
    }

    pub async fn is_no(&self, key: &K, now: Time) -> bool {
        let is_recent = |at: Time| (0..self.no_ms).contains(&(now.ms() - at.ms()));
        self.no.get(key).await.is_some_and(is_recent)
    }

    pub async fn keep_yes(&self, key: &K) {
        self.yes.insert(key.clone(), ()).await;
        self.no.invalidate(key).await;
    }

    pub async fn keep_no(&self, key: &K, now: Time) {
        self.no.insert(key.clone(), now).await;
    }
}
