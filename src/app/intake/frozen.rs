//! The frozen posts, as far as this process knows: asked for again and again, and few.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Result;
use crate::model::{PostId, Time};

/// They are asked for again after this.
const LIFE_MS: i64 = 500;

/// The posts that take no ratings.
#[derive(Default)]
pub struct Frozen {
    known: RwLock<Known>,
    /// Held by the one request that asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    posts: Arc<HashSet<PostId>>,
    /// When they were asked for; `None` when they must be asked for again.
    asked_at: Option<Time>,
    /// Counts decisions that may have changed them. An answer to an older question is not kept.
    decisions: u64,
}

impl Known {
    fn is_fresh(&self, now: Time) -> bool {
        self.asked_at.is_some_and(|asked_at| (0..LIFE_MS).contains(&(now.ms() - asked_at.ms())))
    }
}

impl Frozen {
    /// The frozen posts at `now`, as `ask` answers; those known before when it fails.
    pub async fn at(
        &self,
        now: Time,
        ask: impl Future<Output = Result<Vec<PostId>>>,
    ) -> Arc<HashSet<PostId>> {
        let known = self.read();
        if known.is_fresh(now) {
            return known.posts;
        }
        // One request asks. The others use what is known; only before the first answer they wait.
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) if known.asked_at.is_some() => return known.posts,
            Err(_) => self.asking.lock().await,
        };
        let known = self.read();
        if known.is_fresh(now) {
            return known.posts;
        }
        let posts = match ask.await {
            Ok(posts) => Arc::new(posts.into_iter().collect()),
            Err(_) => known.posts,
        };
        let mut newest = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if newest.decisions == known.decisions {
            newest.asked_at = Some(now);
            newest.posts = posts.clone();
        }
        posts
    }

    /// Makes the next request ask again: a decision has changed the set.
    pub fn ask_again(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.asked_at = None;
        known.decisions += 1;
    }

    fn read(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
