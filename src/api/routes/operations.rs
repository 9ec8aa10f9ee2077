//! For operators, on the admin listener: flush, status, drains.

use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

use super::prelude::*;
use crate::api::pages::count;
use crate::app::apart;
use crate::app::drain::{DrainOrder, Drained};
use crate::app::upkeep::Status;
use crate::error::Result;
use crate::store::{DrainRun, Trigger};

/// A caller waits for this part of a request's time. The list of drains shows the outcome of a longer flush.
const FLUSH_WAIT: f64 = 0.8;
/// A flush that takes longer leaves the rest to the next tick.
const FLUSH_SECONDS_MAX: Duration = Duration::from_secs(600);
/// Drains on a page when the caller does not say.
const DRAINS_DEFAULT: usize = 20;
/// Drains on a page at most.
const DRAINS_MAX: usize = 1_000;

/// A flush that takes longer than its caller waits.
#[derive(Serialize, ToSchema)]
pub struct FlushingJson {
    /// `running`
    state: &'static str,
    /// Where its outcome is listed once it is done.
    see: &'static str,
}

#[derive(Serialize, ToSchema)]
pub struct DrainsJson {
    /// The newest first.
    drains: Vec<DrainRun>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DrainsQuery {
    /// How many
    #[param(minimum = 1, maximum = 1000, default = 20)]
    limit: Option<usize>,
}

/// Merge what waits now
///
/// Answers once it is merged; 202 when that takes longer than a few seconds, and the flush goes on.
#[utoipa::path(post, path = "/api/admin/flush", tag = "operations", responses(
    (status = 200, description = "Merged", body = Drained),
    (status = 202, description = "It takes longer, and goes on", body = FlushingJson),
))]
pub async fn flush(State(gate): State<Gate>, _: Operator, _: NoParameters) -> Answer {
    match flush_now(&gate).await? {
        Some(drained) => Ok(Json(drained).into_response()),
        None => {
            let json = FlushingJson { state: "running", see: "/api/admin/drains" };
            Ok((StatusCode::ACCEPTED, Json(json)).into_response())
        }
    }
}

/// Merges what waits; nothing when that takes longer than a caller waits, and goes on.
pub(crate) async fn flush_now(gate: &Gate) -> Result<Option<Drained>> {
    let wait = Duration::from_millis(gate.app().config().api.request_timeout_ms).mul_f64(FLUSH_WAIT);
    let flushed = async {
        let turn = gate.flushing.clone().lock_owned().await;
        apart("a flush", flushed(gate.clone(), turn)).await
    };
    tokio::time::timeout(wait, flushed).await.ok().transpose()
}

/// Flushes while it is its turn.
async fn flushed(gate: Gate, _turn: OwnedMutexGuard<()>) -> Result<Drained> {
    let order = DrainOrder {
        until: Instant::now().checked_add(FLUSH_SECONDS_MAX),
        stop: &|| gate.stop.is_cancelled(),
        ..DrainOrder::quiet(Trigger::Flush)
    };
    gate.app().drainer().flush(now(), &order).await
}

/// Read the status: what waits, the last drain, the balance
#[utoipa::path(get, path = "/api/admin/status", tag = "operations", responses(
    (status = 200, description = "The status", body = Status),
))]
pub async fn status(State(app): Shared, _: Operator, _: NoParameters) -> Answer<Json<Status>> {
    Ok(Json(app.upkeep().status(now()).await?))
}

/// List the newest drains
#[utoipa::path(get, path = "/api/admin/drains", tag = "operations", params(DrainsQuery), responses(
    (status = 200, description = "The newest first", body = DrainsJson),
))]
pub async fn drains(
    State(app): Shared,
    _: Operator,
    Parameters(query): Parameters<DrainsQuery>,
) -> Answer<Json<DrainsJson>> {
    let limit = count(query.limit, DRAINS_DEFAULT, DRAINS_MAX, (Kind::LimitOutOfRange, "limit"))?;
    Ok(Json(DrainsJson { drains: app.upkeep().drains(limit).await? }))
}
