//! Which posts exist, as far as this process knows. Posts are never deleted, so a yes is kept; a no is kept for a moment,
//! so that a flood of requests for a missing post asks the store once.

use moka::future::Cache;

use crate::model::{PostId, Time};

/// Posts that a process remembers; beyond it, those not asked for lately are forgotten.
const POSTS_MAX: u64 = 200_000;
/// A post that did not exist is looked up again after this.
const MISSING_MS: i64 = 800;

/// Posts that are known to exist, and posts that did not exist a moment ago.
pub struct KnownPosts {
    existing: Cache<PostId, ()>,
    missing: Cache<PostId, Time>,
}

impl Default for KnownPosts {
    fn default() -> Self {
        Self { existing: Cache::new(POSTS_MAX), missing: Cache::new(POSTS_MAX) }
    }
}

impl KnownPosts {
    /// Whether the post is known to exist.
    pub async fn contains(&self, id: &PostId) -> bool {
        self.existing.get(id).await.is_some()
    }

    /// Whether the post did not exist a moment before `now`.
    pub async fn is_missing(&self, id: &PostId, now: Time) -> bool {
        let is_recent = |at: Time| (0..MISSING_MS).contains(&(now.ms() - at.ms()));
        self.missing.get(id).await.is_some_and(is_recent)
    }

    /// Remembers that the post exists.
    pub async fn remember(&self, id: &PostId) {
        self.existing.insert(id.clone(), ()).await;
        self.missing.invalidate(id).await;
    }

    /// Remembers for a moment that the post did not exist at `now`.
    pub async fn miss(&self, id: &PostId, now: Time) {
        self.missing.insert(id.clone(), now).await;
    }
}
