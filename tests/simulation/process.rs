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
use damper::entry::Action;
use damper::error::Error;
use damper::merge::Key;
use damper::model::Time;
use damper::store::Trigger;
use tokio::runtime::{Builder, Runtime};

use crate::cache::MemoryCache;
use crate::log::MemoryBuffer;
use crate::store::MemoryStore;
use crate::tables::REFUSED_USER;
use crate::verdict::is_a_score;
use crate::world::{Seam, World, lock};

/// Longer than any run.
const LONG: Duration = Duration::from_secs(24 * 3_600);

/// A running process.
pub struct Process {
    runtime: Runtime,
    app: Arc<Core>,
    seam: Seam,
    /// The error of its clock.
    skew_ms: i64,
    drains: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
}

impl Process {
    /// Starts a process. No other process may ever have had this `number`.
    pub fn start(world: &Arc<Mutex<World>>, number: u32, config: &Config, skew_ms: i64) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime starts");
        let seam = Seam { world: world.clone(), process: number };
        let answer_timeout = Duration::from_millis(config.store.answer_timeout_ms);
        lock(world).is_direct = true;
        let app = runtime.block_on(Core::assemble(
            config.clone(),
            Arc::new(MemoryBuffer(seam.clone())),
            Arc::new(MemoryStore::new(seam.clone(), answer_timeout)),
            Arc::new(MemoryCache(seam.clone())),
        ));
        lock(world).is_direct = false;
        let app = Arc::new(app.expect("the core starts"));
        Self { runtime, app, seam, skew_ms, drains: Arc::default(), stop: Arc::default() }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.seam.process
    }

    /// How many drains are under way.
    pub fn drains(&self) -> u32 {
        self.drains.load(Ordering::Relaxed)
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
            objects(&mut world, "a rating", outcome.err().as_ref());
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
                world.oracle.object(format!("{} is published as {mean:?}", key.0));
            }
            objects(&mut world, "a reader", view.err().as_ref());
        });
    }

    /// Starts a drain. A tick goes on through any outage; a flush gives up after a few attempts.
    pub fn drain(&self, trigger: Trigger) {
        let (app, now, world) = (self.app.clone(), self.now(), self.seam.world.clone());
        let (drains, stop) = (self.drains.clone(), self.stop.clone());
        drains.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(async move {
            let is_stopped = || stop.load(Ordering::Relaxed);
            let until = (trigger == Trigger::Tick).then(|| Instant::now() + LONG);
            let order = DrainOrder { until, stop: &is_stopped, ..DrainOrder::quiet(trigger) };
            let drained = app.drainer.drain(now, &order).await;
            drains.fetch_sub(1, Ordering::Relaxed);
            let mut world = lock(&world);
            let (numbers, words) = ([drained.applied, drained.quarantined], || format!("{drained:?}"));
            world.trace.note("drained", &numbers, words);
            world.oracle.drains_ended += 1;
            objects(&mut world, "a drain", drained.failure.as_ref());
        });
    }

    /// Runs one drain by itself, with every call answered at once.
    pub fn drain_alone(&self) -> Drained {
        lock(&self.seam.world).is_direct = true;
        let order = DrainOrder::quiet(Trigger::Flush);
        let drained = self.runtime.block_on(self.app.drainer.drain(self.now(), &order));
        lock(&self.seam.world).is_direct = false;
        drained
    }
}

/// Reports an error, unless a failing server explains it.
fn objects(world: &mut World, who: &str, error: Option<&Error>) {
    if let Some(error) = error.filter(|error| !error.is_transient()) {
        world.oracle.object(format!("{who} met {error:?}"));
    }
}
