//! The cache: posts with their state, near the reader. It cannot fail: an error is a miss and a warning.
//!
//! It holds state, not values: a reader evaluates the average at the last tick, so nothing is out of date when a tick
//! passes. In process ([`memory`]) an entry lives for a second at most, so that every process sees a commit within that
//! time; the server set-up has Redis ([`redis`]) behind it.

pub mod memory;
pub mod redis;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::merge::PostState;
use crate::model::{PostId, Time};
use crate::redis::link::RedisLink;

/// The cache that the settings choose: in process, and behind it in Redis where there is one.
pub fn open(config: &Config, link: Option<Arc<RedisLink>>) -> Arc<dyn Cache> {
    let near = memory::MemoryCache::new(config.cache.posts_max);
    match link {
        None => Arc::new(near),
        Some(link) => {
            Arc::new(redis::RedisCache::new(near, link, Duration::from_secs(config.cache.ttl_seconds)))
        }
    }
}

/// Posts near the reader.
#[async_trait]
pub trait Cache: Send + Sync {
    /// These posts as far as they are cached, in the order asked.
    async fn get_many(&self, ids: &[PostId]) -> Vec<Option<Arc<Cached>>>;

    /// Keeps these, each unless a newer state is there.
    async fn put_many(&self, entries: &[Arc<Cached>]);

    /// The same for a drain, whose many posts keep no reader waiting.
    async fn refresh_many(&self, entries: &[Arc<Cached>]) {
        self.put_many(entries).await;
    }
}

/// A post's state, and when it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cached {
    /// What the store said.
    pub state: PostState,
    /// When it was read from the store. After the next tick it is read again.
    pub read_at: Time,
}

impl Cached {
    /// Whether `self` may take the place of `other`.
    pub fn replaces(&self, other: &Cached) -> bool {
        (self.state.newness(), self.read_at) >= (other.state.newness(), other.read_at)
    }
}
