//! The database in memory: what the store's tables hold, and what a commit does to them.
//!
//! Each function here is one indivisible effect; what may come between two of them is up to [`store`](crate::store).

use std::collections::BTreeMap;

use damper::entry::{Batch, Position, Shard};
use damper::error::{Error, Result};
use damper::merge::bulk::{BulkDecision, HeldFate};
use damper::merge::{
    Exclusion, HeldRating, Key, Loaded, LoadedPost, Merged, PostState, Quarantined, Rating, Standing,
    Withdrawal, keys_of,
};
use damper::model::post::Post;
use damper::model::{PostId, UserId};
use damper::smoothing::Average;
use damper::store::{Checkpoint, ShardState};

/// A user whose ratings the database will not have, as it would not have a text that breaks one of its rules.
pub const REFUSED_USER: &str = "refused";

/// The tables.
#[derive(Default)]
pub struct Tables {
    pub checkpoints: Vec<Checkpoint>,
    pub posts: BTreeMap<PostId, Post>,
    pub averages: BTreeMap<PostId, (Average, Position)>,
    pub ratings: BTreeMap<Key, Rating>,
    pub withdrawals: BTreeMap<Key, Withdrawal>,
    pub held: BTreeMap<Key, HeldRating>,
    pub standings: BTreeMap<PostId, Standing>,
    pub exclusions: BTreeMap<(PostId, Position), Exclusion>,
    /// Ratings folded in, by post and hour.
    pub history: BTreeMap<(PostId, i64), u64>,
    pub quarantine: BTreeMap<(Shard, Position), Quarantined>,
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
            loaded.held.extend(self.held.get(&key).map(|held| (key.clone(), *held)));
            let of_post = |exclusion: &&Exclusion| exclusion.post == key.0;
            loaded.exclusions.extend(self.exclusions.values().filter(of_post).cloned());
        }
        let withdrawn = |key: Key| Some((key.clone(), *self.withdrawals.get(&key)?));
        loaded.withdrawals = keys_of(batch, |_| true).into_iter().filter_map(withdrawn).collect();
        loaded
    }

    /// Whether the checkpoint is where a drain saw it.
    pub fn is_at(&self, shard: Shard, seen: &ShardState) -> bool {
        let key = |checkpoint: &Checkpoint| (checkpoint.position, checkpoint.accepted_base, checkpoint.lost);
        key(&self.checkpoints[shard.index()]) == key(&seen.checkpoint)
    }

    /// Hands a post's ratings to a decision; returns what comes of it, for [`write`](Self::write).
    pub fn decide(&mut self, mut decision: BulkDecision) -> Merged {
        let post = decision.post().clone();
        let (mut ratings, mut held, mut unheld) = (Vec::new(), Vec::new(), Vec::new());
        if decision.takes_ratings() {
            for (key, rating) in self.ratings.iter().filter(|(key, _)| key.0 == post) {
                ratings.extend(decision.visit(rating).map(|rating| (key.clone(), rating)));
            }
        }
        let (only, takes_held) = (decision.only_user().cloned(), decision.takes_held());
        for (key, found) in self.held.iter().filter(|(key, _)| key.0 == post && takes_held) {
            if only.as_ref().is_some_and(|only| *only != key.1) {
                continue;
            }
            match decision.visit_held(&key.1, found, self.ratings.get(key)) {
                HeldFate::Stays => continue,
                HeldFate::Becomes(now) => held.push((key.clone(), now)),
                HeldFate::Goes(withdrawal) => {
                    self.withdrawals.insert(key.clone(), withdrawal);
                    unheld.push(key.clone());
                }
                HeldFate::Counts(rating) => {
                    ratings.push((key.clone(), rating));
                    unheld.push(key.clone());
                }
            }
        }
        Merged { ratings, held, unheld, ..decision.finish() }
    }

    fn standing(&self, post: &PostId) -> Standing {
        self.standings.get(post).copied().unwrap_or_default()
    }

    /// Moves the checkpoint, unless another drain did; a batch with what cannot be kept is refused whole.
    pub fn swap(&mut self, batch: &Batch, seen: &ShardState, merged: &Merged) -> Result<bool> {
        if !self.is_at(batch.shard, seen) {
            return Ok(false);
        }
        let checkpoint = &mut self.checkpoints[batch.shard.index()];
        let rated = merged.ratings.iter().map(|((_, user), _)| user);
        let mut users = rated.chain(merged.withdrawn.iter().map(|((_, user), _)| user));
        if users.any(|user: &UserId| user.as_str() == REFUSED_USER) {
            return Err(Error::Refused("this user breaks a rule of the table".into()));
        }
        checkpoint.position = batch.to;
        checkpoint.applied += merged.applied;
        checkpoint.quarantined += merged.quarantined.len() as u64;
        checkpoint.seen_appends = checkpoint.seen_appends.max(seen.log.appends);
        checkpoint.seen_position = checkpoint.seen_position.max(seen.log.last);
        Ok(true)
    }

    /// Writes what came out of a batch.
    pub fn write(&mut self, shard: Shard, merged: &Merged) {
        for post in &merged.created {
            self.posts.entry(post.id.clone()).or_insert_with(|| post.clone());
        }
        for key in &merged.unrated {
            self.ratings.remove(key);
        }
        for key in &merged.unmarked {
            self.withdrawals.remove(key);
        }
        for (key, withdrawal) in &merged.withdrawn {
            self.withdrawals.insert(key.clone(), *withdrawal);
        }
        for (key, rating) in &merged.ratings {
            self.ratings.insert(key.clone(), *rating);
        }
        for average in &merged.averages {
            self.averages.insert(average.post.clone(), (average.after, average.version));
        }
        for hour in &merged.history {
            *self.history.entry((hour.post.clone(), hour.hour.ms())).or_default() += hour.arrivals;
        }
        self.standings.extend(merged.standings.iter().cloned());
        self.held.extend(merged.held.iter().cloned());
        for key in &merged.unheld {
            self.held.remove(key);
        }
        for exclusion in &merged.exclusions {
            self.exclusions.insert((exclusion.post.clone(), exclusion.id), exclusion.clone());
        }
        for entry in &merged.quarantined {
            self.quarantine.insert((shard, entry.position), entry.clone());
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
}
