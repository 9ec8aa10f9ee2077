//! Held ratings: listed for moderators, and released when no moderator decides in time.
//!
//! A rating that has been held for `moderation.hold_release_hours` counts from then on, so a hold is safe without staff.
//! The worker appends the releases before each tick's drain. A release that comes twice or too late changes nothing.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::Moderation;
use crate::entry::{Action, Entry};
use crate::error::{Error, Result};
use crate::merge::{HeldRating, Key};
use crate::model::{HOUR_MS, Page, PostId, Time, UserId, page};
use crate::store::HeldKey;

/// A decision on a rating that still waits in the log waits for its merge at most this long.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// Most held ratings that one tick releases.
const RELEASES_MAX: usize = 1_000;

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

    /// Passes when a rating of `user` is held. If it is not, but something waits in the log, that is merged first.
    pub(super) async fn check_held(&self, post: &PostId, user: &UserId, now: Time) -> Result<()> {
        if self.is_held(post, user).await? {
            return Ok(());
        }
        let key = (post.clone(), user.clone());
        let waiting = self.core.buffer.waiting_of(&[key]).await?.pop().flatten();
        if waiting.is_some() {
            let merged = tokio::time::timeout(CHECK_TIMEOUT, self.core.drainer.drain_post(post, now)).await;
            merged.map_err(|_| Error::Busy("what waits is being merged; try again".into()))??;
            if self.is_held(post, user).await? {
                return Ok(());
            }
        }
        Err(Error::NotFound(format!("no rating of {user} is held on {post}")))
    }

    async fn is_held(&self, post: &PostId, user: &UserId) -> Result<bool> {
        let held = self.store.held_of(user, std::slice::from_ref(post)).await?.pop().flatten();
        Ok(held.is_some_and(|held| !held.is_excluded))
    }

    /// Appends releases of ratings that have been held too long. Those that cannot be appended now come at the next tick.
    pub async fn release_overdue(&self, now: Time) {
        let hours = i64::from(self.core.context.config.moderation.hold_release_hours);
        // While nothing is merged, the same releases would be appended again and again.
        if hours == 0 || self.core.drainer.is_stuck() {
            return;
        }
        match self.try_release(now, now.plus_ms(-hours * HOUR_MS)).await {
            Ok(0) => {}
            Ok(released) => info!(released, "held ratings were released"),
            Err(error) if error.is_transient() => debug!(%error, "held ratings wait for their release"),
            Err(error) => warn!(%error, "held ratings could not be released"),
        }
    }

    async fn try_release(&self, now: Time, before: Time) -> Result<usize> {
        let overdue = self.store.held_before(before, RELEASES_MAX).await?;
        let release = |((post, user), held): (Key, HeldRating)| {
            Entry::new(post, user, now, Action::Release(held.position))
        };
        let releases: Vec<Entry> = overdue.into_iter().map(release).collect();
        let count = releases.len();
        self.core.intake.append_all(releases, Some(now)).await?;
        Ok(count)
    }
}
