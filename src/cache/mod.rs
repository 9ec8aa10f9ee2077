//! The cache: posts with their state, near the reader. It cannot fail: an error is a miss and a warning.
//!
//! It holds state, not values: a reader evaluates the average at the last tick, so nothing is out of date when a tick
//! passes. The server set-up has Redis ([`redis`]) behind the cache in process ([`memory`]). Both are bounded in bytes.
//!
//! Every process sees a commit within a second: an entry in process is shown for less than that, and longer only while a
//! mark in Redis (`mark`) says that nothing has changed.

mod mark;
pub mod memory;
pub mod redis;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::config::CacheKnobs;
use crate::error::Result;
use crate::faults::{self, Mistake};
use crate::merge::PostState;
use crate::model::{PostId, Time};
use crate::redis::link::RedisLink;

/// The cache that the settings choose: in process, and behind it in Redis where there is one.
///
/// # Errors
/// `Config` when the URL of a Redis of its own cannot be used.
pub async fn open(knobs: &CacheKnobs, log: Option<Arc<RedisLink>>) -> Result<Arc<dyn Cache>> {
    let near = memory::MemoryCache::new(knobs.memory_bytes_max);
    Ok(match log.filter(|_| redis::entries_of_a_part(knobs) > 0) {
        None => Arc::new(near),
        Some(log) => Arc::new(redis::RedisCache::open(near, log, knobs).await?),
    })
}

/// What a process was told so long ago may be shown without another look: a second, less the time that a look may take.
pub const LIFE: Duration = Duration::from_millis(800);

/// Longer contents are left out of what a drain puts: it changes averages, and loads no texts for them.
pub const CONTENT_BYTES_MAX: usize = 1_024;

/// Posts near the reader.
#[async_trait]
pub trait Cache: Send + Sync {
    /// These posts as far as they are cached, in the order asked.
    async fn get_many(&self, ids: &[PostId]) -> Vec<Option<Arc<Cached>>>;

    /// Keeps these, each unless a newer state is there.
    async fn put_many(&self, entries: &[Arc<Cached>]);

    /// The same for a drain: its many posts keep no reader waiting, and a process does not begin to remember them.
    async fn refresh_many(&self, entries: &[Arc<Cached>]) {
        self.put_many(entries).await;
    }

    /// How many changes this process has made to what readers see. What was put together before the last is out of date.
    fn changes_made(&self) -> u64;

    /// Counts one, after it can be read, and lets other processes know.
    async fn note_change(&self);

    /// Whether what was asked for then may still be shown: it is younger than [`LIFE`], or no change was noted between then
    /// and a look less than that ago.
    fn is_fresh(&self, asked_at: Instant) -> bool;
}

/// A post's state, and when it was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cached {
    /// What the store said.
    pub state: PostState,
    /// When it was read from the store. After the next tick it is read again.
    pub read_at: Time,
    /// Whether the post's content is left out, because it is long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// When this process asked for it: no change that was noted before is missing.
    #[serde(skip, default = "Instant::now")]
    pub asked_at: Instant,
}

impl PartialEq for Cached {
    /// Whether they say the same, whenever this process asked for them.
    fn eq(&self, other: &Self) -> bool {
        (&self.state, self.read_at, self.is_cut) == (&other.state, other.read_at, other.is_cut)
    }
}

impl Cached {
    /// What the store said, whole.
    pub fn new(state: PostState, read_at: Time, asked_at: Instant) -> Self {
        Self { state, read_at, is_cut: false, asked_at }
    }

    /// The same without the post's content.
    fn cut(&self) -> Self {
        let mut cut = Self { is_cut: true, ..self.clone() };
        cut.state.post.content = None;
        cut
    }

    /// Whether `self` may take the place of `other`.
    pub fn replaces(&self, other: &Cached) -> bool {
        let is_newer = (self.state.newness(), self.read_at) >= (other.state.newness(), other.read_at);
        is_newer || faults::has(Mistake::BlindCache)
    }
}
