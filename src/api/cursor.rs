//! Cursors: a place in a list, as text that callers send back to get the next page.
//!
//! Opaque to callers: in hexadecimal, a letter for the list and two words for the place. URLs carry it unchanged, and
//! it is checked when it comes back.

use crate::app::catalogue::UserKey;
use crate::entry::{Position, Shard};
use crate::error::{Invalid, Kind};
use crate::merge::Key;
use crate::model::{PostId, Time, UserId};
use crate::store::{AlertKey, AuditKey, PageKey, Sort};

/// A place in one of the lists.
pub trait Place: Sized {
    /// The list's letter and the two words of the place.
    fn words(&self) -> (char, String, String);

    /// The place that those words name.
    fn from_words(list: char, first: &str, second: &str) -> Option<Self>;
}

/// A place as text.
pub fn write(place: &impl Place) -> String {
    let (list, first, second) = place.words();
    let text = format!("{list} {first} {second}");
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The place that a caller names.
pub fn parse<P: Place>(cursor: &str) -> Result<P, Invalid> {
    let read = || {
        let text = decode(cursor)?;
        let mut words = text.splitn(3, ' ');
        let (list, first, second) = (words.next()?, words.next()?, words.next()?);
        P::from_words(list.parse().ok()?, first, second)
    };
    let wrong = || Invalid::new(Kind::InvalidCursor, "cursor is not one of this list; begin without");
    read().ok_or_else(wrong)
}

/// Checks that a place belongs to a list in this order.
pub fn check_sort(place: &PageKey, sort: Sort) -> Result<(), Invalid> {
    if place.sort() == sort {
        return Ok(());
    }
    let detail = "cursor belongs to another sort; keep the sort, or begin without";
    Err(Invalid::new(Kind::InvalidCursor, detail))
}

fn decode(cursor: &str) -> Option<String> {
    if !cursor.len().is_multiple_of(2) || !cursor.is_ascii() {
        return None;
    }
    let bytes = (0..cursor.len()).step_by(2).map(|i| u8::from_str_radix(&cursor[i..i + 2], 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

fn time(word: &str) -> Option<Time> {
    word.parse().ok().map(Time::from_ms)
}

/// Posts, in either order.
impl Place for PageKey {
    fn words(&self) -> (char, String, String) {
        match self {
            PageKey::New(at, post) => ('n', at.ms().to_string(), post.to_string()),
            PageKey::Top(mean, post) => ('t', mean.to_bits().to_string(), post.to_string()),
        }
    }

    fn from_words(list: char, first: &str, second: &str) -> Option<Self> {
        let post = PostId::parse(second).ok()?;
        match list {
            'n' => Some(PageKey::New(time(first)?, post)),
            't' => {
                let mean = f64::from_bits(first.parse().ok()?);
                mean.is_finite().then_some(PageKey::Top(mean, post))
            }
            _ => None,
        }
    }
}

/// Users.
impl Place for UserKey {
    fn words(&self) -> (char, String, String) {
        ('u', self.0.ms().to_string(), self.1.to_string())
    }

    fn from_words(list: char, first: &str, second: &str) -> Option<Self> {
        Some((time(first)?, UserId::parse(second).ok()?)).filter(|_| list == 'u')
    }
}

/// The audit.
impl Place for AuditKey {
    fn words(&self) -> (char, String, String) {
        ('a', self.0.to_string(), self.1.to_string())
    }

    fn from_words(list: char, first: &str, second: &str) -> Option<Self> {
        let shard = second.parse().ok().filter(|shard| *shard <= i16::MAX as u16)?;
        Some((Position::parse(first)?, Shard(shard))).filter(|_| list == 'a')
    }
}

/// Alerts.
impl Place for AlertKey {
    fn words(&self) -> (char, String, String) {
        ('s', self.0.ms().to_string(), self.1.to_string())
    }

    fn from_words(list: char, first: &str, second: &str) -> Option<Self> {
        Some((time(first)?, PostId::parse(second).ok()?)).filter(|_| list == 's')
    }
}

/// Held ratings.
impl Place for Key {
    fn words(&self) -> (char, String, String) {
        ('h', self.0.to_string(), self.1.to_string())
    }

    fn from_words(list: char, first: &str, second: &str) -> Option<Self> {
        Some((PostId::parse(first).ok()?, UserId::parse(second).ok()?)).filter(|_| list == 'h')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_forged_one_does_not() {
        let post = PostId::parse("a|b+c=d").unwrap();
        for key in [PageKey::New(Time::from_ms(1_790_000_000_000), post.clone()), PageKey::Top(4.25, post)] {
            assert_eq!(parse(&write(&key)), Ok(key));
        }
        let newest = PageKey::New(Time::from_ms(5), PostId::parse("p").unwrap());
        assert!(check_sort(&newest, Sort::New).is_ok());
        assert!(check_sort(&newest, Sort::Top).unwrap_err().detail.contains("another sort"));
        for forged in ["", "zz", "6", "é", "6e2035", "7420397465737420"] {
            assert!(parse::<PageKey>(forged).is_err(), "{forged}");
        }
        let nan: String = format!("t {} p", f64::NAN.to_bits()).bytes().map(|b| format!("{b:02x}")).collect();
        assert!(parse::<PageKey>(&nan).is_err());
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let (post, user) = (PostId::parse("1").unwrap(), UserId::parse("2").unwrap());
        let held: Key = (post.clone(), user.clone());
        let alert: AlertKey = (Time::from_ms(1), post);
        let listed: UserKey = (Time::from_ms(1), user);
        let decided: AuditKey = (Position::new(1, 2), Shard(3));
        assert_eq!(parse(&write(&held)), Ok(held.clone()));
        assert_eq!(parse(&write(&alert)), Ok(alert.clone()));
        assert_eq!(parse(&write(&listed)), Ok(listed.clone()));
        assert_eq!(parse(&write(&decided)), Ok(decided));
        assert!(parse::<Key>(&write(&alert)).is_err() && parse::<AlertKey>(&write(&held)).is_err());
        assert!(parse::<UserKey>(&write(&alert)).is_err() && parse::<AuditKey>(&write(&listed)).is_err());
        assert!(parse::<PageKey>(&write(&decided)).is_err());
    }
}
