//! Moderation: decisions taken, looked up, and tried out before they are.
//!
//! A decision is appended as any entry is, and whoever takes it drains its shard and hears what came of it. Which posts
//! are frozen every process asks again and again; what was accepted before it knew is merged all the same.

use std::collections::HashSet;
use std::sync::Arc;

use crate::app::App;
use crate::entry::{Action, Decision, Deed, Entry, Line, Position, Reason, Window};
use crate::error::{Error, Invalid, Result};
use crate::merge::LoadedPost;
use crate::outcome::{Decided, Exclusion, Figures};
use crate::rating::{PostId, Time, UserId};
use crate::store::AuditKey;
use crate::sweep::Sweep;

/// Exclusions of one post that are not undone; more would be a mistake, and each undoing looks at all of them.
const EXCLUSIONS_MAX: usize = 1_000;
/// Ratings that a preview looks at together.
const PREVIEW_ROWS: usize = 5_000;

/// What an exclusion would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Ratings that it would take out, each of another user.
    pub excluded: u64,
    /// The post without it.
    pub before: Figures,
    /// The post with it.
    pub after: Figures,
}

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
        self.state(post, now).await?;
        self.check_decision(post, &decision).await?;
        let shard = self.shard_of(post);
        self.buffer.check_clock(shard, now).await?;
        let action = Action::Decide(Arc::new(decision));
        let (post, user) = (post.clone(), by.clone());
        let entry = Entry { post, user, at: now, action, creates_post: false, origin: None };
        self.hold(shard, &[entry])
            .await?
            .pop()
            .ok_or_else(|| Error::Internal("a decision has no place".into()))
    }

    async fn check_decision(&self, post: &PostId, decision: &Decision) -> Result<()> {
        match &decision.deed {
            Deed::Freeze | Deed::Thaw => Ok(()),
            Deed::Exclude(_) => {
                let standing = self.exclusions(post).await?.iter().filter(|other| !other.is_undone).count();
                if standing < EXCLUSIONS_MAX {
                    return Ok(());
                }
                Err(Error::Conflict(format!(
                    "{post} has {standing} exclusions; undo some, or take a longer window"
                )))
            }
            Deed::Undo(id) => match self.exclusions(post).await?.iter().find(|other| other.id == *id) {
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

    /// What came of the decision at `position`: drains the post's shard if it is not merged yet.
    pub async fn outcome(&self, post: &PostId, position: Position, now: Time) -> Result<Decided> {
        let drained = self.drain_post(post, now).await;
        match self.store.decided(self.shard_of(post), position).await? {
            Some(decided) => {
                if matches!(decided.decision.deed, Deed::Freeze | Deed::Thaw) {
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

    /// What an exclusion would do now to what is merged.
    ///
    /// # Errors
    /// `NotFound` when there is no such post.
    pub async fn preview(&self, post: &PostId, by: &UserId, window: Window, now: Time) -> Result<Preview> {
        self.state(post, now).await?;
        let found = self.store.posts(std::slice::from_ref(post)).await?.pop().flatten();
        let loaded = found.map(|state| LoadedPost { average: state.average, standing: state.standing });
        let decision = Decision { deed: Deed::Exclude(window), reason: Reason::parse("a preview")? };
        let action = Action::Decide(Arc::new(decision));
        let (post_id, user) = (post.clone(), by.clone());
        let entry = Entry { post: post_id, user, at: now, action, creates_post: false, origin: None };
        // After all that there is.
        let line = Line { position: Position::new(u64::MAX, u64::MAX), entry: Ok(entry) };
        let sweep = Sweep::begin(&line, loaded, Vec::new(), &self.params);
        let mut sweep = sweep.map_err(|_| Error::NotFound(format!("there is no post {post}")))?;
        let mut after: Option<UserId> = None;
        loop {
            let page = self.store.ratings_page(post, after.as_ref(), PREVIEW_ROWS).await?;
            for (_, rating) in &page {
                sweep.visit(rating);
            }
            match page.into_iter().nth(PREVIEW_ROWS - 1) {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        let (before, after) = sweep.figures();
        Ok(Preview { excluded: sweep.touched(), before, after })
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
    ) -> Result<(Vec<Decided>, Option<AuditKey>)> {
        let mut decided = self.store.audit_page(post, after, limit + 1).await?;
        let more = decided.len() > limit;
        decided.truncate(limit);
        let last = decided.last().filter(|_| more);
        let next = last.map(|decided| (decided.position, self.shard_of(&decided.post)));
        Ok((decided, next))
    }
}

/// A post that takes no ratings.
pub fn frozen(post: &PostId) -> Error {
    Error::Invalid(Invalid::new("post-frozen", format!("{post} is frozen: it takes no ratings for now")))
}
