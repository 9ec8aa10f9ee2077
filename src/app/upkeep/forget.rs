//! One user's data: shown, or erased.
//!
//! Ratings are erased as a user withdraws them, by entries in the log, so the averages stay exact and the drain the only
//! writer. Then all else that names the user goes. Backups and the servers' own logs are left to their operators.

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
    pub user_id: UserId,
    pub username: Option<String>,
    /// In order of the posts.
    pub ratings: Vec<RatedPost>,
    /// Held for a moderator.
    pub held: Vec<RatedPost>,
    /// Created by the user.
    pub posts: Vec<PostId>,
    /// Ids of entries.
    pub quarantined: Vec<String>,
}

/// A user's rating of one post.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatedPost {
    pub post_id: PostId,
    pub score: Score,
    pub rated_at: Time,
}

impl UserData {
    /// The posts with ratings, held or not, each once.
    fn rated(&self) -> BTreeSet<PostId> {
        self.ratings.iter().chain(&self.held).map(|rating| rating.post_id.clone()).collect()
    }
}

/// All pages of `read`, which returns what comes after a post; `rated` makes the score and time of each row.
async fn pages<T, F: Future<Output = Result<Vec<(PostId, T)>>>>(
    read: impl Fn(Option<PostId>) -> F,
    rated: impl Fn(T) -> (Score, Time),
) -> Result<Vec<RatedPost>> {
    let mut all: Vec<RatedPost> = Vec::new();
    loop {
        let page = read(all.last().map(|last| last.post_id.clone())).await?;
        let is_end = page.len() < PAGE;
        all.extend(page.into_iter().map(|(post_id, row)| {
            let (score, rated_at) = rated(row);
            RatedPost { post_id, score, rated_at }
        }));
        if is_end {
            return Ok(all);
        }
    }
}

impl Upkeep {
    /// Everything stored about `user`. What waits in the log is merged first.
    pub async fn user_data(&self, user: &UserId, now: Time) -> Result<UserData> {
        self.core.drainer.flush(now, &DrainOrder::quiet(Trigger::Flush)).await?;
        let ratings = async |after: Option<PostId>| self.store.ratings_by(user, after.as_ref(), PAGE).await;
        let held = async |after: Option<PostId>| self.store.held_by(user, after.as_ref(), PAGE).await;
        Ok(UserData {
            user_id: user.clone(),
            username: self.store.user(user).await?.map(|user| user.username),
            ratings: pages(ratings, |rating| (rating.row.score, rating.rated_at)).await?,
            held: pages(held, |held| (held.score, held.rated_at)).await?,
            posts: self.store.posts_by(user).await?,
            quarantined: self.quarantined_of(user).await?.iter().map(QuarantineId::to_string).collect(),
        })
    }

    /// Erases everything stored about `user` and returns it. Safe to repeat after an error.
    pub async fn forget(&self, user: &UserId, now: Time) -> Result<UserData> {
        let found = self.user_data(user, now).await?;
        let mut left = found.rated();
        let mut rounds = 0..ROUNDS_MAX;
        while !left.is_empty() {
            if rounds.next().is_none() {
                let detail = format!("{user} keeps rating; block the user first, then try again");
                return Err(Error::Busy(detail));
            }
            let withdrawal = |post| Entry::new(post, user.clone(), now, Action::Withdraw);
            self.core.intake.append_all(left.into_iter().map(withdrawal).collect(), None).await?;
            left = self.user_data(user, now).await?.rated();
        }
        for id in self.quarantined_of(user).await? {
            self.drop_quarantined(id).await?;
        }
        let made = self.store.posts_by(user).await?;
        self.store.forget(user).await?;
        self.core.posts.note_change().await;
        for posts in made.chunks(PAGE) {
            // The cache still holds the user as the author.
            self.core.posts.reload(posts, now).await?;
        }
        Ok(found)
    }

    /// A user's entries in the quarantine, as far as they can be read.
    async fn quarantined_of(&self, user: &UserId) -> Result<Vec<QuarantineId>> {
        let mut found = Vec::new();
        let mut walk = self.walk_quarantine().await?;
        while let Some(page) = walk.next().await? {
            let is_theirs = |kept: &&QuarantinedEntry| entry_of(kept).is_ok_and(|entry| entry.user == *user);
            found.extend(page.iter().filter(is_theirs).map(QuarantineId::of));
        }
        Ok(found)
    }
}
