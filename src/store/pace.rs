//! How many entries a commit may have. Postgres takes any number. The SQLite file has one writer, and whatever else is
//! written waits for a commit: its size is learned from how long the last one took.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A commit to the file shall take about this. How many entries that is depends on how scattered they are, and on the
/// disk.
const COMMIT_MS: f64 = 70.0;
/// The first commit of a process takes so many entries; the next ones as many as the last one's pace allows.
const BATCH_FIRST: usize = 1_000;
const BATCH_MIN: usize = 100;
const BATCH_MAX: usize = 20_000;

/// Entries that a commit may have now.
pub(super) struct Pace(AtomicUsize);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicUsize::new(BATCH_FIRST))
    }
}

impl Pace {
    pub fn batch_max(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Learns from a commit of so many entries how many the next may have.
    pub fn learn(&self, entries: usize, took: Duration) {
        let fitting = entries as f64 * COMMIT_MS / (took.as_secs_f64() * 1_000.0).max(1.0);
        let next = (fitting as usize).clamp(BATCH_MIN, BATCH_MAX);
        // Up by half at most: a small batch says little about a large one's pages.
        let limit = self.batch_max() + self.batch_max() / 2;
        self.0.store(next.min(limit).max(BATCH_MIN), Ordering::Relaxed);
    }
}
