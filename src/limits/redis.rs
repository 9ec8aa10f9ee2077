//! The buckets that the processes of a server set-up share: one key each, which lives for a minute at most.
//!
//! One call of the script serves all requests that wait, one after another: a round trip costs more than a request does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fred::types::scripts::Script;
use ring::digest::{SHA256, digest};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::gcra::{PERIOD_US, Taken, interval_us};
use super::{Key, Policy};
use crate::redis::link::RedisLink;
use crate::tasks;

/// A script of so many requests takes Redis a few milliseconds, in which it does nothing else.
const GROUP_MAX: usize = 256;
/// Requests that may wait for the next call; further ones wait for a place among them.
const REQUESTS_MAX: usize = 4_096;

pub struct RedisBuckets {
    requests: mpsc::Sender<Request>,
    salt: String,
}

/// One call of each of these buckets is asked for. Without an answer, Redis gave none.
struct Request {
    buckets: Vec<String>,
    /// The calls of each that Redis does not know of, with the one asked for.
    calls: Vec<u32>,
    answer: oneshot::Sender<Taken>,
}

/// The script, and what is the same in every call of it.
struct Calls {
    link: Arc<RedisLink>,
    script: Script,
    /// The number of buckets of a request, the period, and the interval of each.
    args: Vec<String>,
    /// A warning was logged that Redis answers and refuses.
    has_warned: AtomicBool,
}

impl RedisBuckets {
    /// Buckets for requests that each take from one bucket of every limit (its calls per minute). Needs a tokio runtime.
    pub fn new(link: Arc<RedisLink>, per_minute: impl Iterator<Item = u32>, salt: &str) -> Self {
        let script = Script::from_lua(include_str!("take.lua"));
        let intervals_us: Vec<u64> = per_minute.map(interval_us).collect();
        let args = [intervals_us.len() as u64, PERIOD_US].into_iter().chain(intervals_us);
        let args = args.map(|arg| arg.to_string()).collect();
        let calls = Arc::new(Calls { link, script, args, has_warned: AtomicBool::new(false) });
        let answer = move |requests| {
            let calls = calls.clone();
            async move { calls.answer(requests).await }
        };
        let requests = tasks::in_groups("shared limits", REQUESTS_MAX, GROUP_MAX, answer);
        Self { requests, salt: salt.to_owned() }
    }

    /// Takes one call from each bucket, or from none; nothing when Redis does not answer. `calls` are those of each bucket
    /// that Redis does not know of, with the one asked for; the others were allowed already, and count in any case.
    pub async fn take(&self, buckets: &[(Key, u32)], calls: &[u32]) -> Option<Taken> {
        let (answer, taken) = oneshot::channel();
        let buckets = buckets.iter().map(|(key, _)| self.name(key)).collect();
        self.requests.send(Request { buckets, calls: calls.to_vec(), answer }).await.ok()?;
        taken.await.ok()
    }

    /// All have one hash tag, so that one script may use them together in a cluster too.
    fn name(&self, (policy, whose): &Key) -> String {
        match policy {
            Policy::Address => format!("damper:{{limit}}:{policy}:{:032x}", self.hash(whose)),
            Policy::User | Policy::Post => format!("damper:{{limit}}:{policy}:{whose}"),
        }
    }

    /// 128 bits of it.
    fn hash(&self, address: &str) -> u128 {
        let hash = digest(&SHA256, format!("{} {address}", self.salt).as_bytes());
        hash.as_ref().first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes))
    }
}

impl Calls {
    async fn answer(&self, mut requests: Vec<Request>) {
        // A caller that has gone takes nothing.
        requests.retain(|request| !request.answer.is_closed());
        if requests.is_empty() {
            return;
        }
        let (mut keys, mut args) = (Vec::new(), self.args.clone());
        let mut callers = Vec::with_capacity(requests.len());
        for Request { buckets, calls, answer } in requests {
            keys.extend(buckets);
            args.extend(calls.iter().map(u32::to_string));
            callers.push(answer);
        }
        let Some(reply) = self.run(keys, args).await else { return };
        // For each request the bucket that is full, and the levels of all.
        for (caller, taken) in callers.into_iter().zip(reply.chunks_exact(self.args.len() - 1)) {
            let Some((full, levels_us)) = taken.split_first() else { continue };
            let taken = Taken { full: (*full as usize).checked_sub(1), levels_us: levels_us.to_vec() };
            // A caller that went away meanwhile needs no answer.
            let _ = caller.send(taken);
        }
    }

    async fn run(&self, keys: Vec<String>, args: Vec<String>) -> Option<Vec<u64>> {
        match self.link.reads.call(&self.script, &keys, args).await {
            Ok(reply) => {
                if self.has_warned.swap(false, Ordering::Relaxed) {
                    info!("limits are shared again");
                }
                Some(reply)
            }
            Err(error) => {
                // If Redis is away, the connection has logged it.
                if self.link.reads.is_up() && !self.has_warned.swap(true, Ordering::Relaxed) {
                    warn!(%error, "limits are not shared: each process counts by itself");
                }
                None
            }
        }
    }
}
