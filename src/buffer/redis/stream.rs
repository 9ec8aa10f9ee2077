//! A shard's stream in Redis: its key, its ids, and the one field of its entries.

use std::collections::HashMap;

use fred::bytes::Bytes;

use crate::entry::{Entry, Position, Shard, Undecodable};
use crate::error::{Error, Result};

/// The only field of a stream's entries.
const FIELD: &str = "e";

/// The key of a shard's stream.
pub(super) fn key(shard: Shard) -> String {
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
