//! The drain: moves every shard's log into the averages. [`App::drain`] is the one loop.
//!
//! Read after the checkpoint, merge, commit with the new checkpoint, refresh the cache, trim. Whoever runs it,
//! and however many at once, the commit's compare-and-swap decides; a drain that was faster is met by reading
//! the checkpoint again. It ends on a fact: the checkpoint has passed what the log held when the drain began.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde::Serialize;
use tracing::{debug, warn};

use crate::app::App;
use crate::entry::{Backlog, Shard};
use crate::error::{Error, Result};
use crate::loader::read_into;
use crate::merge::{Merged, MergedAverage, merge};
use crate::rating::{PostId, Time};
use crate::store::{DrainRun, POSTS_ASKED_MAX, Trigger};

/// Moves that a drain reports.
pub const MOVES_MAX: usize = 10;
/// Posts of one shard whose moves are remembered while it drains; the smallest moves are forgotten first.
const MOVES_TRACKED_MAX: usize = 10_000;
/// Times that a shard is tried again after an error that may pass.
const RETRIES_MAX: u32 = 3;
/// A commit that takes longer is given up; whether it happened is read back from the checkpoint.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How a drain is run.
pub struct DrainOrder<'a> {
    /// What started it.
    pub trigger: Trigger,
    /// No batch is begun after this.
    pub until: Option<Instant>,
    /// Says whether to stop before the next batch.
    pub stop: &'a (dyn Fn() -> bool + Send + Sync),
    /// Told of every step.
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
}

impl DrainOrder<'_> {
    /// A drain without a limit, which tells nobody.
    pub fn quiet(trigger: Trigger) -> Self {
        Self { trigger, until: None, stop: &|| false, progress: &|_| {} }
    }

    fn is_over(&self) -> bool {
        (self.stop)() || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// A step of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A shard with so many waiting entries was begun.
    Begun(u64),
    /// So many of these are in the averages (or quarantine) now.
    Merged(u64),
}

/// What a drain did.
#[derive(Debug, Default)]
pub struct Drained {
    /// Entries folded in.
    pub applied: u64,
    /// Entries put aside.
    pub quarantined: u64,
    /// Different posts whose average changed.
    pub posts: u64,
    /// Commits.
    pub batches: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// The posts whose published mean moved most, largest first.
    pub moves: Vec<Move>,
    /// Whether every checkpoint has passed what its log held at the beginning.
    pub complete: bool,
    /// The first error that stopped a shard.
    pub failure: Option<Error>,
}

/// How far a drain moved a post's published mean.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Move {
    /// Whose mean it is.
    pub post_id: PostId,
    /// The published mean without the drained entries; nothing for a post that had no ratings.
    pub before: Option<f64>,
    /// The published mean with them.
    pub after: Option<f64>,
    /// The exact mean.
    pub raw_average: Option<f64>,
    /// Ratings that count.
    pub count: u64,
    /// Ratings' worth that has yet to vest.
    pub phasing_in: u64,
    /// Whether the pace limit sets the speed.
    pub crowded: bool,
}

impl Move {
    fn size(&self) -> f64 {
        match (self.before, self.after) {
            (Some(before), Some(after)) => (after - before).abs(),
            // A first rating moves nothing that anybody saw.
            _ => 0.0,
        }
    }

    fn sort(moves: &mut [Move]) {
        let key = |m: &Move| (m.size(), m.count);
        moves.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap_or(std::cmp::Ordering::Equal));
    }
}

impl App {
    /// Drains every shard up to what its log holds now. Safe at any time, by anybody, at once.
    ///
    /// A shard that fails does not keep the others from draining; `failure` tells.
    pub async fn drain(&self, now: Time, order: &DrainOrder<'_>) -> Drained {
        let began = Instant::now();
        let total = Mutex::new(Drained { complete: true, ..Drained::default() });
        futures_util::stream::iter(self.all_shards())
            .for_each_concurrent(self.config.drain.parallel_max, |shard| {
                let total = &total;
                async move {
                    let outcome = self.drain_shard(shard, now, order).await;
                    total.lock().unwrap_or_else(|e| e.into_inner()).absorb(outcome);
                }
            })
            .await;
        let mut drained = total.into_inner().unwrap_or_else(|e| e.into_inner());
        Move::sort(&mut drained.moves);
        drained.moves.truncate(MOVES_MAX);
        if order.trigger == Trigger::Tick && !order.is_over() {
            self.rerank(now).await;
        }
        drained.duration_ms = began.elapsed().as_millis() as u64;
        self.record(now, order.trigger, &drained).await;
        drained
    }

    /// One shard, tried again when an error may pass by itself.
    async fn drain_shard(&self, shard: Shard, now: Time, order: &DrainOrder<'_>) -> ShardDrained {
        let mut done = ShardDrained::default();
        for attempt in 0..=RETRIES_MAX {
            match self.try_drain_shard(shard, now, order, &mut done).await {
                Ok(complete) => {
                    done.complete = complete;
                    return done;
                }
                Err(error) if error.is_transient() && attempt < RETRIES_MAX && !order.is_over() => {
                    debug!(%shard, %error, attempt, "drain of a shard is tried again");
                    // Jitter by the shard's number: shards that failed together do not come back together.
                    let jitter = RETRY_DELAY * u32::from(shard.0 % 8) / 8;
                    tokio::time::sleep(RETRY_DELAY * 2u32.pow(attempt) + jitter).await;
                }
                Err(error) => {
                    done.failure = Some(error);
                    return done;
                }
            }
        }
        done
    }

    /// Batches until the checkpoint has passed the log's end as it was; `false` when told to stop before.
    async fn try_drain_shard(
        &self,
        shard: Shard,
        now: Time,
        order: &DrainOrder<'_>,
        done: &mut ShardDrained,
    ) -> Result<bool> {
        let mut from = self.store.checkpoint(shard).await?.position;
        let seen = self.buffer.backlog(shard, from).await?;
        // What a killed drain committed and could not trim any more.
        self.buffer.trim(shard, from).await?;
        done.begin(seen.waiting, order);
        while from < seen.last {
            if order.is_over() {
                return Ok(false);
            }
            match self.drain_batch(shard, from, now, &seen, done).await? {
                Some(entries) => (order.progress)(Progress::Merged(entries)),
                None => debug!(%shard, "another drain was faster"),
            }
            let checkpoint = self.store.checkpoint(shard).await?.position;
            if checkpoint == from {
                // Nothing is left to read, and nobody moved on: the log's end was never an entry.
                break;
            }
            from = checkpoint;
        }
        Ok(true)
    }

    /// One batch after `from`; returns how many entries it had, or nothing when there was none to commit.
    async fn drain_batch(
        &self,
        shard: Shard,
        from: crate::entry::Position,
        now: Time,
        seen: &Backlog,
        done: &mut ShardDrained,
    ) -> Result<Option<u64>> {
        let Some(batch) = self.buffer.read(shard, from, self.config.drain.batch_max).await? else {
            return Ok(None);
        };
        let as_of = (self.ticks.around(now).last, &self.params);
        let fold = |loaded| merge(&batch, loaded, &self.params);
        let committing =
            tokio::time::timeout(COMMIT_TIMEOUT, self.store.commit(&batch, seen, as_of, &fold)).await;
        let late = |_| Err(Error::Unavailable("the database did not end a commit in time".into()));
        let Some(merged) = committing.unwrap_or_else(late)? else {
            return Ok(None);
        };
        done.count(&merged, |average| self.move_of(average, as_of.0));
        self.refresh(&merged, now).await;
        self.buffer.trim(shard, batch.to).await?;
        Ok(Some(batch.lines.len() as u64))
    }

    /// Brings what a commit changed into the cache. The averages are safe: a failure only makes readers wait for
    /// the next tick, or ask the store.
    async fn refresh(&self, merged: &Merged, now: Time) {
        let ids: Vec<PostId> = merged.averages.iter().map(|average| average.post.clone()).collect();
        for ids in ids.chunks(POSTS_ASKED_MAX) {
            if let Err(error) = read_into(&*self.store, &*self.cache, ids, now).await {
                warn!(%error, "the cache could not be refreshed after a commit");
                return;
            }
        }
    }

    fn move_of(&self, merged: &MergedAverage, last_tick: Time) -> Move {
        let as_of = merged.after.last.map_or(last_tick, |last| last.max(last_tick));
        let (before, after) = (merged.before.at(as_of, &self.params), merged.after.at(as_of, &self.params));
        Move {
            post_id: merged.post.clone(),
            before: before.smoothed_mean(&self.params),
            after: after.smoothed_mean(&self.params),
            raw_average: after.raw_mean(),
            count: after.count(),
            phasing_in: after.unvested().round() as u64,
            crowded: after.is_crowded(&self.params),
        }
    }

    /// The ranking is published, not state: when it cannot be brought up to date now, the next tick does it.
    async fn rerank(&self, now: Time) {
        let as_of = (self.ticks.around(now).last, &self.params);
        if let Err(error) = self.store.rerank(as_of, self.config.drain.rerank_max).await {
            warn!(%error, "sort=top lags until the next tick");
        }
    }

    async fn record(&self, now: Time, trigger: Trigger, drained: &Drained) {
        let outcome = match (&drained.failure, drained.complete) {
            (None, true) => "complete",
            (None, false) => "stopped",
            (Some(_), _) => "failed",
        };
        metrics::counter!("damper_drains_total", "outcome" => outcome, "trigger" => trigger.as_str())
            .increment(1);
        metrics::histogram!("damper_drain_seconds").record(drained.duration_ms as f64 / 1_000.0);
        if matches!(drained.failure, Some(Error::Config(_))) {
            // The schema is newer than this program, which then writes nothing at all.
            return;
        }
        let run = DrainRun {
            started_at: now,
            trigger,
            applied: drained.applied,
            quarantined: drained.quarantined,
            batches: drained.batches,
            duration_ms: drained.duration_ms,
            error: drained.failure.as_ref().map(ToString::to_string),
        };
        if let Err(error) = self.store.record_drain(&run).await {
            warn!(%error, "the drain could not be recorded");
        }
    }
}

/// What became of one shard.
#[derive(Default)]
struct ShardDrained {
    applied: u64,
    quarantined: u64,
    batches: u64,
    /// Hashes of the posts that changed: a post lives in one shard, so shards' counts add up.
    posts: HashSet<u64>,
    hasher: RandomState,
    moves: HashMap<PostId, Move>,
    has_begun: bool,
    complete: bool,
    failure: Option<Error>,
}

impl ShardDrained {
    fn begin(&mut self, waiting: u64, order: &DrainOrder<'_>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            (order.progress)(Progress::Begun(waiting));
        }
    }

    fn count(&mut self, merged: &Merged, move_of: impl Fn(&MergedAverage) -> Move) {
        self.applied += merged.applied;
        self.quarantined += merged.quarantined.len() as u64;
        self.batches += 1;
        for average in &merged.averages {
            self.posts.insert(self.hasher.hash_one(&average.post));
            let moved = move_of(average);
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
        Move::sort(&mut moves);
        moves.truncate(count);
        moves
    }
}

impl Drained {
    fn absorb(&mut self, mut shard: ShardDrained) {
        self.applied += shard.applied;
        self.quarantined += shard.quarantined;
        self.batches += shard.batches;
        self.posts += shard.posts.len() as u64;
        self.moves.extend(shard.largest_moves(MOVES_MAX));
        self.complete &= shard.complete;
        self.failure = self.failure.take().or(shard.failure);
    }
}
