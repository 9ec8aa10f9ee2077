//! The connections of a process to one Redis server or cluster. All reconnect for ever, with delays that grow and vary.
//!
//! Every question ends within its client's time limit. While there is no connection, a question fails at once: fred
//! would queue it, and send it when its caller has long gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fred::prelude::*;
use fred::types::scripts::Script;
use fred::types::{ClusterHash, CustomCommand, MultipleKeys, MultipleValues};
use tokio::sync::Notify;

use super::connection::Connection;
use super::error::{cause, is_full};
use crate::config::ServerUrl;
use crate::error::Result;
use crate::model::Time;

/// A reader's question takes at most this: the store knows the answer too.
const READ_TIMEOUT: Duration = Duration::from_millis(400);
/// A drain's question takes at most this.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that is not there after this is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Packets that are not acknowledged for so long have vanished, and so has a connection that has no room for more.
#[cfg(target_os = "linux")]
const VANISHED_AFTER: Duration = Duration::from_secs(2);
/// Reconnects wait between these, doubling, with jitter.
const RECONNECT_MS: (u32, u32) = (50, 2_000);
const RECONNECT_JITTER_MS: u32 = 100;
/// What to do when a server's certificate cannot be judged.
const CERTIFICATES: &str = "Install the package ca-certificates, or name a file of them in SSL_CERT_FILE";

/// The connections of one process to Redis.
pub struct RedisLink {
    /// It is cut after a time-out: an append that is executed later would come too late.
    pub(crate) appends: Side,
    /// For readers, who wait for milliseconds: they never queue behind the large batches of a drain.
    pub(crate) reads: Side,
    /// For drains, and everything else that may take its time.
    pub(crate) drains: Side,
}

impl RedisLink {
    /// Connects to Redis.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer, `Config` when the URL cannot be read or the login is refused.
    pub async fn open(url: &ServerUrl, append_timeout: Duration) -> Result<Self> {
        Self::open_of(url, append_timeout, "DAMPER_REDIS_URL").await
    }

    /// The same for a Redis that only caches posts.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_cache(url: &ServerUrl) -> Result<Self> {
        Self::open_of(url, READ_TIMEOUT, "DAMPER_CACHE__REDIS_URL").await
    }

    /// `variable` holds the URL, for messages.
    async fn open_of(url: &ServerUrl, append_timeout: Duration, variable: &str) -> Result<Self> {
        let down = Arc::default();
        let appends = Side::open(url, append_timeout, &down, variable).await?;
        let reads = Side::open(url, READ_TIMEOUT, &down, variable).await?;
        let drains = Side::open(url, DRAIN_TIMEOUT, &down, variable).await?;
        Ok(Self { appends, reads, drains })
    }
}

/// One client and what is known of its connection.
pub(crate) struct Side {
    client: Client,
    pub timeout: Duration,
    connection: Arc<Connection>,
    /// Notified when Redis has no memory left for what it was asked to keep.
    pub full: Notify,
}

impl Side {
    /// Connects a client; `down` counts the connections of this process that are down.
    async fn open(
        url: &ServerUrl,
        timeout: Duration,
        down: &Arc<AtomicUsize>,
        variable: &str,
    ) -> Result<Self> {
        let mut config = Config::from_url(url.expose()).map_err(|error| {
            crate::Error::Config(match error.kind() {
                ErrorKind::Tls => {
                    format!("{variable} {url} needs CA certificates: {}. {CERTIFICATES}", cause(&error))
                }
                _ => format!("{variable} {url} cannot be read; redis://user:password@host:6379"),
            })
        })?;
        config.fail_fast = true;
        let (min, max) = RECONNECT_MS;
        let mut policy = ReconnectPolicy::new_exponential(0, min, max, 2);
        policy.set_jitter(RECONNECT_JITTER_MS);
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT_TIMEOUT;
                connection.internal_command_timeout = CONNECT_TIMEOUT;
                // A second attempt of the library would come too late.
                connection.max_command_attempts = 1;
                connection.tcp.nodelay = Some(true);
                #[cfg(target_os = "linux")]
                (connection.tcp.user_timeout = Some(VANISHED_AFTER));
            })
            .with_performance_config(|performance| performance.default_command_timeout = timeout)
            .set_policy(policy)
            .build()?;
        let why = match tokio::time::timeout(CONNECT_TIMEOUT, client.init()).await {
            Ok(Ok(_)) => {
                let connection = Connection::watched(&client, timeout, down);
                return Ok(Self { client, timeout, connection, full: Notify::new() });
            }
            Ok(Err(error)) if *error.kind() == ErrorKind::Auth => {
                return Err(crate::Error::Config(format!(
                    "redis at {} refuses the login: {error}. {variable} holds the password",
                    url.host()
                )));
            }
            Ok(Err(error)) if error.details().contains("UnknownIssuer") => {
                return Err(crate::Error::Config(format!(
                    "redis at {} has a certificate of which the CA certificate is missing here. {CERTIFICATES}",
                    url.host()
                )));
            }
            Ok(Err(error)) => cause(&error),
            Err(_) => "timed out".to_owned(),
        };
        Err(crate::Error::Unavailable(format!(
            "no answer from redis at {} within {} ms: {why}. Is it running? {variable} says where",
            url.host(),
            CONNECT_TIMEOUT.as_millis()
        )))
    }

    /// Whether there is a connection. Its loss has been logged already.
    pub fn is_up(&self) -> bool {
        self.connection.is_up()
    }

    /// Another number after each reconnect, which may lead to a Redis that came back with less.
    pub fn connection_number(&self) -> u64 {
        self.connection.number.load(Ordering::Relaxed)
    }

    /// Closes the connection, so that Redis executes nothing more of what was sent over it once it notices.
    pub fn cut(&self) {
        self.connection.cut(&"no answer in time");
    }

    pub async fn call<R: FromValue>(&self, script: &Script, keys: &[String], args: Vec<String>) -> Result<R> {
        Ok(self.run(script, keys, args).await?)
    }

    /// Whether the keys may lie on several servers.
    pub fn is_clustered(&self) -> bool {
        self.client.is_clustered()
    }

    /// Runs a command without keys that fred has no method for here, on any node.
    pub async fn command<R: FromValue>(&self, name: &'static str, args: &[&str]) -> Result<R> {
        let command = CustomCommand::new_static(name, ClusterHash::Random, false);
        Ok(self.ask(|client| async move { client.custom(command, args.to_vec()).await }).await?)
    }

    /// Runs a command on a key, its first argument.
    pub async fn on_key<R: FromValue>(&self, name: &'static str, args: Vec<Value>) -> Result<R> {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        Ok(self.ask(|client| async move { client.custom(command, args).await }).await?)
    }

    pub async fn time(&self) -> Result<Time> {
        let (seconds, micros): (i64, i64) = self.command("TIME", &[]).await?;
        Ok(Time::from_ms(seconds.saturating_mul(1_000).saturating_add(micros / 1_000)))
    }

    /// Runs what `ask` asks of the client, within its time limit: fred's own time-outs do not run while it reconnects.
    pub async fn ask<R, F>(&self, ask: impl FnOnce(Client) -> F) -> Result<R, Error>
    where
        F: Future<Output = Result<R, Error>>,
    {
        if !self.is_up() {
            return Err(Error::new(ErrorKind::IO, "not connected; reconnecting"));
        }
        let _under_way = self.connection.calls.clone();
        let answer = tokio::time::timeout(self.timeout, ask(self.client.clone())).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no answer in time")));
        if answer.as_ref().is_err_and(|error| *error.kind() == ErrorKind::Timeout) {
            // A Redis that hangs is as good as none. Others need not wait too; the probe finds out when it is back.
            self.connection.lost(&"no answer in time");
        }
        if answer.as_ref().is_err_and(is_full) {
            self.full.notify_one();
        }
        answer
    }

    /// Runs a script, with fred's own error.
    pub async fn run<R: FromValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: Vec<String>,
    ) -> Result<R, Error> {
        let keys = MultipleKeys::from(keys.to_vec());
        let args = MultipleValues::try_from(args)?;
        self.ask(|client| async move {
            match script.evalsha(&client, keys.clone(), args.clone()).await {
                // Redis forgets scripts when it restarts. Nothing was run, so this is not a second attempt.
                Err(error) if error.details().starts_with("NOSCRIPT") => {
                    script.load(&client).await?;
                    script.evalsha(&client, keys, args).await
                }
                outcome => outcome,
            }
        })
        .await
    }
}
