//! Whether a connection stands and leads to a server that takes writes. The state that fred reports stays "connected"
//! through an outage, so it is kept here.
//!
//! A probe decides: a write that changes nothing, sent at intervals. Without its answer the packets vanish, and a
//! refusal may be that of an old primary after a failover; both times a new connection is made. fred's errors and
//! reconnects and a caller that got no answer in time say so earlier. An outage is logged once for all connections of a
//! process.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fred::error::Error;
use fred::prelude::{Client, ClientLike, ErrorKind, EventInterface};
use fred::types::{ClientState, ClusterHash, CustomCommand};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use super::error::{cause, is_answer, leads_astray};
use crate::tasks;

/// How often a connection is probed, how long its probe may take, and the time between two replacements.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// A key that never exists.
const PROBE_KEY: &str = "damper:{0}:probe";
/// How long the client may take to learn that its connection is to be replaced.
const CUT_TIMEOUT: Duration = Duration::from_millis(20);

pub(super) struct Connection {
    /// Whether it brings answers, refusals too.
    is_up: AtomicBool,
    /// Whether it is counted in `out`.
    is_out: AtomicBool,
    /// Grows with each reconnect.
    pub number: AtomicU64,
    /// How many connections of this process bring no answers or lead to no primary. One outage takes them all, and is
    /// logged once.
    out: Arc<AtomicUsize>,
    /// Each call that is under way has a copy.
    pub calls: Arc<()>,
    replace: Notify,
}

impl Connection {
    /// A connection that stands, and a task that keeps this true. A call may take `timeout`.
    pub fn watched(client: &Client, timeout: Duration, out: &Arc<AtomicUsize>) -> Arc<Self> {
        let connection = Arc::new(Self {
            is_up: AtomicBool::new(true),
            is_out: AtomicBool::new(false),
            number: AtomicU64::new(1),
            out: out.clone(),
            calls: Arc::default(),
            replace: Notify::new(),
        });
        let watched = (client.clone(), connection.clone());
        tasks::keep("watch of redis", move || watch(watched.0.clone(), timeout, watched.1.clone()));
        connection
    }

    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    pub fn lost(&self, why: &dyn Display) {
        self.is_up.store(false, Ordering::Relaxed);
        if self.begins_outage() {
            warn!(%why, "redis is away; reconnecting");
        }
    }

    /// The same, and the connection is replaced.
    pub fn cut(&self, why: &dyn Display) {
        self.lost(why);
        self.replace.notify_one();
    }

    /// It brought an answer.
    fn answered(&self) {
        if !self.is_up() {
            // First the number: who sees the connection up must see its new number.
            self.number.fetch_add(1, Ordering::Relaxed);
            self.is_up.store(true, Ordering::Relaxed);
        }
    }

    fn begins_outage(&self) -> bool {
        !self.is_out.swap(true, Ordering::Relaxed) && self.out.fetch_add(1, Ordering::Relaxed) == 0
    }

    fn ends_outage(&self) -> bool {
        self.is_out.swap(false, Ordering::Relaxed) && self.out.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Keeps `connection` true. An error and the reconnect after it may arrive in either order, so the probe decides.
async fn watch(client: Client, timeout: Duration, connection: Arc<Connection>) {
    let mut errors = client.error_rx();
    let mut reconnects = client.reconnect_rx();
    let mut replaced = Instant::now();
    loop {
        tokio::select! {
            Ok((error, _)) = errors.recv() => {
                connection.lost(&cause(&error));
                continue;
            }
            Ok(_) = reconnects.recv() => {
                connection.number.fetch_add(1, Ordering::Relaxed);
            }
            () = connection.replace.notified() => {
                let _ = replace(&client, &mut replaced).await;
                continue;
            }
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
        }
        let probing = probe(&client);
        tokio::pin!(probing);
        let mut answer = tokio::time::timeout(PROBE_INTERVAL, &mut probing).await;
        if answer.is_err() && connection.is_up() && Arc::strong_count(&connection.calls) > 1 {
            // It may have to wait behind the answers to calls, which have a time limit of their own.
            answer = tokio::time::timeout(timeout.saturating_sub(PROBE_INTERVAL), probing).await;
        }
        match answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no answer in time"))) {
            Err(error) if leads_astray(&error) => {
                connection.answered();
                if connection.begins_outage() {
                    warn!(why = error.details(), "redis is not the primary, or not yet; connecting anew");
                }
                // Nothing goes over the new one before its number is known.
                if replace(&client, &mut replaced).await {
                    connection.is_up.store(false, Ordering::Relaxed);
                }
            }
            // This connection brings no answers any more; a new one may.
            Err(error) if *error.kind() == ErrorKind::Timeout => {
                connection.lost(&"no answer in time");
                let _ = replace(&client, &mut replaced).await;
            }
            // There is no connection, and the client is reconnecting by itself.
            Err(error) if !is_answer(&error) => connection.lost(&cause(&error)),
            _ => {
                connection.answered();
                if connection.ends_outage() {
                    info!("redis is back");
                }
            }
        }
    }
}

/// Unlike a PING, a write tells a primary from a replica.
async fn probe(client: &Client) -> Result<(), Error> {
    let write = CustomCommand::new_static("UNLINK", ClusterHash::FirstKey, false);
    client.custom::<i64, &str>(write, vec![PROBE_KEY]).await.map(drop)
}

/// Replaces the client's connection, unless that is under way; returns whether it did. The client would wait until there is
/// a new one; the order alone is enough.
async fn replace(client: &Client, replaced: &mut Instant) -> bool {
    if client.state() != ClientState::Connected || replaced.elapsed() < PROBE_INTERVAL {
        return false;
    }
    *replaced = Instant::now();
    let _ = tokio::time::timeout(CUT_TIMEOUT, client.force_reconnection()).await;
    true
}
