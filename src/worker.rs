//! The worker: apalis wakes the drain up at every tick.
//!
//! Correctness never rests on it. A tick that is missed, doubled or overlapped changes no result, because
//! [`App::drain`] takes up where the checkpoint stands. A tick's drain is bounded in time and leaves the rest to
//! the next one, so that a handler never outlasts its period.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::*;
use apalis_cron::{CronScheduler, Tick};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::app::App;
use crate::app::drain::{DrainOrder, Drained};
use crate::error::{Error, Result};
use crate::model::Time;
use crate::store::Trigger;

/// A tick's drain ends its batch within this after SIGTERM; what it cannot end is rolled back.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// What a tick needs.
#[derive(Clone)]
struct Work {
    app: Arc<App>,
    stop: CancellationToken,
    /// Why this program can drain no more.
    misfit: Arc<OnceLock<Error>>,
}

/// Drains at every tick until `stop`; the batch under way then is brought to its end.
///
/// # Errors
/// `Config` when the schema is newer than this program: then it must be replaced.
pub async fn run(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    let schedule = app.ticks().schedule().clone();
    let stop = stop.child_token();
    let misfit = Arc::new(OnceLock::new());
    let work = Work { app, stop: stop.clone(), misfit: misfit.clone() };
    let monitor = Monitor::new()
        .register(move |n| {
            WorkerBuilder::new(format!("drain-{n}"))
                .backend(CronScheduler::new(schedule.clone()))
                .data(work.clone())
                .concurrency(1)
                .catch_panic()
                .build(on_tick)
        })
        // A tick that is overdue ends the cron stream with an error; a new one goes on with the next tick.
        .should_restart(|_, error| {
            warn!(%error, "the tick stopped; starting it anew");
            true
        })
        .shutdown_timeout(SHUTDOWN_TIMEOUT);
    let stopped = stop.clone();
    let signal = async move {
        stop.cancelled().await;
        Ok(())
    };
    let outcome = monitor.run_with_signal(signal).await;
    if let Some(error) = misfit.get() {
        return Err(error.clone());
    }
    match outcome {
        _ if stopped.is_cancelled() => Ok(()),
        Ok(()) => Err(Error::Internal("the worker ended by itself; has the tick's schedule an end?".into())),
        Err(error) => Err(Error::Internal(format!("the worker ended: {error}"))),
    }
}

async fn on_tick(_: Tick, work: Data<Work>) -> Result<(), BoxDynError> {
    let Work { app, stop, misfit } = &*work;
    let now = Time::from(chrono::Utc::now());
    // Over before the next tick: a handler that outlasts its period ends apalis' stream of ticks.
    let period_ms = (app.ticks().around(now).next.ms() - now.ms()).unsigned_abs();
    let limit =
        Duration::from_secs(app.config().drain.tick_seconds_max).min(Duration::from_millis(period_ms));
    let drained = app
        .drain(
            now,
            &DrainOrder {
                until: Instant::now().checked_add(limit),
                stop: &|| stop.is_cancelled(),
                ..DrainOrder::quiet(Trigger::Tick)
            },
        )
        .await;
    // A failure is told here and mended by the next tick, which takes all that waits.
    report(&drained);
    let told = app.clone();
    // Nobody waits for a site that is slow to answer.
    tokio::spawn(async move { told.tell_alerts(chrono::Utc::now().into()).await });
    if let Some(error @ Error::Config(_)) = &drained.failure {
        let _ = misfit.set(error.clone());
        stop.cancel();
    }
    Ok(())
}

fn report(drained: &Drained) {
    let Drained { applied, quarantined, posts, batches, duration_ms, .. } = drained;
    match &drained.failure {
        // The drain has said that it waits.
        Some(error) if error.is_transient() => debug!(%error, applied, "the tick's drain did not finish"),
        Some(error) => warn!(%error, applied, quarantined, "the tick's drain did not finish"),
        None if *batches == 0 => debug!("nothing waited"),
        None => {
            info!(applied, quarantined, posts, batches, duration_ms, complete = drained.complete, "drained")
        }
    }
}
