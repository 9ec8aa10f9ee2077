//! Takes moderators' decisions in, and releases what was held too long.
//!
//! Every decision is an entry in the log, so the drain stays the only writer of averages and each can be undone exactly.
//! Its caller then drains the shard and sees the outcome. Lists, previews and alerts are left to
//! [`moderation`](super::moderation); the simulation runs this part.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::context::Context;
use super::drain::Drainer;
use super::intake::Intake;
use super::reading::PostReader;
use crate::buffer::Buffer;
use crate::entry::{Action, Decision, Entry, Position, Ruling};
use crate::error::{Error, Result};
use crate::faults;
use crate::merge::{Decided, HeldRating, Key};
use crate::model::{HOUR_MS, PostId, Time, UserId};
use crate::store::Ledger;

/// Most exclusions of one post that are in force. More would be a mistake, and each undo reads all of them.
const EXCLUSIONS_MAX: usize = 1_000;
/// A decision on a rating that still waits in the log waits for its merge at most this long.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// Most held ratings that one tick releases.
const RELEASES_MAX: usize = 1_000;

/// Takes decisions in.
pub struct Decisions {
    pub(super) context: Arc<Context>,
    pub(super) buffer: Arc<dyn Buffer>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) posts: Arc<PostReader>,
    pub(super) intake: Arc<Intake>,
    pub(super) drainer: Arc<Drainer>,
}

impl Decisions {
    /// Appends one decision; returns its place in the log.
    ///
    /// # Errors
    /// As [`Decisions::decide_all`].
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
    /// `NotFound` when there is no such post, or no such exclusion; `Conflict` when the exclusion is undone already.
    pub async fn decide_all(
        &self,
        post: &PostId,
        by: &UserId,
        decisions: Vec<Decision>,
        now: Time,
    ) -> Result<Vec<Position>> {
        self.posts.state(post, now).await?;
        for decision in &decisions {
            self.check_decision(post, decision, now).await?;
        }
        let shard = self.context.shard_of(post);
        let entry = |decision| Entry::new(post.clone(), by.clone(), now, Action::Decide(Arc::new(decision)));
        let entries: Vec<Entry> = decisions.into_iter().map(entry).collect();
        let positions = self.intake.append(shard, &entries, Some(now)).await?;
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
                let exclusions = self.ledger.exclusions(post).await?;
                let active = exclusions.iter().filter(|other| !other.is_undone).count();
                if active < EXCLUSIONS_MAX {
                    return Ok(());
                }
                let detail = format!("{post} has {active} exclusions; undo some, or take a longer window");
                Err(Error::Conflict(detail))
            }
            Ruling::Undo(id) => {
                match self.ledger.exclusions(post).await?.iter().find(|other| other.id == *id) {
                    Some(other) if other.is_undone => {
                        Err(Error::Conflict(format!("the exclusion {id} has been undone already")))
                    }
                    Some(_) => Ok(()),
                    // It may wait in the log; then the merge decides.
                    None if self.may_wait(post, *id).await? => Ok(()),
                    None => Err(Error::NotFound(format!("{post} has no exclusion {id}"))),
                }
            }
        }
    }

    /// Whether a place in the log of the post's shard is beyond what is merged.
    async fn may_wait(&self, post: &PostId, position: Position) -> Result<bool> {
        let shard = self.context.shard_of(post);
        let merged = self.ledger.checkpoint(shard).await?.position;
        Ok(position > merged && position <= self.buffer.backlog(shard, merged).await?.last)
    }

    /// Passes when a rating of `user` is held. If it is not, but something waits in the log, that is merged first.
    async fn check_held(&self, post: &PostId, user: &UserId, now: Time) -> Result<()> {
        if self.is_held(post, user).await? {
            return Ok(());
        }
        let key = (post.clone(), user.clone());
        let waiting = self.buffer.waiting_of(&[key]).await?.pop().flatten();
        if waiting.is_some() {
            let merged = tokio::time::timeout(CHECK_TIMEOUT, self.drainer.drain_post(post, now)).await;
            merged.map_err(|_| Error::Busy("what waits is being merged; try again".into()))??;
            if self.is_held(post, user).await? {
                return Ok(());
            }
        }
        Err(Error::NotFound(format!("no rating of {user} is held on {post}")))
    }

    async fn is_held(&self, post: &PostId, user: &UserId) -> Result<bool> {
        let held = self.ledger.held_of(user, std::slice::from_ref(post)).await?.pop().flatten();
        Ok(held.is_some_and(|held| !held.is_excluded))
    }

    /// The outcome of the decision at `position`. Drains the post's shard if it is not merged yet.
    pub async fn outcome(&self, post: &PostId, position: Position, now: Time) -> Result<Decided> {
        let drained = self.drainer.drain_post(post, now).await;
        faults::reach("decide.merged");
        match self.ledger.decided(self.context.shard_of(post), position).await? {
            Some(decided) => {
                if matches!(decided.decision.deed, Ruling::Freeze | Ruling::Thaw) {
                    // The moderator who froze a post sees it frozen at once.
                    self.intake.refresh_frozen();
                }
                Ok(decided)
            }
            None => Err(drained.err().unwrap_or_else(|| {
                Error::Internal(format!("the decision {position} was merged and left no trace"))
            })),
        }
    }

    /// Appends releases of ratings that have been held for `moderation.hold_release_hours`: they count from then on, so a
    /// hold is safe without staff. The worker does it before each tick's drain. A release that comes twice or too late
    /// changes nothing; those that cannot be appended now come at the next tick.
    pub async fn release_overdue(&self, now: Time) {
        let hours = i64::from(self.context.config.moderation.hold_release_hours);
        // While nothing is merged, the same releases would be appended again and again.
        if hours == 0 || self.drainer.is_stuck() {
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
        let overdue = self.ledger.held_before(before, RELEASES_MAX).await?;
        let release = |((post, user), held): (Key, HeldRating)| {
            Entry::new(post, user, now, Action::Release(held.position))
        };
        let releases: Vec<Entry> = overdue.into_iter().map(release).collect();
        let count = releases.len();
        self.intake.append_all(releases, Some(now)).await?;
        Ok(count)
    }
}
