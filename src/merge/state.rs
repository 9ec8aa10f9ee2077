//! What a batch loads, and what it changes: posts with their averages, ratings, held ratings, hours.
//!
//! The store fills [`Loaded`] with what [`touched`] names; the fold turns it into [`Merged`]; the store writes that.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::entry::{Batch, Entry, Hold, Position};

use crate::merge::{Decided, Exclusion};
use crate::model::post::Post;
use crate::model::{HOUR_MS, PostId, Score, Time, UserId};
use crate::smoothing::{Average, Row};

/// A rating's key.
pub type Key = (PostId, UserId);

/// A rating as it is kept: the arithmetic's row, and where it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// Score, lane and what of it is unvested.
    pub row: Row,
    /// The entry's own time.
    pub rated_at: Time,
    /// The entry's place in the log.
    pub position: Position,
    /// Whether a moderator took it out.
    pub is_excluded: bool,
}

/// A rating that is kept for a moderator; a counted one of the same user may stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldRating {
    /// What it will count for.
    pub score: Score,
    /// The entry's own time.
    pub rated_at: Time,
    /// The entry's place in the log.
    pub position: Position,
    /// Whether an exclusion covers it: nobody approves it then, and it is not released.
    pub is_excluded: bool,
}

/// What a batch's keys hold before the merge.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The posts that exist.
    pub posts: HashMap<PostId, LoadedPost>,
    /// The ratings that exist.
    pub ratings: HashMap<Key, Rating>,
    /// The held ratings that exist.
    pub held: HashMap<Key, HeldRating>,
    /// Where the newest withdrawals stood; only for [`retried`] keys.
    pub withdrawals: HashMap<Key, Position>,
    /// Exclusions of the posts of [`retried`] keys.
    pub exclusions: Vec<Exclusion>,
}

impl Loaded {
    /// Whether an exclusion covers a retry that comes after it, and stood before it at first.
    pub(super) fn keep_out(&self, entry: &Entry, place: Position, score: Score) -> bool {
        let keeps_out = |exclusion: &Exclusion| {
            exclusion.post == entry.post && exclusion.keeps_out(place, entry.at, score)
        };
        entry.origin.is_some() && self.exclusions.iter().any(keeps_out)
    }
}

/// A post before the merge.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadedPost {
    /// Zero when it was never rated.
    pub average: Average,
    /// What moderators have made of it.
    pub standing: Standing,
}

/// What a batch changes; every list is sorted by key.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// Posts that were not there, and that ratings have made.
    pub created: Vec<Post>,
    /// Ratings as they are now.
    pub ratings: Vec<(Key, Rating)>,
    /// Ratings that are gone, and where the withdrawal stood.
    pub withdrawn: Vec<(Key, Position)>,
    /// Held ratings as they are now.
    pub held: Vec<(Key, HeldRating)>,
    /// Held ratings that are held no more.
    pub unheld: Vec<Key>,
    /// Averages as they are now.
    pub averages: Vec<MergedAverage>,
    /// The hours that the batch touched.
    pub history: Vec<Hour>,
    /// What moderators have made of posts, where that changed.
    pub standings: Vec<(PostId, Standing)>,
    /// Exclusions that were made or undone.
    pub exclusions: Vec<Exclusion>,
    /// Decisions, with what came of them.
    pub decided: Vec<Decided>,
    /// Entries put aside.
    pub quarantined: Vec<Quarantined>,
    /// Entries folded in.
    pub applied: u64,
}

/// One post's average before and after a batch.
#[derive(Debug, Clone)]
pub struct MergedAverage {
    /// Whose it is.
    pub post: PostId,
    /// As it was.
    pub before: Average,
    /// As it is.
    pub after: Average,
    /// The position of the last entry folded in.
    pub version: Position,
}

/// A post's clock hour, by the time that the fold used.
#[derive(Debug, Clone)]
pub struct Hour {
    /// Whose it is.
    pub post: PostId,
    /// The hour's beginning.
    pub hour: Time,
    /// Ratings folded in during the hour (by one batch, or by all).
    pub arrivals: u64,
    /// The state after the hour's last entry.
    pub average: Average,
}

/// An entry put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it stood in the log.
    pub position: Position,
    /// Why it was not applied.
    pub reason: String,
    /// What stood there.
    pub payload: Vec<u8>,
}

/// The beginning of a moment's clock hour.
pub fn hour_of(at: Time) -> Time {
    Time::from_ms(at.ms().div_euclid(HOUR_MS) * HOUR_MS)
}

/// The keys that a batch touches, sorted, each once.
pub fn touched(batch: &Batch) -> Vec<Key> {
    let keys: HashSet<Key> = batch
        .lines
        .iter()
        .filter_map(|line| line.entry.as_ref().ok())
        .map(|entry| (entry.post.clone(), entry.user.clone()))
        .collect();
    let mut keys: Vec<Key> = keys.into_iter().collect();
    keys.sort_unstable();
    keys
}

/// The keys of the entries that come back out of the quarantine, sorted, each once.
pub fn retried(batch: &Batch) -> Vec<Key> {
    let mut keys: Vec<Key> = batch
        .lines
        .iter()
        .filter_map(|line| line.entry.as_ref().ok().filter(|entry| entry.origin.is_some()))
        .map(|entry| (entry.post.clone(), entry.user.clone()))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// What moderators have made of a post; changed by commits only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// It takes no ratings.
    pub is_frozen: bool,
    /// Ratings that were taken out, held ones among them.
    pub excluded: u64,
    /// Which of its ratings are held; nothing: those that the settings say.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// Ratings that are kept for a moderator.
    #[serde(default)]
    pub held: u64,
}

impl Standing {
    /// Ratings that a moderator may bring back, or in.
    pub fn under_review(&self) -> u64 {
        self.excluded + self.held
    }
}

/// A post with its aggregate state as of the last commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostState {
    /// The post itself.
    pub post: Post,
    /// Its average, as its last entry left it; evaluate a copy with `at`.
    pub average: Average,
    /// The position of the last entry folded into the average.
    pub version: Position,
    /// What moderators have made of it.
    #[serde(default)]
    pub standing: Standing,
}

impl PostState {
    /// What makes one state newer than another: both parts only ever grow, and are read together.
    pub fn newness(&self) -> (Position, u64) {
        (self.version, self.post.revision)
    }
}
