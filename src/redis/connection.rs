//! Whether a connection stands. The state that fred reports stays "connected" through an outage, so it is kept here.
//!
//! Three things change it: fred's errors and reconnects, a caller that got no answer in time, and a ping while the
//! connection is down. An outage is logged once for all connections of a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};
use tracing::{info, warn};

use super::error::cause;
use crate::tasks;

/// How often a connection that is down is pinged, and how long each ping may take.
const PING_INTERVAL: Duration = Duration::from_millis(500);
/// A connection that leaves so many pings unanswered is replaced.
const UNANSWERED_MAX: u32 = 3;
/// How long the client may take to learn that its connection is to be cut.
const CUT_TIMEOUT: Duration = Duration::from_millis(20);

pub(super) struct Connection {
    is_up: AtomicBool,
    /// Grows with each reconnect.
    pub number: AtomicU64,
    /// How many connections of this process are down. One outage takes them all, and is logged once.
    down: Arc<AtomicUsize>,
}

impl Connection {
    /// A connection that stands, and a task that keeps this true.
    pub fn watched(client: &Client, down: &Arc<AtomicUsize>) -> Arc<Self> {
        let connection =
            Arc::new(Self { is_up: AtomicBool::new(true), number: AtomicU64::new(1), down: down.clone() });
        let watched = (client.clone(), connection.clone());
        tasks::keep("watch of redis", move || watch(watched.0.clone(), watched.1.clone()));
        connection
    }

    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    pub fn lost(&self, why: &dyn std::fmt::Display) {
        if self.is_up.swap(false, Ordering::Relaxed) && self.down.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!(%why, "redis is away; reconnecting");
        }
    }

    fn back(&self) {
        // First the number: who sees the connection up must see its new number.
        self.number.fetch_add(1, Ordering::Relaxed);
        if !self.is_up.swap(true, Ordering::Relaxed) && self.down.fetch_sub(1, Ordering::Relaxed) == 1 {
            info!("redis is back");
        }
    }
}

/// Replaces the client's connection. It would wait until there is a new one; the order alone is enough.
pub(super) async fn cut(client: &Client) {
    let _ = tokio::time::timeout(CUT_TIMEOUT, client.force_reconnection()).await;
}

/// Keeps `connection` true. An error and the reconnect after it may arrive in either order, so while the connection is
/// down a ping decides.
async fn watch(client: Client, connection: Arc<Connection>) {
    let mut errors = client.error_rx();
    let mut reconnects = client.reconnect_rx();
    let mut unanswered = 0;
    loop {
        tokio::select! {
            Ok((error, _)) = errors.recv() => connection.lost(&cause(&error)),
            Ok(_) = reconnects.recv() => connection.back(),
            // Also while it is up: a caller without an answer may mark it as down at any time.
            () = tokio::time::sleep(PING_INTERVAL) => {
                if connection.is_up() {
                    continue;
                }
                let ping = CustomCommand::new_static("PING", ClusterHash::Random, false);
                let answer = client.custom::<String, String>(ping, Vec::new());
                match tokio::time::timeout(PING_INTERVAL, answer).await {
                    Ok(Ok(_)) => connection.back(),
                    // There is no connection, and the client is reconnecting by itself.
                    Ok(Err(error)) if *error.kind() != ErrorKind::Timeout => unanswered = 0,
                    // This connection brings no answers any more; a new one may.
                    _ => unanswered += 1,
                }
                if unanswered == UNANSWERED_MAX {
                    unanswered = 0;
                    cut(&client).await;
                }
            }
        }
    }
}
