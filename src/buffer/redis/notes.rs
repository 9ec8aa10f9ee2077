//! Notes for readers: the newest wish of each user and post that waits, beside the stream.
//!
//! `waiting_of` would otherwise have to search the stream. The notes of one stretch of time share a hash, which is
//! dropped whole once its entries are merged.

use crate::buffer::Waiting;
use crate::entry::{Action, Entry, Position, Shard};
use crate::model::{PostId, Score, UserId};

/// The milliseconds of a stretch.
pub(super) const STRETCH_MS: &str = "300000";
/// Stands for a withdrawal where a note has a score.
const WITHDRAWN: &str = "w";

/// The key of a shard's set of stretches; the hash of each stretch is named after it.
pub(super) fn key(shard: Shard) -> String {
    format!("damper:{{{shard}}}:newest")
}

/// The field of a user and post. Ids contain no space.
pub(super) fn field(user: &UserId, post: &PostId) -> String {
    format!("{user} {post}")
}

/// What an entry leaves for readers; nothing if it is not a user's wish of now, but a retry or a decision.
pub(super) fn score(entry: &Entry) -> String {
    match (entry.origin, &entry.action) {
        (Some(_), _) | (None, Action::Decide(_) | Action::Release(_)) => String::new(),
        (None, Action::Rate(score)) => score.to_string(),
        (None, Action::Withdraw) => WITHDRAWN.into(),
    }
}

/// Reads a note: a position and a score.
pub(super) fn parse(note: &str) -> Option<Waiting> {
    let (position, score) = note.split_once(' ')?;
    let action = match score {
        WITHDRAWN => Action::Withdraw,
        score => Action::Rate(Score::parse(score.parse().ok()?).ok()?),
    };
    Some(Waiting { position: Position::parse(position)?, action })
}
