//! What keeps an open page fresh: server-sent events that say that something has changed, and of what kind. The page then
//! asks for itself again. So there is one way to draw a page, and an event holds nothing that must be escaped.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderName;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Sse};
use futures_util::stream;
use serde_json::json;

use super::desk::{Desk, Pulse};
use super::viewer::Viewer;
use crate::api::{Answer, now};

/// How often Damper is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A session is looked at again after so many looks: who has signed out learns nothing more.
const SESSION_LOOKS: u64 = 10;
/// nginx holds answers back without it.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// A page that listens.
struct Listener {
    desk: Desk,
    viewer: Viewer,
    last: Option<String>,
    looks: u64,
}

/// `/live`
pub async fn live(State(desk): State<Desk>, viewer: Viewer) -> Answer {
    let listener = Listener { desk, viewer, last: None, looks: 0 };
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Ok(([UNBUFFERED], Sse::new(events).keep_alive(KeepAlive::default())).into_response())
}

impl Listener {
    /// The next change; nothing when the process or the session ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.looks > 0 {
                let sleep = tokio::time::sleep(LOOK_INTERVAL);
                self.desk.gate.stop.run_until_cancelled(sleep).await?;
            }
            if self.looks.is_multiple_of(SESSION_LOOKS) && !self.is_signed_in().await {
                return None;
            }
            self.looks += 1;
            let seen = self.seen(&self.desk.pulse().await);
            if self.last.as_ref() != Some(&seen) {
                self.last = Some(seen.clone());
                return Some(Event::default().event("pulse").data(seen));
            }
        }
    }

    /// While that cannot be found out, the session goes on.
    async fn is_signed_in(&self) -> bool {
        let found =
            self.desk.app().upkeep().session(&self.viewer.key, self.desk.gate.keys_name(), now()).await;
        !matches!(found, Ok(None))
    }

    /// What pages listen to: what waits, what is merged and published, what is away.
    fn seen(&self, pulse: &Pulse) -> String {
        let last_tick = self.desk.app().ticks().around(now()).last.ms();
        let (waiting, merged) = pulse
            .balance
            .map_or((0, 0), |(_, balance, _)| (balance.waiting, balance.applied + balance.quarantined));
        let away = pulse.away.as_ref().map(|away| away.since.ms());
        json!({"waiting": waiting, "merged": format!("{merged} {last_tick}"), "away": away}).to_string()
    }
}
