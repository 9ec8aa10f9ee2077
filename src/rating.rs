//! The words: posts, users, scores and times, as types that cannot hold a wrong value.
//!
//! Text and numbers from outside are parsed here once, at the edge; everything further in trusts them.
//! What an entry of the log looks like is in [`entry`](crate::entry).

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Invalid;

/// Longest id of a post or user, in characters.
pub const ID_CHARS_MAX: usize = 64;
/// The characters an id may hold, as shown to people.
pub const ID_ALPHABET: &str = "A-Z a-z 0-9 . _ ~ : @ + = | -";
/// Entries from before 1990-01-01 are refused: such a time is a mistake of units.
pub const TIME_MIN: Time = Time(631_152_000_000);
/// How far ahead of the clock an entry's time may lie.
pub const TIME_AHEAD_MAX_MS: i64 = 60_000;

/// One user's score for one post: a whole number, 0..=5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Score(u8);

impl Score {
    /// The highest score.
    pub const MAX: u8 = 5;
    /// How many different scores there are; the length of a histogram.
    pub const COUNT: usize = Self::MAX as usize + 1;

    /// Takes 0..=5 and refuses everything else.
    pub fn parse(value: i64) -> Result<Self, Invalid> {
        match u8::try_from(value) {
            Ok(score) if score <= Self::MAX => Ok(Self(score)),
            _ => Err(Invalid::new("score-out-of-range", format!("score {value} is outside 0..=5"))),
        }
    }

    /// The score as a number, 0..=5.
    pub fn get(self) -> u8 {
        self.0
    }

    /// The score's place in a histogram.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(i64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Says why `text` is no id of a `kind` ("post", "user"), or nothing when it is one.
fn check_id(kind: &str, text: &str) -> Result<(), Invalid> {
    let problem = |detail: String| Err(Invalid::new("invalid-id", detail));
    if text.is_empty() {
        return problem(format!("{kind} id is empty; it takes 1 to {ID_CHARS_MAX} characters"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._~:@+=|-".contains(c);
    if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        let shown = match bad {
            ' ' => "a space".to_owned(),
            c if c.is_control() || !c.is_ascii() => format!("U+{:04X}", u32::from(c)),
            c => format!("\"{c}\""),
        };
        return problem(format!("{kind} id holds {shown}; allowed are {ID_ALPHABET}"));
    }
    // Only ASCII from here on, so bytes are characters.
    if text.len() > ID_CHARS_MAX {
        return problem(format!(
            "{kind} id has {} characters; at most {ID_CHARS_MAX} are allowed",
            text.len()
        ));
    }
    if text == "." || text == ".." {
        return problem(format!("{kind} id \"{text}\" would be a path; choose another"));
    }
    Ok(())
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes 1 to 64 characters of the id alphabet, other than `.` and `..`.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                check_id($kind, text)?;
                Ok(Self(text.into()))
            }

            /// The id as one segment of a URL's path.
            pub fn as_path_segment(&self) -> String {
                // Of the alphabet only `|` may not stand in a path as it is (RFC 3986, section 3.3).
                self.0.replace('|', "%7C")
            }

            /// The id as the host site wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(D::Error::custom)
            }
        }
    };
}

id_type!(
    /// What is rated; an opaque text that the host site may choose.
    PostId,
    "post"
);
id_type!(
    /// Who rates; an opaque text that the host site may choose.
    UserId,
    "user"
);

/// A moment, in milliseconds since the Unix epoch. Damper computes with these; people see RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

impl Time {
    /// A moment by its milliseconds since the Unix epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// This moment moved by `ms`, clamped at the ends of the range.
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Accepts `self` as the time of an entry that enters at `now`: not before 1990, at most a minute ahead.
    pub fn check_entry(self, now: Time) -> Result<Self, Invalid> {
        if self < TIME_MIN {
            return Err(Invalid::new(
                "time-out-of-range",
                format!("time {self} is before 1990; are its units seconds?"),
            ));
        }
        if self > now.plus_ms(TIME_AHEAD_MAX_MS) {
            return Err(Invalid::new(
                "time-out-of-range",
                format!("time {self} is more than {} s ahead of the clock", TIME_AHEAD_MAX_MS / 1000),
            ));
        }
        Ok(self)
    }

    /// The moment as chrono sees it; clamped to chrono's range.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(if self.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }
}

impl From<DateTime<Utc>> for Time {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_millis())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let at = DateTime::parse_from_rfc3339(&text)
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"a time in RFC 3339"))?;
        Ok(at.to_utc().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_a_score_and_six_is_not() {
        assert_eq!(Score::parse(0).unwrap().get(), 0);
        assert_eq!(Score::parse(5).unwrap().get(), 5);
        for wrong in [-1, 6, 255, 256, i64::MIN, i64::MAX] {
            assert_eq!(Score::parse(wrong).unwrap_err().problem, "score-out-of-range");
        }
    }

    #[test]
    fn ids_keep_the_host_sites_own() {
        for good in ["a", "m255", "9f1c-22", "user@example.org", "a|b=c+d~e:f.g_h-i", &"x".repeat(64)] {
            assert_eq!(PostId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a b", "a/b", "a{b}", "a\0", "a\r\n", "é", "٣", &"x".repeat(65)] {
            assert_eq!(UserId::parse(bad).unwrap_err().problem, "invalid-id", "{bad:?}");
        }
    }

    #[test]
    fn an_entry_is_neither_ancient_nor_from_the_future() {
        let now = Time::from_ms(1_700_000_000_000);
        assert!(now.plus_ms(60_000).check_entry(now).is_ok());
        assert!(now.plus_ms(60_001).check_entry(now).is_err());
        assert!(TIME_MIN.check_entry(now).is_ok());
        assert!(Time::from_ms(1_700_000_000).check_entry(now).is_err());
    }

    #[test]
    fn times_are_shown_in_utc_with_milliseconds() {
        assert_eq!(Time::from_ms(1_412_424_000_007).to_string(), "2014-10-04T12:00:00.007Z");
        assert!(!Time::from_ms(i64::MAX).to_string().is_empty());
    }
}
