//! The buckets that the processes of a server set-up share: one key each, which lives for a minute at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fred::types::scripts::Script;
use ring::digest::{SHA256, digest};
use tracing::{info, warn};

use super::gcra::{PERIOD_US, Taken, interval_us};
use super::{Key, Policy};
use crate::redis::link::RedisLink;

pub struct RedisBuckets {
    link: Arc<RedisLink>,
    script: Script,
    salt: String,
    /// A warning was logged that Redis answers and refuses.
    has_warned: AtomicBool,
}

impl RedisBuckets {
    pub fn new(link: Arc<RedisLink>, salt: &str) -> Self {
        let script = Script::from_lua(include_str!("take.lua"));
        Self { link, script, salt: salt.to_owned(), has_warned: AtomicBool::new(false) }
    }

    /// Takes one call from each bucket, or from none; nothing when Redis does not answer.
    pub async fn take(&self, buckets: &[(Key, u32)]) -> Option<Taken> {
        let keys: Vec<String> = buckets.iter().map(|(key, _)| self.name(key)).collect();
        let mut args = vec![PERIOD_US.to_string()];
        args.extend(buckets.iter().map(|(_, per_minute)| interval_us(*per_minute).to_string()));
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

    /// 128 bits of it, in hexadecimal.
    fn hash(&self, address: &str) -> String {
        let hash = digest(&SHA256, format!("{} {address}", self.salt).as_bytes());
        let bits = hash.as_ref().first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        format!("{bits:032x}")
    }
}
