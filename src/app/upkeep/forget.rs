//! One user's data: shown, or erased.
//!
//! Ratings are erased as their user would withdraw them: by entries in the log, so that the averages stay exact and
//! the drain stays the only writer. Then goes what else bears the name: authorship, marks of withdrawals, entries in
//! the quarantine. Backups and the servers' own logs are their keepers' business.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Upkeep;
use super::quarantine::{QuarantineId, entry_of};
use crate::app::drain::DrainOrder;
use crate::entry::{Action, Entry};
use crate::error::{Error, Result};
use crate::model::{PostId, Score, Time, UserId};
use crate::store::{QuarantinedEntry, Trigger};

/// Ratings that are looked at together.
const PAGE: usize = 1_000;
/// A user who goes on rating meanwhile is followed so many times.
const ROUNDS_MAX: usize = 10;

/// Everything that is held about a user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UserData {
    /// Whose data it is.
    pub user_id: UserId,
    /// The name that the user has told.
    pub username: Option<String>,
    /// What the user has rated, in order of the posts.
    pub ratings: Vec<RatedPost>,
    /// What is kept for a moderator of what the user has rated.
    pub held: Vec<RatedPost>,
    /// Posts that bear the user's name.
    pub posts: Vec<PostId>,
    /// Entries of the user that were put aside, by their ids.
    pub quarantined: Vec<String>,
}

/// A user's rating, as it is held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatedPost {
    /// What was rated.
    pub post_id: PostId,
    /// How.
    pub score: Score,
    /// When.
    pub rated_at: Time,
}

impl UserData {
    /// The posts with ratings, held or not, each once.
    fn rated(&self) -> BTreeSet<PostId> {
        self.ratings.iter().chain(&self.held).map(|rating| rating.post_id.clone()).collect()
    }
}

/// All that `read` gives, page after page: what follows the post that it is told.
async fn pages<F: Future<Output = Result<Vec<(PostId, Score, Time)>>>>(
    read: impl Fn(Option<PostId>) -> F,
) -> Result<Vec<RatedPost>> {
    let mut rated: Vec<RatedPost> = Vec::new();
    loop {
        let page = read(rated.last().map(|rating| rating.post_id.clone())).await?;
        let is_end = page.len() < PAGE;
        rated.extend(page.into_iter().map(|(post_id, score, rated_at)| RatedPost {
            post_id,
            score,
            rated_at,
        }));
        if is_end {
            return Ok(rated);
        }
    }
}

impl Upkeep {
    /// Everything that is held about `user`, once what waits is merged.
    pub async fn user_data(&self, user: &UserId, now: Time) -> Result<UserData> {
        self.drainer.flush(now, &DrainOrder::quiet(Trigger::Flush)).await?;
        let ratings = pages(|after| async move {
            let page = self.store.ratings_by(user, after.as_ref(), PAGE).await?;
            Ok(page.into_iter().map(|(post, rating)| (post, rating.row.score, rating.rated_at)).collect())
        });
        let held = pages(|after| async move {
            let page = self.store.held_by(user, after.as_ref(), PAGE).await?;
            Ok(page.into_iter().map(|(post, held)| (post, held.score, held.rated_at)).collect())
        });
        let (ratings, held) = (ratings.await?, held.await?);
        let quarantined = self.quarantined_of(user).await?;
        Ok(UserData {
            user_id: user.clone(),
            username: self.store.user(user).await?.map(|user| user.username),
            ratings,
            held,
            posts: self.store.posts_by(user).await?,
            quarantined: quarantined.iter().map(|kept| QuarantineId::of(kept).to_string()).collect(),
        })
    }

    /// Erases everything that is held about `user`; returns what it was. Safe to repeat after an error.
    pub async fn forget(&self, user: &UserId, now: Time) -> Result<UserData> {
        let found = self.user_data(user, now).await?;
        let mut left = found.rated();
        for _ in 0..ROUNDS_MAX {
            if left.is_empty() {
                break;
            }
            let withdrawal = |post| Entry::new(post, user.clone(), now, Action::Withdraw);
            self.intake.append_all(left.into_iter().map(withdrawal).collect()).await?;
            left = self.user_data(user, now).await?.rated();
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
            self.posts.reload(posts, now).await?;
        }
        Ok(found)
    }

    /// A user's entries in the quarantine, as far as they can be read.
    async fn quarantined_of(&self, user: &UserId) -> Result<Vec<QuarantinedEntry>> {
        let mut found = Vec::new();
        let mut walk = self.walk_quarantine().await?;
        loop {
            let page = walk.next().await?;
            if page.is_empty() {
                return Ok(found);
            }
            found.extend(
                page.into_iter().filter(|kept| entry_of(kept).is_ok_and(|entry| entry.user == *user)),
            );
        }
    }
}
