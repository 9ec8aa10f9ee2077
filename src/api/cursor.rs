//! Cursors: a place in a list, as text that callers send back to get the next page.
//!
//! It is a letter for the list and two words for the place, in hexadecimal, so that URLs carry it unchanged.

use crate::app::catalogue::UserKey;
use crate::entry::{Position, Shard};
use crate::error::{Invalid, Kind};
use crate::merge::Key;
use crate::model::{PostId, Time, UserId};
use crate::store::{AlertKey, AuditKey, HeldKey, PageKey, Sort};

/// A place in one of the lists.
pub trait Place: Sized {
    /// The list's letter and the place's two words, with spaces between.
    fn text(&self) -> String;

    /// The place that those words name.
    fn from_words(list: &str, first: &str, second: &str) -> Option<Self>;
}

/// A place as text.
pub fn write(place: &impl Place) -> String {
    place.text().bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The place that a caller names.
pub fn parse<P: Place>(cursor: &str) -> Result<P, Invalid> {
    let read = || {
        let text = decode(cursor)?;
        let mut words = text.splitn(3, ' ');
        P::from_words(words.next()?, words.next()?, words.next()?)
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

/// Posts, in either order.
impl Place for PageKey {
    fn text(&self) -> String {
        match self {
            PageKey::New(at, post) => format!("n {} {post}", at.ms()),
            PageKey::Top(mean, post) => format!("t {} {post}", mean.to_bits()),
        }
    }

    fn from_words(list: &str, first: &str, second: &str) -> Option<Self> {
        let post = PostId::parse(second).ok()?;
        match list {
            "n" => Some(PageKey::New(time(first)?, post)),
            "t" => Some(PageKey::Top(float(first)?, post)),
            _ => None,
        }
    }
}

/// Lists whose place is a pair of values: the list's letter, how the pair is written, and how it is read.
macro_rules! pairs {
    ($($list:literal $place:ty: ($first:ident, $second:ident) is ($one:expr, $two:expr), read by $read:expr;)*) => {$(
        impl Place for $place {
            fn text(&self) -> String {
                let ($first, $second) = self;
                format!("{} {} {}", $list, $one, $two)
            }

            fn from_words(list: &str, $first: &str, $second: &str) -> Option<Self> {
                if list == $list { Some($read) } else { None }
            }
        }
    )*};
}

// Users; alerts and posts that move; held ratings, by name and by age; the audit.
pairs! {
    "u" UserKey: (at, user) is (at.ms(), user), read by (time(at)?, UserId::parse(user).ok()?);
    "s" AlertKey: (shift, post) is (shift.to_bits(), post), read by (float(shift)?, PostId::parse(post).ok()?);
    "h" Key: (post, user) is (post, user), read by (PostId::parse(post).ok()?, UserId::parse(user).ok()?);
    "o" HeldKey: (at, key) is (at.ms(), format_args!("{} {}", key.0, key.1)), read by (time(at)?, rating(key)?);
    "a" AuditKey: (position, shard) is (position, shard), read by (Position::parse(position)?, number(shard)?);
}

fn time(word: &str) -> Option<Time> {
    word.parse().ok().map(Time::from_ms)
}

/// A post and a user, with a space between.
fn rating(words: &str) -> Option<Key> {
    let (post, user) = words.split_once(' ')?;
    Some((PostId::parse(post).ok()?, UserId::parse(user).ok()?))
}

fn float(word: &str) -> Option<f64> {
    word.parse().ok().map(f64::from_bits).filter(|float| float.is_finite())
}

fn number(word: &str) -> Option<Shard> {
    word.parse().ok().filter(|shard| *shard <= i16::MAX as u16).map(Shard)
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
        let nan = PageKey::Top(f64::NAN, PostId::parse("p").unwrap());
        for forged in ["", "zz", "6", "é", "6e2035", "7420397465737420", &write(&nan)] {
            assert!(parse::<PageKey>(forged).is_err(), "{forged}");
        }
        assert!(check_sort(&nan, Sort::Top).is_ok());
        assert!(check_sort(&nan, Sort::New).unwrap_err().detail.contains("another sort"));
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let (post, user) = (PostId::parse("1").unwrap(), UserId::parse("2").unwrap());
        let held: Key = (post.clone(), user.clone());
        let alert: AlertKey = (0.25, post);
        let listed: UserKey = (Time::from_ms(1), user);
        let decided: AuditKey = (Position::new(1, 2), Shard(3));
        let [a, b, c, d] = [write(&held), write(&alert), write(&listed), write(&decided)];
        assert_eq!(
            (parse(&a), parse(&b), parse(&c), parse(&d)),
            (Ok(held), Ok(alert), Ok(listed), Ok(decided))
        );
        assert!(parse::<Key>(&b).is_err() && parse::<AlertKey>(&a).is_err());
        assert!(parse::<UserKey>(&b).is_err() && parse::<AuditKey>(&c).is_err());
        assert!([a, b, c, d].iter().all(|cursor| parse::<PageKey>(cursor).is_err()));
    }
}
