//! Held ratings, listed for moderators.

use super::Moderation;
use crate::error::Result;
use crate::merge::{HeldRating, Key};
use crate::model::{HOUR_MS, Page, PostId, Time, page};
use crate::store::HeldKey;

impl Moderation {
    /// Held ratings in the order of posts and users after `after`, of one post if one is named, at most `limit`, and
    /// where the next page begins.
    pub async fn held_page(
        &self,
        post: Option<&PostId>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, HeldRating), Key>> {
        let held = self.store.held_page(post, after, page::to_read(limit), false).await?;
        Ok(Page::cut(held, limit, |(key, _)| key.clone()))
    }

    /// Held ratings after `after`, the oldest first, of one post if one is named, at most `limit`, and where the next page
    /// begins.
    pub async fn oldest_held(
        &self,
        post: Option<&PostId>,
        after: Option<&HeldKey>,
        limit: usize,
    ) -> Result<Page<(Key, HeldRating), HeldKey>> {
        let held = self.store.oldest_held(post, after, page::to_read(limit)).await?;
        Ok(Page::cut(held, limit, |(key, held)| (held.rated_at, key.clone())))
    }

    /// How many ratings are held, counted up to `most`.
    pub async fn count_held(&self, most: usize) -> Result<u64> {
        self.store.count_held(most).await
    }

    /// When a rating held since `rated_at` is released; `None` if releases are off.
    pub fn released_at(&self, rated_at: Time) -> Option<Time> {
        let hours = i64::from(self.core.context.config.moderation.hold_release_hours);
        (hours > 0).then(|| rated_at.plus_ms(hours * HOUR_MS))
    }
}
