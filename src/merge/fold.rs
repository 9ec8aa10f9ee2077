//! The fold of a batch: applies entries one by one, each at its own time, to copies of the loaded state.

use std::collections::{BTreeMap, HashMap};

use super::state::hour_of;
use super::{
    Decided, Hour, Kept, Key, Loaded, LoadedPost, Merged, MergedAverage, Outcome, Quarantined, Standing,
    Withdrawal,
};
use crate::entry::{Action, Batch, Entry, Hold, Position, Ruling};
use crate::model::post::Post;
use crate::model::{PostId, Score, Time};
use crate::smoothing::{Average, Effect, LaneName, Params, Published, UserState, When};

/// Folds `batch` into the state in `loaded`.
pub fn merge(batch: &Batch, loaded: Loaded, params: &Params) -> Merged {
    let mut fold = Fold {
        params,
        loaded,
        merged: Merged::default(),
        kept: HashMap::new(),
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

pub(super) struct Fold<'a> {
    params: &'a Params,
    loaded: Loaded,
    pub(super) merged: Merged,
    /// What is kept for the touched keys: before the batch, and now.
    pub(super) kept: HashMap<Key, (Kept, Kept)>,
    pub(super) posts: HashMap<PostId, Folded>,
    pub(super) hours: BTreeMap<(PostId, Time), Hour>,
}

/// A touched post.
pub(super) struct Folded {
    pub(super) before: LoadedPost,
    pub(super) now: LoadedPost,
    pub(super) version: Position,
}

impl Fold<'_> {
    pub(super) fn apply(&mut self, entry: &Entry, position: Position) -> Result<(), String> {
        if let Action::Adopt(text) = &entry.action {
            return self.adopt(entry, text, position);
        }
        let (key, place) = ((entry.post.clone(), entry.user.clone()), entry.place(position));
        let (at, params) = (entry.at, self.params);
        let (before, kept) = self.kept(&key);
        // A retry of an older wish is applied without effect.
        let is_late = entry.origin.is_some() && kept.newest() >= Some(place);
        let is_remembered = self.loaded.has_quarantined || !self.merged.quarantined.is_empty();
        let wished = Kept { withdrawal: Some(Withdrawal { position: place, mark: None }), ..kept };
        let Some(loaded) = self.post_of(entry, is_late)? else {
            if !is_late && is_remembered {
                self.kept.insert(key, (before, wished));
            }
            return Ok(());
        };
        let untouched = Folded { before: loaded, now: loaded, version: position };
        let Folded { now: post, version, .. } = self.posts.entry(entry.post.clone()).or_insert(untouched);
        *version = position;
        if is_late {
            return Ok(());
        }
        let when = When { at, is_stated: entry.terms.is_stated };
        let known = kept.user();
        let mut user = known;
        let effect = match &entry.action {
            Action::Decide(decision) => {
                post.decide(&decision.deed)?;
                let figures = Published::of(&post.average.at(at, params), params);
                let outcome = Outcome { before: figures, after: figures, ..Outcome::default() };
                self.merged.decided.push(Decided::new(entry, position, decision, outcome));
                return Ok(());
            }
            Action::Rate(score) => {
                let is_kept_out = self.loaded.keep_out(entry, place, *score);
                let average = &mut post.average;
                let effect = if post.standing.holds(&user, average, *score, entry, params) {
                    user.hold(average, *score, when, params)
                } else {
                    user.rate(average, *score, when, params)
                };
                match &mut user.held {
                    _ if effect != Effect::Change || !is_kept_out => {}
                    Some(held) => held.is_excluded = true,
                    None => drop(user.exclude(average, at, params)),
                }
                effect
            }
            Action::Release(meant) => {
                // A moderator, the user or another drain may have been faster.
                let is_meant = kept.held.is_some_and(|held| held.position == *meant);
                changed(is_meant && user.release(&mut post.average, at, params))
            }
            Action::Withdraw => changed(user.withdraw(&mut post.average, when, params)),
            Action::Adopt(_) => return Ok(()),
        };
        post.standing.follow(&known, &user);
        let mut now = kept;
        match effect {
            Effect::Nothing
                if entry.action == Action::Withdraw && known == UserState::default() && is_remembered =>
            {
                now = wished;
            }
            Effect::Nothing => return Ok(()),
            // A retry of an older wish must lose to it. The undoing of an exclusion goes by the position of what it covers.
            Effect::Repeat => now.move_to(place),
            Effect::Change => {
                now = kept.with(&user, place);
                if let (Action::Release(_), Some(rating)) = (&entry.action, &mut now.rating) {
                    rating.position = place;
                }
                self.note_hour(&entry.post, u64::from(entry.action.score().is_some()));
            }
        }
        self.kept.insert(key, (before, now));
        Ok(())
    }

    /// What is kept for a user and a post: before the batch, and now.
    pub(super) fn kept(&self, key: &Key) -> (Kept, Kept) {
        self.kept.get(key).copied().unwrap_or_else(|| {
            let loaded = Kept {
                rating: self.loaded.ratings.get(key).copied(),
                held: self.loaded.held.get(key).copied(),
                withdrawal: self.loaded.withdrawals.get(key).copied(),
            };
            (loaded, loaded)
        })
    }

    /// The post before the batch. A rating creates a missing post if its terms allow that. A withdrawal or a
    /// late retry with such terms creates nothing, leaves nothing and gets `None`; any other entry is refused.
    pub(super) fn post_of(&mut self, entry: &Entry, is_late: bool) -> Result<Option<LoadedPost>, String> {
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
        for (key, (before, now)) in self.kept {
            let written = if before.rating.is_none() { &mut merged.rated } else { &mut merged.ratings };
            put(&key, before.rating, now.rating, written, &mut merged.unrated);
            put(&key, before.held, now.held, &mut merged.held, &mut merged.unheld);
            put(&key, before.withdrawal, now.withdrawal, &mut merged.withdrawn, &mut merged.unmarked);
        }
        for (post, Folded { before, now, version }) in self.posts {
            if now.standing != before.standing {
                merged.standings.push((post.clone(), now.standing));
            }
            let (before, after) = (before.average, now.average);
            merged.averages.push(MergedAverage { post, before, after, version });
        }
        merged.created.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        merged.rated.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.ratings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.unrated.sort_unstable();
        merged.withdrawn.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.unmarked.sort_unstable();
        merged.held.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.unheld.sort_unstable();
        merged.standings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        merged.averages.sort_unstable_by(|a, b| a.post.cmp(&b.post));
        merged.history = self.hours.into_values().collect();
        merged
    }
}

impl Standing {
    /// Whether a rating is held for a moderator. While a user has a held rating, their new ones are held too.
    fn holds(
        &self,
        user: &UserState,
        average: &Average,
        score: Score,
        entry: &Entry,
        params: &Params,
    ) -> bool {
        let when = When { at: entry.at, is_stated: entry.terms.is_stated };
        let is_surge = || user.lane_of(average, score, when, params) == Some(LaneName::Surge);
        user.held.is_some_and(|held| !held.is_excluded)
            || match entry.terms.hold(self.hold) {
                Hold::Off => false,
                Hold::Always => true,
                Hold::Surge => is_surge(),
            }
    }
}

impl LoadedPost {
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
}

impl Kept {
    /// Gives what a repeated wish confirms that wish's position. What is excluded keeps its own; and the rating beside a
    /// held one is not what was repeated, or its user would see it as the newest.
    fn move_to(&mut self, place: Position) {
        match (&mut self.held, &mut self.rating) {
            (Some(held), _) if !held.is_excluded => held.position = place,
            (None, Some(rating)) if !rating.is_excluded => rating.position = place,
            _ => {}
        }
    }
}

fn changed(is_change: bool) -> Effect {
    if is_change { Effect::Change } else { Effect::Nothing }
}

/// Notes what has to be written, or deleted, for a key.
fn put<T: PartialEq>(
    key: &Key,
    before: Option<T>,
    now: Option<T>,
    written: &mut Vec<(Key, T)>,
    deleted: &mut Vec<Key>,
) {
    match now {
        Some(now) if before.as_ref() != Some(&now) => written.push((key.clone(), now)),
        None if before.is_some() => deleted.push(key.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Line, Shard, Terms};
    use crate::model::UserId;
    use crate::smoothing::Knobs;

    /// The withdrawals that are remembered after one from a post that is not there.
    fn remembered(loaded: Loaded, origin: Option<Position>) -> Vec<Position> {
        let (post, user) = key();
        let withdrawal = Entry::new(post, user, Time::from_ms(1_700_000_000_000), Action::Withdraw);
        let terms = Terms { creates_post: true, ..Terms::default() };
        let line = Line { position: Position::new(9, 0), entry: Ok(Entry { terms, origin, ..withdrawal }) };
        let batch = Batch::of(Shard(0), Position::START, vec![line]).expect("a line");
        let merged = merge(&batch, loaded, &Params::new(&Knobs::default()).expect("the defaults fit"));
        assert_eq!((merged.applied, merged.quarantined.len(), merged.averages.len()), (1, 0, 0));
        merged.withdrawn.into_iter().map(|(_, withdrawal)| withdrawal.position).collect()
    }

    fn key() -> Key {
        (PostId::parse("p").expect("an id"), UserId::parse("ann").expect("an id"))
    }

    #[test]
    fn a_withdrawal_from_no_post_is_remembered_where_an_older_entry_may_be_retried() {
        assert_eq!(remembered(Loaded::default(), None), []);
        let loaded = || Loaded { has_quarantined: true, ..Loaded::default() };
        assert_eq!(remembered(loaded(), None), [Position::new(9, 0)]);
        assert_eq!(
            remembered(loaded(), Some(Position::new(5, 0))),
            [Position::new(5, 0)],
            "by its own place"
        );
        let newer = Withdrawal { position: Position::new(7, 0), mark: None };
        let known = Loaded { withdrawals: HashMap::from([(key(), newer)]), ..loaded() };
        assert_eq!(remembered(known, Some(Position::new(5, 0))), [], "a retry loses to what is newer");
    }
}
