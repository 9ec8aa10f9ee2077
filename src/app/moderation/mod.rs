//! Moderation: decisions are taken and looked up here; previews, held ratings and alerts have files of their own.
//!
//! Every decision is an entry in the log, so the drain stays the only writer of averages and each can be undone exactly.
//! Its caller then drains the shard and sees the outcome.

pub(crate) mod alerts;
mod holds;
mod preview;
mod waves;
mod webhook;

pub use preview::Preview;

use std::sync::Arc;

use tokio::sync::Mutex;

use super::core::Core;
use crate::entry::{Action, Decision, Entry, Position, Ruling};
use crate::error::{Error, Result};
use crate::faults;
use crate::merge::{Decided, Exclusion, PostState};
use crate::model::{Page, PostId, Time, UserId, page};
use crate::store::{AuditKey, Store};

/// Most exclusions of one post that are in force. More would be a mistake, and each undo reads all of them.
const EXCLUSIONS_MAX: usize = 1_000;

/// What moderators do.
pub struct Moderation {
    pub(super) core: Core,
    pub(super) store: Arc<Store>,
    /// Held by the one round that sends alerts.
    pub(super) sending: Mutex<()>,
}

impl Moderation {
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
        self.core.posts.state(post, now).await?;
        for decision in &decisions {
            self.check_decision(post, decision, now).await?;
        }
        let shard = self.core.context.shard_of(post);
        let entry = |decision| Entry::new(post.clone(), by.clone(), now, Action::Decide(Arc::new(decision)));
        let entries: Vec<Entry> = decisions.into_iter().map(entry).collect();
        let positions = self.core.intake.append(shard, &entries, Some(now)).await?;
        faults::reach("decide.held");
        Ok(positions)
    }

    async fn check_decision(&self, post: &PostId, decision: &Decision, now: Time) -> Result<()> {
        match &decision.deed {
            Ruling::Freeze | Ruling::Thaw | Ruling::Hold(_) => Ok(()),
            Ruling::Approve(which) | Ruling::Reject(which) => match which.user() {
                Some(user) => self.check_held(post, user, now).await,
                None => Ok(()),
            },
            Ruling::Exclude(_) => {
                let active = self.exclusions(post).await?.iter().filter(|other| !other.is_undone).count();
                if active < EXCLUSIONS_MAX {
                    return Ok(());
                }
                let detail = format!("{post} has {active} exclusions; undo some, or take a longer window");
                Err(Error::Conflict(detail))
            }
            Ruling::Undo(id) => match self.exclusions(post).await?.iter().find(|other| other.id == *id) {
                Some(other) if other.is_undone => {
                    Err(Error::Conflict(format!("the exclusion {id} has been undone already")))
                }
                Some(_) => Ok(()),
                // It may wait in the log; then the merge decides.
                None if self.may_wait(post, *id).await? => Ok(()),
                None => Err(Error::NotFound(format!("{post} has no exclusion {id}"))),
            },
        }
    }

    /// Whether a place in the log of the post's shard is beyond what is merged.
    async fn may_wait(&self, post: &PostId, position: Position) -> Result<bool> {
        let shard = self.core.context.shard_of(post);
        let merged = self.store.checkpoint(shard).await?.position;
        Ok(position > merged && position <= self.core.buffer.backlog(shard, merged).await?.last)
    }

    /// A post as the store has it now, with its standing: frozen or not, its hold policy, what is under review.
    ///
    /// # Errors
    /// `NotFound` when there is no such post.
    pub async fn stored(&self, post: &PostId) -> Result<PostState> {
        let found = self.store.posts(std::slice::from_ref(post)).await?.pop().flatten();
        found.ok_or_else(|| Error::NotFound(format!("there is no post {post}")))
    }

    /// The outcome of the decision at `position`. Drains the post's shard if it is not merged yet.
    pub async fn outcome(&self, post: &PostId, position: Position, now: Time) -> Result<Decided> {
        let drained = self.core.drainer.drain_post(post, now).await;
        faults::reach("decide.merged");
        match self.store.decided(self.core.context.shard_of(post), position).await? {
            Some(decided) => {
                if matches!(decided.decision.deed, Ruling::Freeze | Ruling::Thaw) {
                    // The moderator who froze a post sees it frozen at once.
                    self.core.intake.refresh_frozen();
                }
                Ok(decided)
            }
            None => Err(drained.err().unwrap_or_else(|| {
                Error::Internal(format!("the decision {position} was merged and left no trace"))
            })),
        }
    }

    /// The outcome of a decision that was merged; nothing if it is not, or there is none at that place.
    pub async fn decided(&self, post: &PostId, position: Position) -> Result<Option<Decided>> {
        self.store.decided(self.core.context.shard_of(post), position).await
    }

    /// A post's exclusions, the undone ones too, in the order of the log.
    pub async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>> {
        self.store.exclusions(post).await
    }

    /// The newest decisions after `after`, of one post and of one moderator if they are named, at most `limit`, and where the next page begins.
    pub async fn audit_page(
        &self,
        post: Option<&PostId>,
        by: Option<&UserId>,
        after: Option<AuditKey>,
        limit: usize,
    ) -> Result<Page<Decided, AuditKey>> {
        let decided = self.store.audit_page(post, by, after, page::to_read(limit)).await?;
        Ok(Page::cut(decided, limit, |decided| (decided.position, self.core.context.shard_of(&decided.post))))
    }
}
