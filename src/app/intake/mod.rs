//! The one rule of acceptance. Every source of entries gets an answer for each, and what was accepted is held durably.
//!
//! An entry is accepted when its post exists (or the entry may create it), when the post is not frozen, and when this
//! machine's clock agrees with the log's. Where a source differs on purpose, [`Source`] says how.

mod frozen;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::context::Context;
use super::reading::PostReader;
use super::reading::known::Known;
use crate::buffer::Buffer;
use crate::config::CatalogueMode;
use crate::entry::{Action, Entry, Position, Shard, Terms};
use crate::error::{Error, Invalid, Kind, Result};
use crate::faults::{self, Mistake};
use crate::model::{DAY_MS, PostId, Score, Time, UserId};
use crate::store::{Ledger, POSTS_ASKED_MAX};
use frozen::Frozen;

/// An account that is too young is looked up again after this.
const YOUNG_MS: i64 = 60_000;

/// Takes entries in.
pub struct Intake {
    context: Arc<Context>,
    buffer: Arc<dyn Buffer>,
    ledger: Arc<dyn Ledger>,
    posts: Arc<PostReader>,
    frozen: Frozen,
    /// Whether an account is old enough. A yes is certain, since accounts only get older.
    grown: Known<UserId>,
}

/// A user who rates.
#[derive(Debug, Clone, Copy)]
pub struct Rater<'a> {
    /// The user's id.
    pub user: &'a UserId,
    /// When the account was created, if the token says so.
    pub account_created_at: Option<Time>,
}

impl<'a> From<&'a UserId> for Rater<'a> {
    fn from(user: &'a UserId) -> Self {
        Self { user, account_created_at: None }
    }
}

/// A source of many entries at once.
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
    /// The rated post.
    pub post_id: PostId,
    /// The user who rated.
    pub user_id: UserId,
    /// The score; null for a withdrawal.
    pub score: Option<Score>,
    /// When it was accepted: its time for good.
    pub accepted_at: Time,
    /// The next tick.
    pub counts_from: Time,
}

impl Intake {
    pub(super) fn new(
        context: Arc<Context>,
        buffer: Arc<dyn Buffer>,
        ledger: Arc<dyn Ledger>,
        posts: Arc<PostReader>,
    ) -> Self {
        let (frozen, grown) = (Frozen::default(), Known::new(YOUNG_MS));
        Self { context, buffer, ledger, posts, frozen, grown }
    }

    /// Takes a user's rating or withdrawal; it is held durably when this returns.
    ///
    /// # Errors
    /// `NotFound` when there is no such post, `Invalid` when it is frozen; `Unavailable` when the entry cannot be held, or
    /// when nothing says whether the post exists: then it never takes effect later.
    pub async fn submit<'a>(
        &self,
        post: &PostId,
        rater: impl Into<Rater<'a>>,
        action: Action,
        now: Time,
    ) -> Result<Accepted> {
        let rater = rater.into();
        // What is left of the request's time must be enough for the append's outcome.
        let asked = tokio::time::timeout(self.context.config.find_timeout(), async {
            if !self.creates_posts() {
                self.posts.require(post, now).await?;
            }
            if self.frozen.at(now, &*self.ledger).await.contains(post) {
                return Err(frozen(post));
            }
            Ok(action.score().is_some() && self.is_too_young(rater, now).await)
        });
        let is_too_young = asked.await.map_err(|_| {
            Error::Unavailable(format!("cannot find out now whether there is a post {post}; try again"))
        })??;
        let (post_id, user_id, score) = (post.clone(), rater.user.clone(), action.score());
        let terms = Terms { is_too_young, ..self.terms() };
        let entry = Entry { terms, ..Entry::new(post_id.clone(), user_id.clone(), now, action) };
        let shard = self.context.shard_of(post);
        if faults::has(Mistake::AcknowledgeEarly) {
            let buffer = self.buffer.clone();
            tokio::spawn(async move { buffer.append(shard, &[entry], Some(now)).await });
        } else {
            self.append(shard, &[entry], Some(now)).await?;
        }
        faults::reach("submit.held");
        let counts_from = self.context.ticks.around(now).next;
        Ok(Accepted { post_id, user_id, score, accepted_at: now, counts_from })
    }

    /// Takes many entries, in the order given. Returns for each why it was refused, if it was.
    ///
    /// # Errors
    /// When some cannot be held. Then a prefix of each shard's is held; sending all again is safe.
    pub async fn take(&self, entries: Vec<Entry>, source: Source, now: Time) -> Result<Vec<Option<Error>>> {
        let missing = self.missing(&entries, source).await?;
        let is_site = source == Source::Site;
        let frozen_posts = if is_site { self.frozen.at(now, &*self.ledger).await } else { Arc::default() };
        let refusals: Vec<Option<Error>> = entries
            .iter()
            .map(|Entry { post, .. }| match (missing.contains(post), frozen_posts.contains(post)) {
                (true, _) => Some(Error::NotFound(format!("there is no post {post}"))),
                (_, true) => Some(frozen(post)),
                _ => None,
            })
            .collect();
        let accepted = entries.into_iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none());
        let on_terms = |(entry, _): (Entry, _)| match source {
            Source::Quarantine => entry,
            Source::Site | Source::File => {
                Entry { terms: Terms { is_stated: entry.terms.is_stated, ..self.terms() }, ..entry }
            }
        };
        // Only a site's entries carry the time of this machine's clock.
        self.append_all(accepted.map(on_terms).collect(), is_site.then_some(now)).await?;
        Ok(refusals)
    }

    /// Appends entries of existing posts without the rule of acceptance: withdrawals of a user who is forgotten, releases
    /// of held ratings.
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
        let outcome = self.buffer.append(shard, entries, now).await;
        if faults::has(Mistake::ReplayLate) && outcome.is_err() {
            let (buffer, entries) = (self.buffer.clone(), entries.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                buffer.append(shard, &entries, now).await
            });
        }
        outcome
    }

    /// Makes the next request ask for the frozen posts: a decision has changed them.
    pub(super) fn refresh_frozen(&self) {
        self.frozen.ask_again();
    }

    /// The entries' posts that do not exist and that the entries do not create.
    async fn missing(&self, entries: &[Entry], source: Source) -> Result<HashSet<PostId>> {
        let creates_post = |entry: &Entry| match source {
            Source::Quarantine => entry.terms.creates_post,
            Source::Site => self.creates_posts(),
            Source::File => true,
        };
        let posts: HashSet<&PostId> =
            entries.iter().filter(|entry| !creates_post(entry)).map(|entry| &entry.post).collect();
        let known = &self.posts.known;
        let mut missing = HashSet::new();
        for post in posts {
            if !known.is_yes(post).await {
                missing.insert(post.clone());
            }
        }
        let asked: Vec<PostId> = missing.iter().cloned().collect();
        for ids in asked.chunks(POSTS_ASKED_MAX) {
            for id in self.ledger.existing(ids).await? {
                known.keep_yes(&id).await;
                missing.remove(&id);
            }
        }
        Ok(missing)
    }

    /// The terms of a rating by an account that is old enough.
    fn terms(&self) -> Terms {
        let hold = self.context.config.moderation.hold;
        Terms { creates_post: self.creates_posts(), hold, ..Terms::default() }
    }

    /// Whether an account is too young for its ratings to count at once, or of unknown age: they are held, and released by
    /// themselves. The age comes from the token, or else from when the user was created here.
    async fn is_too_young(&self, Rater { user, account_created_at }: Rater<'_>, now: Time) -> bool {
        let days = self.context.config.moderation.hold_accounts_younger_than_days;
        if days == 0 {
            return false;
        }
        let since = now.plus_ms(-i64::from(days) * DAY_MS);
        if let Some(created_at) = account_created_at {
            return created_at > since;
        }
        if self.grown.is_yes(user).await {
            return false;
        }
        if self.grown.is_no(user, now).await {
            return true;
        }
        // While the store does not answer, the age is unknown.
        let Ok(found) = self.ledger.user(user).await else { return true };
        let is_grown = found.is_some_and(|user| user.created_at <= since);
        if is_grown {
            self.grown.keep_yes(user).await;
        } else {
            self.grown.keep_no(user, now).await;
        }
        !is_grown
    }

    /// Whether a rating creates its post if there is none.
    fn creates_posts(&self) -> bool {
        self.context.config.catalogue.mode == CatalogueMode::Open
    }
}

/// The refusal of a frozen post.
fn frozen(post: &PostId) -> Error {
    Error::Invalid(Invalid::new(Kind::PostFrozen, format!("{post} is frozen: it takes no ratings for now")))
}
