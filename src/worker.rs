//! The worker: apalis starts a drain at every tick.
//!
//! Correctness does not depend on it: a missed, doubled or overlapping tick changes no result, because each drain
//! continues from the checkpoint. A tick's drain has a time limit, and leaves the rest to the next tick.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::*;
use apalis_cron::{CronScheduler, Tick};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::app::App;
use crate::app::drain::{DrainOrder, Drained};
use crate::error::{Error, Result};
use crate::model::Time;
use crate::store::Trigger;

/// After SIGTERM a tick's drain must finish its batch within this time, or the batch is rolled back.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// How often a worker looks whether its clock was set, and by how much: less may delay a tick, by as much.
const CLOCK_LOOK_INTERVAL: Duration = Duration::from_secs(1);
const CLOCK_SET_MS: i64 = 1_000;

#[derive(Clone)]
struct Work {
    app: Arc<App>,
    stop: CancellationToken,
    /// The error that stops this program from draining for good.
    misfit: Arc<OnceLock<Error>>,
}

/// Drains at every tick until `stop`. The current batch is then finished.
///
/// # Errors
/// `Config` when the schema is newer than this program, which must then be replaced.
pub async fn run(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    let schedule = app.ticks().schedule().clone();
    let stop = stop.child_token();
    let misfit = Arc::new(OnceLock::new());
    let work = Work { app, stop: stop.clone(), misfit: misfit.clone() };
    let outcome = loop {
        let (schedule, work) = (schedule.clone(), work.clone());
        let monitor = Monitor::new()
            .register(move |n| {
                WorkerBuilder::new(format!("drain-{n}"))
                    .backend(CronScheduler::new(schedule.clone()))
                    .data(work.clone())
                    .concurrency(1)
                    .catch_panic()
                    .build(on_tick)
            })
            // An overdue tick ends the cron stream with an error. A new stream continues with the next tick.
            .should_restart(|_, error| {
                warn!(%error, "the tick stopped; starting it again");
                true
            })
            .shutdown_timeout(SHUTDOWN_TIMEOUT);
        // During a drain apalis knows the next tick, and not yet how long to wait for it. If the clock is set back then, it
        // would wait for all the hours that come twice.
        let was_set = CancellationToken::new();
        let (setting, stopping) = (was_set.clone(), stop.clone());
        let ending = async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = clock_set() => setting.cancel(),
            }
        };
        let outcome = monitor.run_with_signal(ending.map(Ok)).await;
        if outcome.is_err() || !was_set.is_cancelled() || stop.is_cancelled() {
            break outcome;
        }
        info!("the clock was set; the next tick is worked out anew");
    };
    match (misfit.get(), outcome) {
        (Some(error), _) => Err(error.clone()),
        _ if stop.is_cancelled() => Ok(()),
        (None, Ok(())) => {
            Err(Error::Internal("the worker ended by itself; does the tick's schedule end?".into()))
        }
        (None, Err(error)) => Err(Error::Internal(format!("the worker ended: {error}"))),
    }
}

/// Ends when this machine's clock has been set, or the machine has slept.
async fn clock_set() {
    let read = || (Instant::now(), chrono::Utc::now().timestamp_millis());
    let (mut last, mut last_ms) = read();
    loop {
        tokio::time::sleep(CLOCK_LOOK_INTERVAL).await;
        let (now, now_ms) = read();
        let passed_ms = now.duration_since(last).as_millis() as i64;
        if (now_ms - last_ms - passed_ms).abs() > CLOCK_SET_MS {
            return;
        }
        (last, last_ms) = (now, now_ms);
    }
}

async fn on_tick(_: Tick, work: Data<Work>) -> Result<(), BoxDynError> {
    let Work { app, stop, misfit } = &*work;
    let now = Time::from(chrono::Utc::now());
    // Must end before the next tick: a handler that outlasts its period ends apalis' stream of ticks.
    let period_ms = (app.ticks().around(now).next.ms() - now.ms()).unsigned_abs();
    let limit_ms = period_ms.min(app.config().drain.tick_seconds_max.saturating_mul(1_000));
    let until = Instant::now().checked_add(Duration::from_millis(limit_ms));
    app.moderation().decisions().release_overdue(now).await;
    let order = DrainOrder { until, stop: &|| stop.is_cancelled(), ..DrainOrder::quiet(Trigger::Tick) };
    let retries = app.upkeep().retries().await;
    let drained = app.drainer().drain(now, &order).await;
    // A failure is only logged here. The next tick retries it and takes all waiting entries.
    report(&drained);
    if let (true, Ok(retries)) = (drained.complete, retries)
        && let Err(error) = app.upkeep().forget_marks(retries, now).await
    {
        debug!(%error, "old marks of withdrawals stay until the next tick");
    }
    let alerting = app.clone();
    // A webhook that is slow to answer must not delay the drain.
    tokio::spawn(async move { alerting.moderation().send_alerts(chrono::Utc::now().into()).await });
    if let Some(error @ Error::Config(_)) = &drained.failure {
        let _ = misfit.set(error.clone());
        stop.cancel();
    }
    Ok(())
}

fn report(drained: &Drained) {
    let Drained { applied, quarantined, posts, batches, duration_ms, .. } = drained;
    match &drained.failure {
        // The drain has already logged that it waits.
        Some(error) if error.is_transient() => debug!(%error, applied, "the tick's drain did not finish"),
        Some(error) => warn!(%error, applied, quarantined, "the tick's drain did not finish"),
        None if *batches == 0 => debug!("nothing was waiting"),
        None => {
            info!(applied, quarantined, posts, batches, duration_ms, complete = drained.complete, "drained")
        }
    }
}
