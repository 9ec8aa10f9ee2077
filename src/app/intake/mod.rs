//! Taking entries in. [`Intake`] holds the one rule of acceptance: whoever offers entries, one user, a site, a file or the
//! quarantine, gets an answer for each, and what was accepted is held durably.
//!
//! An entry is accepted when its post exists (or the entry may create it), when the post is not frozen, and when this
//! machine's clock agrees with the log's. Where a source differs on purpose, [`Source`] says how.

mod eligibility;
mod frozen;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::context::Context;
use super::reading::PostReader;
use crate::buffer::Buffer;
use crate::config::CatalogueMode;
use crate::entry::{Action, Entry, Position, Shard, Terms};
use crate::error::{Error, Invalid, Kind, Result};
use crate::faults;
use crate::model::{PostId, Score, Time, UserId};
use crate::store::{Ledger, POSTS_ASKED_MAX};
use eligibility::Eligibility;
use frozen::Frozen;

pub use eligibility::Rater;

/// Takes entries in.
pub struct Intake {
    context: Arc<Context>,
    buffer: Arc<dyn Buffer>,
    ledger: Arc<dyn Ledger>,
    posts: Arc<PostReader>,
    frozen: Frozen,
    eligibility: Eligibility,
}

/// Who offers many entries at once. Each source may do what the others may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A site, for its users. It answers for their accounts, so none is too young.
    Site,
    /// A file that an operator imports. Its entries state their own times, so clocks are not compared; their posts were
    /// created first; and a frozen post takes them: an import restores what was.
    File,
    /// The quarantine. Its entries were accepted once: they keep their terms and times, and a frozen post takes them.
    Quarantine,
}

/// An answer to a rating or withdrawal that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Accepted {
    /// What was rated.
    pub post_id: PostId,
    /// Who rated.
    pub user_id: UserId,
    /// The score; nothing for a withdrawal.
    pub score: Option<Score>,
    /// When it was accepted: its time for good.
    pub accepted_at: Time,
    /// The next tick.
    pub counts_from: Time,
}

impl Intake {
    /// Entries go into `buffer`; posts are looked up through `posts`.
    pub(super) fn new(
        context: Arc<Context>,
        buffer: Arc<dyn Buffer>,
        ledger: Arc<dyn Ledger>,
        posts: Arc<PostReader>,
    ) -> Self {
        let (frozen, eligibility) = (Frozen::default(), Eligibility::default());
        Self { context, buffer, ledger, posts, frozen, eligibility }
    }

    /// Takes a user's rating or withdrawal; it is held durably when this returns.
    ///
    /// # Errors
    /// `NotFound` when there is no such post, `Invalid` when it is frozen; `Unavailable` when the entry cannot be held, or
    /// when it cannot be found out whether the post exists: then it never takes effect later.
    pub async fn submit<'a>(
        &self,
        post: &PostId,
        rater: impl Into<Rater<'a>>,
        action: Action,
        now: Time,
    ) -> Result<Accepted> {
        let rater = rater.into();
        // What is left of the request's time must be enough to hear the append's outcome.
        let asked = tokio::time::timeout(self.context.config.find_timeout(), async {
            if !self.creates_posts() {
                self.posts.require(post, now).await?;
            }
            if self.frozen_posts(now).await.contains(post) {
                return Err(frozen(post));
            }
            Ok(self.is_too_young(rater, &action, now).await)
        });
        let is_too_young = asked.await.map_err(|_| {
            Error::Unavailable(format!(
                "it cannot be found out now whether there is a post {post}; try again"
            ))
        })??;
        let (post_id, user_id, score) = (post.clone(), rater.user.clone(), action.score());
        let entry = Entry::new(post_id.clone(), user_id.clone(), now, action);
        let shard = self.context.shard_of(post);
        self.append(shard, &[Entry { terms: Terms { is_too_young, ..self.terms() }, ..entry }], Some(now))
            .await?;
        faults::reach("submit.held");
        let counts_from = self.context.ticks.around(now).next;
        Ok(Accepted { post_id, user_id, score, accepted_at: now, counts_from })
    }

    /// Takes many entries, in the order given; says of each why it was refused, if it was.
    ///
    /// # Errors
    /// When some cannot be held. Then a prefix of each shard's is held; sending all again is safe.
    pub async fn take(&self, entries: Vec<Entry>, source: Source, now: Time) -> Result<Vec<Option<Error>>> {
        let missing = self.missing(&entries, source).await?;
        let frozen_posts = if source == Source::Site { self.frozen_posts(now).await } else { Arc::default() };
        let refusals: Vec<Option<Error>> = entries
            .iter()
            .map(|Entry { post, .. }| match (missing.contains(post), frozen_posts.contains(post)) {
                (true, _) => Some(Error::NotFound(format!("there is no post {post}"))),
                (_, true) => Some(frozen(post)),
                _ => None,
            })
            .collect();
        let accepted = entries.into_iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none());
        let accepted: Vec<Entry> = accepted
            .map(|(entry, _)| match source {
                Source::Quarantine => entry,
                Source::Site | Source::File => Entry { terms: self.terms(), ..entry },
            })
            .collect();
        // Only a site's entries carry the time of this machine's clock.
        self.append_all(accepted, (source == Source::Site).then_some(now)).await?;
        Ok(refusals)
    }

    /// Appends entries whose posts exist, whatever the rule of acceptance says: withdrawals of a user who is forgotten,
    /// releases of held ratings.
    ///
    /// # Errors
    /// When some cannot be held. Then a prefix of each shard's is held; sending all again is safe.
    pub async fn append_all(&self, entries: Vec<Entry>, now: Option<Time>) -> Result<()> {
        let mut shards: BTreeMap<Shard, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            shards.entry(self.context.shard_of(&entry.post)).or_default().push(entry);
        }
        try_join_all(shards.iter().map(|(shard, entries)| async move {
            for group in entries.chunks(self.buffer.append_max()) {
                self.append(*shard, group, now).await?;
            }
            Ok(())
        }))
        .await
        .map(drop)
    }

    /// Appends all or none to one shard; `now` as in [`Buffer::append`].
    pub async fn append(&self, shard: Shard, entries: &[Entry], now: Option<Time>) -> Result<Vec<Position>> {
        self.buffer.append(shard, entries, now).await
    }

    /// The posts that take no ratings. While the store does not answer, those known before.
    pub async fn frozen_posts(&self, now: Time) -> Arc<HashSet<PostId>> {
        self.frozen.at(now, self.ledger.frozen()).await
    }

    /// Asks for the frozen posts again at the next occasion: a decision has changed them.
    pub(super) fn refresh_frozen(&self) {
        self.frozen.ask_again();
    }

    /// The posts of entries that do not exist, and that these entries do not create.
    async fn missing(&self, entries: &[Entry], source: Source) -> Result<HashSet<PostId>> {
        let creates_post = |entry: &Entry| match source {
            Source::Quarantine => entry.terms.creates_post,
            Source::Site => self.creates_posts(),
            Source::File => true,
        };
        let posts: HashSet<&PostId> =
            entries.iter().filter(|entry| !creates_post(entry)).map(|entry| &entry.post).collect();
        let mut missing = HashSet::new();
        for post in posts {
            if !self.posts.is_known(post).await {
                missing.insert(post.clone());
            }
        }
        let asked: Vec<PostId> = missing.iter().cloned().collect();
        for ids in asked.chunks(POSTS_ASKED_MAX) {
            for id in self.ledger.existing(ids).await? {
                self.posts.remember(&id).await;
                missing.remove(&id);
            }
        }
        Ok(missing)
    }

    /// The terms of a rating by an account that is old enough.
    fn terms(&self) -> Terms {
        let hold = self.context.config.moderation.hold;
        Terms { creates_post: self.creates_posts(), hold, is_too_young: false }
    }

    async fn is_too_young(&self, rater: Rater<'_>, action: &Action, now: Time) -> bool {
        let days = self.context.config.moderation.hold_accounts_younger_than_days;
        action.score().is_some() && self.eligibility.is_too_young(rater, days, now, &*self.ledger).await
    }

    /// Whether a rating creates its post where there is none.
    fn creates_posts(&self) -> bool {
        self.context.config.catalogue.mode == CatalogueMode::Open
    }
}

/// The refusal of a frozen post.
fn frozen(post: &PostId) -> Error {
    Error::Invalid(Invalid::new(Kind::PostFrozen, format!("{post} is frozen: it takes no ratings for now")))
}
