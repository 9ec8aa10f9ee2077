//! Limits on how fast one user, one address or one post takes ratings: token buckets of a minute.
//!
//! The processes of a server set-up share their buckets in Redis, and each keeps a copy of the levels that it saw.
//! Redis is not asked when the copy refuses already, nor for a bucket's first few calls (`UNSHARED_PART`): most users
//! rate now and then, and a question for each call would cost Redis more than the rating itself. While Redis is away the
//! copy alone counts. An address stays in memory for a minute or two; Redis gets a hash of it, for a minute at most.

pub mod crowd;
mod gcra;
mod redis;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::LimitKnobs;
use crate::model::{PostId, Time, UserId};
use crate::redis::link::RedisLink;
use gcra::{Buckets, Taken};
use redis::RedisBuckets;

/// Each process counts up to this part of a limit by itself before it asks Redis, so over P processes a minute has room
/// for P of these more.
const UNSHARED_PART: u32 = 16;

/// Which calls are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Those of one user.
    User,
    /// Those of one address, or of one network of 64 bits (IPv6).
    Address,
    /// Those of one post.
    Post,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::User => "user",
            Policy::Address => "address",
            Policy::Post => "post",
        })
    }
}

/// How much of a limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The limit.
    pub policy: Policy,
    /// The calls that it allows in a minute, and at once.
    pub per_minute: u32,
    /// The calls that it has room for now.
    pub remaining: u64,
    /// Until the bucket is empty again.
    pub reset_seconds: u64,
    /// Until there is room for a call again; 0 when there is now.
    pub wait_seconds: u64,
}

impl Quota {
    fn new(policy: Policy, per_minute: u32, level_us: u64) -> Self {
        let remaining = gcra::remaining(level_us, per_minute);
        let reset_seconds = level_us.div_ceil(1_000_000);
        let wait_seconds = gcra::wait_us(level_us, per_minute).div_ceil(1_000_000);
        Self { policy, per_minute, remaining, reset_seconds, wait_seconds }
    }
}

/// The answer to a request for one call.
#[derive(Debug, Default)]
pub struct Admission {
    /// Every limit that is set.
    pub quotas: Vec<Quota>,
    /// The one that refuses.
    pub refused: Option<Quota>,
}

/// A bucket's name.
type Key = (Policy, String);

/// The limits of one process.
pub struct Limits {
    /// Those that are set, with their calls per minute; the most important first.
    set: Vec<(Policy, u32)>,
    near: Mutex<Buckets<Key>>,
    shared: Option<RedisBuckets>,
}

impl Limits {
    /// Limits by these settings, shared through Redis where there is one; `installation` salts the hashes.
    pub fn new(knobs: &LimitKnobs, link: Option<Arc<RedisLink>>, installation: &str) -> Self {
        let mut set = vec![
            (Policy::User, knobs.ratings_per_minute_per_user),
            (Policy::Address, knobs.ratings_per_minute_per_address),
            (Policy::Post, knobs.ratings_per_minute_per_post),
        ];
        set.retain(|(_, per_minute)| *per_minute > 0);
        let per_minute = set.iter().map(|(_, per_minute)| *per_minute);
        let shared = link.map(|link| RedisBuckets::new(link, per_minute, installation));
        Self { set, near: Mutex::default(), shared }
    }

    /// Takes one call of this user from this address for this post, if every limit has room for it.
    pub async fn take(&self, user: &UserId, address: IpAddr, post: &PostId, now: Time) -> Admission {
        if self.set.is_empty() {
            return Admission::default();
        }
        let whose = |policy| match policy {
            Policy::User => user.to_string(),
            Policy::Address => network(address),
            Policy::Post => post.to_string(),
        };
        let bucket = |(policy, per_minute): &(Policy, u32)| ((*policy, whose(*policy)), *per_minute);
        let buckets: Vec<(Key, u32)> = self.set.iter().map(bucket).collect();
        let Taken { full, levels_us } = self.take_of(&buckets, now).await;
        let quota = |(((policy, _), per_minute), level_us): (&(Key, u32), u64)| {
            Quota::new(*policy, *per_minute, level_us)
        };
        let quotas: Vec<Quota> = buckets.iter().zip(levels_us).map(quota).collect();
        Admission { refused: full.and_then(|full| quotas.get(full).copied()), quotas }
    }

    async fn take_of(&self, buckets: &[(Key, u32)], now: Time) -> Taken {
        let near = || self.near.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, unshared) = {
            let mut near = near();
            let taken = near.take(buckets, now);
            let unshared = |(key, _): &(Key, u32)| near.unshared(key, now).max(1);
            let unshared: Vec<u32> = buckets.iter().map(unshared).collect();
            let is_too_many =
                |(unshared, (_, per_minute)): (&u32, &(Key, u32))| *unshared > per_minute / UNSHARED_PART;
            if taken.full.is_some() || !unshared.iter().zip(buckets).any(is_too_many) {
                return taken;
            }
            buckets.iter().for_each(|(key, _)| near.set_unshared(key, 0));
            (taken, unshared)
        };
        let shared = match &self.shared {
            Some(shared) => shared.take(buckets, &unshared).await,
            None => return taken,
        };
        let mut near = near();
        let Some(shared) = shared else {
            for ((key, _), unshared) in buckets.iter().zip(unshared) {
                let since = near.unshared(key, now);
                near.set_unshared(key, unshared + since);
            }
            return taken;
        };
        for ((key, per_minute), level_us) in buckets.iter().zip(&shared.levels_us) {
            near.set(key, *per_minute, *level_us, now);
        }
        shared
    }
}

/// What counts as one address: a client with an address of IPv6 has 2^64 of them.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:x}", address.to_bits() >> 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[tokio::test]
    async fn the_answer_shows_the_rest_of_each_limit() {
        let knobs = LimitKnobs {
            ratings_per_minute_per_user: 3,
            ratings_per_minute_per_address: 2,
            ratings_per_minute_per_post: 0,
            trusted_proxies: Default::default(),
        };
        let limits = Limits::new(&knobs, None, "test");
        let (post, address) = (PostId::parse("p").unwrap(), "192.0.2.1".parse().unwrap());
        let now = Time::from_ms(1_790_000_000_000);
        let take = async |user: &str| limits.take(&UserId::parse(user).unwrap(), address, &post, now).await;
        let first = take("ann").await;
        assert_eq!(first.refused, None);
        let left: Vec<_> = first.quotas.iter().map(|quota| (quota.policy, quota.remaining)).collect();
        assert_eq!(left, [(Policy::User, 2), (Policy::Address, 1)]);
        assert_eq!(take("ann").await.refused, None);
        let refused = take("bob").await.refused.unwrap();
        assert_eq!((refused.policy, refused.wait_seconds), (Policy::Address, 30));
    }
}
