//! The drain: moves every shard's log into the averages. [`Drainer::drain`] is the one loop.
//! Read after the checkpoint, merge, commit with the new checkpoint, refresh the cache, trim. Any number may run at once:
//! the commit's compare-and-swap decides, and a drain that was too late reads the checkpoint again. It ends on a fact: the
//! checkpoint has passed what the log held when the drain began. While Postgres commits a batch, the next one is read.

mod look;
mod order;
mod settle;
mod tally;

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tracing::{debug, info, warn};

use super::context::Context;
use crate::buffer::Buffer;
use crate::cache::Cache;
use crate::entry::{Batch, Position, Shard};
use crate::error::{Error, Result};
use crate::faults::{self, Mistake};
use crate::merge::bulk::BulkDecision;
use crate::merge::{Merged, merge};
use crate::model::{PostId, Time};
use crate::store::{AsOf, DrainRun, Ledger, ShardState, Trigger};
use order::retry_delay;
use tally::ShardDrained;

pub use look::Balance;
pub use order::{DrainOrder, Progress};
pub use tally::{Drained, Move};

/// Moves the log into the averages.
pub struct Drainer {
    context: Arc<Context>,
    buffer: Arc<dyn Buffer>,
    ledger: Arc<dyn Ledger>,
    cache: Arc<dyn Cache>,
    /// Held while a shard is drained for a caller that waits for a decision.
    deciding: tokio::sync::Mutex<()>,
    /// Whether a drain has logged that it waits for a server.
    is_stuck: AtomicBool,
    last_look: look::LastLook,
}

impl Drainer {
    pub(super) fn new(
        context: Arc<Context>,
        buffer: Arc<dyn Buffer>,
        ledger: Arc<dyn Ledger>,
        cache: Arc<dyn Cache>,
    ) -> Self {
        let (deciding, is_stuck) = (tokio::sync::Mutex::default(), AtomicBool::new(false));
        Self { context, buffer, ledger, cache, deciding, is_stuck, last_look: Default::default() }
    }

    /// Whether drains wait for a server, so that nothing is merged.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Relaxed)
    }

    /// Drains every shard up to what its log holds now. Safe at any time, and any number of times at once. A shard that
    /// fails does not keep the others from draining.
    pub async fn drain(&self, now: Time, order: &DrainOrder<'_>) -> Drained {
        let began = Instant::now();
        if faults::has(Mistake::DrainGivesUp) && self.is_stuck() {
            return Drained::default();
        }
        let shards = futures_util::stream::iter(self.longest_first().await)
            .map(|shard| self.drain_shard(shard, now, order))
            .buffer_unordered(self.context.config.drain.parallel_max);
        let nothing = Drained { complete: true, ..Drained::default() };
        let mut drained = shards.fold(nothing, |sum, shard| std::future::ready(sum.add(shard))).await;
        if drained.failure.is_none() && self.is_stuck.swap(false, Ordering::Relaxed) {
            info!("drains go on");
        }
        if order.trigger == Trigger::Tick && drained.failure.is_none() && !order.is_over() {
            self.rerank(now).await;
        }
        drained.duration_ms = began.elapsed().as_millis() as u64;
        self.record(now, order.trigger, &drained).await;
        drained
    }

    /// The shards, the longest log first: begun last, it would be drained alone in the end. A log that cannot be looked at
    /// comes last, and its own drain says why.
    async fn longest_first(&self) -> Vec<Shard> {
        let lengths = self.context.all_shards().map(|shard| async move {
            let log = self.buffer.backlog(shard, Position::START).await;
            (log.map_or(0, |log| log.waiting), shard)
        });
        let mut shards = join_all(lengths).await;
        shards.sort_by_key(|(length, _)| Reverse(*length));
        shards.into_iter().map(|(_, shard)| shard).collect()
    }

    /// Drains as [`Drainer::drain`] does, and counts what waits afterwards.
    ///
    /// # Errors
    /// What stopped a shard; what was drained by then stays drained.
    pub async fn flush(&self, now: Time, order: &DrainOrder<'_>) -> Result<Drained> {
        let mut drained = self.drain(now, order).await;
        match drained.failure.take() {
            Some(error) => Err(error),
            None => Ok(Drained { waiting: self.balance().await?.0.waiting, ..drained }),
        }
    }

    /// Drains the shard of one post, for a caller that waits for the outcome of a decision. Returns what stopped it.
    pub async fn drain_post(&self, post: &PostId, now: Time) -> Result<()> {
        // One at a time: the pool has one connection for them.
        let _turn = self.deciding.lock().await;
        let order = DrainOrder::quiet(Trigger::Flush);
        self.drain_shard(self.context.shard_of(post), now, &order).await.failure.map_or(Ok(()), Err)
    }

    /// Drains one shard, with retries after transient errors.
    async fn drain_shard(&self, shard: Shard, now: Time, order: &DrainOrder<'_>) -> ShardDrained {
        let mut done = ShardDrained::default();
        let mut attempt = 0;
        loop {
            let before = (done.batches, done.steps);
            let drained = self.try_drain_shard(shard, now, order, &mut done).await;
            let settled = self.settle(shard, &mut done.unsettled, now).await;
            let Err(error) = drained.and(settled) else { return done };
            if !error.is_transient() || !order.may_retry(attempt) {
                done.failure = Some(error);
                return done;
            }
            if !self.is_stuck.swap(true, Ordering::Relaxed) {
                warn!(%shard, %error, "a drain waits; trying again");
            }
            if faults::has(Mistake::DrainGivesUp) {
                done.failure = Some(error);
                return done;
            }
            // After progress the waits are short again.
            attempt = if (done.batches, done.steps) > before { 0 } else { attempt };
            tokio::time::sleep(retry_delay(shard, now, attempt)).await;
            attempt += 1;
        }
    }

    /// Drains batches until the checkpoint has passed the log's end as it was, or the order ends it.
    async fn try_drain_shard(
        &self,
        shard: Shard,
        now: Time,
        order: &DrainOrder<'_>,
        done: &mut ShardDrained,
    ) -> Result<()> {
        // The log of a newer program may hold what this one cannot read: it does not read it at all.
        self.ledger.check_schema().await?;
        let mut seen = self.look(shard).await?;
        // What a killed drain committed and could no longer trim.
        self.buffer.trim(shard, seen.checkpoint.position).await?;
        let end = *done.end.get_or_insert_with(|| {
            (order.progress)(Progress::Begun(seen.log.waiting));
            // The next drain takes what is appended meanwhile, else a drain that retries might never end.
            seen.log.last
        });
        // Lines that were read and not merged yet: a run of decisions is one read, and a commit each; and the next batch
        // is read while Postgres commits one.
        let mut ahead = None;
        while seen.checkpoint.position < end || seen.checkpoint.step > 0 {
            if order.is_over() {
                return Ok(());
            }
            if !self.drain_batch(shard, &seen, now, order, (&mut ahead, done)).await? {
                // The log's end was never an entry.
                break;
            }
            let before = seen.checkpoint;
            seen.checkpoint = self.ledger.checkpoint(shard).await?;
            done.steps += u64::from(seen.checkpoint.step > before.step);
            if (before.accepted_base, before.lost) != (seen.checkpoint.accepted_base, seen.checkpoint.lost) {
                // The log came back with less, perhaps without these.
                ahead = None;
            }
        }
        done.complete = true;
        Ok(())
    }

    /// Drains one batch of entries after the checkpoint; `false` when there are none.
    async fn drain_batch(
        &self,
        shard: Shard,
        seen: &ShardState,
        now: Time,
        order: &DrainOrder<'_>,
        (ahead, done): (&mut Option<Batch>, &mut ShardDrained),
    ) -> Result<bool> {
        let from = seen.checkpoint.position;
        let batch_max = self.context.config.drain.batch_max.min(self.ledger.batch_max());
        let limit = done.limit.map_or(batch_max, |limit| limit.min(batch_max));
        let found = if seen.checkpoint.step > 0 {
            self.ledger.under_way(shard).await?
        } else if let Some(rest) = ahead.take_if(|rest| rest.from == from) {
            Some(rest)
        } else {
            self.buffer.read(shard, from, limit).await?
        };
        let Some(mut batch) = found else {
            // A decision that was under way is merged by now.
            return Ok(seen.checkpoint.step > 0);
        };
        if let Some(rest) = batch.cut(limit) {
            *ahead = Some(rest);
        }
        faults::reach("drain.read");
        if faults::has(Mistake::PoisonStops) && batch.lines.iter().any(|line| line.entry.is_err()) {
            return Err(Error::Internal("an entry cannot be read".into()));
        }
        if faults::has(Mistake::TrimBeforeCommit) {
            self.buffer.trim(shard, batch.to).await?;
        }
        let as_of = (self.context.ticks.around(now).last, &self.context.params);
        // The limit that the next batch has once this one is committed.
        let limit_then = done.limit.map_or(batch_max, |limit| limit.saturating_mul(2).min(batch_max));
        let reading = self.read_ahead(&batch, limit_then, ahead, done.end);
        let (mut committed, ()) = tokio::join!(self.commit(&batch, seen, as_of), reading);
        let is_refused = matches!(committed, Err(Error::Refused(_)));
        if let Err(error) = &committed
            && batch.lines.len() > 1
            && (is_refused || error.is_transient())
        {
            // Halving the batch finds the entry that the database refuses; that one is quarantined. And a batch that takes
            // too long is too large.
            debug!(%shard, %error, "a batch was not committed; trying half of it");
            done.limit = Some(batch.lines.len().div_ceil(2));
            if is_refused {
                return Ok(true);
            }
        }
        // Half a decision cannot go into the quarantine: the rest waits until it is not refused.
        if let (Err(Error::Refused(why)), [line], 0) =
            (&committed, batch.lines.as_mut_slice(), seen.checkpoint.step)
        {
            line.refuse(why);
            committed = self.commit(&batch, seen, as_of).await;
        }
        let Some(merged) = committed? else {
            debug!(%shard, "a decision has more steps, or another drain was faster");
            return Ok(true);
        };
        faults::reach("commit.done");
        done.count(&merged, as_of);
        (order.progress)(Progress::Merged(batch.lines.len() as u64));
        done.limit = done.limit.map(|limit| limit.saturating_mul(2));
        done.unsettled.add(&batch, &merged);
        if done.unsettled.is_due(self.context.config.drain.batch_max) {
            self.settle(shard, &mut done.unsettled, now).await?;
        }
        Ok(true)
    }

    /// Reads what comes after a batch, unless it was read already or the drain ends there. It is a favour: when it fails,
    /// the next batch is read in its turn, and that says why.
    async fn read_ahead(
        &self,
        batch: &Batch,
        limit: usize,
        ahead: &mut Option<Batch>,
        end: Option<Position>,
    ) {
        let is_read = ahead.as_ref().is_some_and(|rest| rest.from == batch.to);
        // All other writers of a SQLite file wait for a commit, so nothing else is done meanwhile.
        let is_paced = self.ledger.batch_max() != usize::MAX;
        if is_read || is_paced || batch.bulk().is_some() || end.is_none_or(|end| batch.to >= end) {
            return;
        }
        *ahead = self.buffer.read(batch.shard, batch.to, limit).await.unwrap_or_default();
    }

    /// Loads, merges and commits a batch; `None` when another drain was faster.
    async fn commit(&self, batch: &Batch, seen: &ShardState, as_of: AsOf<'_>) -> Result<Option<Merged>> {
        let mut loaded = self.ledger.load(batch).await?;
        loaded.has_quarantined = seen.checkpoint.quarantined > 0;
        faults::reach("commit.loaded");
        let merged = match batch.bulk() {
            None => merge(batch, loaded, &self.context.params),
            Some((line, entry)) => {
                let post = loaded.posts.remove(&entry.post);
                let begun = BulkDecision::begin(line, post, loaded.exclusions, &self.context.params);
                faults::reach("bulk.begun");
                match begun {
                    Ok(decision) => return self.ledger.commit_bulk(batch, seen, decision, as_of).await,
                    Err(merged) => *merged,
                }
            }
        };
        if faults::has(Mistake::CheckpointApart) {
            return self.commit_apart(batch, seen, merged, as_of).await;
        }
        Ok(self.ledger.commit(batch, seen, &merged, as_of).await?.then_some(merged))
    }

    /// The mistake: the checkpoint first, and then the data.
    async fn commit_apart(
        &self,
        batch: &Batch,
        seen: &ShardState,
        merged: Merged,
        as_of: AsOf<'_>,
    ) -> Result<Option<Merged>> {
        let (applied, quarantined) = (merged.applied, merged.quarantined.clone());
        let counts = Merged { applied, quarantined, ..Merged::default() };
        if !self.ledger.commit(batch, seen, &counts, as_of).await? {
            return Ok(None);
        }
        let data = Merged { applied: 0, quarantined: Vec::new(), ..merged.clone() };
        let checkpoint = self.ledger.checkpoint(batch.shard).await?;
        let place = Batch { to: checkpoint.position, ..batch.clone() };
        let seen = ShardState { checkpoint, ..*seen };
        Ok(self.ledger.commit(&place, &seen, &data, as_of).await?.then_some(merged))
    }

    /// Updates the ranking. It is published, not state: when that fails now, the next tick does it.
    async fn rerank(&self, now: Time) {
        let as_of = (self.context.ticks.around(now).last, &self.context.params);
        if let Err(error) = self.ledger.rerank(as_of, self.context.config.drain.rerank_max).await {
            warn!(%error, "sort=top lags until the next tick");
        }
        self.cache.note_change().await;
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
            // The schema is newer than this program, so it writes nothing.
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
        match self.ledger.record_drain(&run).await {
            Err(error) if error.is_transient() => debug!(%error, "the drain could not be recorded"),
            Err(error) => warn!(%error, "the drain could not be recorded"),
            Ok(()) => {}
        }
    }
}
