//! The mark by which processes let each other know, through Redis, that nothing has changed.
//!
//! A process that has changed what readers see removes it. The others look for it several times a second while they are
//! asked for posts. As long as they find the same one, each shows what it remembers. A look that finds none puts a new one
//! there, so no mark comes back, and what was evicted or lost counts as a change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use super::memory::MemoryCache;
use crate::error::Result;
use crate::redis::link::RedisLink;
use crate::tasks;

/// The key that holds it.
const KEY: &str = "damper:cache:mark";
/// A process that is asked for posts looks for it this often, and tries this often to remove it where that failed.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// This process' side of it.
pub struct Mark {
    link: Arc<OnceLock<Arc<RedisLink>>>,
    /// Whether it is still to be removed: Redis did not answer.
    is_owed: Arc<AtomicBool>,
}

impl Mark {
    /// Looks for the mark as long as `near` is there, which shows posts by it. Needs a tokio runtime.
    pub fn watch(near: &Arc<MemoryCache>, link: &Arc<OnceLock<Arc<RedisLink>>>) -> Self {
        let mark = Self { link: link.clone(), is_owed: Arc::default() };
        let (near, link, is_owed) = (Arc::downgrade(near), link.clone(), mark.is_owed.clone());
        tasks::keep("look for changes", move || look_on(near.clone(), link.clone(), is_owed.clone()));
        mark
    }

    /// Lets the other processes know that something has changed: now, or as soon as Redis answers.
    pub async fn remove(&self) {
        let is_removed = match self.link.get() {
            Some(link) => remove(link).await.is_ok(),
            None => false,
        };
        if !is_removed {
            self.is_owed.store(true, Ordering::Relaxed);
        }
    }
}

async fn look_on(near: Weak<MemoryCache>, link: Arc<OnceLock<Arc<RedisLink>>>, is_owed: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let Some(near) = near.upgrade() else { return };
        let Some(link) = link.get() else { continue };
        if is_owed.swap(false, Ordering::Relaxed) && remove(link).await.is_err() {
            is_owed.store(true, Ordering::Relaxed);
        }
        if near.take_asked() {
            let asked_at = Instant::now();
            near.note_look(look(link).await.unwrap_or_default(), asked_at);
        }
    }
}

/// Removes the mark, which a Redis without memory does too.
async fn remove(link: &RedisLink) -> Result<()> {
    link.reads.on_key::<i64>("UNLINK", vec![KEY.into()]).await.map(drop)
}

/// The mark, if there is one.
async fn look(link: &RedisLink) -> Result<Option<String>> {
    let found: Option<String> = link.reads.on_key("GET", vec![KEY.into()]).await?;
    if found.is_none() {
        let new = uuid::Uuid::new_v4().to_string();
        // Of two processes one is faster. A Redis without memory refuses it: then nothing is shown on.
        let put = link.reads.on_key::<Option<String>>("SET", vec![KEY.into(), new.into(), "NX".into()]);
        put.await?;
    }
    Ok(found)
}
