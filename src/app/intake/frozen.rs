//! The frozen posts, as far as this process knows. They are few, and every rating asks for them.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::{PostId, Time};
use crate::store::Ledger;

/// The store is asked again after this.
const LIFE_MS: i64 = 500;

#[derive(Default)]
pub struct Frozen {
    known: RwLock<Answer>,
    /// Held by the one request that asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Answer {
    posts: Arc<HashSet<PostId>>,
    /// When the store was asked; `None` when it must be asked again.
    asked_at: Option<Time>,
    /// Counts the decisions that may have changed the set. An answer from before a decision is not kept.
    decisions: u64,
}

impl Frozen {
    /// The frozen posts at `now`; those known before when the store does not answer.
    pub async fn at(&self, now: Time, store: &dyn Ledger) -> Arc<HashSet<PostId>> {
        let is_fresh = |known: &Answer| {
            known.asked_at.is_some_and(|asked_at| (0..LIFE_MS).contains(&(now.ms() - asked_at.ms())))
        };
        let known = self.read();
        if is_fresh(&known) {
            return known.posts;
        }
        // One request asks; the others use what is known, and wait only before the first answer.
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) if known.asked_at.is_some() => return known.posts,
            Err(_) => self.asking.lock().await,
        };
        let known = self.read();
        if is_fresh(&known) {
            return known.posts;
        }
        let posts = match store.frozen().await {
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

    fn read(&self) -> Answer {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
