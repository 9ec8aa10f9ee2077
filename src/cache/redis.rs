//! The shared cache of the server set-up: a Redis key per post, behind the in-process cache.
//!
//! A value begins with the version of its encoding and with its newness as text that sorts. So the script that writes
//! it need not understand it, and a value from another version or another program is a miss.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fred::interfaces::KeysInterface;
use fred::types::scripts::Script;
use futures_util::future::join_all;
use tracing::{info, warn};

use super::memory::MemoryCache;
use super::{Cache, Cached};
use crate::faults::{self, Mistake};
use crate::model::PostId;
use crate::redis::link::{RedisLink, Side};

/// The encoding's version, the first characters of a value.
const ENCODING: &str = "1 ";
/// Characters of the prefix: the encoding, position (32), revision (16) and time (16), in hexadecimal.
const PREFIX_CHARS: usize = ENCODING.len() + 32 + 16 + 16;

/// Posts in Redis, and the nearest of them in process.
pub struct RedisCache {
    near: MemoryCache,
    link: Arc<RedisLink>,
    life: Duration,
    put: Script,
    /// Whether a warning was logged that Redis answers and refuses.
    has_warned: AtomicBool,
}

impl RedisCache {
    /// A cache whose entries Redis keeps for `life`.
    pub fn new(near: MemoryCache, link: Arc<RedisLink>, life: Duration) -> Self {
        let put = Script::from_lua(match faults::has(Mistake::BlindCache) {
            true => "return redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2])",
            false => include_str!("put.lua"),
        });
        Self { near, link, life, put, has_warned: AtomicBool::new(false) }
    }

    async fn get(&self, id: &PostId) -> Option<Arc<Cached>> {
        let read = self.link.reads.ask(|client| async move { client.get(key(id)).await }).await;
        let value: Option<Vec<u8>> = self.note(read.map_err(crate::Error::from))?;
        // The value of another program, another version, or another post is a miss.
        decode(&value?).filter(|entry| entry.state.post.id == *id).map(Arc::new)
    }

    async fn put(&self, side: &Side, entry: &Cached) {
        let Some((newness, body)) = encode(entry) else { return };
        let args = vec![newness, body, self.life.as_millis().to_string()];
        let _: Option<i64> = self.note(side.call(&self.put, &[key(&entry.state.post.id)], args).await);
    }

    fn note<T>(&self, outcome: crate::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                if self.has_warned.swap(false, Ordering::Relaxed) {
                    info!("the read cache works again");
                }
                Some(value)
            }
            Err(error) => {
                // If Redis is away, the connection has logged it.
                if self.link.reads.is_up() && !self.has_warned.swap(true, Ordering::Relaxed) {
                    warn!(%error, "the read cache does not work; reading from the store");
                }
                None
            }
        }
    }
}

fn key(id: &PostId) -> String {
    format!("damper:post:{id}")
}

fn encode(entry: &Cached) -> Option<(String, String)> {
    let (version, revision) = entry.state.newness();
    let newness = format!(
        "{ENCODING}{:016x}{:016x}{revision:016x}{:016x}",
        version.high,
        version.low,
        entry.read_at.ms().unsigned_abs()
    );
    Some((newness, serde_json::to_string(entry).ok()?))
}

fn decode(value: &[u8]) -> Option<Cached> {
    let body = value.strip_prefix(ENCODING.as_bytes()).and_then(|_| value.get(PREFIX_CHARS..))?;
    serde_json::from_slice(body).ok()
}

#[async_trait]
impl Cache for RedisCache {
    async fn get_many(&self, ids: &[PostId]) -> Vec<Option<Arc<Cached>>> {
        let mut found = self.near.get_many(ids).await;
        let missing: Vec<usize> = (0..ids.len()).filter(|&i| found[i].is_none()).collect();
        // Sent together, not as one MGET: a cluster keeps the keys in different places.
        let fetched = join_all(missing.iter().map(|&i| self.get(&ids[i]))).await;
        let near: Vec<Arc<Cached>> = fetched.iter().flatten().cloned().collect();
        self.near.put_many(&near).await;
        for (i, entry) in missing.into_iter().zip(fetched) {
            found[i] = entry;
        }
        found
    }

    async fn put_many(&self, entries: &[Arc<Cached>]) {
        self.near.put_many(entries).await;
        join_all(entries.iter().map(|entry| self.put(&self.link.reads, entry))).await;
    }

    async fn refresh_many(&self, entries: &[Arc<Cached>]) {
        self.near.put_many(entries).await;
        join_all(entries.iter().map(|entry| self.put(&self.link.drains, entry))).await;
    }
}
