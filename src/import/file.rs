//! A file of ratings, read line by line. A stray quote or brace spoils only its own line.

use std::collections::HashSet;
use std::hash::Hash;
use std::io::BufRead;

use super::format::{First, Format, Parsed};
use super::options::Options;
use super::survey::Survey;
use super::{BadLine, LineBuffer};
use crate::entry::Entry;
use crate::error::{Invalid, Kind, Result};
use crate::model::{PostId, Time, UserId};

/// A longer line is refused. Reviews are long.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Reads entries from a text.
pub struct Lines<R> {
    reader: R,
    format: Format,
    options: Options,
    line: LineBuffer,
    /// A text that goes on in the next line, as far as it is read.
    open: Vec<u8>,
    /// The first line was not a header and still has to be returned.
    has_first: bool,
    now: Time,
    // Ids repeat: each is stored once and shared by all its entries.
    posts: HashSet<PostId>,
    users: HashSet<UserId>,
    /// What was seen so far.
    pub survey: Survey,
}

impl<R: BufRead> Lines<R> {
    /// Reads the first line, which decides with the options how the file is read. Entries may be at most a minute ahead of
    /// `now`.
    ///
    /// # Errors
    /// `Invalid` when first line and options do not say how the file is read. The error has the commands that do.
    pub fn new(mut reader: R, options: Options, now: Time) -> Result<Self> {
        let unreadable =
            |e: std::io::Error| Invalid::new(Kind::UnreadableFile, format!("the file cannot be read: {e}"));
        let mut line = LineBuffer::new(LINE_BYTES_MAX);
        if !read_line(&mut reader, &mut line)? {
            let detail = "the file is empty; its first line should be post,user,score,timestamp";
            return Err(Invalid::new(Kind::EmptyFile, detail).into());
        }
        let rest = reader.fill_buf().map_err(unreadable)?;
        let First { format, is_rating } = Format::of(text(&line)?, rest, &options, now)?;
        Ok(Self {
            reader,
            format,
            options,
            line,
            open: Vec::new(),
            has_first: is_rating,
            now,
            posts: HashSet::new(),
            users: HashSet::new(),
            survey: Survey::default(),
        })
    }

    /// The next line with a rating: its entry, or its error; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read further.
    pub fn next_line(&mut self) -> Result<Option<Result<Entry, BadLine>>> {
        loop {
            if !std::mem::take(&mut self.has_first) && !read_line(&mut self.reader, &mut self.line)? {
                return if self.open.is_empty() { Ok(None) } else { Err(self.open_text()) };
            }
            let begin = self.line.number();
            let whole = text(&self.line);
            let is_open = |line: &[u8]| self.format.has_open_text(line);
            if let Ok(line) = whole
                && (!self.open.is_empty() || is_open(line))
            {
                if !self.options.is_multiline {
                    return Err(self.open_text());
                }
                if !self.open.is_empty() {
                    self.open.push(b'\n');
                }
                self.open.extend_from_slice(line);
                if is_open(&self.open) && self.open.len() <= LINE_BYTES_MAX {
                    continue;
                }
            }
            let joined = std::mem::take(&mut self.open);
            let line = if joined.is_empty() { whole } else { Ok(&joined[..]) };
            let parsed = line.and_then(|line| self.format.parse(line, self.now));
            self.survey.lines += 1;
            return Ok(Some(match parsed {
                Err(e) => {
                    self.survey.note_bad(&e);
                    Err(BadLine { line: begin, reason: e.detail })
                }
                Ok(Parsed::Nothing) => {
                    self.survey.unrated += 1;
                    continue;
                }
                Ok(Parsed::Entry(entry, is_rounded)) => {
                    self.survey.note(&entry, is_rounded);
                    let post = shared(&mut self.posts, entry.post);
                    let user = shared(&mut self.users, entry.user);
                    Ok(Entry { post, user, ..entry })
                }
            }));
        }
    }

    /// How the file is read.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// How many posts and users there were so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.posts.len() as u64, self.users.len() as u64)
    }

    /// The number of the last line that was read.
    pub fn number(&self) -> u64 {
        self.line.number()
    }

    /// Refuses a file of which too many lines cannot be read for one reason that an option removes.
    ///
    /// # Errors
    /// `Invalid`, with the commands that say what the file does not.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.format.is_own() {
            return Ok(());
        }
        self.survey.check(self.format.rules(), &self.options)
    }

    fn open_text(&self) -> crate::error::Error {
        let number = self.line.number();
        let command = Options { is_multiline: true, ..self.options.clone() }.command_line();
        let detail = format!(
            "line {number} has a text that goes on in the next line: leave that column out, or say that its quotes are right:\n  {command}"
        );
        Invalid::new(Kind::UnreadableFile, detail).into()
    }
}

/// Reads up to the next line that is not empty; `false` at the end.
fn read_line(reader: &mut impl BufRead, line: &mut LineBuffer) -> Result<bool> {
    loop {
        let bytes = reader
            .fill_buf()
            .map_err(|e| Invalid::new(Kind::UnreadableFile, format!("the file cannot be read: {e}")))?;
        let is_end = bytes.is_empty();
        let (taken, is_whole) = if is_end { (0, line.end()) } else { line.fill(bytes) };
        reader.consume(taken);
        if is_whole && line.text() != Some(b"") {
            return Ok(true);
        }
        if is_end {
            return Ok(false);
        }
    }
}

fn text(line: &LineBuffer) -> Result<&[u8], Invalid> {
    let too_long = || Invalid::new(Kind::BadLine, format!("line has more than {LINE_BYTES_MAX} bytes"));
    line.text().ok_or_else(too_long)
}

/// The shared copy of an id.
fn shared<T: Clone + Eq + Hash>(ids: &mut HashSet<T>, id: T) -> T {
    if let Some(known) = ids.get(&id) {
        return known.clone();
    }
    ids.insert(id.clone());
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_ms(1_790_000_000_000);

    /// The entries of a text, its bad lines, and the half stars.
    fn read(text: impl AsRef<[u8]>) -> (Vec<String>, Vec<BadLine>, u64) {
        let mut lines = Lines::new(text.as_ref(), Options::default(), NOW).unwrap();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next_line().unwrap() {
            match line {
                Ok(entry) => good.push(entry.encode()),
                Err(line) => bad.push(line),
            }
        }
        (good, bad, lines.survey.rounded)
    }

    fn numbers(bad: &[BadLine]) -> Vec<u64> {
        bad.iter().map(|bad| bad.line).collect()
    }

    #[test]
    fn bad_lines_are_reported_by_number_and_the_rest_is_read() {
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
            [
                "1 r a u1 5 1412424000000 stated",
                "1 r a u6 0 1412424000250 stated",
                "1 r a u8 1 1412424000007 stated"
            ]
        );
        assert_eq!(numbers(&bad), [3, 4, 5, 6, 8, 10]);
        let reason = |i: usize| bad[i].reason.as_str();
        assert_eq!(reason(0), "score 7 is outside 0..=5");
        assert_eq!(reason(1), "timestamp \"yesterday\" is neither Unix seconds nor RFC 3339");
        assert!(
            reason(2).contains("a space") && reason(3).contains("3 fields") && reason(5).contains("ahead")
        );
    }

    #[test]
    fn a_text_over_several_lines_ends_the_import() {
        // The author of the review would have written a rating of eve's.
        let text = "id,post,user,score,at,why\n7,p,ann,4,1700000000,\"so so\n8,film,eve,5,1700000000,x\"\n";
        let mut lines = Lines::new(text.as_bytes(), Options::default(), NOW).unwrap();
        let refusal = lines.next_line().unwrap_err().to_string();
        assert!(refusal.contains("line 2") && refusal.contains("leave that column out"), "{refusal}");
        // Without texts a stray quote costs its line.
        let (good, bad, _) = read("post,user,score,at\np,\"ann,4,1700000000\np,bob,4,1700000000\n");
        assert_eq!((good.len(), numbers(&bad)), (1, vec![2]));
    }

    #[test]
    fn an_empty_column_at_the_edge_of_tabs_is_one() {
        let (good, bad, _) = read("\tpost\tuser\tscore\tat\twhy\n0\tp\tann\t4\t1700000000\t\n");
        assert_eq!((good.len(), bad.len()), (1, 0), "{bad:?}");
    }

    #[test]
    fn a_rating_s_own_id_is_no_score() {
        let text = "rating_id,post_id,user_id,value,timestamp\n3,p,u,5,1700000000\n";
        let refusal = Lines::new(text.as_bytes(), Options::default(), NOW)
            .err()
            .expect("no column is the score")
            .to_string();
        assert!(refusal.contains("none of its columns is the score"), "{refusal}");
    }

    #[test]
    fn movielens_half_stars_are_rounded_up_and_counted() {
        let text = "userId,movieId,rating,timestamp\r\n1,31,2.5,1260759144\r\n1,32,4.0,1260759179\r\n1,33,5.5,1\r\n1,34,-0.5,1260759180\r\n";
        let (good, bad, rounded) = read(text);
        assert_eq!(good, ["1 r 31 1 3 1260759144000 stated", "1 r 32 1 4 1260759179000 stated"]);
        assert_eq!((bad.len(), rounded), (2, 1));
    }

    #[test]
    fn columns_have_any_order_some_other_names_and_other_delimiters() {
        let rating = ["1 r p u 4 1412424000000 stated"];
        for text in [
            "post,user,score,timestamp\np,u,4.0,1412424000",
            "User_ID;Item-ID;Rating;Created_At\r\nu;p;4;2014-10-04T12:00:00Z\r\n",
            "timestamp\tstars\treviewerId\tproduct_id\n1412424000000\t4.00\tu\tp",
            "\u{feff}\"film\";\"user id\";\"score\";\"date\"\n\"p\";\"u\";\"4\";\"1412424000000000000\"\n",
            "user::post::score::time\nu::p::4::1412424000000000",
            "u::p::4::1412424000",
        ] {
            let (good, bad, _) = read(text);
            assert_eq!((&good[..], bad), (&rating.map(str::to_owned)[..], vec![]), "{text}");
        }
        let mut lines = Lines::new(
            "id,post,user,score,at,why\n7,p,u,4,1412424000,\"a, b\"".as_bytes(),
            Options::default(),
            NOW,
        )
        .unwrap();
        assert_eq!(lines.format().ignored, ["id", "why"]);
        assert_eq!(lines.next_line().unwrap().unwrap().unwrap().encode(), rating[0]);
    }

    #[test]
    fn a_first_line_that_is_not_clear_is_refused_with_the_remedy() {
        for (text, remedy) in [
            ("a,u1,5,1412424000\n", "put a line like \"post,user,score,timestamp\" before it"),
            ("196\t242\t3\t881250949\n", "put a line like \"post\\tuser\\tscore\\ttimestamp\" before it"),
            ("item,who,stars,when\n", "none of its columns is the user (reviewer, customer)"),
            ("post,user,score\n", "none of its columns is the timestamp"),
            ("post,movieId,user,score,at\n", "several of its columns may be the post"),
            ("[{\"post_id\":\"p\"}]", "write one object a line"),
            ("\n\n", "the file is empty"),
        ] {
            let error = Lines::new(text.as_bytes(), Options::default(), NOW).err().unwrap().to_string();
            assert!(error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn a_stray_quote_another_encoding_or_an_endless_line_spoils_only_its_own_line() {
        let text = [
            &b"post,user,score,timestamp\n\"a,u1,5,1412424000\na,\xff\xfe,5,1412424000\n"[..],
            &[b'x'; 100_000],
            b"\n\n\"a\",\"u2\",\"5\",\"1412424000\"\na,u3,5,1412424000",
        ];
        let (good, bad, _) = read(text.concat());
        assert_eq!(good, ["1 r a u2 5 1412424000000 stated", "1 r a u3 5 1412424000000 stated"]);
        assert_eq!(numbers(&bad), [2, 3, 4]);
    }

    #[test]
    fn json_lines_are_read_too() {
        let (good, bad, _) = read(
            "\u{feff}{\"post_id\":\"p\",\"user_id\":\"a\",\"score\":5}\n\n\
             {\"post_id\":\"p\",\"user_id\":\"b\",\"score\":7}\n\
             {\"post_id\":\"p\",\"user_id\":\"a\",\"score\":null}\nnone\n\
             {\"post_id\":\"p\",\"user_id\":\"c\",\"score\":1}",
        );
        assert_eq!(good, ["1 r p a 5 1790000000000", "1 w p a 1790000000000", "1 r p c 1 1790000000000"]);
        assert_eq!(numbers(&bad), [3, 5]);
    }
}
