//! A process: the real [`Core`] on the world's parts, in its own runtime, whose clock only the simulation
//! moves.
//!
//! Dropping it is a crash: every task stops at its current await, and its memory is lost. Only at its start
//! are calls answered without turns.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use damper::app::Core;
use damper::app::drain::{DrainOrder, Drained};
use damper::config::Config;
use damper::entry::{Action, Decision, Entry, Reason, Ruling};
use damper::error::{Error, Kind, Result};
use damper::merge::Key;
use damper::model::Time;
use damper::store::Trigger;
use tokio::runtime::{Builder, Runtime};

use crate::cache::MemoryCache;
use crate::log::MemoryBuffer;
use crate::outcome::Law;
use crate::store::MemoryStore;
use crate::tables::REFUSED_USER;
use crate::verdict::is_a_score;
use crate::world::{Seam, World, lock};

/// Longer than any run.
const LONG: Duration = Duration::from_secs(24 * 3_600);
/// An import sends a chunk that often.
const ATTEMPTS_MAX: u32 = 3;

/// A running process.
pub struct Process {
    runtime: Runtime,
    app: Arc<Core>,
    seam: Seam,
    /// The error of its clock.
    skew_ms: i64,
    drains: Arc<AtomicU32>,
    /// Moderators who wait for an outcome, and imports.
    others: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
}

impl Process {
    /// Starts a process. No other process may ever have had this `number`.
    pub fn start(
        world: &Arc<Mutex<World>>,
        number: u32,
        config: &Config,
        commit_max: usize,
        skew_ms: i64,
    ) -> Self {
        let mut runtime = Builder::new_current_thread();
        // Answers always come before timers that are due. By default that hangs on how often the runtime has looked, and so
        // on the machine: the memory of known posts tidies up by a clock of its own.
        runtime.enable_time().start_paused(true).global_queue_interval(1);
        let runtime = runtime.build();
        let runtime = runtime.expect("a runtime starts");
        let seam = Seam { world: world.clone(), process: number };
        let answer_timeout = Duration::from_millis(config.store.answer_timeout_ms);
        lock(world).is_direct = true;
        let app = runtime.block_on(Core::assemble(
            config.clone(),
            Arc::new(MemoryBuffer(seam.clone())),
            Arc::new(MemoryStore::new(seam.clone(), answer_timeout, commit_max)),
            Arc::new(MemoryCache::new(seam.clone())),
        ));
        lock(world).is_direct = false;
        let app = Arc::new(app.expect("the core starts"));
        Self {
            runtime,
            app,
            seam,
            skew_ms,
            drains: Arc::default(),
            others: Arc::default(),
            stop: Arc::default(),
        }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.seam.process
    }

    /// How many drains are under way.
    pub fn drains(&self) -> u32 {
        self.drains.load(Ordering::Relaxed)
    }

    /// Whether anything but requests is under way.
    pub fn is_busy(&self) -> bool {
        self.drains() + self.others.load(Ordering::Relaxed) > 0
    }

    /// Advances its clock by `ms`; tasks run as far as they can.
    pub fn run(&self, ms: u64) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(ms)).await });
    }

    /// Asks its drains to stop before the next batch.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn now(&self) -> Time {
        lock(&self.seam.world).now.plus_ms(self.skew_ms)
    }

    /// A user rates or withdraws, and waits for the answer.
    pub fn submit(&self, key: Key, action: Action) {
        let (app, now, world) = (self.app.clone(), self.now(), self.seam.world.clone());
        lock(&world).oracle.ask(&key, self.number(), Some(action.clone()));
        self.runtime.spawn(async move {
            let outcome = app.intake.submit(&key.0, &key.1, action, now).await;
            let mut world = lock(&world);
            world.trace.note("answered", &[u64::from(outcome.is_ok())], || format!("{key:?} {outcome:?}"));
            world.oracle.answer(&key, outcome.is_ok());
            let is_frozen = world.oracle.frozen.contains(&key.0);
            let is_known = world.is_known(&key.0);
            objects(&mut world, "a rating", outcome, |error| match error {
                Error::Invalid(invalid) => invalid.kind == Kind::PostFrozen && is_frozen,
                Error::NotFound(_) => !is_known,
                _ => false,
            });
        });
    }

    /// A moderator decides, and perhaps waits for the outcome.
    pub fn decide(&self, key: Key, deed: Ruling, is_waiting: bool) {
        let (app, now, world, others) =
            (self.app.clone(), self.now(), self.seam.world.clone(), self.others.clone());
        let decision = Decision { deed, reason: Reason::parse("a simulation").expect("a reason") };
        let action = Action::Decide(Arc::new(decision.clone()));
        lock(&world).oracle.ask(&key, self.number(), Some(action));
        others.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(async move {
            let (post, by) = (&key.0, &key.1);
            let taken = app.decisions.decide_all(post, by, vec![decision], now).await;
            let position = taken.as_ref().ok().and_then(|positions| positions.first().copied());
            {
                let mut world = lock(&world);
                let words = || format!("{key:?} {taken:?}");
                world.trace.note("decided", &[u64::from(taken.is_ok())], words);
                world.oracle.answer(&key, taken.is_ok());
                objects(&mut world, "a decision", taken, |error| {
                    matches!(error, Error::NotFound(_) | Error::Conflict(_))
                });
            }
            if let Some(position) = position.filter(|_| is_waiting) {
                let outcome = app.decisions.outcome(post, position, now).await;
                let mut world = lock(&world);
                world.trace.note("outcome", &[u64::from(outcome.is_ok())], || format!("{key:?} {outcome:?}"));
                if outcome.as_ref().is_ok_and(|decided| decided.by != *by) {
                    world.oracle.object(Law::Decisions, format!("{key:?} gets {outcome:?}"));
                }
                objects(&mut world, "a moderator", outcome, |_| false);
            }
            others.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// An import takes pieces of state over, some at a time; what may have failed is sent again.
    pub fn restore(&self, pieces: Vec<Entry>, chunk: usize) {
        let (app, world, others) = (self.app.clone(), self.seam.world.clone(), self.others.clone());
        others.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(async move {
            for chunk in pieces.chunks(chunk) {
                let mut sent = Ok(());
                for _ in 0..ATTEMPTS_MAX {
                    sent = app.intake.append_all(chunk.to_vec(), None).await;
                    if sent.is_ok() {
                        break;
                    }
                }
                let is_sent = sent.is_ok();
                let mut world = lock(&world);
                world.trace.note("restored", &[chunk.len() as u64], || format!("{sent:?}"));
                objects(&mut world, "an import", sent, |_| false);
                if !is_sent {
                    break;
                }
            }
            others.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// A user reads a post together with their own rating.
    pub fn read(&self, key: Key) {
        let (app, now, seam) = (self.app.clone(), self.now(), self.seam.clone());
        let failures = {
            let mut world = lock(&seam.world);
            world.oracle.ask(&key, seam.process, None);
            world.oracle.buffer_failures(seam.process)
        };
        self.runtime.spawn(async move {
            let view = app.posts.post(&key.0, Some(&key.1), now).await;
            let mut world = lock(&seam.world);
            let own = view.as_ref().ok().map(|view| view.own.and_then(|own| own.score));
            // Without the buffer only the stored rating is known. The database never stores REFUSED_USER's
            // ratings.
            let is_proof =
                world.oracle.buffer_failures(seam.process) == failures && key.1.as_str() != REFUSED_USER;
            world.oracle.check_own(&key, own.filter(|_| is_proof));
            let mean = view.as_ref().ok().and_then(|view| view.average.smoothed_mean(&app.context.params));
            world.trace.note("read", &[mean.map_or(0, f64::to_bits)], || format!("{key:?} {own:?} {mean:?}"));
            if mean.is_some_and(|mean| !is_a_score(mean)) {
                world.oracle.object(Law::Averages, format!("{} is published as {mean:?}", key.0));
            }
            let is_known = world.is_known(&key.0);
            objects(&mut world, "a reader", view, |error| matches!(error, Error::NotFound(_)) && !is_known);
        });
    }

    /// Starts a drain. A tick begins with the release of what was held too long, and goes on through any outage; a flush
    /// gives up after a few attempts.
    pub fn drain(&self, trigger: Trigger) {
        let (app, now, world) = (self.app.clone(), self.now(), self.seam.world.clone());
        let (drains, stop) = (self.drains.clone(), self.stop.clone());
        drains.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(async move {
            let is_stopped = || stop.load(Ordering::Relaxed);
            let until = (trigger == Trigger::Tick).then(|| Instant::now() + LONG);
            let order = DrainOrder { until, stop: &is_stopped, ..DrainOrder::quiet(trigger) };
            if trigger == Trigger::Tick {
                app.decisions.release_overdue(now).await;
            }
            let drained = app.drainer.drain(now, &order).await;
            drains.fetch_sub(1, Ordering::Relaxed);
            let mut world = lock(&world);
            let numbers = [drained.applied, drained.quarantined];
            // Not how long it took by the machine's clock.
            world.trace.note("drained", &numbers, || format!("{numbers:?} {:?}", drained.failure));
            world.oracle.drains_ended += 1;
            objects(&mut world, "a drain", drained.failure.map_or(Ok(()), Err), |_| false);
        });
    }

    /// Runs one tick by itself, with every call answered at once.
    pub fn tick_alone(&self) -> Drained {
        lock(&self.seam.world).is_direct = true;
        let (now, order) = (self.now(), DrainOrder::quiet(Trigger::Tick));
        let drained = self.runtime.block_on(async {
            self.app.decisions.release_overdue(now).await;
            self.app.drainer.drain(now, &order).await
        });
        lock(&self.seam.world).is_direct = false;
        drained
    }

    /// The last tick by its clock.
    pub fn last_tick(&self) -> Time {
        self.app.context.ticks.around(self.now()).last
    }
}

/// Reports an error that neither a failing server explains nor what the caller did.
fn objects<T>(world: &mut World, who: &str, outcome: Result<T>, is_expected: impl Fn(&Error) -> bool) {
    if let Err(error) = outcome
        && !error.is_transient()
        && !is_expected(&error)
    {
        world.oracle.object(Law::Errors, format!("{who} met {error:?}"));
    }
}
