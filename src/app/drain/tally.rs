//! What a drain did: counts by outcome, and the posts whose published mean moved most.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;
use utoipa::ToSchema;

use super::settle::Unsettled;
use crate::entry::Position;
use crate::error::Error;
use crate::merge::{Merged, MergedAverage};
use crate::model::PostId;
use crate::smoothing::Published;
use crate::store::AsOf;

/// Moves that a drain reports.
const MOVES_MAX: usize = 10;
/// Moves that are kept of one shard while it drains; the smallest are forgotten first.
const MOVES_TRACKED_MAX: usize = 10_000;

/// The result of a flush.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Flushed)]
pub struct Drained {
    /// Entries merged.
    pub applied: u64,
    /// Entries quarantined.
    pub quarantined: u64,
    /// Posts whose average changed.
    pub posts: u64,
    /// Entries that wait now. A drain at a tick does not count them, and says 0.
    pub waiting: u64,
    /// Commits.
    pub batches: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Whether everything that waited at its start is merged.
    pub complete: bool,
    /// The posts whose published mean moved most, largest first.
    pub moves: Vec<Move>,
    /// The first error that stopped a shard.
    #[serde(skip)]
    pub failure: Option<Error>,
}

/// How far a drain moved a post's published mean.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Move {
    /// The post.
    pub post_id: PostId,
    /// The published mean without the drained entries; null for a post that had no ratings.
    pub before: Option<f64>,
    /// The published mean with them.
    pub after: Option<f64>,
    /// The published figures with them.
    #[serde(flatten)]
    pub published: Published,
}

impl Move {
    fn size(&self) -> f64 {
        match (self.before, self.after) {
            (Some(before), Some(after)) => (after - before).abs(),
            // A first rating moves nothing that readers saw.
            _ => 0.0,
        }
    }

    fn of(merged: &MergedAverage, (last_tick, params): AsOf<'_>) -> Self {
        let as_of = merged.after.last.map_or(last_tick, |last| last.max(last_tick));
        let published = Published::of(&merged.after.at(as_of, params), params);
        Self {
            post_id: merged.post.clone(),
            before: merged.before.at(as_of, params).smoothed_mean(params),
            after: published.average,
            published,
        }
    }

    /// Keeps the largest moves, largest first.
    fn keep_largest(moves: &mut Vec<Move>, count: usize) {
        let key = |m: &Move| (m.size(), m.published.count);
        moves.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap_or(std::cmp::Ordering::Equal));
        moves.truncate(count);
    }
}

/// What a drain did with one shard.
#[derive(Default)]
pub(super) struct ShardDrained {
    pub applied: u64,
    pub quarantined: u64,
    pub batches: u64,
    /// Commits of decisions that are not whole yet.
    pub steps: u64,
    /// Hashes of the posts that changed: a post lives in one shard, so shards' counts add up.
    posts: HashSet<u64>,
    hasher: RandomState,
    moves: HashMap<PostId, Move>,
    /// The log's end when the drain first saw it.
    pub end: Option<Position>,
    /// What is committed, and not yet in the cache or out of the log.
    pub unsettled: Unsettled,
    /// The next batch's most entries. What halving found out outlives an attempt.
    pub limit: Option<usize>,
    pub complete: bool,
    pub failure: Option<Error>,
}

impl ShardDrained {
    pub fn count(&mut self, merged: &Merged, as_of: AsOf<'_>) {
        self.applied += merged.applied;
        self.quarantined += merged.quarantined.len() as u64;
        self.batches += 1;
        for average in &merged.averages {
            self.posts.insert(self.hasher.hash_one(&average.post));
            let moved = Move::of(average, as_of);
            let before = self.moves.get(&average.post).map_or(moved.before, |earlier| earlier.before);
            self.moves.insert(average.post.clone(), Move { before, ..moved });
        }
        if self.moves.len() > MOVES_TRACKED_MAX {
            let kept = self.largest_moves(MOVES_TRACKED_MAX / 2);
            self.moves = kept.into_iter().map(|m| (m.post_id.clone(), m)).collect();
        }
    }

    fn largest_moves(&mut self, count: usize) -> Vec<Move> {
        let mut moves: Vec<Move> = self.moves.drain().map(|(_, m)| m).collect();
        Move::keep_largest(&mut moves, count);
        moves
    }
}

impl Drained {
    pub(super) fn add(mut self, mut shard: ShardDrained) -> Self {
        self.applied += shard.applied;
        self.quarantined += shard.quarantined;
        self.batches += shard.batches;
        self.posts += shard.posts.len() as u64;
        self.moves.extend(shard.largest_moves(MOVES_MAX));
        Move::keep_largest(&mut self.moves, MOVES_MAX);
        self.complete &= shard.complete;
        self.failure = self.failure.or(shard.failure);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Quarantined;
    use crate::model::{Score, Time};
    use crate::smoothing::{Average, Knobs, Params, UserState, When};

    const NOW: Time = Time::from_ms(1_700_000_000_000);

    fn rated(average: Average, score: i64, params: &Params) -> Average {
        let mut after = average;
        let when = When { at: NOW, is_stated: false };
        UserState::default().rate(&mut after, Score::parse(score).expect("a score"), when, params);
        after
    }

    /// A batch that moves one post's average, with one entry for the quarantine.
    fn merged(post: &str, before: Average, after: Average) -> Merged {
        let post = PostId::parse(post).expect("an id");
        let average = MergedAverage { post, before, after, version: Position::START };
        let refused = Quarantined { position: Position::START, reason: String::new(), payload: Vec::new() };
        Merged { applied: 3, averages: vec![average], quarantined: vec![refused], ..Merged::default() }
    }

    #[test]
    fn batches_and_shards_add_up_and_a_post_moves_from_first_to_last() {
        let params = Params::new(&Knobs::default()).expect("the defaults fit");
        let one = rated(Average::default(), 1, &params);
        let two = rated(one, 5, &params);
        let three = rated(two, 5, &params);
        let mut shard = ShardDrained { complete: true, ..ShardDrained::default() };
        shard.count(&merged("p", one, two), (NOW, &params));
        shard.count(&merged("p", two, three), (NOW, &params));
        shard.count(&merged("q", Average::default(), one), (NOW, &params));
        assert_eq!((shard.applied, shard.quarantined, shard.batches), (9, 3, 3));
        let whole = Drained {
            applied: 1,
            quarantined: 2,
            batches: 3,
            posts: 4,
            complete: true,
            ..Drained::default()
        };
        let whole = whole.add(shard);
        assert_eq!((whole.applied, whole.quarantined, whole.batches, whole.posts), (10, 5, 6, 6));
        assert!(whole.complete);
        let [p, q] = whole.moves.as_slice() else { panic!("{:?}", whole.moves) };
        assert_eq!(
            (p.post_id.as_str(), p.before, p.after),
            ("p", one.smoothed_mean(&params), three.smoothed_mean(&params))
        );
        assert_eq!(
            (q.post_id.as_str(), q.before),
            ("q", None),
            "a first rating moves nothing that readers saw"
        );
        let failed = ShardDrained { quarantined: 5, ..ShardDrained::default() };
        let whole = whole.add(failed);
        assert_eq!((whole.quarantined, whole.complete), (10, false));
    }

    #[test]
    fn the_largest_moves_are_kept_whatever_their_direction() {
        let params = Params::new(&Knobs::default()).expect("the defaults fit");
        let published = Published::of(&Average::default(), &params);
        let moved = |post: &str, before, after| Move {
            post_id: PostId::parse(post).expect("an id"),
            before,
            after,
            published,
        };
        let mut moves = vec![
            moved("up", Some(1.0), Some(3.0)),
            moved("first", None, Some(5.0)),
            moved("down", Some(4.0), Some(1.0)),
        ];
        Move::keep_largest(&mut moves, 2);
        assert_eq!(moves.iter().map(|m| m.post_id.as_str()).collect::<Vec<_>>(), ["down", "up"]);
    }
}
