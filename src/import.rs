//! Ratings from a CSV file: lines in, entries out, each bad line with its number and reason.
//!
//! Two shapes are known: `post,user,score,timestamp`, and MovieLens' `userId,movieId,rating,timestamp`, whose
//! half stars are rounded up. What becomes of the entries is the caller's: this reads, checks and counts.

use std::collections::HashSet;
use std::io::{BufRead, Read};

use csv::{ReaderBuilder, StringRecord};

use crate::entry::{Action, Entry};
use crate::error::{Error, Invalid, Result};
use crate::rating::{PostId, Score, Time, UserId};

const HEADER: [&str; 4] = ["post", "user", "score", "timestamp"];
const MOVIELENS: [&str; 4] = ["userId", "movieId", "rating", "timestamp"];
/// A longer line is a bad one, skipped without being kept.
const LINE_BYTES_MAX: u64 = 4_096;

/// Reads entries from CSV text, line by line: a stray quote spoils its own line only.
pub struct Lines<R> {
    reader: R,
    shape: Shape,
    /// The line last read, and its number.
    text: Vec<u8>,
    line: u64,
    bytes_read: u64,
    /// The first line was no header and is still to be given out.
    has_first: bool,
    now: Time,
    // Ids repeat: each is kept once and shared by all its entries.
    posts: HashSet<PostId>,
    users: HashSet<UserId>,
    /// Scores that were half stars, so far.
    pub rounded: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Damper,
    MovieLens,
}

/// A line that holds no entry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl<R: BufRead> Lines<R> {
    /// Reads the header. Entries may not lie more than a minute after `now`.
    ///
    /// # Errors
    /// `Invalid` when the first line is neither a known header nor a rating.
    pub fn new(reader: R, now: Time) -> Result<Self> {
        let mut lines = Self {
            reader,
            shape: Shape::Damper,
            text: Vec::new(),
            line: 0,
            bytes_read: 0,
            has_first: false,
            now,
            posts: HashSet::new(),
            users: HashSet::new(),
            rounded: 0,
        };
        if !lines.read_text()? {
            let detail = format!("the file is empty; its first line should be {}", HEADER.join(","));
            return Err(Invalid::new("empty-file", detail).into());
        }
        if lines.text.starts_with("\u{feff}".as_bytes()) {
            lines.text.drain(.."\u{feff}".len());
        }
        let first = fields(&lines.text)?;
        if first.eq(&MOVIELENS[..]) {
            lines.shape = Shape::MovieLens;
        } else if first.get(2).is_some_and(|score| score.parse::<f64>().is_ok()) {
            lines.has_first = true;
        } else if !first.eq(&HEADER[..]) {
            let detail = format!(
                "the first line {:?} is no header that is known: {} or {}",
                first.iter().collect::<Vec<_>>().join(","),
                HEADER.join(","),
                MOVIELENS.join(",")
            );
            return Err(Invalid::new("unknown-header", detail).into());
        }
        Ok(lines)
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next line: an entry or what is wrong with it; `None` at the end.
    ///
    /// # Errors
    /// When the file itself cannot be read on.
    pub fn next_line(&mut self) -> Result<Option<Result<Entry, BadLine>>> {
        if !std::mem::take(&mut self.has_first) && !self.read_text()? {
            return Ok(None);
        }
        let text = std::mem::take(&mut self.text);
        let outcome = fields(&text).and_then(|record| self.parse(&record));
        self.text = text;
        Ok(Some(outcome.map_err(|e| BadLine { line: self.line, reason: e.detail })))
    }

    /// Reads the next line that holds anything into `text`; `false` at the end. Of a line that is too long it
    /// keeps as much as shows that.
    fn read_text(&mut self) -> Result<bool> {
        loop {
            self.text.clear();
            let mut limited = (&mut self.reader).take(LINE_BYTES_MAX + 1);
            let mut read = limited.read_until(b'\n', &mut self.text).map_err(unreadable)?;
            if read == 0 {
                return Ok(false);
            }
            if !self.text.ends_with(b"\n") {
                read += self.skip_line()?;
            }
            self.line += 1;
            self.bytes_read += read as u64;
            if !self.text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// Forgets the rest of a line that is too long; returns its bytes.
    fn skip_line(&mut self) -> Result<usize> {
        let mut skipped = 0;
        loop {
            let chunk = self.reader.fill_buf().map_err(unreadable)?;
            let end = chunk.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let count = end.unwrap_or(chunk.len());
            self.reader.consume(count);
            skipped += count;
            if end.is_some() || count == 0 {
                return Ok(skipped);
            }
        }
    }

    fn parse(&mut self, record: &StringRecord) -> Result<Entry, Invalid> {
        if record.len() != HEADER.len() {
            return Err(Invalid::new(
                "bad-line",
                format!("{} fields instead of {}", record.len(), HEADER.len()),
            ));
        }
        let (post, user, score) = match self.shape {
            Shape::Damper => (&record[0], &record[1], parse_score(&record[2])?),
            Shape::MovieLens => (&record[1], &record[0], self.parse_stars(&record[2])?),
        };
        let at = parse_time(&record[3])?.check_entry(self.now)?;
        Ok(Entry {
            post: shared(&mut self.posts, PostId::parse(post)?),
            user: shared(&mut self.users, UserId::parse(user)?),
            at,
            action: Action::Rate(score),
            origin: None,
        })
    }

    /// MovieLens knows 0.5 to 5.0 in halves.
    fn parse_stars(&mut self, text: &str) -> Result<Score, Invalid> {
        let stars: f64 = text.parse().map_err(|_| not_whole(text))?;
        if (stars * 2.0).fract() != 0.0 || !(0.5..=5.0).contains(&stars) {
            let detail = format!("rating {text} is no multiple of a half from 0.5 to 5");
            return Err(Invalid::new("score-not-whole", detail));
        }
        let score = Score::parse(stars.ceil() as i64)?;
        self.rounded += u64::from(stars.fract() != 0.0);
        Ok(score)
    }
}

/// The fields of a line. Quotes are rare, so only a line that has some is read by the rules for them.
fn fields(text: &[u8]) -> Result<StringRecord, Invalid> {
    let bad = |detail: &str| Invalid::new("bad-line", detail);
    if text.len() as u64 > LINE_BYTES_MAX {
        return Err(bad(&format!("line has more than {LINE_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(text).map_err(|_| bad("line is no UTF-8 text"))?.trim();
    if !text.contains('"') {
        return Ok(text.split(',').map(str::trim).collect());
    }
    let mut record = StringRecord::new();
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.read_record(&mut record).map_err(|_| bad("line has quotes that do not match"))?;
    record.trim();
    Ok(record)
}

/// The one copy of an id.
fn shared<T: Clone + Eq + std::hash::Hash>(ids: &mut HashSet<T>, id: T) -> T {
    if let Some(known) = ids.get(&id) {
        return known.clone();
    }
    ids.insert(id.clone());
    id
}

fn parse_score(text: &str) -> Result<Score, Invalid> {
    Score::parse(text.parse().map_err(|_| not_whole(text))?)
}

fn not_whole(text: &str) -> Invalid {
    Invalid::new("score-not-whole", format!("score {text:?} is no whole number, 0..=5"))
}

/// Unix seconds, fractions allowed, or RFC 3339.
fn parse_time(text: &str) -> Result<Time, Invalid> {
    let wrong = || {
        let detail = format!("timestamp {text:?} is neither Unix seconds nor RFC 3339");
        Invalid::new("bad-time", detail)
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

fn unreadable(error: std::io::Error) -> Error {
    Error::Invalid(Invalid::new("unreadable-file", format!("the file cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_ms(1_790_000_000_000);

    fn read(text: &str) -> (Vec<String>, Vec<BadLine>, u64) {
        let mut lines = Lines::new(text.as_bytes(), NOW).unwrap();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next_line().unwrap() {
            match line {
                Ok(entry) => good.push(entry.encode()),
                Err(line) => bad.push(line),
            }
        }
        (good, bad, lines.rounded)
    }

    #[test]
    fn bad_lines_are_told_by_number_and_the_rest_is_read() {
        let text = "post,user,score,timestamp\n\
                    a,u1,5,1412424000\n\
                    a,u2,7,1412424000\n\
                    a,u3,4,yesterday\n\
                    a b,u4,4,1412424000\n\
                    a,u5,4\n\
                    a,u6,0,2014-10-04T12:00:00.25Z\n\
                    a,u7,2.5,1412424000\n\
                    a,u8,1,1412424000.0079\n\
                    a,u9,1,99999999999\n";
        let (good, bad, _) = read(text);
        assert_eq!(
            good,
            ["1 r a u1 5 1412424000000", "1 r a u6 0 1412424000250", "1 r a u8 1 1412424000007"]
        );
        let bad: Vec<(u64, &str)> = bad.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
        assert_eq!(bad.iter().map(|bad| bad.0).collect::<Vec<_>>(), [3, 4, 5, 6, 8, 10]);
        assert_eq!(bad[0].1, "score 7 is outside 0..=5");
        assert_eq!(bad[1].1, "timestamp \"yesterday\" is neither Unix seconds nor RFC 3339");
        assert!(bad[2].1.contains("a space") && bad[3].1.contains("3 fields") && bad[5].1.contains("ahead"));
    }

    #[test]
    fn movielens_half_stars_are_rounded_up_and_counted() {
        let text = "userId,movieId,rating,timestamp\r\n1,31,2.5,1260759144\r\n1,32,4.0,1260759179\r\n1,33,5.5,1\r\n1,34,-0.5,1260759180\r\n";
        let (good, bad, rounded) = read(text);
        assert_eq!(good, ["1 r 31 1 3 1260759144000", "1 r 32 1 4 1260759179000"]);
        assert_eq!((bad.len(), rounded), (2, 1));
    }

    #[test]
    fn a_file_may_begin_with_a_rating_but_not_with_anything() {
        assert_eq!(read("a,u1,5,1412424000\n").0.len(), 1);
        assert!(Lines::new("item,who,stars,when\n".as_bytes(), NOW).is_err());
        assert!(Lines::new("".as_bytes(), NOW).is_err());
    }

    #[test]
    fn a_stray_quote_and_an_endless_line_spoil_their_own_line_only() {
        let endless = "x".repeat(100_000);
        let text = format!(
            "post,user,score,timestamp\n\"a,u1,5,1412424000\n{endless}\n\n\"a\",\"u2\",\"5\",\"1412424000\"\na,u3,5,1412424000"
        );
        let (good, bad, _) = read(&text);
        assert_eq!(good, ["1 r a u2 5 1412424000000", "1 r a u3 5 1412424000000"]);
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn another_encoding_spoils_its_own_line_only() {
        let text = b"post,user,score,timestamp\na,\xff\xfe,5,1412424000\na,u2,5,1412424000\n";
        let mut lines = Lines::new(&text[..], NOW).unwrap();
        assert_eq!(lines.next_line().unwrap().unwrap().unwrap_err().line, 2);
        assert!(lines.next_line().unwrap().unwrap().is_ok());
    }
}
