//! A file of ratings as commands take it: opened, unpacked, and read as its first line and the flags say.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;

use super::term;
use crate::error::{Error, Invalid, Kind, Result};
use crate::import::{
    Columns, Lines, Options, Scale, Unit, as_utf8, check_format, parse_delimiter, parse_moment,
};
use crate::model::{PostId, Time, UserId};

/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes of the beginning, which decide how a file is read and what a refusal proposes.
const BEGIN_BYTES: u64 = 1 << 16;

/// The error that ended an import after so many lines. Where a server was away it says that the file may be imported again.
pub fn ended(error: Error, lines: u64) -> Error {
    match error {
        Error::Unavailable(why) => Error::Unavailable(format!(
            "{why} (after {} lines; importing the whole file again is safe)",
            term::number(lines)
        )),
        other => other,
    }
}

/// The text of a file.
pub type Text = BufReader<Box<dyn Read>>;

/// A file, and what its first line does not say.
#[derive(Args, Debug, Clone)]
pub struct FileArgs {
    /// The file; - reads standard input
    file: PathBuf,
    /// Columns by name, by number from 1, or, in JSON lines, by pointer: post=movieId,user=2,score=/review/stars
    #[arg(long, value_name = "ROLE=COLUMN,…", value_parser = Columns::parse)]
    columns: Option<Columns>,
    /// What stands between columns: ';', '\t' or any text
    #[arg(long, value_name = "TEXT", value_parser = parse_delimiter)]
    delimiter: Option<String>,
    /// The first line is a rating
    #[arg(long)]
    no_header: bool,
    /// The scale of the scores, worst..best: 1..10, 0.5..5, -1..1; it is put onto 0..5, linear, half up
    #[arg(long, value_name = "A..B", value_parser = Scale::parse, allow_hyphen_values = true)]
    scale: Option<Scale>,
    /// A score that says that there is no rating; such lines are passed over
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    no_rating: Option<String>,
    /// The unit of numeric times: s, ms or us
    #[arg(long, value_name = "UNIT", value_parser = Unit::parse, conflicts_with = "time_format")]
    time_unit: Option<Unit>,
    /// How times are written, as for strftime; read as UTC if it has no offset
    #[arg(long, value_name = "FORMAT", value_parser = check_format)]
    time_format: Option<String>,
    /// The post of all ratings
    #[arg(long, value_name = "ID", value_parser = post)]
    post: Option<PostId>,
    /// The user of all ratings
    #[arg(long, value_name = "ID", value_parser = user)]
    user: Option<UserId>,
    /// The time of all ratings, for a file without times
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Time>,
    /// Write what ids may not hold as =XX
    #[arg(long)]
    escape_ids: bool,
    /// Let quoted texts go on in the next line
    #[arg(long)]
    multiline: bool,
}

fn post(text: &str) -> Result<PostId, String> {
    PostId::parse(text).map_err(|e| e.detail)
}

fn user(text: &str) -> Result<UserId, String> {
    UserId::parse(text).map_err(|e| e.detail)
}

/// A day, a minute, or a time as a file may have it.
pub fn moment(text: &str) -> Result<Time, String> {
    parse_moment(text).map_err(|e| e.detail)
}

impl FileArgs {
    /// The file as it was named.
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// What the flags say of the file; `command` is the beginning of the command line.
    pub fn options(&self, command: &str) -> Options {
        let args = self.clone();
        Options {
            command: command.to_owned(),
            file: self.name(),
            columns: args.columns.unwrap_or_default(),
            delimiter: args.delimiter,
            has_no_header: args.no_header,
            scale: args.scale,
            no_rating: args.no_rating,
            time_unit: args.time_unit,
            time_format: args.time_format,
            post: args.post,
            user: args.user,
            at: args.at,
            escapes_ids: args.escape_ids,
            is_multiline: args.multiline,
        }
    }

    /// Opens the file and unpacks it, under a bar that counts its bytes.
    pub fn open(&self, verb: &'static str) -> Result<(Text, ProgressBar)> {
        let (input, bytes): (Box<dyn Read>, u64) = if self.file.as_os_str() == "-" {
            (Box::new(std::io::stdin()), 0)
        } else {
            let opened = File::open(&self.file).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (bytes, file) = opened.map_err(|e| {
                Invalid::new(Kind::UnreadableFile, format!("cannot read {}: {e}", self.file.display()))
            })?;
            (Box::new(file), bytes)
        };
        let bar = term::progress(verb, term::BYTES, bytes);
        let text = as_utf8(Box::new(bar.wrap_read(input)))?;
        // The beginning in one piece, since it decides how the rest is read.
        let mut begin = Vec::new();
        let mut text = text;
        text.by_ref().take(BEGIN_BYTES).read_to_end(&mut begin).map_err(unreadable)?;
        let text: Box<dyn Read> = Box::new(Cursor::new(begin).chain(text));
        Ok((BufReader::with_capacity(BUFFER_BYTES, text), bar))
    }

    /// The file's lines.
    pub fn lines(&self, text: Text, command: &str, now: Time) -> Result<Lines<Text>> {
        Lines::new(text, self.options(command), now)
    }
}

/// The beginning of a text that was not read yet.
pub fn peek(text: &mut Text) -> Result<&[u8]> {
    Ok(text.fill_buf().map_err(unreadable)?)
}

fn unreadable(error: std::io::Error) -> Invalid {
    Invalid::new(Kind::UnreadableFile, format!("the file cannot be read: {error}"))
}
