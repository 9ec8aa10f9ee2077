//! Marks of withdrawals that no longer matter are forgotten, a page at each tick: people who rate and withdraw must not grow
//! a table for ever.
//!
//! A mark matters while some of its arrival has yet to vest, and while an older entry of its user may be retried from the
//! quarantine. A forgotten mark changes no average, bit for bit.

use tokio::sync::Mutex;
use tracing::debug;

use super::Upkeep;
use crate::entry::{Entry, Position};
use crate::error::Result;
use crate::merge::{Key, Withdrawal};
use crate::model::Time;

/// Marks that one tick looks at.
const PAGE: usize = 500;
/// With more entries than this in the quarantine, nothing is forgotten.
const QUARANTINED_MAX: usize = 1_000;

/// Where the next tick goes on; `None` for the beginning.
#[derive(Default)]
pub struct Place(Mutex<Option<Key>>);

/// What may still be retried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Retries {
    /// Nothing.
    None,
    /// Entries from this position on.
    From(Position),
    /// Too many entries to look at.
    Many,
}

impl Upkeep {
    /// What may be retried. To be asked before the drain after which marks are forgotten: a retry that is appended
    /// meanwhile was still in the quarantine then.
    pub async fn retries(&self) -> Result<Retries> {
        let kept = self.store.quarantined(None, QUARANTINED_MAX).await?;
        if kept.len() == QUARANTINED_MAX {
            return Ok(Retries::Many);
        }
        let place = |position: Position, payload: &[u8]| {
            Entry::decode(payload).map_or(position, |entry| entry.place(position))
        };
        let oldest = kept.iter().map(|kept| place(kept.entry.position, &kept.entry.payload)).min();
        Ok(oldest.map_or(Retries::None, Retries::From))
    }

    /// Forgets what does not matter of the next page of marks; returns how many. Only after a drain that left nothing
    /// waiting of what could be retried before it.
    pub async fn forget_marks(&self, retries: Retries, now: Time) -> Result<u64> {
        let mut place = self.swept.0.lock().await;
        let page = self.store.withdrawals_page(place.as_ref(), PAGE).await?;
        *place = page.last().filter(|_| page.len() == PAGE).map(|(key, _)| key.clone());
        let is_old = |withdrawal: &Withdrawal| match retries {
            Retries::None => true,
            Retries::From(oldest) => withdrawal.position < oldest,
            Retries::Many => false,
        };
        let mut posts: Vec<_> = page.iter().map(|((post, _), _)| post.clone()).collect();
        posts.dedup();
        let averages = self.store.averages(&posts).await?;
        let params = &self.core.context.params;
        let has_faded = |(key, withdrawal): &(Key, Withdrawal)| {
            let found = averages.binary_search_by(|(post, _)| post.cmp(&key.0));
            let average = found.map_or_else(|_| Default::default(), |i| averages[i].1.at(now, params));
            withdrawal.mark.is_none_or(|mark| mark.has_faded(&average))
        };
        let gone: Vec<_> = page.iter().filter(|mark| is_old(&mark.1) && has_faded(mark)).cloned().collect();
        let forgotten = self.store.forget_withdrawals(&gone).await?;
        debug!(forgotten, looked_at = page.len(), "marks of withdrawals");
        Ok(forgotten)
    }
}
