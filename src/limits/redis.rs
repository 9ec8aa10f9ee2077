//! The buckets that the processes of a server set-up share: one key each, which lives for a minute at most.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fred::types::scripts::Script;
use ring::digest::{SHA256, digest};
use tracing::{info, warn};

use super::gcra::{PERIOD_US, Taken};
use super::{Key, Policy};
use crate::redis::link::RedisLink;

/// The bytes of a hash in a key.
const HASH_BYTES: usize = 16;

/// Buckets in Redis.
pub struct RedisBuckets {
    link: Arc<RedisLink>,
    script: Script,
    salt: String,
    /// Whether a warning was logged that Redis answers and refuses.
    has_warned: AtomicBool,
}

impl RedisBuckets {
    pub fn new(link: Arc<RedisLink>, salt: &str) -> Self {
        Self {
            link,
            script: Script::from_lua(include_str!("take.lua")),
            salt: salt.to_owned(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Takes one call from each bucket, or from none; nothing when Redis does not answer.
    pub async fn take(&self, buckets: &[(Key, u64)]) -> Option<Taken> {
        let keys: Vec<String> = buckets.iter().map(|(key, _)| self.name(key)).collect();
        let mut args = vec![PERIOD_US.to_string()];
        args.extend(buckets.iter().map(|(_, interval_us)| interval_us.to_string()));
        let reply: Vec<u64> = match self.link.reads.call(&self.script, &keys, args).await {
            Ok(reply) => reply,
            Err(error) => {
                // If Redis is away, the connection has logged it.
                if self.link.reads.is_up() && !self.has_warned.swap(true, Ordering::Relaxed) {
                    warn!(%error, "limits are not shared: each process counts by itself");
                }
                return None;
            }
        };
        if self.has_warned.swap(false, Ordering::Relaxed) {
            info!("limits are shared again");
        }
        let (full, levels_us) = reply.split_first().filter(|(_, levels)| levels.len() == buckets.len())?;
        Some(Taken { full: (*full as usize).checked_sub(1), levels_us: levels_us.to_vec() })
    }

    /// All have one hash tag, so that one script may use them together in a cluster too.
    fn name(&self, (policy, whose): &Key) -> String {
        let whose = match policy {
            Policy::Address => self.hash(whose),
            Policy::User | Policy::Post => whose.clone(),
        };
        format!("damper:{{limit}}:{policy}:{whose}")
    }

    fn hash(&self, address: &str) -> String {
        let hash = digest(&SHA256, format!("{} {address}", self.salt).as_bytes());
        hash.as_ref().iter().take(HASH_BYTES).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
