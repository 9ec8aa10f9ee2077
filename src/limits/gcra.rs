//! The generic cell rate algorithm (ITU-T I.371): a bucket is one moment, the one at which it will be empty.
//!
//! Each call adds an interval to it, and time empties it. A call without room is refused and adds nothing. `take.lua`
//! does the same in Redis.

use std::collections::HashMap;
use std::hash::Hash;

use crate::model::Time;

/// A limit is a number of calls in this time, and the same number at once.
pub const PERIOD_US: u64 = 60_000_000;
/// The most buckets that are kept. When there are more, all start empty again: an error in favour of the callers.
const BUCKETS_MAX: usize = 200_000;
/// How often empty buckets are dropped.
const SWEEP_INTERVAL_MS: i64 = 60_000;

/// The interval that a call adds to a bucket for `per_minute` calls.
pub fn interval_us(per_minute: u32) -> u64 {
    PERIOD_US / u64::from(per_minute.max(1))
}

/// How many calls a bucket of this level has room for.
pub fn remaining(level_us: u64, per_minute: u32) -> u64 {
    PERIOD_US.saturating_sub(level_us) / interval_us(per_minute)
}

/// How long until a bucket of this level has room for a call.
pub fn wait_us(level_us: u64, per_minute: u32) -> u64 {
    (level_us + interval_us(per_minute)).saturating_sub(PERIOD_US)
}

/// The result of a call: which bucket is full, if one is, and the level of each afterwards.
pub struct Taken {
    /// The first bucket without room; then no bucket was changed.
    pub full: Option<usize>,
    /// Each bucket's level.
    pub levels_us: Vec<u64>,
}

/// Buckets in memory, by their keys.
pub struct Buckets<K> {
    buckets: HashMap<K, Bucket>,
    swept: Time,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// When it will be empty, in microseconds since the epoch.
    empty_at_us: i64,
    /// The calls in it that only this process knows of.
    unshared: u32,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self { buckets: HashMap::new(), swept: Time::default() }
    }
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Takes one call out of each bucket (its key and its calls per minute), or out of none when one of them is full.
    pub fn take(&mut self, buckets: &[(K, u32)], now: Time) -> Taken {
        let found: Vec<Bucket> = buckets.iter().map(|(key, _)| self.find(key, now)).collect();
        let mut levels_us: Vec<u64> = found.iter().map(|bucket| bucket.level_us(now)).collect();
        let is_full = |(level_us, (_, per_minute)): (&u64, &(K, u32))| wait_us(*level_us, *per_minute) > 0;
        let full = levels_us.iter().zip(buckets).position(is_full);
        if full.is_none() {
            for ((level_us, bucket), (key, per_minute)) in levels_us.iter_mut().zip(found).zip(buckets) {
                *level_us += interval_us(*per_minute);
                let empty_at_us = us(now).saturating_add_unsigned(*level_us);
                self.put(key, Bucket { empty_at_us, unshared: bucket.unshared + 1 }, now);
            }
        }
        Taken { full, levels_us }
    }

    /// The calls in a bucket that only this process knows of. An empty bucket has none: they have leaked away.
    pub fn unshared(&self, key: &K, now: Time) -> u32 {
        self.find(key, now).unshared
    }

    /// Changes how many calls in a bucket only this process knows of.
    pub fn set_unshared(&mut self, key: &K, unshared: u32) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.unshared = unshared;
        }
    }

    /// Sets a bucket's level to that of the bucket which all processes share, and what only this one knows of.
    pub fn set(&mut self, key: &K, per_minute: u32, shared_us: u64, now: Time) {
        let unshared = self.unshared(key, now);
        let level_us = (shared_us + u64::from(unshared) * interval_us(per_minute)).min(PERIOD_US);
        let empty_at_us = us(now).saturating_add_unsigned(level_us);
        self.put(key, Bucket { empty_at_us, unshared }, now);
    }

    /// A bucket, or a new one when it is empty. A level above the period comes from a clock that was set back: the bucket
    /// starts empty.
    fn find(&self, key: &K, now: Time) -> Bucket {
        let is_used = |bucket: &&Bucket| (1..=PERIOD_US).contains(&bucket.level_us(now));
        let empty = Bucket { empty_at_us: us(now), unshared: 0 };
        self.buckets.get(key).filter(is_used).copied().unwrap_or(empty)
    }

    fn put(&mut self, key: &K, bucket: Bucket, now: Time) {
        if (now.ms() - self.swept.ms()).abs() >= SWEEP_INTERVAL_MS {
            self.swept = now;
            self.buckets.retain(|_, bucket| bucket.level_us(now) > 0);
        }
        if let Some(kept) = self.buckets.get_mut(key) {
            *kept = bucket;
            return;
        }
        if self.buckets.len() >= BUCKETS_MAX {
            self.buckets.clear();
        }
        self.buckets.insert(key.clone(), bucket);
    }
}

impl Bucket {
    fn level_us(&self, now: Time) -> u64 {
        u64::try_from(self.empty_at_us.saturating_sub(us(now))).unwrap_or(0)
    }
}

fn us(time: Time) -> i64 {
    time.ms().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_ms(1_790_000_000_000);

    #[test]
    fn a_minutes_worth_at_once_and_then_the_rate() {
        let mut buckets = Buckets::default();
        let ten = [("ann", 10)];
        for left in (0..10).rev() {
            let taken = buckets.take(&ten, NOW);
            assert_eq!((taken.full, remaining(taken.levels_us[0], 10)), (None, left));
        }
        let refused = buckets.take(&ten, NOW);
        assert_eq!(refused.full, Some(0));
        assert_eq!(wait_us(refused.levels_us[0], 10), 6_000_000);
        assert_eq!(buckets.take(&ten, NOW.plus_ms(5_999)).full, Some(0));
        assert_eq!(buckets.take(&ten, NOW.plus_ms(6_000)).full, None);
        assert_eq!(buckets.take(&ten, NOW.plus_ms(6_000)).full, Some(0));
        let taken = (0..20).filter(|_| buckets.take(&ten, NOW.plus_ms(3_600_000)).full.is_none()).count();
        assert_eq!(taken, 10, "an hour of rest is worth no more than a minute");
    }

    #[test]
    fn a_call_that_one_bucket_refuses_costs_the_others_nothing() {
        let mut buckets = Buckets::default();
        let both = [("ann", 5), ("here", 2)];
        let outcomes: Vec<_> = (0..10).map(|_| buckets.take(&both, NOW).full).collect();
        assert_eq!(outcomes[..3], [None, None, Some(1)]);
        let alone = (0..10).filter(|_| buckets.take(&both[..1], NOW).full.is_none()).count();
        assert_eq!(alone, 3, "the eight refused calls took nothing of ann's");
    }

    #[test]
    fn a_clock_that_was_set_back_locks_no_caller_out() {
        let mut buckets = Buckets::default();
        let one = [("ann", 60)];
        while buckets.take(&one, NOW).full.is_none() {}
        let before = NOW.plus_ms(-86_400_000);
        let taken = (0..100).filter(|_| buckets.take(&one, before).full.is_none()).count();
        assert_eq!(taken, 60, "it started empty, and is a limit again");
        assert_eq!(buckets.take(&one, before.plus_ms(1_000)).full, None);
    }

    #[test]
    fn a_level_of_all_processes_is_joined_by_what_only_this_one_knows() {
        let mut buckets = Buckets::default();
        let sixty = [("ann", 60)];
        (0..4).for_each(|_| assert_eq!(buckets.take(&sixty, NOW).full, None));
        assert_eq!(buckets.unshared(&"ann", NOW), 4);
        buckets.set(&"ann", 60, 30_000_000, NOW);
        assert_eq!(buckets.take(&sixty, NOW).levels_us, [35_000_000]);
        buckets.set_unshared(&"ann", 0);
        buckets.set(&"ann", 60, 30_000_000, NOW);
        assert_eq!(buckets.take(&sixty, NOW).levels_us, [31_000_000]);
        assert_eq!(buckets.unshared(&"ann", NOW.plus_ms(31_000)), 0, "they have leaked away");
    }

    #[test]
    fn a_sweep_drops_what_is_empty_and_nothing_else() {
        let mut buckets = Buckets::default();
        let (last, sweep) = (NOW.plus_ms(SWEEP_INTERVAL_MS - 1), NOW.plus_ms(SWEEP_INTERVAL_MS));
        assert_eq!(buckets.take(&[("bob", 1)], NOW).full, None);
        (0..10).for_each(|_| assert_eq!(buckets.take(&[("ann", 10)], last).full, None));
        assert_eq!(buckets.take(&[("carl", 1)], sweep).full, None);
        assert_eq!(buckets.take(&[("ann", 10)], sweep).full, Some(0));
        assert_eq!(buckets.buckets.len(), 2, "bob's is empty by now");
    }

    #[test]
    fn too_many_buckets_start_empty_again() {
        let mut buckets = Buckets::default();
        for key in 0..2 * BUCKETS_MAX {
            assert_eq!(buckets.take(&[(key, 1)], NOW).full, None);
        }
        assert!(buckets.buckets.len() <= BUCKETS_MAX);
        buckets.take(&[(0, 1)], NOW.plus_ms(120_000));
        assert_eq!(buckets.buckets.len(), 1, "those that are empty by now are dropped");
    }
}
