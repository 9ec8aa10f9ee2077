//! One user's data: shown, or erased.
//!
//! Ratings are erased as a user withdraws them: by entries in the log, so that the averages stay exact and the drain stays
//! the only writer. Then everything else that names the user goes: authorship, marks of withdrawals, entries in the
//! quarantine. Backups and the servers' own logs are left to their operators.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Upkeep;
use super::quarantine::{QuarantineId, entry_of};
use crate::app::drain::DrainOrder;
use crate::entry::{Action, Entry};
use crate::error::{Error, Result};
use crate::model::{PostId, Score, Time, UserId};
use crate::store::{QuarantinedEntry, Trigger};

/// Ratings read together.
const PAGE: usize = 1_000;
/// Most rounds, for a user who keeps rating meanwhile.
const ROUNDS_MAX: usize = 10;

/// Everything stored about a user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UserData {
    /// The user.
    pub user_id: UserId,
    /// The user's name, if one was given.
    pub username: Option<String>,
    /// The user's ratings, in order of the posts.
    pub ratings: Vec<RatedPost>,
    /// The user's ratings that are held for a moderator.
    pub held: Vec<RatedPost>,
    /// Posts that the user created.
    pub posts: Vec<PostId>,
    /// Ids of the user's quarantined entries.
    pub quarantined: Vec<String>,
}

/// A user's rating of one post.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatedPost {
    /// The post.
    pub post_id: PostId,
    /// The score.
    pub score: Score,
    /// When it was rated.
    pub rated_at: Time,
}

impl UserData {
    /// The posts with ratings, held or not, each once.
    fn rated(&self) -> BTreeSet<PostId> {
        self.ratings.iter().chain(&self.held).map(|rating| rating.post_id.clone()).collect()
    }
}

/// All pages of `read`, which returns the ratings after a post.
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
    /// Everything stored about `user`. What waits in the log is merged first.
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

    /// Erases everything stored about `user` and returns it. Safe to repeat after an error.
    pub async fn forget(&self, user: &UserId, now: Time) -> Result<UserData> {
        let found = self.user_data(user, now).await?;
        let mut left = found.rated();
        for _ in 0..ROUNDS_MAX {
            if left.is_empty() {
                break;
            }
            let withdrawal = |post| Entry::new(post, user.clone(), now, Action::Withdraw);
            self.intake.append_all(left.into_iter().map(withdrawal).collect(), None).await?;
            left = self.user_data(user, now).await?.rated();
        }
        if !left.is_empty() {
            return Err(Error::Busy(format!("{user} keeps rating; block the user first, then try again")));
        }
        for kept in self.quarantined_of(user).await? {
            self.store.forget_quarantined(kept.shard, kept.entry.position).await?;
        }
        self.store.forget(user).await?;
        for posts in found.posts.chunks(PAGE) {
            // The cache still holds the user as the author.
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
