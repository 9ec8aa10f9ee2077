//! The state that a batch loads and changes: posts with their averages, ratings, held ratings, hours.
//!
//! The store fills [`Loaded`] for the keys from [`touched`]; the fold turns it into [`Merged`]; the store
//! writes that.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::entry::{Batch, Entry, Hold, Position};

use crate::merge::{Decided, Exclusion};
use crate::model::post::Post;
use crate::model::{HOUR_MS, PostId, Score, Time, UserId};
use crate::smoothing::{Average, Row};

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
    /// Positions of the newest withdrawals; only for [`retried`] keys.
    pub withdrawals: HashMap<Key, Position>,
    /// Exclusions of the posts of [`retried`] keys.
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

/// A post before the merge.
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

/// The start of the clock hour of a time.
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

/// The keys of retries from the quarantine, sorted, each once.
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
