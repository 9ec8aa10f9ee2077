//! Which posts exist, as far as this process knows. Posts are never deleted, so a yes is kept; a no is kept for a moment,
//! so that a flood of requests for a missing post asks the store once.

use moka::future::Cache;

use crate::cache::memory::LIFE;
use crate::model::PostId;

/// Posts that a process remembers; beyond it, those not asked for lately are forgotten.
const POSTS_MAX: u64 = 200_000;

/// Posts that are known to exist, and posts that did not exist a moment ago.
pub struct KnownPosts {
    existing: Cache<PostId, ()>,
    missing: Cache<PostId, ()>,
}

impl Default for KnownPosts {
    fn default() -> Self {
        let missing = Cache::builder().max_capacity(POSTS_MAX).time_to_live(LIFE).build();
        Self { existing: Cache::new(POSTS_MAX), missing }
    }
}

impl KnownPosts {
    /// Whether the post is known to exist.
    pub async fn contains(&self, id: &PostId) -> bool {
        self.existing.get(id).await.is_some()
    }

    /// Whether the post did not exist a moment ago.
    pub async fn is_missing(&self, id: &PostId) -> bool {
        self.missing.get(id).await.is_some()
    }

    /// Remembers that the post exists.
    pub async fn remember(&self, id: &PostId) {
        self.existing.insert(id.clone(), ()).await;
        self.missing.invalidate(id).await;
    }

    /// Remembers for a moment that the post does not exist.
    pub async fn miss(&self, id: &PostId) {
        self.missing.insert(id.clone(), ()).await;
    }
}
