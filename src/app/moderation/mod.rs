//! Moderation: decisions taken, and looked up. What one would do is tried out in [`preview`](crate::preview).
//!
//! A decision is appended as any entry is, and whoever takes it drains its shard and hears what came of it. Which posts
//! are frozen every process asks again and again; what was accepted before it knew is merged all the same.

pub mod alerts;
pub mod holds;
pub mod preview;
mod webhook;

use std::collections::HashSet;
use std::sync::Arc;

use crate::app::App;
use crate::entry::{Action, Decision, Entry, Position, Ruling, Which};
use crate::error::{Error, Invalid, Kind, Result};
use crate::merge::Standing;
use crate::merge::{Decided, Exclusion};
use crate::model::{Page, PostId, Time, UserId, page};
use crate::store::AuditKey;

/// Exclusions of one post that are not undone; more would be a mistake, and each undoing looks at all of them.
const EXCLUSIONS_MAX: usize = 1_000;

impl App {
    /// Passes when the post takes ratings.
    pub(crate) async fn check_frozen(&self, post: &PostId, now: Time) -> Result<()> {
        match self.frozen(now).await.contains(post) {
            true => Err(frozen(post)),
            false => Ok(()),
        }
    }

    /// The posts that take no ratings. Without the store, those of before.
    pub async fn frozen(&self, now: Time) -> Arc<HashSet<PostId>> {
        self.frozen.at(now, self.store.frozen()).await
    }

    /// Appends a decision; returns its place in the log.
    ///
    /// # Errors
    /// `NotFound` when there is no such post, or no such exclusion; `Conflict` when the exclusion is undone already.
    pub async fn decide(
        &self,
        post: &PostId,
        by: &UserId,
        decision: Decision,
        now: Time,
    ) -> Result<Position> {
        let mut positions = self.decide_all(post, by, vec![decision], now).await?;
        positions.pop().ok_or_else(|| Error::Internal("a decision has no place".into()))
    }

    /// Appends decisions on one post, all or none; returns their places.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub async fn decide_all(
        &self,
        post: &PostId,
        by: &UserId,
        decisions: Vec<Decision>,
        now: Time,
    ) -> Result<Vec<Position>> {
        self.state(post, now).await?;
        for decision in &decisions {
            self.check_decision(post, decision, now).await?;
        }
        let shard = self.shard_of(post);
        self.buffer.check_clock(shard, now).await?;
        let entry = |decision| Entry::new(post.clone(), by.clone(), now, Action::Decide(Arc::new(decision)));
        let entries: Vec<Entry> = decisions.into_iter().map(entry).collect();
        self.hold(shard, &entries).await
    }

    async fn check_decision(&self, post: &PostId, decision: &Decision, now: Time) -> Result<()> {
        match &decision.deed {
            Ruling::Freeze | Ruling::Thaw | Ruling::Hold(_) => Ok(()),
            Ruling::Approve(Which::User(user)) | Ruling::Reject(Which::User(user)) => {
                self.check_held(post, user, now).await
            }
            Ruling::Approve(Which::Window(_)) | Ruling::Reject(Which::Window(_)) => Ok(()),
            Ruling::Exclude(_) => {
                let standing = self.exclusions(post).await?.iter().filter(|other| !other.is_undone).count();
                if standing < EXCLUSIONS_MAX {
                    return Ok(());
                }
                Err(Error::Conflict(format!(
                    "{post} has {standing} exclusions; undo some, or take a longer window"
                )))
            }
            Ruling::Undo(id) => match self.exclusions(post).await?.iter().find(|other| other.id == *id) {
                Some(other) if other.is_undone => {
                    Err(Error::Conflict(format!("the exclusion {id} has been undone already")))
                }
                Some(_) => Ok(()),
                // It may wait in the log; the merge will know.
                None if self.may_wait(post, *id).await? => Ok(()),
                None => Err(Error::NotFound(format!("{post} has no exclusion {id}"))),
            },
        }
    }

    /// Whether a place in the log of the post's shard is beyond what is merged.
    async fn may_wait(&self, post: &PostId, position: Position) -> Result<bool> {
        let shard = self.shard_of(post);
        let merged = self.store.checkpoint(shard).await?.position;
        Ok(position > merged && position <= self.buffer.backlog(shard, merged).await?.last)
    }

    /// What moderators have made of a post, as the store has it now.
    ///
    /// # Errors
    /// `NotFound` when there is no such post.
    pub async fn standing(&self, post: &PostId) -> Result<Standing> {
        let found = self.store.posts(std::slice::from_ref(post)).await?.pop().flatten();
        found.map(|state| state.standing).ok_or_else(|| Error::NotFound(format!("there is no post {post}")))
    }

    /// What came of the decision at `position`: drains the post's shard if it is not merged yet.
    pub async fn outcome(&self, post: &PostId, position: Position, now: Time) -> Result<Decided> {
        let drained = self.drain_post(post, now).await;
        match self.store.decided(self.shard_of(post), position).await? {
            Some(decided) => {
                if matches!(decided.decision.deed, Ruling::Freeze | Ruling::Thaw) {
                    // Whoever froze a post shall see it frozen.
                    self.frozen.ask_again();
                }
                Ok(decided)
            }
            None => Err(drained.err().unwrap_or_else(|| {
                Error::Internal(format!("the decision {position} was merged and left no trace"))
            })),
        }
    }

    /// A post's exclusions, the undone ones too, in the order of the log.
    pub async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>> {
        self.store.exclusions(post).await
    }

    /// The newest decisions after `after`, of one post if one is named, at most `limit`, and where the next page begins.
    pub async fn audit_page(
        &self,
        post: Option<&PostId>,
        after: Option<AuditKey>,
        limit: usize,
    ) -> Result<Page<Decided, AuditKey>> {
        let decided = self.store.audit_page(post, after, page::to_read(limit)).await?;
        Ok(Page::cut(decided, limit, |decided| (decided.position, self.shard_of(&decided.post))))
    }
}

/// A post that takes no ratings.
pub fn frozen(post: &PostId) -> Error {
    Error::Invalid(Invalid::new(Kind::PostFrozen, format!("{post} is frozen: it takes no ratings for now")))
}
