//! The fold of a batch: applies entries one by one, each at its own time, to copies of the loaded state.

use std::collections::{BTreeMap, HashMap};

use super::state::hour_of;
use super::{
    Decided, HeldRating, Hour, Key, Loaded, LoadedPost, Merged, MergedAverage, Outcome, Quarantined, Rating,
};
use crate::entry::{Action, Batch, Entry, Hold, Position, Ruling};
use crate::model::post::Post;
use crate::model::{PostId, Score, Time};
use crate::smoothing::{LaneName, Params, Published, Row};

/// Folds `batch` into the state in `loaded`.
pub fn merge(batch: &Batch, loaded: Loaded, params: &Params) -> Merged {
    let mut fold = Fold {
        params,
        loaded,
        merged: Merged::default(),
        changed: HashMap::new(),
        held: HashMap::new(),
        posts: HashMap::new(),
        hours: BTreeMap::new(),
    };
    for line in &batch.lines {
        let outcome = match &line.entry {
            Ok(entry) => {
                fold.apply(entry, line.position).map_err(|reason| (reason, entry.encode().into_bytes()))
            }
            Err(bad) => Err((bad.reason.clone(), bad.payload.clone())),
        };
        match outcome {
            Ok(()) => fold.merged.applied += 1,
            Err((reason, payload)) => {
                fold.merged.quarantined.push(Quarantined { position: line.position, reason, payload });
            }
        }
    }
    fold.finish()
}

struct Fold<'a> {
    params: &'a Params,
    loaded: Loaded,
    merged: Merged,
    /// Touched ratings, with their new state; for a withdrawn rating, the withdrawal's position.
    changed: HashMap<Key, Result<Rating, Position>>,
    /// Touched held ratings, with their new state.
    held: HashMap<Key, Option<HeldRating>>,
    posts: HashMap<PostId, Folded>,
    hours: BTreeMap<(PostId, Time), Hour>,
}

/// A touched post.
struct Folded {
    before: LoadedPost,
    now: LoadedPost,
    version: Position,
}

impl Fold<'_> {
    fn apply(&mut self, entry: &Entry, position: Position) -> Result<(), String> {
        let (key, place) = ((entry.post.clone(), entry.user.clone()), entry.place(position));
        let (at, params) = (entry.at, self.params);
        let (rated, held, newest) = self.known(&key);
        // A retry of an older wish is applied without effect.
        let is_late = entry.origin.is_some() && newest >= Some(place);
        let Some(before) = self.post_of(entry, is_late)? else {
            if !is_late {
                self.changed.insert(key, Err(place));
            }
            return Ok(());
        };
        let untouched = Folded { before, now: before, version: position };
        let Folded { now: post, version, .. } = self.posts.entry(entry.post.clone()).or_insert(untouched);
        *version = position;
        if is_late {
            return Ok(());
        }
        // While a user has a held rating, their new ones are held too.
        let is_held = held.is_some_and(|held| !held.is_excluded);
        let (rating, arrivals) = match &entry.action {
            Action::Decide(decision) => {
                post.decide(&decision.deed)?;
                let figures = Published::of(&post.average.at(at, params), params);
                let outcome = Outcome { before: figures, after: figures, ..Outcome::default() };
                self.merged.decided.push(Decided::new(entry, position, decision, outcome));
                return Ok(());
            }
            Action::Rate(score) if is_held || post.holds(rated, *score, entry, params) => {
                let is_excluded = self.loaded.keep_out(entry, place, *score);
                let new = HeldRating { score: *score, rated_at: at, position: place, is_excluded };
                post.average.arrive(at, params);
                if let Some(held) = held {
                    post.standing.count_held(&held, -1);
                }
                post.standing.count_held(&new, 1);
                self.held.insert(key, Some(new));
                self.note_hour(&entry.post, 0);
                return Ok(());
            }
            Action::Rate(score) => {
                let rating = post.rate(rated, *score, at, place, params);
                let is_kept_out = self.loaded.keep_out(entry, place, *score);
                (Ok(if is_kept_out { post.turn(rating, at, params) } else { rating }), Some(1))
            }
            Action::Release(meant) => {
                let is_meant = |held: &HeldRating| held.position == *meant && !held.is_excluded;
                // A moderator, the user or another drain may have been faster.
                let Some(held) = held.filter(is_meant) else { return Ok(()) };
                (Ok(post.rate(rated, held.score, at, place, params)), Some(1))
            }
            Action::Withdraw => {
                post.forget_excluded(rated);
                let row = counted(rated);
                if let Some(row) = &row {
                    post.average.withdraw(row, at, params);
                }
                (Err(place), row.map(|_| 0))
            }
        };
        // What was merged ends the user's held rating.
        if let Some(held) = held {
            post.standing.count_held(&held, -1);
            self.held.insert(key.clone(), None);
        }
        if let Some(arrivals) = arrivals {
            self.note_hour(&entry.post, arrivals);
        }
        self.changed.insert(key, rating);
        Ok(())
    }

    /// A user's rating and held rating of a post, and the position of the user's newest wish.
    fn known(&self, key: &Key) -> (Option<Rating>, Option<HeldRating>, Option<Position>) {
        let (rating, withdrawn) = match self.changed.get(key) {
            Some(changed) => (changed.ok(), changed.err()),
            None => (self.loaded.ratings.get(key).copied(), self.loaded.withdrawals.get(key).copied()),
        };
        let held = match self.held.get(key) {
            Some(held) => *held,
            None => self.loaded.held.get(key).copied(),
        };
        let rated = rating.map(|rating| rating.position);
        (rating, held, rated.max(held.map(|held| held.position)).max(withdrawn))
    }

    /// The post before the batch. A rating creates a missing post if its terms allow that. A withdrawal or a
    /// late retry with such terms creates nothing and gets `None`; any other entry is refused.
    fn post_of(&mut self, entry: &Entry, is_late: bool) -> Result<Option<LoadedPost>, String> {
        if let Some(stored) = self.loaded.posts.get(&entry.post) {
            return Ok(Some(*stored));
        }
        if !entry.terms.creates_post || !entry.action.is_wish() {
            return Err(format!("there is no post {}", entry.post));
        }
        if is_late || entry.action == Action::Withdraw {
            return Ok(None);
        }
        self.loaded.posts.insert(entry.post.clone(), LoadedPost::default());
        self.merged.created.push(Post::named_by_id(entry.post.clone(), entry.at));
        Ok(Some(LoadedPost::default()))
    }

    /// Stores a post's state for the hour of its last entry.
    fn note_hour(&mut self, post: &PostId, arrivals: u64) {
        let Some(average) = self.posts.get(post).map(|post| post.now.average) else { return };
        let Some(hour) = average.last.map(hour_of) else { return };
        let new = || Hour { post: post.clone(), hour, arrivals: 0, average };
        let hour = self.hours.entry((post.clone(), hour)).or_insert_with(new);
        hour.arrivals += arrivals;
        hour.average = average;
    }

    fn finish(self) -> Merged {
        let mut merged = self.merged;
        for (key, rating) in self.changed {
            match rating {
                Ok(rating) => merged.ratings.push((key, rating)),
                Err(place) => merged.withdrawn.push((key, place)),
            }
        }
        for (key, held) in self.held {
            match held {
                Some(held) => merged.held.push((key, held)),
                None => merged.unheld.push(key),
            }
        }
        for (post, Folded { before, now, version }) in self.posts {
            if now.standing != before.standing {
                merged.standings.push((post.clone(), now.standing));
            }
            let (before, after) = (before.average, now.average);
            merged.averages.push(MergedAverage { post, before, after, version });
        }
        merged.created.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        merged.ratings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.withdrawn.sort_unstable();
        merged.held.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.unheld.sort_unstable();
        merged.standings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.averages.sort_unstable_by(|a, b| a.post.cmp(&b.post));
        merged.history = self.hours.into_values().collect();
        merged
    }
}

impl LoadedPost {
    /// Whether a rating is held for a moderator.
    fn holds(&self, rated: Option<Rating>, score: Score, entry: &Entry, params: &Params) -> bool {
        match entry.terms.hold(self.standing.hold) {
            Hold::Off => false,
            Hold::Always => true,
            Hold::Surge => {
                let mut average = self.average;
                average.rate(counted(rated).as_ref(), score, entry.at, params).lane == LaneName::Surge
            }
        }
    }

    /// Folds a rating in. It replaces the user's current one; an excluded one ends.
    pub(super) fn rate(
        &mut self,
        current: Option<Rating>,
        score: Score,
        at: Time,
        position: Position,
        params: &Params,
    ) -> Rating {
        self.forget_excluded(current);
        let row = self.average.rate(counted(current).as_ref(), score, at, params);
        Rating { row, rated_at: at, position, is_excluded: false }
    }

    /// Excludes a rating that counts, or lets an excluded one count again.
    pub(super) fn turn(&mut self, rating: Rating, at: Time, params: &Params) -> Rating {
        let row = if rating.is_excluded {
            self.forget_excluded(Some(rating));
            self.average.restore(&rating.row, at, params)
        } else {
            self.standing.excluded += 1;
            self.average.exclude(&rating.row, at, params)
        };
        Rating { row, is_excluded: !rating.is_excluded, ..rating }
    }

    /// Applies a decision that changes no rating.
    fn decide(&mut self, ruling: &Ruling) -> Result<(), String> {
        match ruling {
            Ruling::Freeze => self.standing.is_frozen = true,
            Ruling::Thaw => self.standing.is_frozen = false,
            Ruling::Hold(hold) => self.standing.hold = *hold,
            Ruling::Exclude(_) | Ruling::Undo(_) | Ruling::Approve(_) | Ruling::Reject(_) => {
                return Err("a bulk decision is merged in its own batch".to_owned());
            }
        }
        Ok(())
    }

    fn forget_excluded(&mut self, current: Option<Rating>) {
        let gone = u64::from(current.is_some_and(|rating| rating.is_excluded));
        self.standing.excluded = self.standing.excluded.saturating_sub(gone);
    }
}

/// The row of a rating, if it counts.
fn counted(rating: Option<Rating>) -> Option<Row> {
    rating.filter(|rating| !rating.is_excluded).map(|rating| rating.row)
}
