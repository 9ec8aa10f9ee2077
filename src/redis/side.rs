//! One client of Redis: how it connects, and how it asks.
//!
//! Every question ends within the client's time limit. While there is no connection, a question fails at once: fred
//! would queue it, and send it when its caller has long gone.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use fred::prelude::*;
use fred::types::scripts::Script;
use fred::types::{ClusterHash, CustomCommand, MultipleKeys, MultipleValues};

use super::connection::{self, Connection};
use super::error::cause;
use crate::config::ServerUrl;
use crate::error::Result;

/// A connection that is not there after this is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Reconnects wait between these, doubling, with jitter.
const RECONNECT_MS: (u32, u32) = (50, 2_000);
const RECONNECT_JITTER_MS: u32 = 100;

/// One client and what is known of its connection.
pub struct Side {
    client: Client,
    timeout: Duration,
    connection: Arc<Connection>,
}

impl Side {
    /// Connects a client whose questions take `timeout` at most; `down` counts the connections that are down.
    pub(super) async fn open(url: &ServerUrl, timeout: Duration, down: &Arc<AtomicUsize>) -> Result<Self> {
        let mut config = Config::from_url(url.expose()).map_err(|_| {
            crate::Error::Config(format!("redis_url {url} cannot be read; redis://user:password@host:6379"))
        })?;
        config.fail_fast = true;
        let (min, max) = RECONNECT_MS;
        let mut policy = ReconnectPolicy::new_exponential(0, min, max, 2);
        policy.set_jitter(RECONNECT_JITTER_MS);
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT_TIMEOUT;
                connection.internal_command_timeout = CONNECT_TIMEOUT;
                connection.max_command_attempts = 1;
                connection.tcp.nodelay = Some(true);
            })
            .with_performance_config(|performance| performance.default_command_timeout = timeout)
            .set_policy(policy)
            .build()?;
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, client.init()).await;
        let why = match connecting {
            Ok(Ok(_)) => None,
            Ok(Err(error)) if *error.kind() == ErrorKind::Auth => {
                return Err(crate::Error::Config(format!(
                    "redis at {} refuses the login: {error}. DAMPER_REDIS_URL holds the password",
                    url.host()
                )));
            }
            Ok(Err(error)) => Some(cause(&error)),
            Err(_) => Some("timed out".to_owned()),
        };
        if let Some(why) = why {
            let ms = CONNECT_TIMEOUT.as_millis();
            return Err(crate::Error::Unavailable(format!(
                "no answer from redis at {} within {ms} ms: {why}. Is it running? DAMPER_REDIS_URL says where",
                url.host()
            )));
        }
        let connection = Connection::watched(&client, down);
        Ok(Self { client, timeout, connection })
    }

    /// Whether there is a connection. Its loss has been logged already.
    pub fn is_up(&self) -> bool {
        self.connection.is_up()
    }

    /// The number of the connection; another one after each reconnect.
    pub(super) fn connection_number(&self) -> u64 {
        self.connection.number()
    }

    /// Closes the connection, so that Redis executes nothing more of what was sent over it once it notices.
    pub(super) async fn cut(&self) {
        self.connection.lost(&"no answer in time");
        connection::cut(&self.client).await;
    }

    /// Runs a script.
    pub async fn call<R: FromValue>(&self, script: &Script, keys: &[String], args: Vec<String>) -> Result<R> {
        Ok(self.run(script, keys, args).await?)
    }

    /// Runs a command without keys that fred has no method for here, on any node.
    pub async fn command<R: FromValue>(&self, name: &'static str, args: &[&str]) -> Result<R> {
        let command = CustomCommand::new_static(name, ClusterHash::Random, false);
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        Ok(self.bounded(self.connected()?.custom(command, args)).await?)
    }

    /// Runs what `ask` asks of the client, within the time limit. Fails at once while there is no connection.
    pub async fn ask<R, F>(&self, ask: impl FnOnce(Client) -> F) -> Result<R>
    where
        F: Future<Output = Result<R, Error>>,
    {
        let client = self.connected()?.clone();
        Ok(self.bounded(ask(client)).await?)
    }

    /// The client, unless it would only queue commands until it is connected again.
    fn connected(&self) -> Result<&Client, Error> {
        if self.is_up() {
            Ok(&self.client)
        } else {
            Err(Error::new(ErrorKind::IO, "not connected; reconnecting"))
        }
    }

    /// Limits the time of a command: fred's own time-outs do not run while it reconnects.
    async fn bounded<R>(&self, command: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
        let answer = tokio::time::timeout(self.timeout, command).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no answer in time")));
        if answer.as_ref().is_err_and(|error| *error.kind() == ErrorKind::Timeout) {
            // A Redis that hangs is as good as none. Others need not wait too; the ping finds out when it is back.
            self.connection.lost(&"no answer in time");
        }
        answer
    }

    /// Runs a script, with fred's own error.
    pub(super) async fn run<R: FromValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: Vec<String>,
    ) -> Result<R, Error> {
        let client = self.connected()?;
        let keys = MultipleKeys::from(keys.to_vec());
        let args = MultipleValues::try_from(args)?;
        self.bounded(async {
            match script.evalsha(client, keys.clone(), args.clone()).await {
                // Redis forgets scripts when it restarts. Nothing was run, so this is not a second attempt.
                Err(error) if error.details().starts_with("NOSCRIPT") => {
                    script.load(client).await?;
                    script.evalsha(client, keys, args).await
                }
                outcome => outcome,
            }
        })
        .await
    }
}
