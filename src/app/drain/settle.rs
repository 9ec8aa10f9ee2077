//! What follows the commits of a shard: the cache is refreshed, then the log is trimmed.
//!
//! Neither is needed for correctness. The averages are durable by then, readers look for changed posts by themselves, and a
//! drain that begins trims what the one before could not. So small batches share both: a post that ten commits in a row
//! have changed is read once, and the entries of all ten are deleted at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tracing::warn;

use super::Drainer;
use crate::cache::{CONTENT_BYTES_MAX, Cached};
use crate::entry::{Batch, Position, Shard};
use crate::error::Result;
use crate::faults;
use crate::merge::Merged;
use crate::model::{PostId, Time};
use crate::store::POSTS_ASKED_MAX;

/// Most entries that are committed before the cache is refreshed and the log trimmed.
const ENTRIES_UNSETTLED_MAX: usize = 20_000;

/// What a shard's drain has committed since it last settled.
#[derive(Default)]
pub(super) struct Unsettled {
    posts: BTreeSet<PostId>,
    entries: usize,
    /// The last of them.
    through: Option<Position>,
}

impl Unsettled {
    pub fn add(&mut self, batch: &Batch, merged: &Merged) {
        self.posts.extend(merged.averages.iter().map(|average| average.post.clone()));
        self.entries += batch.lines.len();
        self.through = Some(batch.to);
    }

    /// Whether it is as much as one batch may hold.
    pub fn is_due(&self, batch_max: usize) -> bool {
        self.entries >= batch_max.min(ENTRIES_UNSETTLED_MAX)
    }
}

impl Drainer {
    /// Refreshes the cache and trims the log up to what was committed.
    pub(super) async fn settle(&self, shard: Shard, unsettled: &mut Unsettled, now: Time) -> Result<()> {
        let Unsettled { posts, through, .. } = std::mem::take(unsettled);
        let Some(through) = through else { return Ok(()) };
        self.refresh(posts, now).await;
        faults::reach("drain.refreshed");
        self.buffer.trim(shard, through).await?;
        faults::reach("drain.trimmed");
        Ok(())
    }

    /// Refreshes the cache. A failure only makes readers wait for the next tick, or ask the store.
    async fn refresh(&self, posts: BTreeSet<PostId>, now: Time) {
        let ids: Vec<PostId> = posts.into_iter().collect();
        for ids in ids.chunks(POSTS_ASKED_MAX) {
            let asked_at = Instant::now();
            let states = match self.ledger.posts_cut(ids, CONTENT_BYTES_MAX).await {
                Ok(states) => states.into_iter().flatten(),
                Err(error) => {
                    warn!(%error, "the cache could not be refreshed after a commit");
                    self.cache.note_change().await;
                    return;
                }
            };
            faults::reach("cache.read");
            let entry = |(state, is_cut)| Arc::new(Cached { is_cut, ..Cached::new(state, now, asked_at) });
            self.cache.refresh_many(&states.map(entry).collect::<Vec<_>>()).await;
            // Readers elsewhere do not wait for the rest.
            self.cache.note_change().await;
        }
    }
}
