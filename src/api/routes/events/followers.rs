//! Followers of the averages: how many there may be, and the one task that reads the changes for all of them.
//!
//! The task alone asks the store. While it gets no answer, followers wait; a drain never waits for a follower.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::ring::{Ring, Round};
use crate::api::now;
use crate::app::App;
use crate::error::Result;
use crate::limits::crowd::{Crowd, Seat};
use crate::tasks;

/// How often the store is asked whether there was a drain, while there are followers.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// The changes are kept up so many times after the last follower has left, a minute: it may come back.
const IDLE_LOOKS_MAX: u32 = 120;
/// Followers of one process.
pub const FOLLOWERS_MAX: usize = 1_024;

/// The followers of one process.
#[derive(Default)]
pub struct Followers {
    ring: watch::Sender<Ring>,
    is_reading: AtomicBool,
    crowd: Arc<Crowd>,
}

impl Followers {
    /// A place for one more from this address, of which there may be `each_max`; nothing when there is none.
    pub fn enter(&self, address: IpAddr, each_max: usize) -> Option<Seat> {
        self.crowd.enter(address, each_max, FOLLOWERS_MAX)
    }

    /// The changes from now on, which a task reads from the first call on.
    pub fn follow(self: &Arc<Self>, app: &Arc<App>, stop: &CancellationToken) -> watch::Receiver<Ring> {
        let ring = self.ring.subscribe();
        if !self.is_reading.swap(true, Ordering::Relaxed) {
            let shared = (self.clone(), app.clone(), stop.clone());
            tasks::keep("reader of changes for followers", move || {
                let (followers, app, stop) = shared.clone();
                async move {
                    let _ = stop.run_until_cancelled(followers.read(&app)).await;
                }
            });
        }
        ring
    }

    /// Reads what has changed, for as long as the process runs; while there are no followers, nothing is asked.
    async fn read(&self, app: &App) {
        let mut idle = 0;
        loop {
            idle = if self.ring.receiver_count() > 0 { 0 } else { idle + 1 };
            if idle < IDLE_LOOKS_MAX {
                if let Err(error) = self.look(app).await {
                    debug!(%error, "followers wait");
                }
            } else if idle == IDLE_LOOKS_MAX {
                self.ring.send_modify(Ring::clear);
            } else {
                idle = IDLE_LOOKS_MAX;
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }

    async fn look(&self, app: &App) -> Result<()> {
        let end = self.ring.borrow().end().cloned();
        if let Some(changes) = app.reader().changes(end.as_ref(), now()).await? {
            let round = Round::new(changes, app.params());
            self.ring.send_modify(|ring| ring.add(round));
        }
        Ok(())
    }
}
