//! Bulk ratings: reads lines, returns entries, and names each bad line with its number and reason.
//!
//! `file` reads a file, whose lines have a `format`; the API reads JSON lines ([`json_line`]) from a request. Both
//! cut their input with [`LineBuffer`]. The caller decides what to do with the entries.

mod file;
mod format;
pub mod json_line;
mod lines;

use crate::error::{Invalid, Kind};
use crate::model::Time;

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

/// Unix seconds, with or without a fraction, or RFC 3339.
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
    let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
    let ms: i64 = format!("{fraction:0<3}")[..3].parse().map_err(|_| wrong())?;
    seconds.checked_mul(1_000).and_then(|s| s.checked_add(ms)).map(Time::from_ms).ok_or_else(wrong)
}
