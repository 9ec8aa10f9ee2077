//! For operators: is it alive, is it ready, how is it.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::prelude::*;
use crate::error::Result;
use crate::store::Trigger;

/// Metrics do not wait longer for the log and the store.
const BALANCE_WITHIN: Duration = Duration::from_secs(3);
/// Upper bounds of the drain's histogram, in seconds.
const DRAIN_BUCKETS: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to count, once per process.
pub fn install_metrics() -> Result<()> {
    if METRICS.get().is_some() {
        return Ok(());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(&DRAIN_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| Error::Internal(format!("metrics cannot be installed: {e}")))?;
    describe_counter!("damper_accepted_total", "Entries ever accepted, by the log's own count.");
    describe_counter!("damper_applied_total", "Entries in the averages.");
    describe_counter!("damper_quarantined_total", "Entries ever quarantined.");
    describe_counter!(
        "damper_lost_total",
        "Entries that a drain had seen waiting, and that the log's server has lost."
    );
    describe_gauge!("damper_waiting", "Entries accepted and not yet merged.");
    describe_gauge!("damper_oldest_waiting_seconds", "Age of the oldest waiting entry; 0 when none waits.");
    describe_gauge!("damper_balanced", "1 when accepted = applied + quarantined + waiting in every shard.");
    describe_gauge!("damper_ready", "1 when both the buffer and the store answered for this page.");
    describe_counter!("damper_drains_total", "Drains that this process ran, by outcome and trigger.");
    describe_histogram!("damper_drain_seconds", "How long this process' drains took.");
    METRICS.get_or_init(|| handle);
    for trigger in [Trigger::Tick, Trigger::Flush] {
        for outcome in ["complete", "stopped", "failed"] {
            counter!("damper_drains_total", "outcome" => outcome, "trigger" => trigger.as_str()).increment(0);
        }
    }
    Ok(())
}

/// `/livez`: the process answers. `/readyz`: what it needs answers too.
pub fn probes() -> OpenApiRouter<Gate> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

/// `/metrics`, for Prometheus.
pub fn metrics() -> OpenApiRouter<Gate> {
    OpenApiRouter::new().routes(routes!(scrape))
}

/// Whether the process answers
#[utoipa::path(get, path = "/livez", tag = "probes", responses(
    (status = 200, description = "It does", body = String, content_type = "text/plain"),
))]
async fn live() -> &'static str {
    "ok\n"
}

/// Whether what the process needs answers too
#[utoipa::path(get, path = "/readyz", tag = "probes", responses(
    (status = 200, description = "It does", body = String, content_type = "text/plain"),
    (status = 503, description = "`unavailable`"),
))]
async fn ready(State(app): Shared) -> Answer<&'static str> {
    app.drainer().check_ready().await?;
    Ok("ok\n")
}

/// Metrics, for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "probes", responses(
    (status = 200, description = "Metrics", body = String, content_type = "text/plain"),
))]
async fn scrape(State(app): Shared) -> impl IntoResponse {
    let balance =
        tokio::time::timeout(BALANCE_WITHIN, app.drainer().balance()).await.ok().and_then(Result::ok);
    gauge!("damper_ready").set(f64::from(u8::from(balance.is_some())));
    if let Some((balance, balanced)) = balance {
        counter!("damper_accepted_total").absolute(balance.accepted);
        counter!("damper_applied_total").absolute(balance.applied);
        counter!("damper_quarantined_total").absolute(balance.quarantined);
        counter!("damper_lost_total").absolute(balance.lost);
        gauge!("damper_waiting").set(balance.waiting as f64);
        let age_ms = balance.oldest_waiting_at.map_or(0, |oldest| (now().ms() - oldest.ms()).max(0));
        gauge!("damper_oldest_waiting_seconds").set(age_ms as f64 / 1_000.0);
        gauge!("damper_balanced").set(f64::from(u8::from(balanced)));
    }
    let text = METRICS.get().map(PrometheusHandle::render).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
