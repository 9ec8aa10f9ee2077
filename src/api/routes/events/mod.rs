//! Server-sent events: `GET /api/events` sends changed averages after each drain.
//!
//! A follower that does not keep up gets a `reset` and reads again; one that is disconnected returns with the id of the last event
//! (`Last-Event-ID`). A page's `EventSource` gives up at any answer but a stream, so a follower for whom there is no room
//! gets a short one that says when to come back.

pub mod followers;
mod ring;

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderName;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;

use crate::api::address::ClientAddress;
use crate::api::routes::prelude::*;
use crate::app::reading::changes::Watermark;
use crate::limits::crowd::Seat;
use followers::FOLLOWERS_MAX;
use ring::{ChangedAverage, Place, Ring};

/// When a follower that was disconnected returns, at the earliest; at the latest, after twice that.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The same for one for whom there was no room.
const RETRY_DELAY_WHEN_FULL: Duration = Duration::from_secs(30);
/// The place that a follower has come to (WHATWG HTML, "Server-sent events").
const LAST_EVENT_ID: &str = "last-event-id";
/// nginx holds answers back without it, until it has several KiB of them.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Follow the averages
///
/// Server-sent events: `ready` at the beginning, `average` for every post that a drain has changed, and `reset` when more
/// has changed than is sent: read again what you show. With the header `Last-Event-ID`, events go on after that one.
/// `full` and the end mean that too many follow: come back after the time in `retry`.
/// Averages also move at ticks without new ratings; no event is sent for that.
#[utoipa::path(get, path = "/api/events", tag = "posts",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received")),
    responses((status = 200, description = "Events, for as long as you listen; the data of `average` is this",
        content_type = "text/event-stream", body = ChangedAverage)))]
pub async fn events(
    State(gate): State<Gate>,
    _: Caller,
    ClientAddress(address): ClientAddress,
    _: NoParameters,
    headers: HeaderMap,
) -> Answer {
    let wrong = |e: Invalid| Problem::in_parameter(e, "Last-Event-ID");
    let from = headers.get(LAST_EVENT_ID).map(|id| Watermark::parse(id.to_str().unwrap_or("?")));
    let from = from.transpose().map_err(wrong)?;
    let per_address_max = gate.app().config().api.followers_per_address_max;
    let Some(seat) = gate.followers.enter(address, per_address_max) else {
        let detail = format!(
            "{FOLLOWERS_MAX} clients follow already, or {per_address_max} from your address; come back later"
        );
        let full = Event::default().event("full").retry(spread(RETRY_DELAY_WHEN_FULL));
        let full = full.data(serde_json::json!({ "detail": detail }).to_string());
        let only = stream::once(std::future::ready(Ok::<_, Infallible>(full)));
        return Ok(([UNBUFFERED], Sse::new(only)).into_response());
    };
    // Before anything else, so that it is known however early the connection is lost.
    let retry = stream::once(std::future::ready(Ok(Event::default().retry(spread(RETRY_DELAY)))));
    let ring = gate.followers.follow(gate.app(), &gate.stop);
    let follower = Follower { place: Place::Entering(from), ring, gate, _seat: seat };
    let events = stream::unfold(follower, async |mut follower| {
        Some((Ok::<_, Infallible>(follower.next().await?), follower))
    });
    Ok(([UNBUFFERED], Sse::new(retry.chain(events)).keep_alive(KeepAlive::default())).into_response())
}

/// Between `delay` and twice that, another for each follower: those that are disconnected together come back one by one.
fn spread(delay: Duration) -> Duration {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // A step that shares no divisor with the thousand, so that neighbours are far apart.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_mul(619) % 1_000;
    delay + delay.mul_f64(number as f64 / 1_000.0)
}

/// A follower.
struct Follower {
    place: Place,
    ring: watch::Receiver<Ring>,
    gate: Gate,
    _seat: Seat,
}

impl Follower {
    /// The next event; nothing when the process ends.
    async fn next(&mut self) -> Option<Event> {
        while !self.gate.stop.is_cancelled() {
            let event = self.ring.borrow_and_update().next(&mut self.place);
            if event.is_some() {
                return event;
            }
            tokio::select! {
                changed = self.ring.changed() => changed.ok()?,
                () = self.gate.stop.cancelled() => {}
            }
        }
        None
    }
}
