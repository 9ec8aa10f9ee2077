//! The database in memory: what the store's tables hold, and what a commit does to them.
//!
//! Each function here is one indivisible effect; what may come between two of them is up to [`store`](crate::store).

use std::collections::BTreeMap;

use damper::entry::{Batch, Position, Shard};
use damper::error::{Error, Result};
use damper::merge::{
    Decided, Exclusion, HeldRating, Kept, Key, Loaded, LoadedPost, Merged, PostState, Quarantined, Rating,
    Standing, Withdrawal, keys_of,
};
use damper::model::post::Post;
use damper::model::{PostId, Time, User, UserId};
use damper::smoothing::Average;
use damper::store::{AsOf, Checkpoint, DrainRun, ShardState, StoredRating};

use crate::ranking::Ranked;
use crate::walk::UnderWay;

/// A user whose ratings the database will not have, as it would not have a text that breaks one of its rules.
pub const REFUSED_USER: &str = "refused";

/// The tables.
#[derive(Default)]
pub struct Tables {
    pub checkpoints: Vec<Checkpoint>,
    /// The decision under way in each shard.
    pub under_way: BTreeMap<Shard, UnderWay>,
    pub posts: BTreeMap<PostId, Post>,
    pub users: BTreeMap<UserId, User>,
    pub averages: BTreeMap<PostId, (Average, Position)>,
    pub ratings: BTreeMap<Key, Rating>,
    pub withdrawals: BTreeMap<Key, Withdrawal>,
    pub held: BTreeMap<Key, HeldRating>,
    pub standings: BTreeMap<PostId, Standing>,
    pub exclusions: BTreeMap<(PostId, Position), Exclusion>,
    pub audit: BTreeMap<(Shard, Position), Decided>,
    /// Arrivals, and the state after the last entry, by post and hour.
    pub history: BTreeMap<(PostId, i64), (u64, Average)>,
    pub ranking: BTreeMap<PostId, Ranked>,
    pub quarantine: BTreeMap<(Shard, Position), Quarantined>,
    pub drains: Vec<DrainRun>,
}

impl Tables {
    /// What a batch's keys hold.
    pub fn load(&self, batch: &Batch) -> Loaded {
        let mut loaded = Loaded::default();
        for key in keys_of(batch, |_| true) {
            if self.posts.contains_key(&key.0) {
                let (average, _) = self.averages.get(&key.0).copied().unwrap_or_default();
                let standing = self.standing(&key.0);
                loaded.posts.insert(key.0.clone(), LoadedPost { average, standing });
            }
            loaded.ratings.extend(self.ratings.get(&key).map(|rating| (key.clone(), *rating)));
            loaded.withdrawals.extend(self.withdrawals.get(&key).map(|gone| (key.clone(), *gone)));
            // The store asks for held ratings only where the standing says that there are some.
            let held = self.held.get(&key).filter(|_| self.standing(&key.0).under_review() > 0);
            loaded.held.extend(held.map(|held| (key.clone(), *held)));
        }
        let is_retry =
            |post: &PostId| !keys_of(batch, |it| it.origin.is_some() && it.post == *post).is_empty();
        let all = self.exclusions.values();
        loaded.exclusions = match batch.bulk() {
            Some((_, decision)) => all.filter(|one| one.post == decision.post).cloned().collect(),
            None => all.filter(|one| !one.is_undone && is_retry(&one.post)).cloned().collect(),
        };
        loaded
    }

    /// Whether the checkpoint is where a drain saw it.
    pub fn is_at(&self, shard: Shard, seen: &ShardState) -> bool {
        let key = |it: &Checkpoint| (it.position, it.accepted_base, it.lost, it.step);
        key(&self.checkpoints[shard.index()]) == key(&seen.checkpoint)
    }

    pub fn standing(&self, post: &PostId) -> Standing {
        self.standings.get(post).copied().unwrap_or_default()
    }

    /// Moves the checkpoint behind a batch, unless another drain did; a batch with what cannot be kept is refused
    /// whole.
    pub fn swap(&mut self, batch: &Batch, seen: &ShardState, merged: &Merged) -> Result<bool> {
        if !self.is_at(batch.shard, seen) {
            return Ok(false);
        }
        let rated = merged.rated.iter().chain(&merged.ratings).map(|((_, user), _)| user);
        let held = merged.held.iter().map(|((_, user), _)| user);
        let mut users = rated.chain(held).chain(merged.withdrawn.iter().map(|((_, user), _)| user));
        if users.any(|user: &UserId| user.as_str() == REFUSED_USER) {
            return Err(Error::Refused("this user breaks a rule of the table".into()));
        }
        if merged.rated.iter().any(|(key, _)| self.ratings.contains_key(key)) {
            return Err(Error::Refused("a row that is said to be new is there already".into()));
        }
        let checkpoint = &mut self.checkpoints[batch.shard.index()];
        checkpoint.position = batch.to;
        checkpoint.step = 0;
        checkpoint.applied += merged.applied;
        checkpoint.quarantined += merged.quarantined.len() as u64;
        self.note_seen(batch, seen);
        self.under_way.remove(&batch.shard);
        Ok(true)
    }

    /// Notes the log as a commit saw it.
    pub fn note_seen(&mut self, batch: &Batch, seen: &ShardState) {
        let checkpoint = &mut self.checkpoints[batch.shard.index()];
        checkpoint.seen_appends = checkpoint.seen_appends.max(seen.log.appends);
        checkpoint.seen_position = checkpoint.seen_position.max(seen.log.last.max(batch.to));
    }

    /// Writes what came out of a batch.
    pub fn write(&mut self, shard: Shard, merged: &Merged, as_of: AsOf<'_>) {
        for post in &merged.created {
            self.posts.entry(post.id.clone()).or_insert_with(|| post.clone());
        }
        for key in &merged.unrated {
            self.ratings.remove(key);
        }
        for key in &merged.unmarked {
            self.withdrawals.remove(key);
        }
        for average in &merged.averages {
            self.averages.insert(average.post.clone(), (average.after, average.version));
            let ranked = Ranked::of(&average.after, as_of);
            self.ranking.insert(average.post.clone(), ranked);
        }
        for hour in &merged.adopted_hours {
            let found = self.history.entry((hour.post.clone(), hour.hour.ms()));
            found.or_insert((hour.arrivals, hour.average));
        }
        for hour in &merged.history {
            let (arrivals, average) = self.history.entry((hour.post.clone(), hour.hour.ms())).or_default();
            *arrivals += hour.arrivals;
            *average = hour.average;
        }
        self.standings.extend(merged.standings.iter().cloned());
        self.write_rows(merged);
        for exclusion in &merged.exclusions {
            self.exclusions.insert((exclusion.post.clone(), exclusion.id), exclusion.clone());
        }
        let decided = merged.decided.iter().map(|decided| ((shard, decided.position), decided.clone()));
        self.audit.extend(decided);
        for entry in &merged.quarantined {
            self.quarantine.insert((shard, entry.position), entry.clone());
        }
    }

    /// Writes the ratings that a batch, or a step of a decision, changes.
    pub fn write_rows(&mut self, merged: &Merged) {
        self.withdrawals.extend(merged.withdrawn.iter().cloned());
        self.ratings.extend(merged.rated.iter().chain(&merged.ratings).cloned());
        self.held.extend(merged.held.iter().cloned());
        for key in &merged.unheld {
            self.held.remove(key);
        }
    }

    /// Notes how far a log was seen, and counts one anew that seems to have come back with less. No log here ever does, so
    /// the oracle objects.
    pub fn note_log(&mut self, shard: Shard, seen: &ShardState) -> bool {
        let checkpoint = &mut self.checkpoints[shard.index()];
        let key = |it: &Checkpoint| (it.position, it.accepted_base, it.lost);
        if key(checkpoint) != key(&seen.checkpoint) {
            return false;
        }
        let there = checkpoint.applied + checkpoint.quarantined + seen.log.waiting;
        checkpoint.lost += checkpoint.accepted(seen.log.appends).saturating_sub(there);
        checkpoint.accepted_base = there as i64 - seen.log.appends as i64;
        checkpoint.seen_appends = checkpoint.seen_appends.max(seen.log.appends);
        checkpoint.seen_position = checkpoint.seen_position.max(seen.log.last);
        true
    }

    /// Posts with their states, in the order asked.
    pub fn states(&self, ids: &[PostId]) -> Vec<Option<PostState>> {
        let state = |id: &PostId| {
            let post = self.posts.get(id)?.clone();
            let (average, version) = self.averages.get(id).copied().unwrap_or_default();
            Some(PostState { post, average, version, standing: self.standing(id) })
        };
        ids.iter().map(state).collect()
    }

    /// What is kept for a key.
    pub fn kept(&self, key: &Key) -> Kept {
        Kept {
            rating: self.ratings.get(key).copied(),
            held: self.held.get(key).copied(),
            withdrawal: self.withdrawals.get(key).copied(),
        }
    }

    /// A user's newest rating of a post, counted, excluded or held.
    pub fn newest(&self, key: &Key) -> Option<StoredRating> {
        let Kept { rating, held, .. } = self.kept(key);
        let rating =
            rating.map(|it| StoredRating { position: it.position, score: it.row.score, is_held: false });
        let held = held.map(|it| StoredRating { position: it.position, score: it.score, is_held: true });
        held.into_iter().chain(rating).max_by_key(|found| found.position)
    }

    /// The oldest held ratings from before a time that no exclusion covers.
    pub fn held_before(&self, before: Time, limit: usize) -> Vec<(Key, HeldRating)> {
        let is_due = |(_, held): &(&Key, &HeldRating)| !held.is_excluded && held.rated_at < before;
        let mut due: Vec<_> =
            self.held.iter().filter(is_due).map(|(key, held)| (key.clone(), *held)).collect();
        due.sort_by(|(a, one), (b, other)| (one.rated_at, a).cmp(&(other.rated_at, b)));
        due.truncate(limit);
        due
    }
}
