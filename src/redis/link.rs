//! Redis: three clients of one server or cluster, and what their errors mean.
//!
//! Appends have a client of their own that tries once, never queues while the connection is down, and is cut
//! after a time-out: a client library that replayed an append behind our back would bring it in late. Readers, who
//! wait by the millisecond, have another, so that they never stand behind a drain's large batches, which go over
//! the third. All reconnect for ever, with a delay that grows and jitters, and log one line a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fred::prelude::*;
use fred::types::scripts::Script;
use fred::types::{ClusterHash, CustomCommand, MultipleKeys, MultipleValues};
use tracing::{info, warn};

use crate::config::ServerUrl;
use crate::error::Result;

/// A connection that is not there after this is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A reader's call takes at most this: the store knows the answer too.
const READ_TIMEOUT: Duration = Duration::from_millis(400);
/// A drain's call takes at most this.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Reconnects wait between these, doubling, with jitter.
const RECONNECT_MS: (u32, u32) = (50, 2_000);
const RECONNECT_JITTER_MS: u32 = 100;
/// While the connection is down it is asked for so often, each time for as long.
const PING_INTERVAL: Duration = Duration::from_millis(500);
/// A connection that leaves so many pings unanswered is replaced.
const UNANSWERED_MAX: u32 = 3;
/// How long the client may take to hear that its connection is to be cut.
const CUT_TIMEOUT: Duration = Duration::from_millis(20);

/// The connections of one process to Redis.
pub struct RedisLink {
    appends: Side,
    /// For what readers ask, and what they find in the cache.
    pub reads: Side,
    /// For what drains do, and whatever else may take its time.
    pub drains: Side,
}

/// One client and what is known of its connection.
pub struct Side {
    client: Client,
    timeout: Duration,
    connection: Arc<Connection>,
}

/// Whether a connection stands, told once a change. fred's own state stays "connected" through an outage.
struct Connection {
    is_up: AtomicBool,
    /// Grows with each time it came back.
    number: AtomicU64,
    /// How many connections of this process are down: one outage takes them all, and is told once.
    down: Arc<AtomicUsize>,
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
        self.appends.connection.is_up()
    }

    /// The number of the connection that appends use: a new one may lead to a Redis that came back with less.
    pub fn append_connection(&self) -> u64 {
        self.appends.connection.number.load(Ordering::Relaxed)
    }

    /// Runs an appending script once.
    pub async fn append<R: FromValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: Vec<String>,
    ) -> Result<R, Error> {
        self.appends.run(script, keys, args).await
    }

    /// Closes the connection that appends use, so that nothing sent over it is executed any more once Redis
    /// notices; the next append has a new one.
    pub async fn cut_appends(&self) {
        self.appends.connection.lost(&"no answer in time");
        // It waits until there is a new connection; told is enough.
        let _ = tokio::time::timeout(CUT_TIMEOUT, self.appends.client.force_reconnection()).await;
    }
}

impl Side {
    async fn open(url: &ServerUrl, timeout: Duration, down: &Arc<AtomicUsize>) -> Result<Self> {
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
        let connection = Arc::new(Connection {
            is_up: AtomicBool::new(true),
            number: AtomicU64::new(1),
            down: down.clone(),
        });
        tokio::spawn(watch(client.clone(), connection.clone()));
        Ok(Self { client, timeout, connection })
    }

    /// Whether there is a connection; whoever lost it has said so.
    pub fn is_up(&self) -> bool {
        self.connection.is_up()
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

    /// Awaits what `ask` asks of the client, for a bounded time. Fails at once while there is no connection.
    pub async fn ask<R, F>(&self, ask: impl FnOnce(Client) -> F) -> Result<R>
    where
        F: Future<Output = Result<R, Error>>,
    {
        let client = self.connected()?.clone();
        Ok(self.bounded(ask(client)).await?)
    }

    /// The client, unless it would only queue what it is told until it is connected again.
    fn connected(&self) -> Result<&Client, Error> {
        if self.is_up() {
            Ok(&self.client)
        } else {
            Err(Error::new(ErrorKind::IO, "not connected; reconnecting"))
        }
    }

    /// fred's own time-outs rest while it reconnects.
    async fn bounded<R>(&self, command: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
        let answer = tokio::time::timeout(self.timeout, command).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no answer in time")));
        if answer.as_ref().is_err_and(|error| *error.kind() == ErrorKind::Timeout) {
            // A Redis that hangs is as good as none: others need not wait as well, the ping does.
            self.connection.lost(&"no answer in time");
        }
        answer
    }

    async fn run<R: FromValue>(
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
                // Redis forgets scripts when it restarts; nothing was run, so this is no second attempt.
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

impl Connection {
    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    fn lost(&self, why: &dyn std::fmt::Display) {
        if self.is_up.swap(false, Ordering::Relaxed) && self.down.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!(%why, "redis is away; reconnecting");
        }
    }

    fn back(&self) {
        // Before anybody sees that it is up.
        self.number.fetch_add(1, Ordering::Relaxed);
        if !self.is_up.swap(true, Ordering::Relaxed) && self.down.fetch_sub(1, Ordering::Relaxed) == 1 {
            info!("redis is back");
        }
    }
}

/// Keeps `connection` true to the client's. An error and the reconnect after it may be told in either order, so
/// while it is down a ping has the last word.
async fn watch(client: Client, connection: Arc<Connection>) {
    let mut errors = client.error_rx();
    let mut reconnects = client.reconnect_rx();
    let mut unanswered = 0;
    loop {
        tokio::select! {
            Ok((error, _)) = errors.recv() => connection.lost(&cause(&error)),
            Ok(_) = reconnects.recv() => connection.back(),
            // Also while it is up: whoever finds out that it is not may be a caller that waited in vain.
            () = tokio::time::sleep(PING_INTERVAL) => {
                if connection.is_up() {
                    continue;
                }
                let ping = CustomCommand::new_static("PING", ClusterHash::Random, false);
                let answer = client.custom::<String, String>(ping, Vec::new());
                match tokio::time::timeout(PING_INTERVAL, answer).await {
                    Ok(Ok(_)) => connection.back(),
                    // There is no connection: the client is reconnecting by itself.
                    Ok(Err(error)) if *error.kind() != ErrorKind::Timeout => unanswered = 0,
                    // Nothing comes back over this connection any more; another one may do.
                    _ => unanswered += 1,
                }
                if unanswered == UNANSWERED_MAX {
                    unanswered = 0;
                    let _ = tokio::time::timeout(CUT_TIMEOUT, client.force_reconnection()).await;
                }
            }
        }
    }
}

/// The system's own words out of an I/O error, which quotes them as `Os { …, message: "Connection refused" }`.
fn cause(error: &Error) -> String {
    let details = error.details();
    let quoted = details.split_once("message: \"").and_then(|(_, rest)| rest.split_once('"'));
    quoted.map_or_else(|| details.to_owned(), |(message, _)| message.to_owned())
}

/// Conditions that Redis names in the first word of an error and that pass by themselves or by an operator.
const PASSING: [&str; 11] = [
    "OOM",
    "LOADING",
    "READONLY",
    "MISCONF",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MASTERDOWN",
    "BUSY",
    "NOAUTH",
    // Forgotten again between its loading and its use.
    "NOSCRIPT",
];

/// Whether Redis itself said no, rather than nobody: its errors begin with a word in capitals.
pub fn is_answer(error: &Error) -> bool {
    let first = error.details().split([' ', ':']).next().unwrap_or_default();
    first.len() > 1 && first.chars().all(|c| c.is_ascii_uppercase())
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        let first = error.details().split([' ', ':']).next().unwrap_or_default();
        // A script's error begins with the script's name and only quotes Redis' own word.
        let word =
            PASSING.iter().find(|word| first == **word || error.details().contains(&format!("-{word} ")));
        match word {
            Some(&"OOM") => {
                crate::Error::Unavailable("redis has no memory left (maxmemory); a drain frees some".into())
            }
            Some(word) => crate::Error::Unavailable(format!("redis takes nothing right now ({word})")),
            None if is_answer(&error) => crate::Error::Internal(format!("redis answered: {error}")),
            None => crate::Error::Unavailable(format!("redis did not answer: {}", cause(&error))),
        }
    }
}
