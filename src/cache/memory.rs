//! The in-process cache. Alone, it shows an entry for less than a second, since another process may have changed the post.
//! What is behind it may know that nothing has changed ([`MemoryCache::note_look`]); then entries are shown on.
//!
//! Entries are remembered longer than they are shown, so that what is behind this cache takes no reader back to an older
//! state.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::future::Cache as Moka;
use moka::ops::compute::Op;

use super::{Cache, Cached, LIFE};
use crate::model::PostId;

/// How long an entry is remembered: two ticks of the default timetable.
const MEMORY: Duration = Duration::from_secs(600);

/// What an entry takes besides its texts: itself, and its place in the map.
const ENTRY_BYTES: usize = size_of::<Cached>() + 256;

/// A bounded map of posts in this process.
pub struct MemoryCache {
    posts: Moka<PostId, Arc<Cached>>,
    changes: AtomicU64,
    quiet: RwLock<Quiet>,
    /// Whether somebody has asked for something older than [`LIFE`] since the last look.
    is_asked: AtomicBool,
}

/// The time in which looks found the same mark, so that no process had noted a change.
#[derive(Default)]
struct Quiet {
    /// What the last look found; nothing before the first, and after one that failed.
    mark: Option<String>,
    /// After the answer to the first of the looks, and before the question of the last.
    within: Option<(Instant, Instant)>,
}

impl MemoryCache {
    /// A cache of `bytes_max` at most; the least used posts go first.
    pub fn new(bytes_max: u64) -> Self {
        let posts = Moka::builder().weigher(|_, entry| bytes(entry)).max_capacity(bytes_max);
        Self {
            posts: posts.time_to_live(MEMORY).build(),
            changes: AtomicU64::new(0),
            quiet: RwLock::default(),
            is_asked: AtomicBool::new(false),
        }
    }

    /// The newest state of a post that this process has had lately, whether it may be shown without another look or not.
    pub async fn last(&self, id: &PostId) -> Option<Arc<Cached>> {
        self.posts.get(id).await
    }

    /// Takes in the mark that a look found, which was begun at `asked_at`; nothing if there was none, or the look failed.
    pub fn note_look(&self, mark: Option<String>, asked_at: Instant) {
        let mut quiet = self.quiet.write().unwrap_or_else(PoisonError::into_inner);
        quiet.within = match quiet.within {
            Some((from, _)) if mark.is_some() && mark == quiet.mark => Some((from, asked_at)),
            _ => mark.as_ref().map(|_| (Instant::now(), asked_at)),
        };
        quiet.mark = mark;
    }

    /// Keeps an entry unless a newer one is there. If none is there, only with `where_absent`.
    async fn put(&self, entry: &Arc<Cached>, where_absent: bool) {
        self.posts
            .entry(entry.state.post.id.clone())
            .and_compute_with(|there| {
                let replaces = there.map_or(where_absent, |there| entry.replaces(there.value()));
                std::future::ready(if replaces { Op::Put(entry.clone()) } else { Op::Nop })
            })
            .await;
    }

    /// Whether another look is worth it: somebody has asked for something older since the last.
    pub fn take_asked(&self) -> bool {
        self.is_asked.swap(false, Ordering::Relaxed)
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
            found.push(self.last(id).await.filter(|entry| self.is_fresh(entry.asked_at)));
        }
        found
    }

    async fn put_many(&self, entries: &[Arc<Cached>]) {
        for entry in entries {
            self.put(entry, true).await;
        }
    }

    async fn refresh_many(&self, entries: &[Arc<Cached>]) {
        for entry in entries {
            self.put(entry, false).await;
        }
    }

    fn changes_made(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    async fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn is_fresh(&self, asked_at: Instant) -> bool {
        if asked_at.elapsed() < LIFE {
            return true;
        }
        self.is_asked.store(true, Ordering::Relaxed);
        let quiet = self.quiet.read().unwrap_or_else(PoisonError::into_inner);
        quiet.within.is_some_and(|(from, to)| from <= asked_at && to.elapsed() < LIFE)
    }
}
