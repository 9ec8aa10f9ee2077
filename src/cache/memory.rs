//! The in-process cache: entries live a second at most.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache as Moka;
use moka::ops::compute::Op;

use super::{Cache, Cached};
use crate::model::PostId;

/// How long an entry may hide a commit of another process: a second, less the time that reading it may have taken.
pub const LIFE: Duration = Duration::from_millis(800);

/// A bounded map of posts in this process.
pub struct MemoryCache {
    posts: Moka<PostId, Arc<Cached>>,
}

impl MemoryCache {
    /// A cache of `posts_max` posts at most; the least used go first.
    pub fn new(posts_max: u64) -> Self {
        Self { posts: Moka::builder().max_capacity(posts_max).time_to_live(LIFE).build() }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get_many(&self, ids: &[PostId]) -> Vec<Option<Arc<Cached>>> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(self.posts.get(id).await);
        }
        found
    }

    async fn put_many(&self, entries: &[Arc<Cached>]) {
        for entry in entries {
            self.posts
                .entry(entry.state.post.id.clone())
                .and_compute_with(|there| {
                    let replaces = there.is_none_or(|there| entry.replaces(there.value()));
                    std::future::ready(if replaces { Op::Put(entry.clone()) } else { Op::Nop })
                })
                .await;
        }
    }
}
