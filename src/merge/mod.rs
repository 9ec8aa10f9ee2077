//! The merge: folds a batch of the log into averages and rating rows, in log order. Pure.
//!
//! Each entry counts at its own time, so how the log was cut into batches changes nothing. The store loads what
//! the batch touches ([`touched`]), this folds, the store writes what comes out; both databases share it.
//! An entry that cannot be read or applied is put aside with its reason and stops nobody.

mod fold;

use std::collections::{HashMap, HashSet};

use crate::entry::{Batch, Entry, Position};
use crate::outcome::{Decided, Exclusion};
use crate::post::{Post, Standing};
use crate::rating::{PostId, Score, Time, UserId};
use crate::smoothing::{Average, Row};

pub use fold::merge;

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
    fn keep_out(&self, entry: &Entry, place: Position, score: Score) -> bool {
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
#[derive(Debug, Default)]
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

const HOUR_MS: i64 = 3_600_000;

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
