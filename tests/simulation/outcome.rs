//! What comes out of a run: figures, a digest, and what was violated.
//!
//! The digest covers every decision and every stored figure, so two equal ones mean two equal runs.

use std::ops::AddAssign;

/// What happened in a run, or in many.
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

/// A run that ended.
pub struct Outcome {
    pub counts: Counts,
    pub digest: u64,
    /// What was violated, if anything was.
    pub violation: Option<String>,
    /// What happened, when it was asked for.
    pub told: Vec<String>,
}
