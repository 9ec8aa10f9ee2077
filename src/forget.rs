//! One user's data: shown, or erased.
//!
//! Ratings are erased as their user would withdraw them: by entries in the log, so that the averages stay exact and
//! the drain stays the only writer. Then goes what else bears the name: authorship, marks of withdrawals, entries in
//! the quarantine. Backups and the servers' own logs are their keepers' business.

use serde::Serialize;

use crate::app::App;
use crate::drain::DrainOrder;
use crate::entry::{Action, Entry};
use crate::error::{Error, Result};
use crate::quarantine::{QuarantineId, entry_of};
use crate::rating::{PostId, Score, Time, UserId};
use crate::store::{Kept, Trigger};

/// Ratings that are looked at together.
const PAGE: usize = 1_000;
/// A user who goes on rating meanwhile is followed so many times.
const ROUNDS_MAX: usize = 10;

/// Everything that is held about a user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    /// Whose data it is.
    pub user_id: UserId,
    /// The name that the user has told.
    pub username: Option<String>,
    /// What the user has rated, in order of the posts.
    pub ratings: Vec<HeldRating>,
    /// Posts that bear the user's name.
    pub posts: Vec<PostId>,
    /// Entries of the user that were put aside, by their ids.
    pub quarantined: Vec<String>,
}

/// A user's rating, as it is held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldRating {
    /// What was rated.
    pub post_id: PostId,
    /// How.
    pub score: Score,
    /// When.
    pub rated_at: Time,
}

impl App {
    /// Everything that is held about `user`, once what waits is merged.
    pub async fn held(&self, user: &UserId, now: Time) -> Result<Held> {
        self.flush(now, &DrainOrder::quiet(Trigger::Flush)).await?;
        let mut ratings = Vec::new();
        loop {
            let after = ratings.last().map(|rating: &HeldRating| rating.post_id.clone());
            let page = self.store.ratings_by(user, after.as_ref(), PAGE).await?;
            let is_end = page.len() < PAGE;
            ratings.extend(page.into_iter().map(|(post_id, rating)| HeldRating {
                post_id,
                score: rating.row.score,
                rated_at: rating.rated_at,
            }));
            if is_end {
                break;
            }
        }
        let quarantined = self.quarantined_of(user).await?;
        Ok(Held {
            user_id: user.clone(),
            username: self.store.user(user).await?.map(|user| user.username),
            ratings,
            posts: self.store.posts_by(user).await?,
            quarantined: quarantined.iter().map(|kept| QuarantineId::of(kept).to_string()).collect(),
        })
    }

    /// Erases everything that is held about `user`; returns what it was. Safe to repeat after an error.
    pub async fn forget(&self, user: &UserId, now: Time) -> Result<Held> {
        let found = self.held(user, now).await?;
        let mut left = found.ratings.clone();
        for _ in 0..ROUNDS_MAX {
            if left.is_empty() {
                break;
            }
            let withdrawal = |rating: HeldRating| Entry {
                post: rating.post_id,
                user: user.clone(),
                at: now,
                action: Action::Withdraw,
                creates_post: false,
                origin: None,
            };
            self.submit_all(left.into_iter().map(withdrawal).collect()).await?;
            left = self.held(user, now).await?.ratings;
        }
        if !left.is_empty() {
            return Err(Error::Busy(format!(
                "{user} goes on rating; keep the user out first, then try again"
            )));
        }
        for kept in self.quarantined_of(user).await? {
            self.store.forget_quarantined(kept.shard, kept.entry.position).await?;
        }
        self.store.forget(user).await?;
        for posts in found.posts.chunks(PAGE) {
            // What is near readers still bears the name.
            self.loader.load(posts.to_vec(), now).await?;
        }
        Ok(found)
    }

    /// A user's entries in the quarantine, as far as they can be read.
    async fn quarantined_of(&self, user: &UserId) -> Result<Vec<Kept>> {
        let mut found = Vec::new();
        let mut sweep = self.sweep_quarantine().await?;
        loop {
            let page = sweep.next().await?;
            if page.is_empty() {
                return Ok(found);
            }
            found.extend(
                page.into_iter().filter(|kept| entry_of(kept).is_ok_and(|entry| entry.user == *user)),
            );
        }
    }
}
