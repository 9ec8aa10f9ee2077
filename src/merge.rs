//! The merge: folds a batch of the log into averages and rating rows, in log order. Pure.
//!
//! Each entry counts at its own time, so how the log was cut into batches changes nothing. The store loads what
//! the batch touches ([`touched`]), this folds, the store writes what comes out; both databases share it.
//! An entry that cannot be read or applied is put aside with its reason and stops nobody.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::entry::{Action, Batch, Decision, Deed, Entry, Position};
use crate::outcome::{Decided, Exclusion, Figures, Outcome};
use crate::post::{Post, Standing};
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
    /// Whether a moderator took it out.
    pub is_excluded: bool,
}

/// What a batch's keys hold before the merge.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The posts that exist.
    pub posts: HashMap<PostId, LoadedPost>,
    /// The ratings that exist.
    pub ratings: HashMap<Key, Rating>,
    /// Where the newest withdrawals stood; only for [`retried`] keys.
    pub withdrawals: HashMap<Key, Position>,
    /// Exclusions of the posts of [`retried`] keys.
    pub exclusions: Vec<Exclusion>,
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

/// Folds `batch` into what `loaded` holds.
pub fn merge(batch: &Batch, loaded: Loaded, params: &Params) -> Merged {
    let mut fold = Fold {
        params,
        loaded,
        changed: HashMap::new(),
        posts: HashMap::new(),
        hours: BTreeMap::new(),
        created: Vec::new(),
        decided: Vec::new(),
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
    loaded: Loaded,
    /// Touched ratings as they are now; where a rating is gone, the withdrawal's place.
    changed: HashMap<Key, Result<Rating, Position>>,
    posts: HashMap<PostId, Folded>,
    hours: BTreeMap<(PostId, Time), (u64, Average)>,
    created: Vec<Post>,
    decided: Vec<Decided>,
}

/// A touched post.
struct Folded {
    before: LoadedPost,
    average: Average,
    standing: Standing,
    version: Position,
}

impl Fold<'_> {
    fn apply(&mut self, entry: &Entry, position: Position) -> Result<(), String> {
        let (key, place) = ((entry.post.clone(), entry.user.clone()), entry.place(position));
        let (current, withdrawn) = match self.changed.get(&key) {
            Some(changed) => (changed.ok(), changed.err()),
            None => (self.loaded.ratings.get(&key).copied(), self.loaded.withdrawals.get(&key).copied()),
        };
        // Of a retry whose user has wanted something newer since: it is applied, and changes nothing.
        let is_late =
            entry.origin.is_some() && current.map(|rating| rating.position).max(withdrawn) >= Some(place);
        let before = match (self.loaded.posts.get(&entry.post), entry.creates_post, &entry.action) {
            (Some(stored), ..) => *stored,
            (None, false, _) | (None, true, Action::Decide(_)) => {
                return Err(format!("there is no post {}", entry.post));
            }
            (None, true, _) if is_late => return Ok(()),
            (None, true, Action::Rate(_)) => {
                self.loaded.posts.insert(entry.post.clone(), LoadedPost::default());
                self.created.push(Post::named_by_id(entry.post.clone(), entry.at));
                LoadedPost::default()
            }
            (None, true, Action::Withdraw) => {
                self.changed.insert(key, Err(place));
                return Ok(());
            }
        };
        let untouched =
            Folded { before, average: before.average, standing: before.standing, version: position };
        let post = self.posts.entry(entry.post.clone()).or_insert(untouched);
        post.version = position;
        if let Action::Decide(decision) = &entry.action {
            self.decided.push(decide(entry, position, decision, post, self.params)?);
            return Ok(());
        }
        if is_late {
            return Ok(());
        }
        // What was taken out counts for nothing any more, and goes.
        let counted = current.filter(|rating| !rating.is_excluded).map(|rating| rating.row);
        let gone = u64::from(current.is_some_and(|rating| rating.is_excluded));
        post.standing.excluded = post.standing.excluded.saturating_sub(gone);
        let arrivals = match (&entry.action, counted) {
            (Action::Rate(score), _) => {
                let row = post.average.rate(counted.as_ref(), *score, entry.at, self.params);
                let mut rating = Rating { row, rated_at: entry.at, position: place, is_excluded: false };
                let keeps_out = |exclusion: &Exclusion| {
                    exclusion.post == entry.post && exclusion.keeps_out(place, entry.at, *score)
                };
                // A retry may come after an exclusion that stood behind it at first.
                if entry.origin.is_some() && self.loaded.exclusions.iter().any(keeps_out) {
                    rating.row = post.average.exclude(&row, entry.at, self.params);
                    rating.is_excluded = true;
                    post.standing.excluded += 1;
                }
                self.changed.insert(key, Ok(rating));
                1
            }
            (_, Some(row)) => {
                post.average.withdraw(&row, entry.at, self.params);
                self.changed.insert(key, Err(place));
                0
            }
            // Nothing to take out: it is remembered, and changes nothing.
            (_, None) => {
                self.changed.insert(key, Err(place));
                return Ok(());
            }
        };
        if let Some(last) = post.average.last {
            let hour = (entry.post.clone(), hour_of(last));
            let (sum, state) = self.hours.entry(hour).or_insert((0, post.average));
            *sum += arrivals;
            *state = post.average;
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
        merged.decided = self.decided;
        for (post, folded) in self.posts {
            let Folded { before, average, standing, version } = folded;
            if standing != before.standing {
                merged.standings.push((post.clone(), standing));
            }
            merged.averages.push(MergedAverage { post, before: before.average, after: average, version });
        }
        merged.standings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.averages.sort_unstable_by(|a, b| a.post.cmp(&b.post));
        merged.history = self
            .hours
            .into_iter()
            .map(|((post, hour), (arrivals, average))| Hour { post, hour, arrivals, average })
            .collect();
        merged
    }
}

/// Applies a decision that touches no rating.
fn decide(
    entry: &Entry,
    position: Position,
    decision: &Decision,
    post: &mut Folded,
    params: &Params,
) -> Result<Decided, String> {
    match &decision.deed {
        Deed::Freeze => post.standing.is_frozen = true,
        Deed::Thaw => post.standing.is_frozen = false,
        Deed::Exclude(_) | Deed::Undo(_) => return Err("this decision is merged by itself".to_owned()),
    }
    let figures = Figures::of(&post.average, entry.at, params);
    Ok(Decided {
        position,
        post: entry.post.clone(),
        at: entry.at,
        by: entry.user.clone(),
        decision: decision.clone(),
        outcome: Outcome { before: figures, after: figures, touched: 0, refused: None },
    })
}
