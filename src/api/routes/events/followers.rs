//! Followers of the averages: one task reads the changes for all of them, and sends each the same.
//!
//! Events are shared, so a follower costs only its connection. A drain never waits for a follower.

use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use serde::Serialize;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use utoipa::ToSchema;

use crate::api::now;
use crate::app::App;
use crate::app::reading::changes::{Changed, Changes, Watermark};
use crate::error::{Error, Result};
use crate::model::{PostId, Time};
use crate::smoothing::{Params, Published};
use crate::tasks;

/// How often the store is asked whether there was a drain, while there are followers.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// A follower that is behind by this many rounds of events is disconnected.
pub const ROUNDS_BEHIND_MAX: usize = 16;
/// Followers of one process.
const FOLLOWERS_MAX: usize = 1_024;

/// A changed average.
#[derive(Serialize, ToSchema)]
pub struct ChangedAverage {
    /// Whose it is
    id: PostId,
    #[serde(flatten)]
    published: Published,
    as_of: Time,
}

/// The followers of one process.
pub struct Followers {
    /// What they are sent, while there are any.
    current: Mutex<Option<Sending>>,
    room: Arc<Semaphore>,
}

struct Sending {
    rounds: broadcast::Sender<Arc<Round>>,
    /// The place up to which they have been sent everything.
    watermark: Watermark,
}

/// What changed between two looks.
pub struct Round {
    watermark: Watermark,
    /// Events by name and data: an average each, or one that says that there are too many.
    events: Vec<(&'static str, String)>,
}

impl Default for Followers {
    fn default() -> Self {
        Self { current: Mutex::default(), room: Arc::new(Semaphore::new(FOLLOWERS_MAX)) }
    }
}

impl Round {
    pub fn new(Changes { averages, watermark }: Changes, params: &Params) -> Self {
        let event = |Changed { post: id, average, as_of }| {
            let json = ChangedAverage { id, published: Published::of(&average, params), as_of };
            ("average", serde_json::to_string(&json).unwrap_or_default())
        };
        let events = match averages {
            Some(averages) => averages.into_iter().map(event).collect(),
            None => vec![("reset", "{}".to_owned())],
        };
        Self { watermark, events }
    }

    /// The event at that place in the round. Only the last one has the round's id, so a follower that is cut off before
    /// it receives the whole round again.
    pub fn event(&self, i: usize) -> Option<Event> {
        let (name, data) = self.events.get(i)?;
        let event = Event::default().event(name).data(data);
        let is_last = i + 1 == self.events.len();
        Some(if is_last { event.id(self.watermark.to_string()) } else { event })
    }
}

impl Followers {
    /// Room for one more, which ends with what is returned.
    pub fn enter(&self) -> Result<OwnedSemaphorePermit> {
        let room = self.room.clone().try_acquire_owned();
        room.map_err(|_| {
            Error::Unavailable(format!("there are {FOLLOWERS_MAX} followers already; try again later"))
        })
    }

    /// The rounds from now on, and the place that they begin at.
    pub async fn follow(
        self: &Arc<Self>,
        app: &Arc<App>,
        stop: &CancellationToken,
    ) -> Result<(broadcast::Receiver<Arc<Round>>, Watermark)> {
        let mut current = self.current.lock().await;
        if let Some(current) = current.as_ref() {
            return Ok((current.rounds.subscribe(), current.watermark.clone()));
        }
        let watermark = app.reader().watermark().await?;
        let (rounds, receiver) = broadcast::channel(ROUNDS_BEHIND_MAX);
        *current = Some(Sending { rounds, watermark: watermark.clone() });
        let shared = (self.clone(), app.clone(), stop.clone());
        tasks::keep("sender of events", move || {
            let (followers, app, stop) = shared.clone();
            async move {
                let _ = stop.run_until_cancelled(followers.send(&app)).await;
            }
        });
        Ok((receiver, watermark))
    }

    /// Reads what has changed and sends it, until there are no followers any more.
    async fn send(&self, app: &App) {
        loop {
            tokio::time::sleep(ASK_INTERVAL).await;
            let mut current = self.current.lock().await;
            let Some(sending) = current.as_mut().filter(|sending| sending.rounds.receiver_count() > 0) else {
                *current = None;
                return;
            };
            if let Err(error) = send_round(app, sending).await {
                debug!(%error, "followers wait");
            }
        }
    }
}

async fn send_round(app: &App, sending: &mut Sending) -> Result<()> {
    if let Some(changes) = app.reader().changes(&sending.watermark, now()).await? {
        sending.watermark = changes.watermark.clone();
        // The last follower may have left; the next look finds that out.
        let _ = sending.rounds.send(Arc::new(Round::new(changes, app.params())));
    }
    Ok(())
}
