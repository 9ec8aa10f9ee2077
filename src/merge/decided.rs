//! What becomes of moderators' decisions: exclusions as they are kept, and rows of the audit.

use serde::{Deserialize, Serialize};

use crate::entry::{Decision, Position, Reason, Window};
use crate::model::{PostId, Score, Time, UserId};
use crate::smoothing::Published;

/// An exclusion, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// Of which post.
    pub post: PostId,
    /// Its place in the log: its name, and what it covers stood before it.
    pub id: Position,
    /// What it covers.
    pub window: Window,
    /// Who decided it.
    pub by: UserId,
    /// When.
    pub at: Time,
    /// Why.
    pub reason: Reason,
    /// How many ratings it took out.
    pub excluded: u64,
    /// Whether it was taken back.
    pub is_undone: bool,
}

impl Exclusion {
    /// Whether it keeps out a rating of that place in the log, time and score.
    pub fn keeps_out(&self, position: Position, rated_at: Time, score: Score) -> bool {
        !self.is_undone && position < self.id && self.window.covers(rated_at, score)
    }
}

/// What became of a decision: a row of the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The decision's place in the log.
    pub position: Position,
    /// Of which post.
    pub post: PostId,
    /// When it was taken.
    pub at: Time,
    /// Who took it.
    pub by: UserId,
    /// What, and why.
    pub decision: Decision,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a decision.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Right before it.
    pub before: Published,
    /// Right after it.
    pub after: Published,
    /// Ratings that it took out or brought back, or held ones that it approved or rejected.
    pub touched: u64,
    /// Held ratings that an exclusion took out besides, or its undoing brought back.
    #[serde(default)]
    pub held: u64,
    /// Why nothing came of it, if nothing did.
    pub refused: Option<String>,
}
