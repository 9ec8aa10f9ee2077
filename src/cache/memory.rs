//! The in-process cache: entries are shown for a second at most. They are remembered a little longer, so that what is behind
//! this cache takes no reader back to an older state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache as Moka;
use moka::ops::compute::Op;

use super::{Cache, Cached};
use crate::model::PostId;

/// How long an entry may hide a commit of another process: a second, less the time that reading it may have taken.
pub const LIFE: Duration = Duration::from_millis(800);

/// How long an entry is remembered: what is behind this cache may have missed it.
const MEMORY: Duration = Duration::from_secs(10);

/// What an entry takes besides its texts: itself, and its place in the map.
const ENTRY_BYTES: usize = size_of::<Cached>() + 256;

/// A bounded map of posts in this process.
pub struct MemoryCache {
    posts: Moka<PostId, Arc<Cached>>,
    changes: AtomicU64,
}

impl MemoryCache {
    /// A cache of `bytes_max` at most; the least used posts go first.
    pub fn new(bytes_max: u64) -> Self {
        let posts = Moka::builder().weigher(|_, entry| bytes(entry)).max_capacity(bytes_max);
        Self { posts: posts.time_to_live(MEMORY).build(), changes: AtomicU64::new(0) }
    }

    /// The newest state of a post that this process has had lately, whether it may be shown without another look or not.
    pub async fn last(&self, id: &PostId) -> Option<Arc<Cached>> {
        self.posts.get(id).await
    }
}

fn bytes(entry: &Arc<Cached>) -> u32 {
    let post = &entry.state.post;
    let texts = post.title.len() + post.content.as_ref().map_or(0, String::len);
    u32::try_from(ENTRY_BYTES + texts).unwrap_or(u32::MAX)
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get_many(&self, ids: &[PostId]) -> Vec<Option<Arc<Cached>>> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(self.last(id).await.filter(|entry| entry.got_at.elapsed() < LIFE));
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
    fn changes_made(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}
