//! The frozen posts, as far as this process knows: asked for again and again, and few.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Result;
use crate::rating::{PostId, Time};

/// They are asked for again after this.
const LIFE_MS: i64 = 500;

/// The posts that take no ratings.
#[derive(Default)]
pub struct Frozen {
    /// When they were asked for, and which they were.
    known: RwLock<(Time, Arc<HashSet<PostId>>)>,
    /// Held by the one request that asks.
    asking: tokio::sync::Mutex<()>,
}

impl Frozen {
    /// Those at `now`, which `ask` tells; those of before when it cannot.
    pub async fn at(
        &self,
        now: Time,
        ask: impl Future<Output = Result<Vec<PostId>>>,
    ) -> Arc<HashSet<PostId>> {
        let (asked_at, known) = self.read();
        if (0..LIFE_MS).contains(&(now.ms() - asked_at.ms())) {
            return known;
        }
        // One asks; the others go by what is known, but for the very first.
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) if asked_at != Time::default() => return known,
            Err(_) => self.asking.lock().await,
        };
        let known = match ask.await {
            Ok(posts) => Arc::new(posts.into_iter().collect()),
            Err(_) => known,
        };
        self.write((now, known.clone()));
        known
    }

    /// Asks at the next occasion: a decision may have changed them.
    pub fn ask_again(&self) {
        let (_, known) = self.read();
        self.write((Time::default(), known));
    }

    fn read(&self) -> (Time, Arc<HashSet<PostId>>) {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, known: (Time, Arc<HashSet<PostId>>)) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }
}
