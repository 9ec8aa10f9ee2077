//! The shared cache of the server set-up, in Redis behind the in-process cache. It needs no more memory than the settings
//! say: it is a number of hashes, its parts, each with a number of entries, and no entry is larger than [`ENTRY_BYTES`].
//! The content of a post that would be is left out; readers who show it ask the store.
//!
//! It stands beside the log unless it has a Redis of its own. There it gives way: when the memory gets short nothing is
//! added, and when the log finds no room all of it goes.
//!
//! A value begins with the version of its encoding and with its newness as text that sorts. So the script that writes
//! it need not understand it, and a value from another version or another program is a miss.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fred::types::scripts::Script;
use futures_util::future::{join_all, try_join_all};
use tracing::{info, warn};

use super::mark::Mark;
use super::memory::MemoryCache;
use super::{Cache, Cached};
use crate::config::{CacheKnobs, ServerUrl};
use crate::entry::Shard;
use crate::error::Result;
use crate::faults::{self, Mistake};
use crate::model::PostId;
use crate::redis::link::{RedisLink, Side};
use crate::tasks;

/// The encoding's version, the first characters of a value.
const ENCODING: &str = "1 ";
/// Characters of the prefix: the encoding, position (32), revision (16) and time (16), in hexadecimal.
const PREFIX_CHARS: usize = ENCODING.len() + 32 + 16 + 16;

/// What an entry takes of Redis at most: its value, its post's id, and their places.
pub const ENTRY_BYTES: u64 = 2_048;
/// The longest value of an entry; a size in which Redis' allocator gives memory out, less a string's head.
const VALUE_BYTES_MAX: usize = 1_784;
/// The hashes that the cache consists of, which a cluster spreads over its nodes.
const PARTS: u16 = 64;
/// A Redis that holds the log and is fuller than this takes no posts, so that the log has the rest.
const FULL_PERCENT: u8 = 80;
/// The arguments of the script before those of the entries.
const SETTINGS_OF_PUT: usize = 3;
/// One of so many entries looks how full Redis is.
const LOOK_EVERY: u64 = 16;
/// After the log found no room, nothing is cached for this long.
const REST: Duration = Duration::from_secs(60);
/// A Redis of its own that was not there at the start is looked for this often.
const CONNECT_INTERVAL: Duration = Duration::from_secs(2);

/// Posts in Redis, and the nearest of them in process.
pub struct RedisCache {
    near: Arc<MemoryCache>,
    mark: Mark,
    /// Empty until a Redis of its own has answered.
    link: Arc<OnceLock<Arc<RedisLink>>>,
    entries_of_a_part: u64,
    life: Duration,
    put: Script,
    /// How many entries were put.
    puts: AtomicU64,
    /// Whether the Redis holds the log, too.
    is_beside_log: bool,
    /// Whether nothing is put for a while.
    is_resting: Arc<AtomicBool>,
    /// Whether a warning was logged that Redis answers and refuses.
    has_warned: AtomicBool,
}

/// How many entries fit into each part.
pub fn entries_of_a_part(knobs: &CacheKnobs) -> u64 {
    knobs.redis_bytes_max / ENTRY_BYTES / u64::from(PARTS)
}

/// The bytes that the cache takes of a Redis, as far as it says.
pub async fn bytes_held(link: &RedisLink) -> u64 {
    let entries = parts().map(|part| link.drains.on_key::<u64>("HLEN", vec![part.into()]));
    join_all(entries).await.into_iter().flatten().sum::<u64>() * ENTRY_BYTES
}

impl RedisCache {
    /// A cache behind `near`, in the Redis that the settings name, or in that of the log. Needs a tokio runtime.
    ///
    /// # Errors
    /// `Config` when the URL of a Redis of its own cannot be used. One that does not answer is looked for later.
    pub async fn open(near: MemoryCache, log: Arc<RedisLink>, knobs: &CacheKnobs) -> Result<Self> {
        let is_beside_log = knobs.redis_url.is_empty();
        let is_resting = Arc::new(AtomicBool::new(false));
        let link = if is_beside_log {
            let given = (log.clone(), is_resting.clone());
            tasks::keep("cache that gives way", move || give_way(given.0.clone(), given.1.clone()));
            Arc::new(OnceLock::from(log))
        } else {
            connect(&knobs.redis_url).await?
        };
        let near = Arc::new(near);
        Ok(Self {
            mark: Mark::watch(&near, &link),
            near,
            link,
            entries_of_a_part: entries_of_a_part(knobs),
            life: Duration::from_secs(knobs.ttl_seconds),
            put: Script::from_lua(include_str!("put.lua")),
            puts: AtomicU64::new(0),
            is_beside_log,
            is_resting,
            has_warned: AtomicBool::new(false),
        })
    }

    async fn get(&self, link: &RedisLink, id: &PostId) -> Option<Arc<Cached>> {
        let asked_at = Instant::now();
        let read = link.reads.on_key("HGET", vec![part(id).into(), id.as_str().into()]).await;
        let value: Option<Vec<u8>> = self.note(link, read)?;
        // The value of another program, another version, or another post is a miss.
        let entry = decode(&value?).filter(|entry| entry.state.post.id == *id)?;
        Some(Arc::new(Cached { asked_at, ..entry }))
    }

    /// Puts entries of one part.
    async fn put(&self, link: &RedisLink, side: &Side, part: String, entries: Vec<&Cached>) {
        let count = entries.len() as u64;
        let put_before = self.puts.fetch_add(count, Ordering::Relaxed);
        let looks = put_before.next_multiple_of(LOOK_EVERY) < put_before + count;
        let full_percent = if self.is_beside_log && looks { FULL_PERCENT } else { 0 };
        let mut args = vec![
            self.life.as_millis().to_string(),
            self.entries_of_a_part.to_string(),
            full_percent.to_string(),
        ];
        for entry in entries {
            if let Some((newness, body)) = encode(entry).or_else(|| encode(&entry.cut())) {
                args.extend([entry.state.post.id.to_string(), newness, body]);
            }
        }
        if args.len() == SETTINGS_OF_PUT {
            // All of them are too long.
            return;
        }
        let _: Option<i64> = self.note(link, side.call(&self.put, &[part], args).await);
    }

    async fn put_all(&self, entries: &[Arc<Cached>], side: fn(&RedisLink) -> &Side) {
        let Some(link) = self.link.get().filter(|_| !self.is_resting.load(Ordering::Relaxed)) else { return };
        let mut parts: BTreeMap<String, Vec<&Cached>> = BTreeMap::new();
        for entry in entries {
            parts.entry(part(&entry.state.post.id)).or_default().push(entry);
        }
        join_all(parts.into_iter().map(|(part, entries)| self.put(link, side(link), part, entries))).await;
    }

    fn note<T>(&self, link: &RedisLink, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                if self.has_warned.swap(false, Ordering::Relaxed) {
                    info!("the read cache works again");
                }
                Some(value)
            }
            Err(error) => {
                // If Redis is away, the connection has logged it.
                if link.reads.is_up() && !self.has_warned.swap(true, Ordering::Relaxed) {
                    warn!(%error, "the read cache does not work; reading from the store");
                }
                None
            }
        }
    }
}

/// Connects to a Redis of the cache's own, at once or later: without it reads only ask the store more often.
async fn connect(url: &ServerUrl) -> Result<Arc<OnceLock<Arc<RedisLink>>>> {
    let link = Arc::new(OnceLock::new());
    match RedisLink::open_cache(url).await {
        Ok(opened) => drop(link.set(Arc::new(opened))),
        Err(error) if error.is_transient() => {
            warn!(%error, "the read cache has no redis yet; reading from the store");
            let shared = (url.clone(), link.clone());
            tasks::keep("connection of the cache", move || {
                let (url, link) = shared.clone();
                async move {
                    while link.get().is_none() {
                        tokio::time::sleep(CONNECT_INTERVAL).await;
                        if let Ok(opened) = RedisLink::open_cache(&url).await {
                            info!("the read cache has its redis");
                            drop(link.set(Arc::new(opened)));
                        }
                    }
                }
            });
        }
        Err(error) => return Err(error),
    }
    Ok(link)
}

/// Empties the cache whenever the log finds no room beside it.
async fn give_way(log: Arc<RedisLink>, is_resting: Arc<AtomicBool>) {
    loop {
        log.appends.full.notified().await;
        is_resting.store(true, Ordering::Relaxed);
        let emptied =
            try_join_all(parts().map(|part| log.drains.on_key::<i64>("UNLINK", vec![part.into()]))).await;
        warn!(is_emptied = emptied.is_ok(), "redis has no memory left for ratings; the read cache gives way");
        tokio::time::sleep(REST).await;
        is_resting.store(false, Ordering::Relaxed);
    }
}

/// The part that holds a post.
fn part(id: &PostId) -> String {
    format!("damper:cache:{}", Shard::of(id, PARTS).0)
}

fn parts() -> impl Iterator<Item = String> {
    (0..PARTS).map(|number| format!("damper:cache:{number}"))
}

/// An entry as Redis keeps it; nothing when it is too long.
fn encode(entry: &Cached) -> Option<(String, String)> {
    let (version, revision) = entry.state.newness();
    let parts = match faults::has(Mistake::BlindCache) {
        true => [u64::MAX; 4],
        false => [version.high, version.low, revision, entry.read_at.ms().unsigned_abs()],
    };
    let newness = ENCODING.to_owned() + &parts.map(|part| format!("{part:016x}")).concat();
    let body = serde_json::to_string(entry).ok()?;
    (newness.len() + body.len() <= VALUE_BYTES_MAX).then_some((newness, body))
}

fn decode(value: &[u8]) -> Option<Cached> {
    let body = value.strip_prefix(ENCODING.as_bytes()).and_then(|_| value.get(PREFIX_CHARS..))?;
    serde_json::from_slice(body).ok()
}

#[async_trait]
impl Cache for RedisCache {
    async fn get_many(&self, ids: &[PostId]) -> Vec<Option<Arc<Cached>>> {
        let mut found = self.near.get_many(ids).await;
        let Some(link) = self.link.get() else { return found };
        let missing: Vec<usize> = (0..ids.len()).filter(|&i| found[i].is_none()).collect();
        // Sent together, not as one MGET: a cluster keeps the keys in different places.
        let fetched = join_all(missing.iter().map(|&i| self.get(link, &ids[i]))).await;
        let near: Vec<Arc<Cached>> = fetched.iter().flatten().cloned().collect();
        self.near.put_many(&near).await;
        let mut missed = Vec::new();
        for (i, entry) in missing.into_iter().zip(fetched) {
            let last = self.near.last(&ids[i]).await;
            found[i] = match (entry, last) {
                // Redis was away when this process got it. Readers do not go back, here or elsewhere.
                (Some(entry), Some(last)) if last.state.newness() > entry.state.newness() => {
                    missed.push(last.clone());
                    Some(last)
                }
                (entry, _) => entry,
            };
        }
        self.put_all(&missed, |link| &link.reads).await;
        found
    }

    async fn put_many(&self, entries: &[Arc<Cached>]) {
        self.near.put_many(entries).await;
        self.put_all(entries, |link| &link.reads).await;
    }

    async fn refresh_many(&self, entries: &[Arc<Cached>]) {
        self.near.refresh_many(entries).await;
        self.put_all(entries, |link| &link.drains).await;
    }

    fn changes_made(&self) -> u64 {
        self.near.changes_made()
    }

    async fn note_change(&self) {
        self.near.note_change().await;
        self.mark.remove().await;
    }

    fn is_fresh(&self, asked_at: Instant) -> bool {
        self.near.is_fresh(asked_at)
    }
}
