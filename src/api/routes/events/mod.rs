//! Server-sent events: `GET /api/events` sends changed averages after each drain.
//!
//! A follower who does not keep up is disconnected, and returns with the id of the last event (`Last-Event-ID`). The
//! events come from `followers`.

pub mod followers;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use crate::api::routes::prelude::*;
use crate::app::reading::changes::Watermark;
use followers::{ChangedAverage, ROUNDS_BEHIND_MAX, Round};

/// When a follower that was disconnected returns.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The place that a follower has come to (WHATWG HTML, "Server-sent events").
const LAST_EVENT_ID: &str = "last-event-id";

/// Follow the averages
///
/// Server-sent events: `ready` at the beginning, `average` for every post that a drain has changed, and `reset` when more
/// has changed than is sent: read again what you show. With the header `Last-Event-ID`, events go on after that one.
/// Averages also move at ticks without new ratings; no event is sent for that.
#[utoipa::path(get, path = "/api/events", tag = "posts",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received")),
    responses((status = 200, description = "Events, for as long as you listen; the data of `average` is this",
        content_type = "text/event-stream", body = ChangedAverage)))]
pub async fn events(State(gate): State<Gate>, _: Caller, _: NoParameters, headers: HeaderMap) -> Answer {
    let app = gate.app();
    let wrong = |e: Invalid| Problem::in_parameter(e, "Last-Event-ID");
    let from = headers.get(LAST_EVENT_ID).map(|id| Watermark::parse(id.to_str().unwrap_or("?")));
    let from = from.transpose().map_err(wrong)?;
    let room = gate.followers.enter()?;
    let (rounds, place) = gate.followers.follow(app, &gate.stop).await?;
    let ready = Event::default().event("ready").data("{}").retry(RETRY_DELAY);
    let (ready, missed) = match from {
        None => (ready.id(place.to_string()), None),
        // The follower keeps its own place until it has received what it missed.
        Some(from) => (ready, app.reader().changes(&from, now()).await?),
    };
    let current = missed.map(|missed| (Arc::new(Round::new(missed, app.params())), 0));
    let follower = Follower { ready: Some(ready), current, rounds, gate: gate.clone(), _room: room };
    let events = stream::unfold(follower, async |mut follower| {
        Some((Ok::<_, Infallible>(follower.next().await?), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// A follower.
struct Follower {
    /// The first event.
    ready: Option<Event>,
    /// A round, shared by all followers, and how many of its events have been sent.
    current: Option<(Arc<Round>, usize)>,
    rounds: broadcast::Receiver<Arc<Round>>,
    gate: Gate,
    _room: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; nothing when the follower is disconnected.
    async fn next(&mut self) -> Option<Event> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        loop {
            // A slow reader is behind as well.
            if self.rounds.len() >= ROUNDS_BEHIND_MAX {
                return None;
            }
            if let Some((round, sent)) = &mut self.current
                && let Some(event) = round.event(*sent)
            {
                *sent += 1;
                return Some(event);
            }
            let round = tokio::select! {
                round = self.rounds.recv() => round,
                () = self.gate.stop.cancelled() => return None,
            };
            match round {
                Ok(round) => self.current = Some((round, 0)),
                Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
            }
        }
    }
}
