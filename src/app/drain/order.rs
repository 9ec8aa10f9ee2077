//! How a drain is run: what started it, how long it may take, and when it tries again after an error.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::entry::Shard;
use crate::model::Time;
use crate::store::Trigger;

/// Retries of a shard after a transient error, while a caller waits for the outcome.
const RETRIES_MAX: u32 = 5;
/// A retry waits for this, twice this, and so on up to the maximum, less up to half of it.
const RETRY_DELAY: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(4);

/// How a drain is run.
pub struct DrainOrder<'a> {
    /// What started it.
    pub trigger: Trigger,
    /// No batch begins after this. Until then a tick retries after transient errors.
    pub until: Option<Instant>,
    /// Whether to stop before the next batch.
    pub stop: &'a (dyn Fn() -> bool + Send + Sync),
    /// Called at every step.
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
}

impl DrainOrder<'_> {
    /// A drain without a limit that reports no steps.
    pub fn quiet(trigger: Trigger) -> Self {
        Self { trigger, until: None, stop: &|| false, progress: &|_| {} }
    }

    /// Whether no further batch begins.
    pub(super) fn is_over(&self) -> bool {
        (self.stop)() || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether a shard is tried again after so many attempts.
    pub(super) fn may_retry(&self, attempt: u32) -> bool {
        let has_time = self.trigger == Trigger::Tick && self.until.is_some();
        !self.is_over() && (has_time || attempt < RETRIES_MAX)
    }
}

/// A step of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A shard was begun, with this many waiting entries.
    Begun(u64),
    /// This many entries were merged or quarantined.
    Merged(u64),
}

/// The wait before the next attempt. It doubles with each. The jitter keeps processes and shards that failed together from
/// retrying together.
pub(super) fn retry_delay(shard: Shard, now: Time, attempt: u32) -> Duration {
    let delay = RETRY_DELAY.saturating_mul(2u32.saturating_pow(attempt)).min(RETRY_DELAY_MAX);
    let mut hasher = DefaultHasher::new();
    (shard, now.ms(), attempt).hash(&mut hasher);
    delay - delay.mul_f64((hasher.finish() % 1_000) as f64 / 2_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_retries_as_long_as_it_has_time_and_a_caller_waits_for_a_few_tries() {
        let in_time = || Some(Instant::now() + Duration::from_secs(600));
        let order = |trigger, until| DrainOrder { until, ..DrainOrder::quiet(trigger) };
        assert!(order(Trigger::Tick, in_time()).may_retry(RETRIES_MAX));
        assert!(!order(Trigger::Tick, Some(Instant::now())).may_retry(0), "its time is over");
        for few in [order(Trigger::Flush, in_time()), order(Trigger::Tick, None)] {
            assert!(few.may_retry(RETRIES_MAX - 1) && !few.may_retry(RETRIES_MAX));
        }
        let stopped = DrainOrder { stop: &|| true, ..order(Trigger::Tick, in_time()) };
        assert!(!stopped.may_retry(0));
    }

    #[test]
    fn retries_wait_longer_each_time_up_to_a_bound() {
        for attempt in 0..40 {
            let whole = RETRY_DELAY.saturating_mul(2u32.saturating_pow(attempt)).min(RETRY_DELAY_MAX);
            for shard in 0..50 {
                let delay = retry_delay(Shard(shard), Time::from_ms(1_700_000_000_000), attempt);
                assert!((whole / 2..=whole).contains(&delay), "attempt {attempt}: {delay:?}");
            }
        }
    }
}
