//! What a shard has in Redis: a stream of entries, and beside it notes for readers of what each user wants of each
//! post, so that `waiting_of` need not search the stream. A hash of notes is dropped whole once its entries are merged.
//! So there are two: one that is written, and an older one that waits for its drain.

use std::collections::HashMap;

use fred::bytes::Bytes;

use crate::buffer::Waiting;
use crate::entry::{Action, Entry, Position, Shard, Undecodable};
use crate::error::{Error, Result};
use crate::model::{PostId, Score, UserId};

/// The only field of a stream's entries.
const FIELD: &str = "e";
/// Stands for a withdrawal where a note has a score.
const WITHDRAWN: &str = "w";

/// The key of a shard's stream.
pub(super) fn stream_key(shard: Shard) -> String {
    format!("damper:{{{shard}}}:ratings")
}

/// The lowest position above `position`.
pub(super) fn next(position: Position) -> Position {
    match position.low.checked_add(1) {
        Some(low) => Position { low, ..position },
        None => Position::new(position.high.saturating_add(1), 0),
    }
}

pub(super) fn parse_position(text: &str) -> Result<Position> {
    Position::parse(text).ok_or_else(|| Error::Internal(format!("redis answered {text:?} for a stream id")))
}

/// Reads the fields of an entry. Damper writes exactly one, `e`; an entry with others was written by someone else.
pub(super) fn parse_line(mut fields: HashMap<Bytes, Bytes>) -> Result<Entry, Undecodable> {
    match (fields.remove(FIELD.as_bytes()), fields.is_empty()) {
        (Some(payload), true) => Entry::decode(&payload),
        (payload, _) => {
            let mut all: Vec<_> = fields.into_iter().collect();
            all.extend(payload.map(|payload| (Bytes::from_static(FIELD.as_bytes()), payload)));
            all.sort();
            let payload =
                all.iter().flat_map(|(field, value)| [field.as_ref(), b"=", value.as_ref(), b"\n"].concat());
            Err(Undecodable {
                reason: "entry has other fields than \"e\"".into(),
                payload: payload.collect(),
            })
        }
    }
}

/// The key of a shard's notes that are written. Its field of no name holds the newest entry's position.
pub(super) fn notes_key(shard: Shard) -> String {
    format!("damper:{{{shard}}}:notes")
}

/// The key of a shard's notes from before.
pub(super) fn older_notes_key(shard: Shard) -> String {
    format!("damper:{{{shard}}}:older-notes")
}

/// The field of a user and post. Ids contain no space.
pub(super) fn note_field(user: &UserId, post: &PostId) -> String {
    format!("{user} {post}")
}

/// What an entry leaves for readers; nothing if it is not a user's wish of now, but a retry or a decision.
pub(super) fn note_score(entry: &Entry) -> String {
    match (entry.origin, &entry.action) {
        (Some(_), _) | (None, Action::Decide(_) | Action::Release(_) | Action::Adopt(_)) => String::new(),
        (None, Action::Rate(score)) => score.to_string(),
        (None, Action::Withdraw) => WITHDRAWN.into(),
    }
}

/// Reads a note: a position and a score.
pub(super) fn parse_note(note: &str) -> Option<Waiting> {
    let (position, score) = note.split_once(' ')?;
    let action = match score {
        WITHDRAWN => Action::Withdraw,
        score => Action::Rate(Score::parse(score.parse().ok()?).ok()?),
    };
    Some(Waiting { position: Position::parse(position)?, action })
}
