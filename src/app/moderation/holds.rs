//! Held ratings: listed for moderators, and let go when nobody decides on them.
//!
//! Silence is consent: what has been held for `moderation.hold_release_hours` counts from then on, so a hold needs no
//! staff to be safe. A tick's drain appends the releases; one that comes twice, or too late, changes nothing.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::app::App;
use crate::entry::{Action, Entry, Shard};
use crate::error::{Error, Result};
use crate::merge::{HeldRating, Key};
use crate::model::{Page, PostId, Time, UserId, page};

const HOUR_MS: i64 = 3_600_000;
/// Whoever decides on a rating that waits, waits for its merge at most this long.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// Held ratings that one tick lets go.
const RELEASES_MAX: usize = 1_000;

impl App {
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

    /// When a rating that is held since `rated_at` is let go; nothing if never.
    pub fn released_at(&self, rated_at: Time) -> Option<Time> {
        let hours = i64::from(self.config.moderation.hold_release_hours);
        (hours > 0).then(|| rated_at.plus_ms(hours * HOUR_MS))
    }

    /// Passes when a rating of `user` is held; what waits is merged before it is missed.
    pub(crate) async fn check_held(&self, post: &PostId, user: &UserId, now: Time) -> Result<()> {
        if self.is_held(post, user).await? {
            return Ok(());
        }
        let waiting = self.buffer.waiting_of(user, std::slice::from_ref(post)).await?.pop().flatten();
        if waiting.is_some() {
            let merged = tokio::time::timeout(CHECK_TIMEOUT, self.drain_post(post, now)).await;
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

    /// Appends the releases of what nobody has decided on for long. What cannot be appended now is appended at the next
    /// tick.
    pub(crate) async fn release(&self, now: Time) {
        let hours = i64::from(self.config.moderation.hold_release_hours);
        // While nothing is merged, the same releases would be appended again and again.
        if hours == 0 || self.drains_are_stuck.load(Ordering::Relaxed) {
            return;
        }
        match self.try_release(now, now.plus_ms(-hours * HOUR_MS)).await {
            Ok(0) => {}
            Ok(released) => info!(released, "held ratings were let go"),
            Err(error) if error.is_transient() => debug!(%error, "held ratings wait to be let go"),
            Err(error) => warn!(%error, "held ratings could not be let go"),
        }
    }

    async fn try_release(&self, now: Time, before: Time) -> Result<usize> {
        let overdue = self.store.held_before(before, RELEASES_MAX).await?;
        let release = |((post, user), held): (Key, HeldRating)| {
            Entry::new(post, user, now, Action::Release(held.position))
        };
        let releases: Vec<Entry> = overdue.into_iter().map(release).collect();
        let shards: BTreeSet<Shard> = releases.iter().map(|entry| self.shard_of(&entry.post)).collect();
        for shard in shards {
            self.buffer.check_clock(shard, now).await?;
        }
        let count = releases.len();
        self.submit_all(releases).await?;
        Ok(count)
    }
}
