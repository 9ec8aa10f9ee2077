//! The result of a run: figures, a digest, and any violation.
//!
//! The digest covers every decision and every stored figure, so equal digests mean equal runs.

use std::fmt;
use std::ops::AddAssign;

/// What must always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// What was acknowledged is in the log, once; nothing comes into it after its answer.
    Answers,
    /// No position is given out twice, or goes back.
    Positions,
    /// accepted = applied + quarantined + waiting, and nothing is lost.
    Balance,
    /// A user sees the own rating as it was wished last.
    OwnRating,
    /// The cache never goes back.
    Cache,
    /// A post's version never goes back.
    Versions,
    /// Only a failing server makes a call fail, or what the caller did.
    Errors,
    /// Every request and every drain ends, and then nothing waits.
    Ends,
    /// What cannot be applied, and nothing else, is in the quarantine.
    Quarantine,
    /// Counts, sums, means and all that they are made of are those of the naive fold.
    Averages,
    /// So are the ratings, held and excluded ones too, and what withdrawals left.
    Ratings,
    /// So is what stands beside a post: frozen or not, its policy, how many are held and excluded.
    Standings,
    /// So are the exclusions, and what came of each decision.
    Decisions,
    /// So are arrivals, counts and sums by hour.
    History,
    /// Posts are ranked by their mean as of the last tick.
    Ranking,
    /// Drains report no more than was merged.
    Reports,
    /// The tables are the same bit for bit when the whole log is drained in one piece.
    Cuts,
}

/// A broken law, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub law: Law,
    pub words: String,
}

impl Violation {
    pub fn of(law: Law, words: impl Into<String>) -> Self {
        Self { law, words: words.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.words)
    }
}

/// Event counts of one run, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub ticks: u64,
    pub drains_ended: u64,
    pub appends: u64,
    pub acknowledged: u64,
    /// Decisions that were merged.
    pub decisions: u64,
    /// Ratings that they touched.
    pub touched: u64,
    /// Pieces of state that were taken over.
    pub adopted: u64,
    pub crashes: u64,
    pub failures: u64,
    pub steps: u64,
    /// Looks at a post by the naive fold, and those that rounding may decide either way: only counts are compared there.
    pub looks: u64,
    pub ties: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.ticks += other.ticks;
        self.drains_ended += other.drains_ended;
        self.appends += other.appends;
        self.acknowledged += other.acknowledged;
        self.decisions += other.decisions;
        self.touched += other.touched;
        self.adopted += other.adopted;
        self.crashes += other.crashes;
        self.failures += other.failures;
        self.steps += other.steps;
        self.looks += other.looks;
        self.ties += other.ties;
    }
}

/// The result of one run.
pub struct Outcome {
    pub counts: Counts,
    pub digest: u64,
    /// The violation, if there was one.
    pub violation: Option<Violation>,
    /// The events in words, when wanted.
    pub words: Vec<String>,
}
