//! The pace of writes to the SQLite file: since all other writers wait for a transaction, it writes no more rows than fit
//! into some tens of milliseconds. How many that are depends on how scattered they are, and on the disk: it is learned.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// How long a transaction should take.
const TRANSACTION_MS: f64 = 70.0;
/// Rows of the first transaction of a process.
const ROWS_FIRST: usize = 1_000;
const ROWS_MIN: usize = 100;
const ROWS_MAX: usize = 20_000;

/// How many rows the next transaction of a kind may write.
pub(super) struct Pace(AtomicUsize);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicUsize::new(ROWS_FIRST))
    }
}

impl Pace {
    /// Most rows of the next transaction.
    pub fn rows(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Learns from a transaction that wrote so many rows in that time.
    pub fn learn(&self, rows: usize, took: Duration) {
        let (last, took) = (self.rows(), took.as_secs_f64() * 1_000.0);
        if rows < last / 2 && took < TRANSACTION_MS {
            // It says little about a larger one.
            return;
        }
        let fitting = (rows as f64 * TRANSACTION_MS / took.max(1.0)) as usize;
        // Up by half at most: a small batch's pages may all have been at hand.
        self.0.store(fitting.min(last + last / 2).clamp(ROWS_MIN, ROWS_MAX), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_transaction_makes_the_next_smaller_and_a_small_one_says_little() {
        let pace = Pace::default();
        let learn = |rows, ms| {
            pace.learn(rows, Duration::from_millis(ms));
            pace.rows()
        };
        assert_eq!(learn(1, 5), 1_000, "a single row that was quick");
        assert_eq!(learn(1_000, 700), 100);
        assert_eq!(learn(1, 5_000), 100, "never less");
        assert_eq!(learn(100, 1), 150, "by half at most");
        let grown = (0..100).map(|_| learn(pace.rows(), 1)).last();
        assert_eq!(grown, Some(20_000));
    }
}
