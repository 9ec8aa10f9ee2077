//! Bulk ratings: reads lines, returns entries, and names each bad line with its number and reason.
//!
//! `file` reads a file, whose bytes have a `coding` and whose lines have a `format`, by what the first line and the operator's
//! `options` say; `fields` takes a line apart, `resolve` finds the columns, `known` has the files that many people have, `rules` makes a rating of a line's values, `survey` notices
//! a file that is read in the wrong way, and `guess` proposes a command for it. The API reads JSON lines ([`json_line`]) from
//! a request. Both cut their input with [`LineBuffer`]. The caller decides what to do with the entries.

mod clock;
mod coding;
mod fields;
mod file;
mod format;
mod guess;
pub mod json_line;
mod known;
mod lines;
mod options;
mod resolve;
mod rules;
mod scale;
mod survey;

pub use clock::{Unit, check_format, parse_moment, parse_time};
pub use coding::{Coding, as_utf8};
pub use file::Lines;
pub use format::Format;
pub use lines::LineBuffer;
pub use options::{Columns, Options, ROLES, parse_delimiter};
pub use rules::Rules;
pub use scale::Scale;
pub use survey::Survey;

use rules::parse_score;

/// A line without a valid entry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadLine {
    /// Line number in the file, from 1.
    pub line: u64,
    /// The error.
    pub reason: String,
}
