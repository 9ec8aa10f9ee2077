//! Moderation: decisions are looked up here, and handed to [`decisions`](super::decisions), which takes them; previews, held
//! ratings and alerts have files of their own.

pub(crate) mod alerts;
mod holds;
mod preview;
mod waves;
mod webhook;

pub use preview::Preview;

use std::sync::Arc;

use tokio::sync::Mutex;

use super::core::Core;
use super::decisions::Decisions;
use crate::entry::Position;
use crate::error::{Error, Result};
use crate::merge::{Decided, Exclusion, PostState};
use crate::model::{Page, PostId, UserId, page};
use crate::store::{AuditKey, Store};

/// What moderators do.
pub struct Moderation {
    pub(super) core: Core,
    pub(super) store: Arc<Store>,
    /// Held by the one round that sends alerts.
    pub(super) sending: Mutex<()>,
}

impl Moderation {
    /// Takes decisions.
    pub fn decisions(&self) -> &Decisions {
        &self.core.decisions
    }

    /// A post as the store has it now, with its standing: frozen or not, its hold policy, what is under review.
    ///
    /// # Errors
    /// `NotFound` when there is no such post.
    pub async fn stored(&self, post: &PostId) -> Result<PostState> {
        let found = self.store.posts(std::slice::from_ref(post)).await?.pop().flatten();
        found.ok_or_else(|| Error::NotFound(format!("there is no post {post}")))
    }

    /// The outcome of a decision that was merged; nothing if it is not, or there is none at that place.
    pub async fn decided(&self, post: &PostId, position: Position) -> Result<Option<Decided>> {
        self.store.decided(self.core.context.shard_of(post), position).await
    }

    /// A post's exclusions, the undone ones too, in the order of the log.
    pub async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>> {
        self.store.exclusions(post).await
    }

    /// The newest decisions after `after`, of one post and of one moderator if they are named, at most `limit`, and where the
    /// next page begins.
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
