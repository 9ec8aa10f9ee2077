//! The result of a run: figures, a digest, and any violation.
//!
//! The digest covers every decision and every stored figure, so equal digests mean equal runs.

use std::ops::AddAssign;

/// Event counts of one run, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub ticks: u64,
    pub drains_ended: u64,
    pub appends: u64,
    pub acknowledged: u64,
    pub crashes: u64,
    pub failures: u64,
    pub steps: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.ticks += other.ticks;
        self.drains_ended += other.drains_ended;
        self.appends += other.appends;
        self.acknowledged += other.acknowledged;
        self.crashes += other.crashes;
        self.failures += other.failures;
        self.steps += other.steps;
    }
}

/// The result of one run.
pub struct Outcome {
    pub counts: Counts,
    pub digest: u64,
    /// The violation, if there was one.
    pub violation: Option<String>,
    /// The events in words, when wanted.
    pub words: Vec<String>,
}
