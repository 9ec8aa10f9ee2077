//! The state that a batch loads and changes, decisions and exclusions included. The store fills [`Loaded`] for the batch's
//! keys, the fold turns it into [`Merged`], and the store writes that.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::entry::{Batch, Decision, Entry, Hold, Position, Reason, Window};
use crate::model::post::Post;
use crate::model::{HOUR_MS, PostId, Score, Time, UserId};
use crate::smoothing::{Average, Published, Row};

/// A rating's key.
pub type Key = (PostId, UserId);

/// A rating as stored: its smoothing row and its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// Score, lane and unvested part.
    pub row: Row,
    /// The entry's own time.
    pub rated_at: Time,
    /// The entry's position in the log.
    pub position: Position,
    /// Whether a moderator excluded it.
    pub is_excluded: bool,
}

/// A rating held for a moderator. The same user may also have a rating that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldRating {
    /// The score that it will count with.
    pub score: Score,
    /// The entry's own time.
    pub rated_at: Time,
    /// The entry's position in the log.
    pub position: Position,
    /// Whether an exclusion covers it. Then it can be neither approved nor released.
    pub is_excluded: bool,
}

/// The state of a batch's keys before the merge.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The posts that exist.
    pub posts: HashMap<PostId, LoadedPost>,
    /// The ratings that exist.
    pub ratings: HashMap<Key, Rating>,
    /// The held ratings that exist.
    pub held: HashMap<Key, HeldRating>,
    /// Positions of the newest withdrawals; only for keys of retries.
    pub withdrawals: HashMap<Key, Position>,
    /// Exclusions of the posts of retries, or of a bulk decision's post.
    pub exclusions: Vec<Exclusion>,
}

impl Loaded {
    /// Whether an exclusion covers a retry that comes after it but originally stood before it.
    pub(super) fn keep_out(&self, entry: &Entry, place: Position, score: Score) -> bool {
        let keeps_out = |exclusion: &Exclusion| {
            exclusion.post == entry.post && exclusion.keeps_out(place, entry.at, score)
        };
        entry.origin.is_some() && self.exclusions.iter().any(keeps_out)
    }
}

/// A post's average and moderation state, before a merge and while it goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadedPost {
    /// All zero if it was never rated.
    pub average: Average,
    /// The moderation state.
    pub standing: Standing,
}

/// The changes that a batch makes; every list is sorted by key.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// New posts, created by ratings.
    pub created: Vec<Post>,
    /// Ratings, with their new state.
    pub ratings: Vec<(Key, Rating)>,
    /// Withdrawn ratings, with the position of the withdrawal.
    pub withdrawn: Vec<(Key, Position)>,
    /// Held ratings, with their new state.
    pub held: Vec<(Key, HeldRating)>,
    /// Ratings that are no longer held.
    pub unheld: Vec<Key>,
    /// Averages, with their new state.
    pub averages: Vec<MergedAverage>,
    /// The hours touched.
    pub history: Vec<Hour>,
    /// Changed moderation states of posts.
    pub standings: Vec<(PostId, Standing)>,
    /// New and undone exclusions.
    pub exclusions: Vec<Exclusion>,
    /// Decisions, with their outcomes.
    pub decided: Vec<Decided>,
    /// Entries for the quarantine.
    pub quarantined: Vec<Quarantined>,
    /// Number of entries folded in.
    pub applied: u64,
}

/// One post's average before and after a batch.
#[derive(Debug, Clone)]
pub struct MergedAverage {
    /// The post.
    pub post: PostId,
    /// Before the batch.
    pub before: Average,
    /// After the batch.
    pub after: Average,
    /// The position of the last entry folded in.
    pub version: Position,
}

/// One clock hour of a post, by the times that the fold used.
#[derive(Debug, Clone)]
pub struct Hour {
    /// The post.
    pub post: PostId,
    /// The start of the hour.
    pub hour: Time,
    /// Ratings folded in during the hour (by one batch, or by all).
    pub arrivals: u64,
    /// The state after the hour's last entry.
    pub average: Average,
}

/// A quarantined entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its position in the log.
    pub position: Position,
    /// The reason why it was not applied.
    pub reason: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// An exclusion, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The post.
    pub post: PostId,
    /// Its position in the log, which is also its id. It covers only ratings before this position.
    pub id: Position,
    /// The ratings that it covers.
    pub window: Window,
    /// The moderator who decided it.
    pub by: UserId,
    /// The time of the decision.
    pub at: Time,
    /// The reason that the moderator gave.
    pub reason: Reason,
    /// The number of ratings that it took out.
    pub excluded: u64,
    /// Whether it was undone.
    pub is_undone: bool,
}

impl Exclusion {
    /// Whether it covers a rating with this position, time and score. An undone one covers nothing.
    pub fn keeps_out(&self, position: Position, rated_at: Time, score: Score) -> bool {
        !self.is_undone && position < self.id && self.window.covers(rated_at, score)
    }
}

/// A decision with its outcome: a row of the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The decision's position in the log.
    pub position: Position,
    /// The post.
    pub post: PostId,
    /// The time of the decision.
    pub at: Time,
    /// The moderator who decided it.
    pub by: UserId,
    /// The decision and its reason.
    pub decision: Decision,
    /// The outcome.
    pub outcome: Outcome,
}

impl Decided {
    pub(super) fn new(entry: &Entry, position: Position, decision: &Decision, outcome: Outcome) -> Self {
        let (post, by, decision) = (entry.post.clone(), entry.user.clone(), decision.clone());
        Self { position, post, at: entry.at, by, decision, outcome }
    }
}

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The figures right before it.
    pub before: Published,
    /// The figures right after it.
    pub after: Published,
    /// Ratings that it excluded or restored, or held ones that it approved or rejected.
    pub touched: u64,
    /// Held ratings that an exclusion also took out, or its undo restored.
    #[serde(default)]
    #[schema(required)]
    pub held: u64,
    /// Why the decision changed nothing, if so.
    pub refused: Option<String>,
}

/// The start of the clock hour of a time.
pub(super) fn hour_of(at: Time) -> Time {
    Time::from_ms(at.ms().div_euclid(HOUR_MS) * HOUR_MS)
}

/// The keys of those entries of a batch that `is_meant` names, sorted, each once.
pub fn keys_of(batch: &Batch, is_meant: impl Fn(&Entry) -> bool) -> Vec<Key> {
    let entries = batch.lines.iter().filter_map(|line| line.entry.as_ref().ok());
    let meant = entries.filter(|entry| is_meant(entry));
    let keys: HashSet<Key> = meant.map(|entry| (entry.post.clone(), entry.user.clone())).collect();
    let mut keys: Vec<Key> = keys.into_iter().collect();
    keys.sort_unstable();
    keys
}

/// The moderation state of a post. Only commits change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The post takes no ratings.
    pub is_frozen: bool,
    /// Number of excluded ratings, including held ones.
    pub excluded: u64,
    /// The post's own policy for holding ratings; `None` means the policy of the settings.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// Number of ratings held for a moderator.
    #[serde(default)]
    pub held: u64,
}

impl Standing {
    /// Number of ratings that a moderator may restore or approve.
    pub fn under_review(&self) -> u64 {
        self.excluded + self.held
    }

    /// Counts a held rating once more, or once less.
    pub(super) fn count_held(&mut self, held: &HeldRating, change: i64) {
        let count = if held.is_excluded { &mut self.excluded } else { &mut self.held };
        *count = count.saturating_add_signed(change);
    }
}

/// A post with its aggregate state as of the last commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostState {
    /// The post itself.
    pub post: Post,
    /// Its average as of its last entry; evaluate a copy with `at`.
    pub average: Average,
    /// The position of the last entry folded into the average.
    pub version: Position,
    /// The moderation state.
    #[serde(default)]
    pub standing: Standing,
}

impl PostState {
    /// Orders states by age. Both parts only grow, and they are read together.
    pub fn newness(&self) -> (Position, u64) {
        (self.version, self.post.revision)
    }
}
