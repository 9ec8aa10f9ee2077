//! What the lines of a file are: JSON, or columns that the first line names. Which of two ids is the post is never
//! guessed.

use csv::{ReaderBuilder, StringRecord};

use super::{json_line, parse_score, parse_time};
use crate::entry::{Action, Entry};
use crate::error::{Invalid, Kind};
use crate::model::{PostId, Score, Time, UserId};

/// What may stand between columns. The first line shows which: it has the most of it.
const DELIMITERS: [&str; 4] = [",", "\t", ";", "::"];
/// MovieLens writes it, without a header: user, post, score, time.
const MOVIELENS_DELIMITER: &str = "::";
/// MovieLens' name of the post. It gives half stars, which are rounded up.
const MOVIELENS_POST: &str = "movieId";

/// The columns of a rating, and other names for them, in small letters, without `_`, `-` and spaces; a post's and a user's
/// also without `id` at the end.
const COLUMNS: [(&str, &[&str]); 4] = [
    ("post", &["item", "movie", "film", "book", "product", "article"]),
    ("user", &["reviewer", "customer"]),
    ("score", &["rating", "stars"]),
    ("timestamp", &["time", "date", "datetime", "at", "createdat", "ratedat"]),
];

#[derive(Debug)]
pub enum Format {
    Table(Table),
    Json,
}

/// Where the columns of a rating are.
#[derive(Debug)]
pub struct Table {
    delimiter: &'static str,
    /// Fields in a line.
    width: usize,
    /// Post, user, score, timestamp.
    places: [usize; COLUMNS.len()],
    has_half_stars: bool,
}

/// What the first line of a file says.
pub struct First {
    pub format: Format,
    /// The line is a rating itself.
    pub is_rating: bool,
    /// Columns that no rating has.
    pub ignored: Vec<String>,
}

impl Format {
    /// Reads the first line.
    pub fn of(first: &[u8]) -> Result<First, Invalid> {
        if first.starts_with(b"{") {
            return Ok(First { format: Format::Json, is_rating: true, ignored: Vec::new() });
        }
        let refuse = |detail: String| Err(Invalid::new(Kind::UnknownHeader, detail));
        if first.starts_with(b"[") {
            return refuse("the file is one JSON array: write one object a line, as jq -c '.[]' does".into());
        }
        let mut delimiter = DELIMITERS[0];
        let mut header = fields(first, delimiter)?;
        for other in &DELIMITERS[1..] {
            let split = fields(first, other)?;
            if split.len() > header.len() {
                (delimiter, header) = (other, split);
            }
        }
        let is_rating = header.iter().any(|field| field.parse::<f64>().is_ok());
        if is_rating && delimiter == MOVIELENS_DELIMITER {
            let table = Table { delimiter, width: 4, places: [1, 0, 2, 3], has_half_stars: true };
            return Ok(First { format: Format::Table(table), is_rating, ignored: Vec::new() });
        }
        let (wanted, shown) =
            (COLUMNS.map(|(name, _)| name).join(delimiter), header.iter().collect::<Vec<_>>());
        if is_rating {
            return refuse(format!(
                "the first line {:?} is a rating, and no header says which column is the post and which is the \
                 user: put a line like {wanted:?} before it, its names in the order of the columns",
                shown.join(delimiter)
            ));
        }
        let names: Vec<Option<usize>> = header.iter().map(column).collect();
        let mut places = [0; COLUMNS.len()];
        for (number, (name, others)) in COLUMNS.iter().enumerate() {
            let mut found = (0..names.len()).filter(|place| names[*place] == Some(number));
            let first = found.next();
            let what = match (first, found.next()) {
                (Some(place), None) => {
                    places[number] = place;
                    continue;
                }
                (None, _) => format!("none of its columns is the {name} ({})", others.join(", ")),
                (_, Some(_)) => format!("several of its columns may be the {name}: rename all but one"),
            };
            return refuse(format!(
                "the first line {:?} is not a known header: {what}; write it like {wanted:?}",
                shown.join(delimiter)
            ));
        }
        let ignored = header.iter().zip(&names).filter(|(_, name)| name.is_none());
        let ignored = ignored.map(|(field, _)| field.to_owned()).collect();
        let has_half_stars = &header[places[0]] == MOVIELENS_POST;
        let table = Table { delimiter, width: header.len(), places, has_half_stars };
        Ok(First { format: Format::Table(table), is_rating, ignored })
    }

    /// Whether a field of this line goes on in the next ones, in a file with texts in it. What stands there would be read
    /// as ratings.
    pub fn has_open_text(&self, line: &[u8]) -> bool {
        let Format::Table(table) = self else { return false };
        table.width > COLUMNS.len() && line.iter().filter(|byte| **byte == b'"').count() % 2 == 1
    }

    /// Reads a line. Also returns whether its score was a half star.
    pub fn parse(&self, line: &[u8], now: Time) -> Result<(Entry, bool), Invalid> {
        let Format::Table(table) = self else {
            let entry = json_line::parse(line, now).map_err(|misfit| misfit.invalid)?;
            return Ok((entry, false));
        };
        let record = fields(line, table.delimiter)?;
        if record.len() != table.width {
            let detail = format!("{} fields instead of {}", record.len(), table.width);
            return Err(Invalid::new(Kind::BadLine, detail));
        }
        let [post, user, score, at] = table.places.map(|place| &record[place]);
        let (score, was_half) =
            if table.has_half_stars { parse_stars(score)? } else { (parse_score(score)?, false) };
        let at = parse_time(at)?.check_entry(now)?;
        let entry = Entry::new(PostId::parse(post)?, UserId::parse(user)?, at, Action::Rate(score));
        Ok((entry.stated(), was_half))
    }
}

/// Which column of a rating a header's field names.
fn column(field: &str) -> Option<usize> {
    let letters = field.chars().filter(|c| !['_', '-', ' '].contains(c));
    let name = letters.collect::<String>().to_lowercase();
    let find = |name: &str| COLUMNS.iter().position(|(own, others)| *own == name || others.contains(&name));
    // A rating's own id is no score.
    let of_id = || name.strip_suffix("id").and_then(find).filter(|number| *number < 2);
    find(&name).or_else(of_id)
}

/// MovieLens has scores from 0.5 to 5.0 in halves.
fn parse_stars(text: &str) -> Result<(Score, bool), Invalid> {
    let wrong = || {
        let detail = format!("rating {text} is not a multiple of a half from 0.5 to 5");
        Invalid::new(Kind::ScoreNotWhole, detail)
    };
    let stars: f64 = text.parse().map_err(|_| wrong())?;
    if (stars * 2.0).fract() != 0.0 || !(0.5..=5.0).contains(&stars) {
        return Err(wrong());
    }
    Ok((Score::parse(stars.ceil() as i64)?, stars.fract() != 0.0))
}

/// The fields of a line. Quotes are rare, so only a line that has some goes through the CSV reader.
fn fields(text: &[u8], delimiter: &str) -> Result<StringRecord, Invalid> {
    let bad = |detail: &str| Invalid::new(Kind::BadLine, detail);
    let text = std::str::from_utf8(text).map_err(|_| bad("line is not UTF-8 text"))?;
    // A tab at the edge is an empty field.
    let text = if delimiter == "\t" { text.trim_matches([' ', '\r']) } else { text.trim() };
    let (&[byte], true) = (delimiter.as_bytes(), text.contains('"')) else {
        return Ok(text.split(delimiter).map(str::trim).collect());
    };
    let mut record = StringRecord::new();
    let mut reader = ReaderBuilder::new().has_headers(false).delimiter(byte).from_reader(text.as_bytes());
    if text.matches('"').count() % 2 == 1 {
        return Err(bad("line has quotes that do not match"));
    }
    reader.read_record(&mut record).map_err(|e| bad(&e.to_string()))?;
    record.trim();
    Ok(record)
}
