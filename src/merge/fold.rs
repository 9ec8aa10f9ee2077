//! The fold of a batch: applies entries one by one, each at its own time, to copies of the loaded state.

use std::collections::{BTreeMap, HashMap};

use super::{HeldRating, Hour, Key, Loaded, LoadedPost, Merged, MergedAverage, Quarantined, Rating, hour_of};
use crate::entry::{Action, Batch, Decision, Entry, Hold, Position, Ruling, Terms};
use crate::merge::Standing;
use crate::merge::{Decided, Outcome};
use crate::model::post::Post;
use crate::model::{PostId, Score, Time};
use crate::smoothing::{Average, LaneName, Params, Published, Row};

/// Folds `batch` into the state in `loaded`.
pub fn merge(batch: &Batch, loaded: Loaded, params: &Params) -> Merged {
    let mut fold = Fold {
        params,
        loaded,
        changed: HashMap::new(),
        held: HashMap::new(),
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
    /// Touched ratings, with their new state; for a withdrawn rating, the withdrawal's position.
    changed: HashMap<Key, Result<Rating, Position>>,
    /// Touched held ratings, with their new state.
    held: HashMap<Key, Option<HeldRating>>,
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
        let known = self.known(&key);
        let is_late = entry.origin.is_some() && known.newest() >= Some(place);
        let Some(before) = self.post_of(entry, is_late)? else {
            if !is_late {
                self.changed.insert(key, Err(place));
            }
            return Ok(());
        };
        let untouched =
            Folded { before, average: before.average, standing: before.standing, version: position };
        let post = self.posts.entry(entry.post.clone()).or_insert(untouched);
        post.version = position;
        if is_late {
            return Ok(());
        }
        match &entry.action {
            Action::Decide(decision) => {
                self.decided.push(decide(entry, position, decision, post, self.params)?);
            }
            Action::Rate(score) if post.holds(&known, *score, entry.at, entry.terms, self.params) => {
                let is_excluded = self.loaded.keep_out(entry, place, *score);
                let held = HeldRating { score: *score, rated_at: entry.at, position: place, is_excluded };
                post.hold(known.held, held, self.params);
                self.held.insert(key, Some(held));
                self.note_hour(&entry.post, 0);
            }
            Action::Rate(score) => {
                let mut rating = post.rate(known.rating, *score, entry.at, place, self.params);
                if self.loaded.keep_out(entry, place, *score) {
                    rating = post.exclude(rating, entry.at, self.params);
                }
                self.changed.insert(key.clone(), Ok(rating));
                self.remove_held(key, known.held);
                self.note_hour(&entry.post, 1);
            }
            Action::Release(held) => match known.held {
                Some(found) if found.position == *held && !found.is_excluded => {
                    let rating = post.rate(known.rating, found.score, entry.at, place, self.params);
                    self.changed.insert(key.clone(), Ok(rating));
                    self.remove_held(key, known.held);
                    self.note_hour(&entry.post, 1);
                }
                // A moderator, the user or another drain was faster.
                _ => {}
            },
            Action::Withdraw => {
                let is_counted = post.withdraw(known.rating, entry.at, self.params);
                self.changed.insert(key.clone(), Err(place));
                self.remove_held(key, known.held);
                if is_counted {
                    self.note_hour(&entry.post, 0);
                }
            }
        }
        Ok(())
    }

    /// The current state of a user and a post.
    fn known(&self, key: &Key) -> Known {
        let (rating, withdrawn) = match self.changed.get(key) {
            Some(changed) => (changed.ok(), changed.err()),
            None => (self.loaded.ratings.get(key).copied(), self.loaded.withdrawals.get(key).copied()),
        };
        let held = match self.held.get(key) {
            Some(held) => *held,
            None => self.loaded.held.get(key).copied(),
        };
        Known { rating, held, withdrawn }
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
        self.created.push(Post::named_by_id(entry.post.clone(), entry.at));
        Ok(Some(LoadedPost::default()))
    }

    /// Removes a held rating.
    fn remove_held(&mut self, (post, user): Key, held: Option<HeldRating>) {
        if let (Some(held), Some(folded)) = (held, self.posts.get_mut(&post)) {
            folded.uncount_held(Some(held));
            self.held.insert((post, user), None);
        }
    }

    /// Stores a post's state for the hour of its last entry.
    fn note_hour(&mut self, post: &PostId, arrivals: u64) {
        let Some((average, last)) = self.posts.get(post).and_then(|p| Some((p.average, p.average.last?)))
        else {
            return;
        };
        let (sum, state) = self.hours.entry((post.clone(), hour_of(last))).or_insert((0, average));
        *sum += arrivals;
        *state = average;
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
        for (key, held) in self.held {
            match held {
                Some(held) => merged.held.push((key, held)),
                None => merged.unheld.push(key),
            }
        }
        merged.ratings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.withdrawn.sort_unstable();
        merged.held.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.unheld.sort_unstable();
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

/// The current state of a user and a post.
struct Known {
    rating: Option<Rating>,
    held: Option<HeldRating>,
    /// The position of the newest withdrawal.
    withdrawn: Option<Position>,
}

impl Known {
    /// The position of the user's latest wish. A retry of an older one is applied without effect.
    fn newest(&self) -> Option<Position> {
        let rated = self.rating.map(|rating| rating.position);
        rated.max(self.held.map(|held| held.position)).max(self.withdrawn)
    }
}

impl Folded {
    /// Whether a rating is held for a moderator. While a user has a held rating, their new ones are held too.
    fn holds(&self, known: &Known, score: Score, at: Time, terms: Terms, params: &Params) -> bool {
        if known.held.is_some_and(|held| !held.is_excluded) {
            return true;
        }
        match terms.hold(self.standing.hold) {
            Hold::Off => false,
            Hold::Always => true,
            Hold::Surge => {
                let mut average = self.average;
                let counted = counted(known.rating);
                average.rate(counted.as_ref(), score, at, params).lane == LaneName::Surge
            }
        }
    }

    /// Folds a rating in. It replaces an excluded rating of the same user.
    fn rate(
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

    /// Excludes a rating that has just been folded in.
    fn exclude(&mut self, rating: Rating, at: Time, params: &Params) -> Rating {
        self.standing.excluded += 1;
        Rating { row: self.average.exclude(&rating.row, at, params), is_excluded: true, ..rating }
    }

    /// Folds the arrival of a held rating, which replaces `before`.
    fn hold(&mut self, before: Option<HeldRating>, held: HeldRating, params: &Params) {
        self.average.arrive(held.rated_at, params);
        self.uncount_held(before);
        let of = if held.is_excluded { &mut self.standing.excluded } else { &mut self.standing.held };
        *of += 1;
    }

    /// Takes a rating out for good. Returns whether it counted.
    fn withdraw(&mut self, current: Option<Rating>, at: Time, params: &Params) -> bool {
        self.forget_excluded(current);
        let counted = counted(current);
        if let Some(row) = &counted {
            self.average.withdraw(row, at, params);
        }
        counted.is_some()
    }

    fn forget_excluded(&mut self, current: Option<Rating>) {
        let gone = u64::from(current.is_some_and(|rating| rating.is_excluded));
        self.standing.excluded = self.standing.excluded.saturating_sub(gone);
    }

    /// Removes a held rating from the counts, if there was one.
    fn uncount_held(&mut self, held: Option<HeldRating>) {
        let Some(held) = held else { return };
        let of = if held.is_excluded { &mut self.standing.excluded } else { &mut self.standing.held };
        *of = of.saturating_sub(1);
    }
}

/// The row of a rating, if it counts.
fn counted(rating: Option<Rating>) -> Option<Row> {
    rating.filter(|rating| !rating.is_excluded).map(|rating| rating.row)
}

/// Applies a decision that changes no rating.
fn decide(
    entry: &Entry,
    position: Position,
    decision: &Decision,
    post: &mut Folded,
    params: &Params,
) -> Result<Decided, String> {
    match &decision.deed {
        Ruling::Freeze => post.standing.is_frozen = true,
        Ruling::Thaw => post.standing.is_frozen = false,
        Ruling::Hold(hold) => post.standing.hold = *hold,
        Ruling::Exclude(_) | Ruling::Undo(_) | Ruling::Approve(_) | Ruling::Reject(_) => {
            return Err("a bulk decision is merged in its own batch".to_owned());
        }
    }
    let figures = Published::of(&post.average.at(entry.at, params), params);
    Ok(Decided {
        position,
        post: entry.post.clone(),
        at: entry.at,
        by: entry.user.clone(),
        decision: decision.clone(),
        outcome: Outcome { before: figures, after: figures, ..Outcome::default() },
    })
}
