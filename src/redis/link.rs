//! The connections of a process to one Redis server or cluster.
//!
//! There are three clients. Appends have their own: it tries once, never queues while its connection is down, and is
//! cut after a time-out, since an append that a client library repeats later would come too late. Readers, who wait
//! for milliseconds, have another, so that they never queue behind the large batches of a drain, which has the third.
//! All reconnect for ever, with a delay that grows and varies.

use std::sync::Arc;
use std::time::Duration;

use fred::prelude::FromValue;
use fred::types::scripts::Script;

use super::side::Side;
use crate::config::ServerUrl;
use crate::error::Result;

/// A reader's question takes at most this: the store knows the answer too.
const READ_TIMEOUT: Duration = Duration::from_millis(400);
/// A drain's question takes at most this.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections of one process to Redis.
pub struct RedisLink {
    appends: Side,
    /// For readers: what waits, and the cache.
    pub reads: Side,
    /// For drains, and everything else that may take its time.
    pub drains: Side,
}

impl RedisLink {
    /// Connects the clients.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer, `Config` when the URL cannot be read or the login is refused.
    pub async fn open(url: &ServerUrl, append_timeout: Duration) -> Result<Self> {
        let down = Arc::default();
        let appends = Side::open(url, append_timeout, &down).await?;
        let reads = Side::open(url, READ_TIMEOUT, &down).await?;
        let drains = Side::open(url, DRAIN_TIMEOUT, &down).await?;
        Ok(Self { appends, reads, drains })
    }

    /// Whether appends have a connection right now.
    pub fn can_append(&self) -> bool {
        self.appends.is_up()
    }

    /// The number of the connection that appends use. A new one may lead to a Redis that came back with less.
    pub fn append_connection(&self) -> u64 {
        self.appends.connection_number()
    }

    /// Runs an appending script once.
    pub async fn append<R: FromValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: Vec<String>,
    ) -> Result<R, fred::error::Error> {
        self.appends.run(script, keys, args).await
    }

    /// Closes the connection that appends use, so that Redis executes nothing more of what was sent over it once it
    /// notices. The next append has a new one.
    pub async fn cut_appends(&self) {
        self.appends.cut().await;
    }
}
