//! What all pages of the dashboard share: the gate, the pulse of Damper, what was shown last, and what to say next.
//!
//! While a server is away, a page that was seen before is shown again as it was, with the time of it: so nobody looks at
//! half a table. The pulse is looked at once a second, however many look at pages.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::api::{Gate, now};
use crate::app::App;
use crate::app::drain::Balance;
use crate::error::Error;
use crate::model::Time;
use crate::store::Session;

/// A look at Damper is good for so long.
const PULSE_LIFE: Duration = Duration::from_millis(900);
/// A look takes no longer: a page must not wait for a server that hangs.
const PULSE_WITHIN: Duration = Duration::from_millis(1_500);
/// Memory for pages that were shown.
const SHOWN_BYTES_MAX: u64 = 16 << 20;
/// Sessions that are known while the database is away.
const SESSIONS_MAX: u64 = 1_000;
/// A page that nobody has asked for again is forgotten after this, and so is what was to be said.
const SHOWN_LIFE: Duration = Duration::from_secs(3_600);
const NOTE_LIFE: Duration = Duration::from_secs(60);

/// What pages share, by one handle.
#[derive(Clone)]
pub struct Desk(Arc<Shared>);

/// What stands behind the handle.
pub struct Shared {
    pub gate: Gate,
    /// The settings in force: name, value, source.
    pub settings: Vec<(String, String, String)>,
    /// The outcome of what someone has just done, by session, until it is shown.
    pub notes: Cache<String, Note>,
    /// Sessions as they were found last, for while the database is away.
    pub sessions: Cache<String, Session>,
    /// By session and address: when a page was made, and the page.
    shown: Cache<(String, String), (Time, Arc<str>)>,
    pulse: tokio::sync::Mutex<Option<(Instant, Pulse)>>,
    away: Mutex<Option<Away>>,
}

/// What is said once, above a page.
#[derive(Debug, Clone)]
pub struct Note {
    pub is_bad: bool,
    pub text: String,
}

/// A server does not answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Away {
    /// As far as this process knows.
    pub since: Time,
    pub why: String,
}

/// How Damper is.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    /// The balance as it was seen last, when, and whether it held.
    pub balance: Option<(Time, Balance, bool)>,
    pub away: Option<Away>,
}

impl Desk {
    pub fn new(gate: Gate, settings: Vec<(String, String, String)>) -> Self {
        let bytes = |_: &(String, String), (_, page): &(Time, Arc<str>)| page.len() as u32;
        Self(Arc::new(Shared {
            gate,
            settings,
            notes: Cache::builder().max_capacity(SESSIONS_MAX).time_to_live(NOTE_LIFE).build(),
            sessions: Cache::builder().max_capacity(SESSIONS_MAX).build(),
            shown: Cache::builder()
                .weigher(bytes)
                .max_capacity(SHOWN_BYTES_MAX)
                .time_to_live(SHOWN_LIFE)
                .build(),
            pulse: tokio::sync::Mutex::default(),
            away: Mutex::default(),
        }))
    }

    pub fn app(&self) -> &Arc<App> {
        self.gate.app()
    }

    /// How Damper is now, or was a moment ago.
    pub async fn pulse(&self) -> Pulse {
        let mut last = self.pulse.lock().await;
        if let Some((at, pulse)) = &*last
            && at.elapsed() < PULSE_LIFE
        {
            return pulse.clone();
        }
        let known = last.take().and_then(|(_, pulse)| pulse.balance);
        let late = |_| Error::Unavailable(format!("no answer within {} ms", PULSE_WITHIN.as_millis()));
        let look = tokio::time::timeout(PULSE_WITHIN, self.app().drainer().balance()).await;
        let pulse = match look.map_err(late).flatten() {
            Ok((balance, holds)) => {
                self.note_away(None);
                Pulse { balance: Some((now(), balance, holds)), away: None }
            }
            // Drains move the shards faster than one can look: nothing is away.
            Err(Error::Busy(_)) => Pulse { balance: known, away: None },
            Err(error) => Pulse { balance: known, away: self.note_away(Some(error.to_string())) },
        };
        *last = Some((Instant::now(), pulse.clone()));
        pulse
    }

    /// Has the next page look anew, after something was done.
    pub async fn look_again(&self) {
        if let Some((at, _)) = &mut *self.pulse.lock().await
            && let Some(before) = at.checked_sub(PULSE_LIFE)
        {
            *at = before;
        }
    }

    /// Remembers since when something is away, and why.
    fn note_away(&self, why: Option<String>) -> Option<Away> {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        *away = why.map(|why| Away { since: away.as_ref().map_or_else(now, |away| away.since), why });
        away.clone()
    }

    /// Keeps a page as it was shown.
    pub fn keep(&self, session: &str, address: &str, page: &str) {
        self.shown.insert((session.to_owned(), address.to_owned()), (now(), page.into()));
    }

    /// The page as it was shown last in this session.
    pub fn shown(&self, session: &str, address: &str) -> Option<(Time, Arc<str>)> {
        self.shown.get(&(session.to_owned(), address.to_owned()))
    }

    /// Forgets a session that was closed.
    pub fn forget(&self, session: &str) {
        self.sessions.invalidate(session);
        self.notes.invalidate(session);
        // What is left of its pages cannot be reached without it, and is forgotten in time.
    }
}

impl Deref for Desk {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
