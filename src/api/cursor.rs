//! Cursors: a place in a list, as text that callers hand back.

use crate::app::catalogue::users::UserKey;
use crate::entry::{Position, Shard};
use crate::error::{Invalid, Kind};
use crate::merge::Key;
use crate::model::{PostId, Time, UserId};
use crate::store::{AlertKey, AuditKey, PageKey, Sort};

/// A place in a list as text that URLs carry unchanged. Opaque to callers; checked when it comes back.
pub fn write(key: &PageKey) -> String {
    let text = match key {
        PageKey::New(at, post) => format!("n {} {post}", at.ms()),
        PageKey::Top(mean, post) => format!("t {} {post}", mean.to_bits()),
    };
    encode(&text)
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// A place in the list of users.
pub fn write_user((at, id): &UserKey) -> String {
    encode(&format!("u {} {id}", at.ms()))
}

/// The place that a caller names in the list of users.
pub fn parse_user(cursor: &str) -> Result<UserKey, Invalid> {
    let read = || {
        let text = decode(cursor)?;
        let (at, id) = text.strip_prefix("u ")?.split_once(' ')?;
        Some((Time::from_ms(at.parse().ok()?), UserId::parse(id).ok()?))
    };
    read().ok_or_else(wrong)
}

/// A place in the audit.
pub fn write_audit((position, shard): &AuditKey) -> String {
    encode(&format!("a {position} {shard}"))
}

/// The place that a caller names in the audit.
pub fn parse_audit(cursor: &str) -> Result<AuditKey, Invalid> {
    let read = || {
        let text = decode(cursor)?;
        let (position, shard) = text.strip_prefix("a ")?.split_once(' ')?;
        Some((
            Position::parse(position)?,
            Shard(shard.parse().ok().filter(|shard| *shard <= i16::MAX as u16)?),
        ))
    };
    read().ok_or_else(wrong)
}

/// A place in the list of alerts.
pub fn write_alert((since, post): &AlertKey) -> String {
    encode(&format!("s {} {post}", since.ms()))
}

/// The place that a caller names in the list of alerts.
pub fn parse_alert(cursor: &str) -> Result<AlertKey, Invalid> {
    let read = || {
        let text = decode(cursor)?;
        let (since, post) = text.strip_prefix("s ")?.split_once(' ')?;
        Some((Time::from_ms(since.parse().ok()?), PostId::parse(post).ok()?))
    };
    read().ok_or_else(wrong)
}

/// A place in the list of held ratings.
pub fn write_held((post, user): &Key) -> String {
    encode(&format!("h {post} {user}"))
}

/// The place that a caller names in the list of held ratings.
pub fn parse_held(cursor: &str) -> Result<Key, Invalid> {
    let read = || {
        let text = decode(cursor)?;
        let (post, user) = text.strip_prefix("h ")?.split_once(' ')?;
        Some((PostId::parse(post).ok()?, UserId::parse(user).ok()?))
    };
    read().ok_or_else(wrong)
}

fn wrong() -> Invalid {
    Invalid::new(Kind::InvalidCursor, "cursor is not one that this list gave; begin without")
}

/// The place that a caller names in a list of this order.
pub fn parse(cursor: &str, sort: Sort) -> Result<PageKey, Invalid> {
    let key = read(cursor).ok_or_else(wrong)?;
    if key.sort() != sort {
        return Err(Invalid::new(
            Kind::InvalidCursor,
            "cursor belongs to another sort; keep the sort, or begin without",
        ));
    }
    Ok(key)
}

fn decode(cursor: &str) -> Option<String> {
    if !cursor.len().is_multiple_of(2) || !cursor.is_ascii() {
        return None;
    }
    let bytes = (0..cursor.len()).step_by(2).map(|i| u8::from_str_radix(&cursor[i..i + 2], 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

fn read(cursor: &str) -> Option<PageKey> {
    let text = decode(cursor)?;
    let mut words = text.splitn(3, ' ');
    let (kind, key, post) = (words.next()?, words.next()?, PostId::parse(words.next()?).ok()?);
    match kind {
        "n" => Some(PageKey::New(Time::from_ms(key.parse().ok()?), post)),
        "t" => Some(PageKey::Top(f64::from_bits(key.parse().ok()?), post)).filter(|key| match key {
            PageKey::Top(mean, _) => mean.is_finite(),
            PageKey::New(..) => false,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_forged_one_does_not() {
        let post = PostId::parse("a|b+c=d").unwrap();
        for key in [PageKey::New(Time::from_ms(1_790_000_000_000), post.clone()), PageKey::Top(4.25, post)] {
            assert_eq!(parse(&write(&key), key.sort()), Ok(key));
        }
        let newest = write(&PageKey::New(Time::from_ms(5), PostId::parse("p").unwrap()));
        assert!(parse(&newest, Sort::Top).unwrap_err().detail.contains("another sort"));
        for forged in ["", "zz", "6", "é", "6e2035", "7420397465737420"] {
            assert!(parse(forged, Sort::New).is_err(), "{forged}");
        }
        let nan: String = format!("t {} p", f64::NAN.to_bits()).bytes().map(|b| format!("{b:02x}")).collect();
        assert!(parse(&nan, Sort::Top).is_err());
    }
}
