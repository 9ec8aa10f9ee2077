//! What the lines of a file are: CSV with `post,user,score,timestamp`, CSV with MovieLens'
//! `userId,movieId,rating,timestamp`, or JSON. MovieLens has half stars, which are rounded up.

use csv::{ReaderBuilder, StringRecord};

use super::{json_line, parse_time};
use crate::entry::{Action, Entry};
use crate::error::{Invalid, Kind};
use crate::model::{PostId, Score, Time, UserId};

const HEADER: &str = "post,user,score,timestamp";
const MOVIELENS: &str = "userId,movieId,rating,timestamp";
/// Fields in a line of CSV.
const FIELDS: usize = 4;

#[derive(Debug, Clone, Copy)]
pub enum Format {
    Damper,
    MovieLens,
    Json,
}

impl Format {
    /// Reads the first line: the format of the file, and whether this line is already a rating.
    pub fn of(first: &[u8]) -> Result<(Self, bool), Invalid> {
        if first.starts_with(b"{") {
            return Ok((Format::Json, true));
        }
        let first = fields(first)?;
        let is = |header: &str| first.iter().eq(header.split(','));
        if is(MOVIELENS) {
            return Ok((Format::MovieLens, false));
        }
        let is_rating = first.get(2).is_some_and(|score| score.parse::<f64>().is_ok());
        if is_rating || is(HEADER) {
            return Ok((Format::Damper, is_rating));
        }
        let first = first.iter().collect::<Vec<_>>().join(",");
        let detail = format!("the first line {first:?} is not a known header: {HEADER} or {MOVIELENS}");
        Err(Invalid::new(Kind::UnknownHeader, detail))
    }

    /// Reads a line. Also returns whether its score was a half star.
    pub fn parse(self, line: &[u8], now: Time) -> Result<(Entry, bool), Invalid> {
        if let Format::Json = self {
            let entry = json_line::parse(line, now).map_err(|misfit| misfit.invalid)?;
            return Ok((entry, false));
        }
        let record = fields(line)?;
        if record.len() != FIELDS {
            let detail = format!("{} fields instead of {FIELDS}", record.len());
            return Err(Invalid::new(Kind::BadLine, detail));
        }
        let (post, user, (score, was_half)) = match self {
            Format::MovieLens => (&record[1], &record[0], parse_stars(&record[2])?),
            _ => (&record[0], &record[1], (parse_score(&record[2])?, false)),
        };
        let at = parse_time(&record[3])?.check_entry(now)?;
        let entry = Entry::new(PostId::parse(post)?, UserId::parse(user)?, at, Action::Rate(score));
        Ok((entry.stated(), was_half))
    }
}

/// MovieLens has scores from 0.5 to 5.0 in halves.
fn parse_stars(text: &str) -> Result<(Score, bool), Invalid> {
    let stars: f64 = text.parse().map_err(|_| not_whole(text))?;
    if (stars * 2.0).fract() != 0.0 || !(0.5..=5.0).contains(&stars) {
        let detail = format!("rating {text} is not a multiple of a half from 0.5 to 5");
        return Err(Invalid::new(Kind::ScoreNotWhole, detail));
    }
    Ok((Score::parse(stars.ceil() as i64)?, stars.fract() != 0.0))
}

/// The fields of a line. Quotes are rare, so only a line that has some goes through the CSV reader.
fn fields(text: &[u8]) -> Result<StringRecord, Invalid> {
    let bad = |detail: &str| Invalid::new(Kind::BadLine, detail);
    let text = std::str::from_utf8(text).map_err(|_| bad("line is not UTF-8 text"))?.trim();
    if !text.contains('"') {
        return Ok(text.split(',').map(str::trim).collect());
    }
    let mut record = StringRecord::new();
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.read_record(&mut record).map_err(|_| bad("line has quotes that do not match"))?;
    record.trim();
    Ok(record)
}

fn parse_score(text: &str) -> Result<Score, Invalid> {
    Score::parse(text.parse().map_err(|_| not_whole(text))?)
}

fn not_whole(text: &str) -> Invalid {
    Invalid::new(Kind::ScoreNotWhole, format!("score {text:?} is no whole number, 0..=5"))
}
