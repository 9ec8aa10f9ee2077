//! The cache: posts with their state, near the reader.
//!
//! It holds state, not values: a reader evaluates the average at the last tick, so nothing goes stale when a
//! tick passes. It cannot fail (an error is a miss and a warning), and a `put` never replaces a newer state.
//! In process ([`memory`]) an entry lives a second at most, so that every process sees a commit within one;
//! behind it, where there are servers, lies Redis ([`redis`]). `tests/suite/cache.rs` holds both.

pub mod memory;
pub mod redis;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::merge::PostState;
use crate::model::{PostId, Time};

/// Posts near the reader.
#[async_trait]
pub trait Cache: Send + Sync {
    /// What is known of these posts, in the order asked.
    async fn get_many(&self, ids: &[PostId]) -> Vec<Option<Arc<Cached>>>;

    /// Keeps these, each unless a newer state is there.
    async fn put_many(&self, entries: &[Arc<Cached>]);
}

/// A post's state and when the store told it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cached {
    /// The state.
    pub state: PostState,
    /// When it was read from the store; after a tick it is looked up anew.
    pub read_at: Time,
}

impl Cached {
    /// Whether `self` may take the place of `other`.
    pub fn replaces(&self, other: &Cached) -> bool {
        (self.state.newness(), self.read_at) >= (other.state.newness(), other.read_at)
    }
}
