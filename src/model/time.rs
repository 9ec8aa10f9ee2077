//! Moments and spans. Damper computes in milliseconds since the Unix epoch; people see RFC 3339 in UTC.

use std::fmt;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Invalid, Kind};

/// A minute, in milliseconds.
pub const MINUTE_MS: i64 = 60_000;
/// An hour, in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day, in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// Entries from before 1990-01-01 are refused: such a time is a mistake of units.
pub const TIME_MIN: Time = Time(631_152_000_000);
/// How far ahead of the clock an entry's time may lie.
pub const TIME_AHEAD_MAX_MS: i64 = MINUTE_MS;

/// A moment.
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
        let refuse = |why: String| Err(Invalid::new(Kind::TimeOutOfRange, format!("time {self} is {why}")));
        if self < TIME_MIN {
            refuse("before 1990; are its units seconds?".into())
        } else if self > now.plus_ms(TIME_AHEAD_MAX_MS) {
            refuse(format!("more than {} s ahead of the clock", TIME_AHEAD_MAX_MS / 1000))
        } else {
            Ok(self)
        }
    }

    /// The moment as chrono sees it; clamped to chrono's range.
    pub fn to_utc(self) -> DateTime<Utc> {
        let end = if self.0 < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        DateTime::from_timestamp_millis(self.0).unwrap_or(end)
    }
}

impl From<DateTime<Utc>> for Time {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_millis())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.to_utc();
        let Ok(year @ 0..=9_999) = u32::try_from(at.year()) else {
            return f.write_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true));
        };
        // Chrono writes the same, and takes several times as long: a page of posts shows sixty times.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let date = [(4, year), (7, at.month()), (10, at.day())];
        let time =
            [(13, at.hour()), (16, at.minute()), (19, at.second()), (23, at.timestamp_subsec_millis())];
        for (mut end, mut number) in date.into_iter().chain(time) {
            while number > 0 {
                end -= 1;
                text[end] += (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
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
        let years = (-100..200).map(|i| i * 366 * DAY_MS + 13 * HOUR_MS + 7_001 * i);
        let ends = [
            i64::MIN,
            -62_167_219_200_001,
            -62_167_219_200_000,
            -1,
            253_402_300_799_999,
            253_402_300_800_000,
        ];
        for ms in years.chain(ends).chain([i64::MAX]) {
            let at = Time::from_ms(ms);
            assert_eq!(at.to_string(), at.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true));
        }
    }
}
