//! Bulk ratings: reads lines, returns entries, and names each bad line with its number and reason.
//!
//! `file` reads a file, whose lines have a `format` and whose bytes have a `coding`; the API reads JSON lines
//! ([`json_line`]) from a request. Both cut their input with [`LineBuffer`]. The caller decides what to do with the entries.

mod coding;
mod file;
mod format;
pub mod json_line;
mod lines;

use crate::error::{Invalid, Kind};
use crate::model::{Score, Time};

pub use coding::{Coding, as_utf8};
pub use file::Lines;
pub use lines::LineBuffer;

/// A line without a valid entry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadLine {
    /// Line number in the file, from 1.
    pub line: u64,
    /// The error.
    pub reason: String,
}

/// Unix seconds below this; with three digits more the unit is a thousand times smaller, and so on. A time that is not from
/// before 1990 nor ahead of the clock has one reading only.
const SECONDS_MAX: u64 = 100_000_000_000;
/// Micro- and nanoseconds are from 2000 on. What would be earlier is another unit, such as .NET's ticks.
const FINE_UNITS_SECONDS_MIN: i64 = 946_684_800;

/// A whole number. Programs that compute with floats write it as `5.0`.
fn parse_score(text: &str) -> Result<Score, Invalid> {
    let not_whole = || Invalid::new(Kind::ScoreNotWhole, format!("score {text:?} is no whole number, 0..=5"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    // There is no negative zero.
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    if !is_number || fraction.bytes().any(|digit| digit != b'0') || digits.len() < whole.len() && is_zero {
        return Err(not_whole());
    }
    Score::parse(whole.parse().map_err(|_| not_whole())?)
}

/// Unix seconds, with or without a fraction; milli-, micro- or nanoseconds; or RFC 3339.
fn parse_time(text: &str) -> Result<Time, Invalid> {
    let wrong = || {
        let shown: String = text.chars().take(40).collect();
        let detail = format!("timestamp {shown:?} is neither Unix seconds nor RFC 3339");
        Invalid::new(Kind::InvalidTime, detail)
    };
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc().into());
    }
    // Digit by digit: a float would lose milliseconds.
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if seconds.is_empty() || !is_number(seconds.trim_start_matches('-')) || !is_number(fraction) {
        return Err(wrong());
    }
    let units: i64 = seconds.parse().map_err(|_| wrong())?;
    let ms: i64 = format!("{fraction:0<3}")[..3].parse().map_err(|_| wrong())?;
    let fine = |ms: i64| if ms / 1_000 < FINE_UNITS_SECONDS_MIN { Err(wrong()) } else { Ok(ms) };
    Ok(Time::from_ms(match units.unsigned_abs() / SECONDS_MAX {
        0 => units * 1_000 + ms,
        1..1_000 => units,
        1_000..1_000_000 => fine(units / 1_000)?,
        _ => fine(units / 1_000_000)?,
    }))
}
