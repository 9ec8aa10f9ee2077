//! The merge: folds a batch of the log into averages and rating rows, in log order. Pure.
//!
//! Each entry counts at its own time, so how the log was cut into batches changes nothing. The store loads what
//! the batch touches ([`touched`]), this folds, the store writes what comes out; both databases share it.
//! An entry that cannot be read or applied is put aside with its reason and stops nobody.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::entry::{Action, Batch, Entry, Position};
use crate::post::Post;
use crate::rating::{PostId, Time, UserId};
use crate::smoothing::{Average, Params, Row};

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
}

/// What a batch's keys hold before the merge.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The posts that exist, each with its average and version (zero when it was never rated).
    pub averages: HashMap<PostId, (Average, Position)>,
    /// The ratings that exist.
    pub ratings: HashMap<Key, Rating>,
    /// Where the newest withdrawals stood; only for [`retried`] keys.
    pub withdrawals: HashMap<Key, Position>,
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
    /// Averages as they are now.
    pub averages: Vec<MergedAverage>,
    /// The hours that the batch touched.
    pub history: Vec<Hour>,
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

/// Folds `batch` into what `loaded` holds.
pub fn merge(batch: &Batch, loaded: Loaded, params: &Params) -> Merged {
    let mut fold = Fold {
        params,
        averages: loaded.averages,
        ratings: loaded.ratings,
        withdrawals: loaded.withdrawals,
        changed: HashMap::new(),
        posts: HashMap::new(),
        hours: BTreeMap::new(),
        created: Vec::new(),
    };
    let mut merged = Merged::default();
    for line in &batch.lines {
        let outcome = match &line.entry {
            Ok(entry) => {
                fold.apply(entry, line.position).map_err(|reason| (reason, entry.encode().into_bytes()))
            }
            Err(bad) => Err((bad.reason.clone(), bad.payload.clone())),
        };
        match outcome {
            Ok(()) => merged.applied += 1,
            Err((reason, payload)) => {
                merged.quarantined.push(Quarantined { position: line.position, reason, payload });
            }
        }
    }
    fold.finish(merged)
}

struct Fold<'a> {
    params: &'a Params,
    averages: HashMap<PostId, (Average, Position)>,
    ratings: HashMap<Key, Rating>,
    withdrawals: HashMap<Key, Position>,
    /// Touched ratings as they are now; where a rating is gone, the withdrawal's place.
    changed: HashMap<Key, Result<Rating, Position>>,
    /// Touched posts: average before, average after, version.
    posts: HashMap<PostId, (Average, Average, Position)>,
    hours: BTreeMap<(PostId, i64), (u64, Average)>,
    created: Vec<Post>,
}

impl Fold<'_> {
    fn apply(&mut self, entry: &Entry, position: Position) -> Result<(), String> {
        let stored = match (self.averages.get(&entry.post), entry.creates_post, entry.action) {
            (Some((stored, _)), ..) => *stored,
            (None, false, _) => return Err(format!("there is no post {}", entry.post)),
            (None, true, Action::Rate(_)) => {
                self.averages.insert(entry.post.clone(), Default::default());
                self.created.push(Post::named_by_id(entry.post.clone(), entry.at));
                Average::default()
            }
            (None, true, Action::Withdraw) => {
                let key = (entry.post.clone(), entry.user.clone());
                self.changed.insert(key, Err(entry.place(position)));
                return Ok(());
            }
        };
        let (_, average, version) =
            self.posts.entry(entry.post.clone()).or_insert((stored, stored, position));
        *version = position;
        let key = (entry.post.clone(), entry.user.clone());
        let current = match self.changed.get(&key) {
            Some(changed) => changed.ok(),
            None => self.ratings.get(&key).copied(),
        };
        let place = entry.place(position);
        if entry.origin.is_some() {
            let withdrawn = match self.changed.get(&key) {
                Some(changed) => changed.err(),
                None => self.withdrawals.get(&key).copied(),
            };
            if current.map(|rating| rating.position).max(withdrawn) >= Some(place) {
                // The user has wanted something newer since: the entry is applied, and changes nothing.
                return Ok(());
            }
        }
        let arrivals = match (entry.action, current) {
            (Action::Rate(score), _) => {
                let row = average.rate(current.map(|c| c.row).as_ref(), score, entry.at, self.params);
                self.changed.insert(key, Ok(Rating { row, rated_at: entry.at, position: place }));
                1
            }
            (Action::Withdraw, Some(rating)) => {
                average.withdraw(&rating.row, entry.at, self.params);
                self.changed.insert(key, Err(place));
                0
            }
            // Nothing to take out: it is remembered, and changes nothing.
            (Action::Withdraw, None) => {
                self.changed.insert(key, Err(place));
                return Ok(());
            }
        };
        if let Some(last) = average.last {
            let hour = last.ms().div_euclid(HOUR_MS) * HOUR_MS;
            let (sum, state) = self.hours.entry((entry.post.clone(), hour)).or_insert((0, *average));
            *sum += arrivals;
            *state = *average;
        }
        Ok(())
    }

    fn finish(mut self, mut merged: Merged) -> Merged {
        self.created.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        merged.created = self.created;
        for (key, rating) in self.changed {
            match rating {
                Ok(rating) => merged.ratings.push((key, rating)),
                Err(place) => merged.withdrawn.push((key, place)),
            }
        }
        merged.ratings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.withdrawn.sort_unstable();
        merged.averages = self
            .posts
            .into_iter()
            .map(|(post, (before, after, version))| MergedAverage { post, before, after, version })
            .collect();
        merged.averages.sort_unstable_by(|a, b| a.post.cmp(&b.post));
        merged.history = self
            .hours
            .into_iter()
            .map(|((post, hour), (arrivals, average))| Hour {
                post,
                hour: Time::from_ms(hour),
                arrivals,
                average,
            })
            .collect();
        merged
    }
}
