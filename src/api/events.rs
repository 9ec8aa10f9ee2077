//! Server-sent events: `GET /api/events` tells changed averages after each drain.
//!
//! One task asks for all who follow, and tells each the same. Who does not keep up is let go and comes back with the
//! place that the last event bore (`Last-Event-ID`); a drain never waits for anybody.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, broadcast};
use tracing::debug;
use utoipa::ToSchema;

use super::extract::{NoParameters, Parameters};
use super::gate::{Caller, Gate};
use super::now;
use super::problem::Problem;
use crate::app::App;
use crate::changes::{Changed, Changes, Place};
use crate::error::{Error, Invalid, Result};
use crate::rating::{PostId, Time};
use crate::smoothing::Params;

/// How often the store is asked whether there was a drain, while anybody follows.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// Whoever is behind by more rounds of events than this is let go.
const ROUNDS_BEHIND_MAX: usize = 16;
/// Followers of one process.
const FOLLOWERS_MAX: usize = 1_024;
/// When a follower that was let go comes back.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The place that a follower has come to (WHATWG HTML, "Server-sent events").
const LAST_EVENT_ID: &str = "last-event-id";

/// A changed average.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangedAverage)]
pub struct ChangeJson {
    /// Whose it is
    id: PostId,
    /// The published, smoothed mean at `as_of`; null without ratings
    average: Option<f64>,
    /// The exact mean
    raw_average: Option<f64>,
    count: u64,
    /// Ratings' worth of weight that has yet to arrive in `average`
    phasing_in: u64,
    crowded: bool,
    early: bool,
    as_of: Time,
}

impl ChangeJson {
    fn new(Changed { post, average, as_of }: Changed, params: &Params) -> Self {
        Self {
            id: post,
            average: average.smoothed_mean(params),
            raw_average: average.raw_mean(),
            count: average.count(),
            phasing_in: average.unvested().round() as u64,
            crowded: average.is_crowded(params),
            early: average.is_early(),
            as_of,
        }
    }
}

/// Those who follow.
pub struct Followers {
    /// What they are told, while there is anybody.
    told: Mutex<Option<Told>>,
    room: Arc<Semaphore>,
}

struct Told {
    rounds: broadcast::Sender<Arc<Round>>,
    /// Up to where they have been told.
    place: Place,
}

/// What changed between two looks.
struct Round {
    place: Place,
    /// An average each, as JSON; nothing when there are more than can be told.
    averages: Option<Vec<String>>,
}

impl Default for Followers {
    fn default() -> Self {
        Self { told: Mutex::default(), room: Arc::new(Semaphore::new(FOLLOWERS_MAX)) }
    }
}

impl Round {
    fn new(changes: Changes, params: &Params) -> Self {
        let json = |changed| serde_json::to_string(&ChangeJson::new(changed, params)).unwrap_or_default();
        let averages = changes.averages.map(|averages| averages.into_iter().map(json).collect());
        Self { place: changes.place, averages }
    }

    /// The event at that place in the round. The last one bears the place, so that who is cut off before it hears all
    /// again.
    fn event(&self, i: usize) -> Option<Event> {
        let (event, is_last) = match &self.averages {
            None => (Event::default().event("reset").data("{}"), i == 0),
            Some(averages) => {
                (Event::default().event("average").data(averages.get(i)?), i + 1 == averages.len())
            }
        };
        match (is_last, &self.averages) {
            (true, _) => Some(event.id(self.place.to_string())),
            (false, Some(_)) => Some(event),
            (false, None) => None,
        }
    }
}

/// Follow the averages
///
/// Server-sent events: `ready` at the beginning, `average` for every post that a drain has changed, and `reset` when more
/// has changed than is told: then read anew what you show. With the header `Last-Event-ID` they go on from there. An
/// average that moves without new ratings is not told; it does so at ticks.
#[utoipa::path(get, path = "/api/events", tag = "posts",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id that the last event bore")),
    responses((status = 200, description = "Events, for as long as you listen; the data of `average` is this",
        content_type = "text/event-stream", body = ChangeJson)))]
pub async fn events(
    State(gate): State<Gate>,
    _: Caller,
    Parameters(_): Parameters<NoParameters>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let app = gate.app();
    let wrong = |e: Invalid| Problem::in_parameter(e, "Last-Event-ID");
    let from = match headers.get(LAST_EVENT_ID) {
        Some(id) => Some(Place::parse(id.to_str().unwrap_or("?")).map_err(wrong)?),
        None => None,
    };
    let room = gate.followers().room.clone().try_acquire_owned();
    let room = room.map_err(|_| Error::Unavailable("too many follow already; try again later".into()))?;
    let (rounds, place) = follow(&gate).await?;
    let ready = Event::default().event("ready").data("{}").retry(RETRY_DELAY);
    let (ready, missed) = match from {
        None => (ready.id(place.to_string()), None),
        // Its own place stays the follower's until it has heard what it missed.
        Some(from) => (ready, app.changes(&from, now()).await?),
    };
    let current = missed.map(|missed| (Arc::new(Round::new(missed, app.params())), 0));
    let follower = Follower { ready: Some(ready), current, rounds, gate: gate.clone(), _room: room };
    let events = stream::unfold(follower, async |mut follower| Some((Ok(follower.next().await?), follower)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// One who follows.
struct Follower {
    /// The first event.
    ready: Option<Event>,
    /// A round, shared by all who follow, and how many of its events have been told.
    current: Option<(Arc<Round>, usize)>,
    rounds: broadcast::Receiver<Arc<Round>>,
    gate: Gate,
    _room: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; nothing when the follower is let go.
    async fn next(&mut self) -> Option<Event> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        loop {
            // Whoever takes little by little is behind as well.
            if self.rounds.len() >= ROUNDS_BEHIND_MAX {
                return None;
            }
            if let Some((round, told)) = &mut self.current
                && let Some(event) = round.event(*told)
            {
                *told += 1;
                return Some(event);
            }
            let round = tokio::select! {
                round = self.rounds.recv() => round,
                () = self.gate.stopping() => return None,
            };
            match round {
                Ok(round) => self.current = Some((round, 0)),
                Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
            }
        }
    }
}

/// What is told from now on, and from which place.
async fn follow(gate: &Gate) -> Result<(broadcast::Receiver<Arc<Round>>, Place)> {
    let mut told = gate.followers().told.lock().await;
    if let Some(told) = told.as_ref() {
        return Ok((told.rounds.subscribe(), told.place.clone()));
    }
    let place = gate.app().place().await?;
    let (rounds, receiver) = broadcast::channel(ROUNDS_BEHIND_MAX);
    *told = Some(Told { rounds, place: place.clone() });
    tokio::spawn(tell(gate.clone()));
    Ok((receiver, place))
}

/// Asks what has changed and tells it, until nobody follows any more.
async fn tell(gate: Gate) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(ASK_INTERVAL) => {}
            () = gate.stopping() => return,
        }
        let mut told = gate.followers().told.lock().await;
        let Some(current) = told.as_mut().filter(|told| told.rounds.receiver_count() > 0) else {
            *told = None;
            return;
        };
        if let Err(error) = tell_round(gate.app(), current).await {
            debug!(%error, "followers wait");
        }
    }
}

async fn tell_round(app: &App, told: &mut Told) -> Result<()> {
    if let Some(changes) = app.changes(&told.place, now()).await? {
        told.place = changes.place.clone();
        // Nobody may be there any more; the next look finds that out.
        let _ = told.rounds.send(Arc::new(Round::new(changes, app.params())));
    }
    Ok(())
}
