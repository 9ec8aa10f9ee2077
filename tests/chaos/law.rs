//! The laws that a round checks, by name, and what it found against them. The numbers are those of docs/RELIABILITY.md.

use std::collections::BTreeSet;
use std::fmt;

/// A law, as one check of a round sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// 1: what was acknowledged is in the log, once.
    Acknowledged,
    /// 2: counts and sums equal a recount of the rows.
    Recount,
    /// 3: the last acknowledged wish of a user and post stands, or a later one without an answer.
    LatestWins,
    /// 4: accepted = applied + quarantined + waiting, and nothing is lost.
    Balance,
    /// 5: averages, rows, decisions and their outcomes are the fold of the log.
    Fold,
    /// 6: no cache goes back to an older state, and every one catches up.
    Cache,
    /// 6: a user never loses sight of their own rating.
    Own,
    /// 7: the backlog empties by itself.
    Settles,
    /// 8: a mean lies within 0 to 5, and moves no faster than docs/SMOOTHING.md says.
    Bound,
    /// A decision is in the log as often as its answers say.
    Decided,
    /// Every answer is one that the API documents.
    Answered,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match self {
            Self::Acknowledged => "1",
            Self::Recount => "2",
            Self::LatestWins => "3",
            Self::Balance => "4",
            Self::Fold => "5",
            Self::Cache | Self::Own => "6",
            Self::Settles => "7",
            Self::Bound => "8",
            Self::Decided | Self::Answered => "-",
        };
        write!(f, "law {number}, {self:?}")
    }
}

/// What a round found.
#[derive(Debug, Default, Clone)]
pub struct Findings {
    /// Acknowledged entries and decisions that are missing from the log, and pairs with an impossible end state.
    pub lost: u64,
    /// Entries and decisions that are in the log more often than they were sent, and figures that count too much.
    pub doubled: u64,
    /// Every broken law, with what was seen.
    pub broken: Vec<(Law, String)>,
    /// Entries in the log.
    pub logged: u64,
    /// Decisions among them.
    pub decisions: u64,
}

impl Findings {
    /// Notes that a law is broken.
    pub fn note(&mut self, law: Law, seen: impl Into<String>) {
        self.broken.push((law, seen.into()));
    }

    /// Notes it unless it holds.
    pub fn check(&mut self, law: Law, holds: bool, seen: impl FnOnce() -> String) {
        if !holds {
            self.note(law, seen());
        }
    }

    /// The laws that are broken, each once.
    pub fn laws(&self) -> BTreeSet<Law> {
        self.broken.iter().map(|(law, _)| *law).collect()
    }

    /// Adds what another check found.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.logged += other.logged;
        self.decisions += other.decisions;
        self.broken.extend(other.broken);
    }

    /// Whether every law held.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.broken.is_empty()
    }
}
