//! The worker: apalis wakes the drain up at every tick.
//!
//! Correctness never rests on it. A tick that is missed, doubled or overlapped changes no result, because
//! [`App::drain`] takes up where the checkpoint stands. A tick's drain is bounded in time and leaves the rest to
//! the next one, so that a handler never outlasts its period.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apalis::layers::WorkerBuilderExt;
use apalis::layers::retry::RetryPolicy;
use apalis::prelude::*;
use apalis_cron::{CronScheduler, Tick};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::app::App;
use crate::drain::{DrainOrder, Drained};
use crate::error::Result;
use crate::rating::Time;
use crate::store::Trigger;

/// Times that a failed tick is tried again at once; after that the next tick takes it all.
const TICK_RETRIES: usize = 3;
/// A tick's drain ends its batch within this after SIGTERM; what it cannot end is rolled back.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// What a tick needs.
#[derive(Clone)]
struct Work {
    app: Arc<App>,
    stop: CancellationToken,
}

/// Drains at every tick until `stop`; the batch under way then is brought to its end.
pub async fn run(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    let schedule = app.ticks().schedule().clone();
    let work = Work { app, stop: stop.clone() };
    let monitor = Monitor::new()
        .register(move |n| {
            WorkerBuilder::new(format!("drain-{n}"))
                .backend(CronScheduler::new(schedule.clone()))
                .data(work.clone())
                .concurrency(1)
                .retry(RetryPolicy::retries(TICK_RETRIES))
                .catch_panic()
                .build(on_tick)
        })
        // A tick that is overdue ends the cron stream with an error; a new one goes on with the next tick.
        .should_restart(|_, error| {
            warn!(%error, "the tick stopped; starting it anew");
            true
        })
        .shutdown_timeout(SHUTDOWN_TIMEOUT);
    let signal = async move {
        stop.cancelled().await;
        Ok(())
    };
    if let Err(error) = monitor.run_with_signal(signal).await {
        error!(%error, "the worker ended with an error");
    }
    Ok(())
}

async fn on_tick(_: Tick, work: Data<Work>) -> Result<(), BoxDynError> {
    let Work { app, stop } = &*work;
    let now = Time::from(chrono::Utc::now());
    let drained = app
        .drain(
            now,
            &DrainOrder {
                until: Some(Instant::now() + Duration::from_secs(app.config().drain.tick_seconds_max)),
                stop: &|| stop.is_cancelled(),
                ..DrainOrder::quiet(Trigger::Tick)
            },
        )
        .await;
    report(&drained);
    match drained.failure {
        Some(error) if !stop.is_cancelled() => Err(error.into()),
        _ => Ok(()),
    }
}

fn report(drained: &Drained) {
    let Drained { applied, quarantined, posts, batches, duration_ms, .. } = drained;
    match &drained.failure {
        Some(error) => warn!(%error, applied, quarantined, "the tick's drain did not finish"),
        None if *batches == 0 => debug!("nothing waited"),
        None => {
            info!(applied, quarantined, posts, batches, duration_ms, complete = drained.complete, "drained")
        }
    }
}
