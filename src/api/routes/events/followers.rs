//! Those who follow the averages: one task asks for all of them, and tells each the same.
//!
//! What is told is shared, so a follower costs its connection only. A drain never waits for anybody.

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
use crate::app::reading::changes::{Changed, Changes, Place};
use crate::error::{Error, Result};
use crate::model::{PostId, Time};
use crate::smoothing::{Params, Published};

/// How often the store is asked whether there was a drain, while anybody follows.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// Whoever is behind by more rounds of events than this is let go.
pub const ROUNDS_BEHIND_MAX: usize = 16;
/// Followers of one process.
const FOLLOWERS_MAX: usize = 1_024;
/// A changed average.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangedAverage)]
pub struct ChangeJson {
    /// Whose it is
    id: PostId,
    #[serde(flatten)]
    published: Published,
    as_of: Time,
}

impl ChangeJson {
    fn new(Changed { post, average, as_of }: Changed, params: &Params) -> Self {
        Self { id: post, published: Published::of(&average, params), as_of }
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
pub struct Round {
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
    pub fn new(changes: Changes, params: &Params) -> Self {
        let json = |changed| serde_json::to_string(&ChangeJson::new(changed, params)).unwrap_or_default();
        let averages = changes.averages.map(|averages| averages.into_iter().map(json).collect());
        Self { place: changes.place, averages }
    }

    /// The event at that place in the round. The last one bears the place, so that who is cut off before it hears all
    /// again.
    pub fn event(&self, i: usize) -> Option<Event> {
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

impl Followers {
    /// Room for one more, which ends with what is returned.
    pub fn enter(&self) -> Result<OwnedSemaphorePermit> {
        let room = self.room.clone().try_acquire_owned();
        room.map_err(|_| Error::Unavailable("too many follow already; try again later".into()))
    }

    /// What is told from now on, and from which place.
    pub async fn follow(
        self: &Arc<Self>,
        app: &Arc<App>,
        stop: &CancellationToken,
    ) -> Result<(broadcast::Receiver<Arc<Round>>, Place)> {
        let mut told = self.told.lock().await;
        if let Some(told) = told.as_ref() {
            return Ok((told.rounds.subscribe(), told.place.clone()));
        }
        let place = app.place().await?;
        let (rounds, receiver) = broadcast::channel(ROUNDS_BEHIND_MAX);
        *told = Some(Told { rounds, place: place.clone() });
        let (followers, app, stop) = (self.clone(), app.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(followers.tell(&app)).await });
        Ok((receiver, place))
    }

    /// Asks what has changed and tells it, until nobody follows any more.
    async fn tell(&self, app: &App) {
        loop {
            tokio::time::sleep(ASK_INTERVAL).await;
            let mut told = self.told.lock().await;
            let Some(current) = told.as_mut().filter(|told| told.rounds.receiver_count() > 0) else {
                *told = None;
                return;
            };
            if let Err(error) = tell_round(app, current).await {
                debug!(%error, "followers wait");
            }
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
