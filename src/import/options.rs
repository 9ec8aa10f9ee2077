//! What an operator says about a file, and the command that says it: a file that is not clear is refused with the
//! command that makes it clear.

use std::fmt;

use super::clock::Unit;
use super::scale::Scale;
use crate::model::{DAY_MS, PostId, Time, UserId};

/// What a rating has, in the order in which places are kept.
pub const ROLES: [&str; 4] = ["post", "user", "score", "time"];
/// The place of each.
pub const POST: usize = 0;
/// Of the user.
pub const USER: usize = 1;
/// Of the score.
pub const SCORE: usize = 2;
/// Of the time.
pub const TIME: usize = 3;

/// How a column is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// As the header, or a field of a JSON object, has it.
    Name(String),
    /// By its number, from 1.
    Number(usize),
    /// By a JSON pointer.
    Pointer(String),
}

impl Column {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("columns are counted from 1".to_owned()),
            Ok(number) => Ok(Self::Number(number)),
            Err(_) if text.is_empty() => Err("a column has no name".to_owned()),
            Err(_) if text.starts_with('/') => Ok(Self::Pointer(text.to_owned())),
            Err(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Column::Name(text) | Column::Pointer(text) => f.write_str(text),
            Column::Number(number) => number.fmt(f),
        }
    }
}

/// The columns that were named, by role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns(pub [Option<Column>; ROLES.len()]);

impl Columns {
    /// Reads `post=movieId,user=2,score=/review/stars,time=timestamp`.
    ///
    /// # Errors
    /// A sentence, when it cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut columns = Self::default();
        for pair in text.split(',') {
            let wrong = || format!("{pair:?} is no column: write post=…,user=…,score=…,time=…");
            let (role, column) = pair.split_once('=').ok_or_else(wrong)?;
            let role = match role.trim() {
                "timestamp" => "time",
                "rating" => "score",
                role => role,
            };
            let place = ROLES.iter().position(|known| *known == role).ok_or_else(wrong)?;
            if columns.0[place].replace(Column::parse(column.trim())?).is_some() {
                return Err(format!("{role} is given twice"));
            }
        }
        Ok(columns)
    }
}

/// What an operator says about a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// The beginning of the command, `damper import`, and the file as it was named.
    pub command: String,
    /// The file, as the command names it.
    pub file: String,
    /// Which columns a rating is in.
    pub columns: Columns,
    /// What stands between columns.
    pub delimiter: Option<String>,
    /// The first line is a rating.
    pub has_no_header: bool,
    /// The scale of the scores.
    pub scale: Option<Scale>,
    /// A score that says that there is no rating.
    pub no_rating: Option<String>,
    /// The unit of numeric times.
    pub time_unit: Option<Unit>,
    /// How times are written.
    pub time_format: Option<String>,
    /// The post of all ratings.
    pub post: Option<PostId>,
    /// The user of all ratings.
    pub user: Option<UserId>,
    /// The time of all ratings.
    pub at: Option<Time>,
    /// Writes the bytes of ids that no id may hold as `=XX`.
    pub escapes_ids: bool,
    /// Quoted texts may go on in the next line.
    pub is_multiline: bool,
}

impl Options {
    /// Whether nothing is said.
    pub fn are_plain(&self) -> bool {
        let plain = Options { command: self.command.clone(), file: self.file.clone(), ..Options::default() };
        *self == plain
    }

    /// Whether a role has a value for all ratings, so that it needs no column.
    pub fn is_given(&self, role: usize) -> bool {
        match role {
            POST => self.post.is_some(),
            USER => self.user.is_some(),
            TIME => self.at.is_some(),
            _ => false,
        }
    }

    /// The command line that says the same, for a shell.
    pub fn command_line(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut say = |flag: &str, value: &dyn fmt::Display| {
            words.extend([flag.to_owned(), quoted(&value.to_string())]);
        };
        let columns = ROLES.iter().zip(&self.columns.0);
        let columns: Vec<String> =
            columns.filter_map(|(role, column)| Some(format!("{role}={}", column.as_ref()?))).collect();
        if !columns.is_empty() {
            say("--columns", &columns.join(","));
        }
        if let Some(delimiter) = &self.delimiter {
            say("--delimiter", &delimiter.replace('\t', "\\t"));
        }
        if let Some(scale) = &self.scale {
            // A scale may begin with a minus sign, which is no flag.
            let is_negative = scale.to_string().starts_with('-');
            words.push(format!("--scale{}{scale}", if is_negative { "=" } else { " " }));
        }
        let mut say = |flag: &str, value: Option<&dyn fmt::Display>| {
            if let Some(value) = value {
                words.extend([flag.to_owned(), quoted(&value.to_string())]);
            }
        };
        say("--no-rating", self.no_rating.as_ref().map(|value| value as _));
        say("--time-unit", self.time_unit.as_ref().map(|value| value as _));
        say("--time-format", self.time_format.as_ref().map(|value| value as _));
        say("--post", self.post.as_ref().map(|value| value as _));
        say("--user", self.user.as_ref().map(|value| value as _));
        say("--at", self.at.map(short).as_ref().map(|value| value as _));
        for (flag, is_set) in [
            ("--no-header", self.has_no_header),
            ("--escape-ids", self.escapes_ids),
            ("--multiline", self.is_multiline),
        ] {
            words.extend(is_set.then(|| flag.to_owned()));
        }
        let begin = if self.command.is_empty() { "damper import" } else { &self.command };
        let file = if self.file.is_empty() { "FILE".to_owned() } else { quoted(&self.file) };
        [begin.to_owned(), words.join(" "), file]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A moment as it is shortest to write: a midnight is a day.
fn short(at: Time) -> String {
    let is_midnight = at.ms().rem_euclid(DAY_MS) == 0;
    if is_midnight { at.to_utc().format("%Y-%m-%d").to_string() } else { at.to_string() }
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+~".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What stands between columns, as it is written in a command: `\t` and `tab` are a tab.
///
/// # Errors
/// A sentence, when it is nothing.
pub fn parse_delimiter(text: &str) -> Result<String, String> {
    let delimiter = match text {
        "tab" | "\\t" => "\t".to_owned(),
        text => text.replace("\\t", "\t"),
    };
    if delimiter.is_empty() || delimiter.contains(['"', '\n', '\r']) {
        return Err("a delimiter is one or more characters, no quotes and no ends of lines".to_owned());
    }
    Ok(delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_names_numbers_or_pointers() {
        let columns = Columns::parse("post=/product/asin, user=2,score=Book-Rating,time=at").unwrap();
        let [post, user, score, time] = columns.0.map(Option::unwrap);
        assert_eq!(post, Column::Pointer("/product/asin".into()));
        assert_eq!((user, score), (Column::Number(2), Column::Name("Book-Rating".into())));
        assert_eq!(time, Column::Name("at".into()));
        for bad in ["", "post", "post=", "who=1", "post=0", "post=1,post=2"] {
            assert!(Columns::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let options = Options {
            file: "it's here.csv".into(),
            columns: Columns::parse("post=Letterboxd URI,user=2").unwrap(),
            delimiter: Some("\t".into()),
            scale: Some(Scale::parse("-1..1").unwrap()),
            time_format: Some("%Y-%m-%d %H:%M:%S".into()),
            has_no_header: true,
            ..Options::default()
        };
        assert_eq!(
            options.command_line(),
            "damper import --columns 'post=Letterboxd URI,user=2' --delimiter '\\t' --scale=-1..1 \
             --time-format '%Y-%m-%d %H:%M:%S' --no-header 'it'\\''s here.csv'"
        );
        assert_eq!(Options::default().command_line(), "damper import FILE");
    }
}
