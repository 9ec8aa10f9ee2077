//! The store: ratings, averages, history and checkpoints, changed together.
//!
//! [`Store::commit`] is the only function that writes averages, and it moves the shard's checkpoint in the same
//! transaction. That one rule makes a drain safe to kill, to repeat and to run twice at once. Two databases
//! implement it, [`postgres`] and [`sqlite`]; the arithmetic stays in Rust ([`merge`](crate::merge)), the rows
//! and questions that both share in `rows` and `questions`, and one suite, `tests/suite/store.rs`, holds both.

pub mod bounded;
pub mod postgres;
mod questions;
mod review;
mod rows;
pub mod sqlite;
mod verify;

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::entry::{Backlog, Batch, Line, Position, Shard};
use crate::error::Result;
use crate::merge::Exclusion;
use crate::merge::PostState;
use crate::merge::bulk::BulkDecision;
use crate::merge::{Hour, Loaded, LoadedPost, Merged, Quarantined, Rating};
use crate::model::User;
use crate::model::post::{Edit, Post};
use crate::model::{PostId, Time, UserId};
use crate::smoothing::{Average, Difference};

pub use review::{AlertKey, Arrivals, AuditKey, Review};

/// Most posts that one question may name.
pub const POSTS_ASKED_MAX: usize = 1_000;
/// Posts whose ratings an audit reads together.
pub const VERIFY_POSTS: i64 = 500;

/// The fold that a commit applies: what the batch's keys hold, to what they hold afterwards.
pub type MergeFn<'a> = dyn Fn(Loaded) -> Merged + Send + Sync + 'a;

/// How a sweep begins, with what its post holds.
pub type BulkFn<'a> =
    dyn Fn(&Line, Option<LoadedPost>, Vec<Exclusion>) -> Result<BulkDecision, Box<Merged>> + Send + Sync + 'a;

/// Ratings that a sweep takes at once.
const BULK_ROWS: usize = 5_000;

/// Ratings, averages, history and checkpoints.
#[async_trait]
pub trait Store: Review {
    /// What the first migration fixed.
    async fn installation(&self) -> Result<Installation>;

    /// Up to where a shard's log is in the averages.
    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint>;

    /// Most entries of one commit, as of now.
    fn batch_max(&self) -> usize {
        usize::MAX
    }

    /// One transaction: loads what the batch touches, lets `merge` fold it, moves the checkpoint from
    /// `seen.checkpoint` to `batch.to` by compare-and-swap, writes what came out. `as_of` is the moment for which
    /// the ranking is published.
    ///
    /// Nothing is written, and `None` returned, when another drain moved the checkpoint first.
    ///
    /// # Errors
    /// `Refused` when the database will not have what came out; then a smaller batch tells which entry it is.
    async fn commit(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        merge: &MergeFn,
    ) -> Result<Option<Merged>>;

    /// The same for a decision that may touch any number of ratings, the batch's only line: `begin` takes what the post
    /// holds, and the sweep walks through its ratings within the transaction.
    async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        begin: &BulkFn,
    ) -> Result<Option<Merged>>;

    /// Up to where each shard's log is in the averages, in the order of the shards.
    async fn checkpoints(&self) -> Result<Vec<Position>>;

    /// The posts that a shard's commits have changed from one position to another; nothing when they are too many to
    /// be told, or longer ago than is remembered.
    async fn changed(&self, shard: Shard, from: Position, to: Position) -> Result<Option<BTreeSet<PostId>>>;

    /// Counts anew what a log that came back with less has accepted, unless the checkpoint has moved; returns
    /// whether it did.
    async fn recount(&self, shard: Shard, seen: &ShardState) -> Result<bool>;

    /// Passes when the schema is the one that this program was written for.
    ///
    /// # Errors
    /// `Config` when it is newer.
    async fn check_schema(&self) -> Result<()>;

    /// The quarantine in order of shard and position: at most `limit` that come after `after`.
    async fn quarantined(
        &self,
        after: Option<(Shard, Position)>,
        limit: usize,
    ) -> Result<Vec<QuarantinedEntry>>;

    /// How many entries are in the quarantine.
    async fn count_quarantined(&self) -> Result<u64>;

    /// Forgets a quarantined entry; returns whether it was there.
    async fn forget_quarantined(&self, shard: Shard, position: Position) -> Result<bool>;

    /// Brings up to date the ranking of at most `limit` posts that still move without new ratings, those first
    /// that lag most; returns how many.
    async fn rerank(&self, as_of: AsOf<'_>, limit: usize) -> Result<u64>;

    /// Adds those of the posts whose ids are not taken yet; returns how many.
    async fn add_posts(&self, posts: &[Post]) -> Result<u64>;

    /// Adds a post, unless its id is taken or its author has made `per_day` posts on the UTC day of its creation. A
    /// repost is counted by the post that it repeats.
    async fn add_post(&self, post: &Post, per_day: Option<u32>) -> Result<Added>;

    /// Changes a post that `author` has made; returns whether there is one.
    async fn edit_post(&self, id: &PostId, author: &UserId, edit: &Edit) -> Result<bool>;

    /// Posts with their averages, in the order asked (at most [`POSTS_ASKED_MAX`]).
    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>>;

    /// Those of the ids that posts have (at most [`POSTS_ASKED_MAX`]).
    async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>>;

    /// The averages of those of the posts that were ever rated, in the order of the ids (at most [`POSTS_ASKED_MAX`]).
    async fn averages(&self, ids: &[PostId]) -> Result<Vec<(PostId, Average)>>;

    /// The ids of a page of posts: at most `limit` that come after `after`, with the keys to go on from.
    /// Only of one author, if one is named.
    async fn page(
        &self,
        sort: Sort,
        author: Option<&UserId>,
        after: Option<&PageKey>,
        limit: usize,
    ) -> Result<Vec<PageKey>>;

    /// Adds a user, unless the id or the name is taken; returns whether it did.
    async fn add_user(&self, user: &User) -> Result<bool>;

    /// The user of that id, if there is one.
    async fn user(&self, id: &UserId) -> Result<Option<User>>;

    /// The newest users: at most `limit` that come after `after`.
    async fn users(&self, after: Option<&(Time, UserId)>, limit: usize) -> Result<Vec<User>>;

    /// A user's ratings of these posts, in the order asked.
    async fn ratings_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Rating>>>;

    /// A post's hours in order of time.
    async fn history(&self, post: &PostId) -> Result<Vec<Hour>>;

    /// Recounts the averages of all posts, or of one, from the ratings rows, in one snapshot. Calls `each` with
    /// every post as it is done.
    async fn verify(&self, post: Option<&PostId>, each: &mut (dyn FnMut(Recounted) + Send)) -> Result<()>;

    /// How many posts there are.
    async fn count_posts(&self) -> Result<u64>;

    /// Keeps what a drain did.
    async fn record_drain(&self, run: &DrainRun) -> Result<()>;

    /// The newest drains, newest first.
    async fn drains(&self, limit: usize) -> Result<Vec<DrainRun>>;

    /// The hash of the admin token, if there is one.
    async fn admin_token(&self) -> Result<Option<String>>;

    /// Keeps the hash of an admin token, unless there is one that is not to be replaced; returns whether it did.
    async fn keep_admin_token(&self, hash: &str, replaces: bool) -> Result<bool>;

    /// The posts that a user has rated, in order: at most `limit` that come after `after`, with the ratings.
    async fn ratings_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, Rating)>>;

    /// The posts that a user has made.
    async fn posts_by(&self, user: &UserId) -> Result<Vec<PostId>>;

    /// Takes a user's id from the posts that he has made, and drops his name and the marks of his withdrawals.
    async fn forget(&self, user: &UserId) -> Result<()>;

    /// Lets go of all connections, hanging ones too; the next question opens new ones.
    fn renew(&self) {}

    /// Closes the connections; nothing is asked afterwards.
    async fn close(&self);

    /// Which database this is, for people: `postgres 15.18`.
    async fn describe(&self) -> Result<String>;
}

/// What the first migration fixed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// A random name; a Redis stamped with another one belongs to somebody else.
    pub id: String,
    /// How many shards the buffer has.
    pub shards: u16,
}

/// One shard's row of `checkpoints`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Up to here the log is in the averages.
    pub position: Position,
    /// Entries that were folded in.
    pub applied: u64,
    /// Entries that were ever put aside.
    pub quarantined: u64,
    /// The log's count of appends when it was last seen.
    pub seen_appends: u64,
    /// The log's last position when it was last seen.
    pub seen_position: Position,
    /// What is added to the log's own count of appends to get all that was accepted and is not lost.
    pub accepted_base: i64,
    /// Entries known to be lost by the log's server, at least.
    pub lost: u64,
}

impl Checkpoint {
    /// The highest position that is known: no append may get one at or below it.
    pub fn floor(&self) -> Position {
        self.position.max(self.seen_position)
    }

    /// All that was accepted and is not lost, when the log counts `appends`.
    pub fn accepted(&self, appends: u64) -> u64 {
        appends.saturating_add_signed(self.accepted_base)
    }
}

/// A shard as a drain sees it: how far it is merged, and what its log holds after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardState {
    /// Looked at first.
    pub checkpoint: Checkpoint,
    /// Looked at after the checkpoint.
    pub log: Backlog,
}

/// An entry in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedEntry {
    /// In which shard's log it stood.
    pub shard: Shard,
    /// Where, why, and what.
    pub entry: Quarantined,
}

/// The moment for which a mean is published, and the parameters to evaluate it with.
pub type AsOf<'a> = (Time, &'a crate::smoothing::Params);

/// What became of a post that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is there now.
    Done,
    /// Its id is taken.
    Taken,
    /// Its author has made enough of them today.
    Limited,
}

/// In which order posts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// The newest first.
    New,
    /// The highest published average first, unrated posts last.
    Top,
}

impl Sort {
    /// The word that callers use.
    pub fn as_str(self) -> &'static str {
        match self {
            Sort::New => "new",
            Sort::Top => "top",
        }
    }
}

/// A post's place in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PageKey {
    /// By creation.
    New(Time, PostId),
    /// By published mean, as last ranked.
    Top(f64, PostId),
}

impl PageKey {
    /// Whose place it is.
    pub fn post(&self) -> &PostId {
        match self {
            PageKey::New(_, post) | PageKey::Top(_, post) => post,
        }
    }

    /// The order that it belongs to.
    pub fn sort(&self) -> Sort {
        match self {
            PageKey::New(..) => Sort::New,
            PageKey::Top(..) => Sort::Top,
        }
    }
}

/// The ranking's value for a post: its published mean, or a value below all when nobody rates it.
fn ranked(average: &Average, (as_of, params): AsOf<'_>) -> f64 {
    average.at(as_of, params).smoothed_mean(params).unwrap_or(UNRATED)
}

/// Ranks below every score.
const UNRATED: f64 = -1.0;
/// A post with less than this unvested no longer moves visibly.
const STILL: f64 = 1e-6;

/// Whether the published mean, or an alert, goes on changing without new ratings.
fn is_moving(average: &Average, as_of: AsOf<'_>) -> bool {
    average.at(as_of.0, as_of.1).unvested() > STILL || alerted_at(average, as_of).is_some()
}

/// Since when a post has been in a surge or crowded, as of its last entry or `as_of`, whichever is later.
fn alerted_at(average: &Average, (as_of, params): AsOf<'_>) -> Option<Time> {
    let average = average.at(as_of, params);
    average.last.filter(|_| average.is_surging(params) || average.is_crowded(params))
}

/// One post as an audit found it.
#[derive(Debug, Clone)]
pub struct Recounted {
    /// Whose ratings were counted.
    pub post: PostId,
    /// How many there are.
    pub ratings: u64,
    /// Figures of the stored average that the rows do not give.
    pub differences: Vec<Difference>,
}

/// One run of the drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrainRun {
    /// When it began.
    pub started_at: Time,
    /// What started it.
    pub trigger: Trigger,
    /// Entries folded in.
    pub applied: u64,
    /// Entries put aside.
    pub quarantined: u64,
    /// Commits.
    pub batches: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Why it stopped early; nothing when it did not.
    pub error: Option<String>,
}

/// What starts a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// The clock.
    Tick,
    /// A hand.
    Flush,
}

impl Trigger {
    /// The word that the database keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Tick => "tick",
            Trigger::Flush => "flush",
        }
    }
}
