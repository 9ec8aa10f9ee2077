//! How the times of a file are read: as what they say themselves, in a stated unit, or in a stated format.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use crate::error::{Invalid, Kind};
use crate::model::Time;

/// Unix seconds below this; with three digits more the unit is a thousand times smaller, and so on. A time that is not from
/// before 1990 nor ahead of the clock has one reading only.
const SECONDS_MAX: u64 = 100_000_000_000;
/// Micro- and nanoseconds are from 2000 on. What would be earlier is another unit, such as .NET's ticks.
const FINE_UNITS_SECONDS_MIN: i64 = 946_684_800;
/// A date and a time with an offset such as `+00`, as Postgres writes them.
const WITH_OFFSET: &str = "%Y-%m-%d %H:%M:%S%.f%#z";
/// As Goodreads and old Unix programs write a time with its offset.
const UNIX_DATE: &str = "%a %b %d %H:%M:%S %z %Y";
/// Formats that are looked for in times that cannot be read. They have no offset, so each is stated, and read as UTC.
const FORMATS: [&str; 13] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m %d, %Y",
    "%B %d, %Y",
    "%d %B %Y",
    "%Y%m%d",
];

/// The unit of a numeric time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

impl Unit {
    /// Reads `s`, `ms` or `us`.
    ///
    /// # Errors
    /// A sentence, when it is no unit.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            "us" | "µs" => Ok(Self::Microseconds),
            _ => Err("a unit of time is s, ms or us".to_owned()),
        }
    }

    fn time(self, text: &str) -> Result<Time, Invalid> {
        let (units, fraction_ms) = number(text)
            .ok_or_else(|| wrong(format!("timestamp {:?} is no number of {self}", shown(text))))?;
        let ms = match self {
            Self::Seconds => units.checked_mul(1_000).and_then(|ms| ms.checked_add(fraction_ms)),
            Self::Milliseconds => Some(units),
            Self::Microseconds => Some(units.div_euclid(1_000)),
        };
        ms.map(Time::from_ms).ok_or_else(|| wrong(format!("timestamp {:?} is too large", shown(text))))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
        })
    }
}

/// How times are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clock {
    /// As they say themselves.
    Plain,
    /// In this unit.
    Unit(Unit),
    /// In this format; without an offset, in UTC.
    Format(String),
}

impl Clock {
    /// The time that a text says.
    pub fn time(&self, text: &str) -> Result<Time, Invalid> {
        match self {
            Clock::Plain => parse_time(text),
            Clock::Unit(unit) => unit.time(text),
            Clock::Format(format) => in_format(text, format)
                .ok_or_else(|| wrong(format!("timestamp {:?} is not written as {format:?}", shown(text)))),
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clock::Plain => f.write_str("Unix time or RFC 3339"),
            Clock::Unit(Unit::Seconds) => f.write_str("Unix seconds"),
            Clock::Unit(Unit::Milliseconds) => f.write_str("milliseconds"),
            Clock::Unit(Unit::Microseconds) => f.write_str("microseconds"),
            Clock::Format(format) => write!(f, "{format}, in UTC where no offset says otherwise"),
        }
    }
}

/// Whether a format can be read at all.
///
/// # Errors
/// A sentence, when it cannot.
pub fn check_format(format: &str) -> Result<String, String> {
    let has_error =
        chrono::format::StrftimeItems::new(format).any(|item| item == chrono::format::Item::Error);
    if has_error || !format.contains('%') {
        return Err("a format is written as for strftime: '%Y-%m-%d %H:%M:%S'".to_owned());
    }
    Ok(format.to_owned())
}

/// The formats in which a text that says no time by itself can be read.
pub fn formats_of(text: &str) -> Vec<&'static str> {
    FORMATS.into_iter().filter(|format| in_format(text, format).is_some()).collect()
}

fn in_format(text: &str, format: &str) -> Option<Time> {
    if let Ok(at) = DateTime::parse_from_str(text, format) {
        return Some(at.to_utc().into());
    }
    let naive = NaiveDateTime::parse_from_str(text, format).ok();
    let naive =
        naive.or_else(|| Some(NaiveDate::parse_from_str(text, format).ok()?.and_time(NaiveTime::MIN)));
    naive.map(|at| at.and_utc().into())
}

/// Unix seconds, with or without a fraction; milli-, micro- or nanoseconds; or a date and time with its offset.
pub fn parse_time(text: &str) -> Result<Time, Invalid> {
    let unread = || wrong(format!("timestamp {:?} is neither Unix seconds nor RFC 3339", shown(text)));
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc().into());
    }
    let Some((units, fraction_ms)) = number(text) else {
        let offset = text.strip_suffix(" UTC").map(|text| format!("{text}+00"));
        let text = offset.as_deref().unwrap_or(text);
        let at =
            [WITH_OFFSET, UNIX_DATE].iter().find_map(|format| DateTime::parse_from_str(text, format).ok());
        return at.map(|at| at.to_utc().into()).ok_or_else(unread);
    };
    let fine = |ms: i64| if ms / 1_000 < FINE_UNITS_SECONDS_MIN { Err(unread()) } else { Ok(ms) };
    Ok(Time::from_ms(match units.unsigned_abs() / SECONDS_MAX {
        0 => units * 1_000 + fraction_ms,
        1..1_000 => units,
        1_000..1_000_000 => fine(units / 1_000)?,
        _ => fine(units / 1_000_000)?,
    }))
}

/// A time as a person writes it in a command: as in a file, or a day or a minute in UTC.
pub fn parse_moment(text: &str) -> Result<Time, Invalid> {
    let naive =
        ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"].iter().find_map(|format| in_format(text, format));
    naive.map_or_else(|| parse_time(text), Ok)
}

/// A number's whole part, and its fraction in thousandths. Digit by digit: a float would lose milliseconds.
fn number(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole.trim_start_matches('-')) || !is_number(fraction) {
        return None;
    }
    Some((whole.parse().ok()?, format!("{fraction:0<3}")[..3].parse().ok()?))
}

fn wrong(detail: String) -> Invalid {
    Invalid::new(Kind::InvalidTime, detail)
}

/// The beginning of a text, short enough for an error message.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_an_offset_needs_no_format() {
        let noon = Time::from_ms(1_412_424_000_000);
        for text in [
            "1412424000",
            "1412424000000",
            "2014-10-04T12:00:00Z",
            "2014-10-04 12:00:00+00",
            "2014-10-04 14:00:00.000000+02:00",
            "2014-10-04 12:00:00 UTC",
            "Sat Oct 04 05:00:00 -0700 2014",
        ] {
            assert_eq!(parse_time(text).unwrap(), noon, "{text}");
        }
        for text in ["2014-10-04 12:00:00", "2014-10-04", "yesterday", "", "-", "1.5.2"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn units_and_formats_are_stated() {
        let noon = Time::from_ms(1_412_424_000_000);
        assert_eq!(Clock::Unit(Unit::Seconds).time("1412424000.25").unwrap(), noon.plus_ms(250));
        assert_eq!(Clock::Unit(Unit::Microseconds).time("1412424000000000").unwrap(), noon);
        let format = |format: &str| Clock::Format(format.into());
        assert_eq!(format("%Y-%m-%d %H:%M:%S").time("2014-10-04 12:00:00").unwrap(), noon);
        assert_eq!(format("%m %d, %Y").time("10 4, 2014").unwrap(), noon.plus_ms(-12 * 3_600_000));
        assert_eq!(format("%Y-%m-%d %H:%M:%S %z").time("2014-10-04 14:00:00 +0200").unwrap(), noon);
        assert!(format("%Y-%m-%d").time("2014-10-04 12:00:00").is_err());
        assert_eq!(formats_of("03/04/2014"), ["%m/%d/%Y", "%d/%m/%Y"]);
        assert!(check_format("%Q").is_err() && check_format("date").is_err() && check_format("%Y").is_ok());
    }
}
