//! The results of moderators' decisions: stored exclusions, and rows of the audit.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::entry::{Decision, Position, Reason, Window};
use crate::model::{PostId, Score, Time, UserId};
use crate::smoothing::Published;

/// An exclusion, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The post.
    pub post: PostId,
    /// Its position in the log, which is also its id. It covers only ratings before this position.
    pub id: Position,
    /// The ratings that it covers.
    pub window: Window,
    /// The moderator who decided it.
    pub by: UserId,
    /// The time of the decision.
    pub at: Time,
    /// The reason that the moderator gave.
    pub reason: Reason,
    /// The number of ratings that it took out.
    pub excluded: u64,
    /// Whether it was undone.
    pub is_undone: bool,
}

impl Exclusion {
    /// Whether it covers a rating with this position, time and score. An undone one covers nothing.
    pub fn keeps_out(&self, position: Position, rated_at: Time, score: Score) -> bool {
        !self.is_undone && position < self.id && self.window.covers(rated_at, score)
    }
}

/// A decision with its outcome: a row of the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The decision's position in the log.
    pub position: Position,
    /// The post.
    pub post: PostId,
    /// The time of the decision.
    pub at: Time,
    /// The moderator who decided it.
    pub by: UserId,
    /// The decision and its reason.
    pub decision: Decision,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The figures right before it.
    pub before: Published,
    /// The figures right after it.
    pub after: Published,
    /// Ratings that it excluded or restored, or held ones that it approved or rejected.
    pub touched: u64,
    /// Held ratings that an exclusion also took out, or its undo restored.
    #[serde(default)]
    #[schema(required)]
    pub held: u64,
    /// Why the decision changed nothing, if so.
    pub refused: Option<String>,
}
