//! What a statement is given: values of the few kinds that both databases have.

use crate::entry::{Position, Shard};
use crate::error::{Error, Result};
use crate::model::{PostId, Time, UserId};

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Text(Option<&'a str>),
    /// A place in a log, as the 16 bytes that sort.
    Position(Position),
    /// A small number, or a flag.
    Small(i16),
    Int(Option<i64>),
    /// A float, as its 8 bytes.
    Float(f64),
    /// A list of texts, for `{ids}`.
    Texts(Vec<&'a str>),
    /// Keys of ratings, for `{keys}`. Postgres takes them as two parameters, so they are a statement's only value.
    Keys(Vec<(&'a str, &'a str)>),
}

/// The values of a statement, in the order of its parameters.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::database::Value::from($value)),*] };
}

pub(crate) use values;

/// Counts fit a signed number for the next 100,000 years.
pub fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A list as SQLite takes it, for `json_each`.
pub fn json(list: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(list).map_err(|e| Error::Internal(e.to_string()))
}

macro_rules! from {
    ($($kind:ty => |$value:ident| $made:expr),* $(,)?) => {
        $(impl<'a> From<$kind> for Value<'a> {
            fn from($value: $kind) -> Self {
                $made
            }
        })*
    };
}

from! {
    &'a str => |text| Value::Text(Some(text)),
    Option<&'a str> => |text| Value::Text(text),
    &'a String => |text| Value::Text(Some(text)),
    &'a PostId => |id| Value::Text(Some(id.as_str())),
    &'a UserId => |id| Value::Text(Some(id.as_str())),
    Position => |position| Value::Position(position),
    Shard => |shard| Value::Small(shard.0 as i16),
    i16 => |number| Value::Small(number),
    bool => |flag| Value::Small(flag.into()),
    Time => |at| Value::Int(Some(at.ms())),
    i64 => |number| Value::Int(Some(number)),
    u64 => |count| Value::Int(Some(signed(count))),
    usize => |count| Value::Int(Some(signed(count as u64))),
    f64 => |number| Value::Float(number),
    &'a [PostId] => |ids| Value::Texts(ids.iter().map(PostId::as_str).collect()),
    &'a [(PostId, UserId)] => |keys| {
        Value::Keys(keys.iter().map(|(post, user)| (post.as_str(), user.as_str())).collect())
    },
}
