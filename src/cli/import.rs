//! `damper import`: reads ratings from a file, each with its own time.
//!
//! Entries are merged in log order, and a time before the newest one of the post counts as that one. So a file
//! ordered by user would lose most of its times, and rows are sorted first, in memory; `--sorted` streams instead.

use std::collections::HashSet;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::exported::BEGINNING;
use super::file::{FileArgs, Text, ended, peek};
use super::look::{look, scale_of};
use super::restore::restore;
use super::{DONE, FAILED, JsonArg, now, open, term};
use crate::app::App;
use crate::app::intake::Source;
use crate::config::Settings;
use crate::entry::Entry;
use crate::error::{Invalid, Kind, Result};
use crate::import::{BadLine, Lines};
use crate::model::post::Post;
use crate::model::{PostId, Time};

/// Entries per append, over all shards.
const CHUNK_ENTRIES: usize = 10_000;
/// Bad lines shown one by one; the rest are only counted.
const BAD_LINES_SHOWN_MAX: usize = 1_000;

/// Ends the help.
pub const FORMATS: &str = r#"The first line of the file says how it is read:
  post,user,score,timestamp        columns in any order, with , ; | :: or tab between them
  userId,movieId,rating,timestamp  MovieLens; half stars are rounded up
  1::1193::5::978300760            MovieLens without a header: user, post, score, timestamp
  {"post_id": "hello", ...         JSON, one rating per line, as for POST /api/ratings
  {"kind":"export", ...            what damper export wrote, which comes back bit for bit
Files of Amazon, Yelp, Goodreads, Steam, Letterboxd, Book-Crossing, IMDb, WordPress and
django-star-ratings are known by their columns. What a file leaves open, such as its scale, is
refused with the command that says it; --look shows how a file would be read.
Other names of columns: item, movie, film, book, product, article; reviewer, customer;
rating, stars; time, date, datetime, at, created_at, rated_at. Any id may be called ..._id.
Timestamps are Unix seconds (or milli-, micro-, nanoseconds) or RFC 3339. The text is UTF-8 or
UTF-16, and may be packed by gzip or zstd. Posts that do not exist are created."#;

#[derive(Args)]
pub struct ImportArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Only show how the file would be read, what is odd, and the command to run
    #[arg(long)]
    look: bool,
    /// Skip the sorting in memory, for a file that is already in order of time
    #[arg(long)]
    sorted: bool,
    #[command(flatten)]
    output: JsonArg,
}

/// The result of an import.
#[derive(Default, Serialize)]
struct Imported {
    lines: u64,
    imported: u64,
    refused: u64,
    posts: u64,
    new_posts: u64,
    /// What became of the scores.
    scale: String,
    /// Scores that a scale rounded.
    rounded: u64,
    half_stars_rounded_up: u64,
    /// Lines that say that there is no rating.
    unrated: u64,
    /// Where post, user, score and time were found.
    columns: String,
    /// What people call such a file, if it is known.
    known: Option<&'static str>,
    superseded: u64,
    out_of_order: u64,
    ignored_columns: Vec<String>,
    duration_ms: u64,
    bad_lines: Vec<BadLine>,
}

/// Imports a file. Exit code 1 means that lines were refused.
pub async fn import(settings: Settings, args: &ImportArgs) -> Result<u8> {
    let command = if args.sorted { "damper import --sorted" } else { "damper import" };
    if args.look {
        return look(&args.file, command, &args.output);
    }
    let began = Instant::now();
    let now = now();
    let (mut text, mut bar) = args.file.open(if args.sorted { "importing" } else { "reading" })?;
    if peek(&mut text)?.starts_with(BEGINNING) {
        if !args.file.options(command).are_plain() {
            let detail =
                "an export says itself what is in it: leave the options for its columns and values out";
            return Err(Invalid::new(Kind::UnclearFile, detail).into());
        }
        return restore(settings, text, &args.output).await;
    }
    let mut lines = args.file.lines(text, command, now)?;
    let format = lines.format();
    let mut done = Imported {
        ignored_columns: format.ignored.clone(),
        known: format.known,
        columns: format.columns(),
        scale: scale_of(&lines),
        ..Imported::default()
    };
    let rows_max = settings.config.import.sort_rows_max;
    // What is appended while it is read takes little memory.
    let most = if args.sorted { CHUNK_ENTRIES } else { rows_max.saturating_add(1) };
    let mut entries = read(&mut lines, most, &mut done)?;
    // Before anything is kept: a file that is read in the wrong way would leave wrong averages.
    lines.check()?;
    if !args.sorted {
        if entries.len() > rows_max {
            let rows_max = term::number(rows_max as u64);
            let detail = format!(
                "the file has more than {rows_max} lines, import.sort_rows_max: sort it by time and add --sorted"
            );
            return Err(Invalid::new(Kind::FileTooLong, detail).into());
        }
        bar.finish_and_clear();
        done.superseded = sort(&mut entries);
        bar = term::progress("importing", term::ENTRIES, entries.len() as u64);
    }
    // Not before: what cannot be read leaves no data file behind.
    if !entries.is_empty() {
        let app = open(settings).await?;
        let mut importer = Importer { app: &app, now, latest: Time::default(), posts: HashSet::new(), done };
        while !entries.is_empty() {
            for chunk in entries.chunks(CHUNK_ENTRIES) {
                importer.append(chunk.to_vec()).await?;
                bar.inc(if args.sorted { 0 } else { chunk.len() as u64 });
            }
            entries = read(&mut lines, most, &mut importer.done)?;
        }
        done = Imported { posts: importer.posts.len() as u64, ..importer.done };
        app.close().await;
    }
    bar.finish_and_clear();
    done.note(&lines);
    done.duration_ms = began.elapsed().as_millis() as u64;
    args.output.print(&done, || summary(&done))?;
    Ok(if done.refused == 0 { DONE } else { FAILED })
}

/// The next entries, `most` at most; none at the end of the file.
fn read(lines: &mut Lines<Text>, most: usize, done: &mut Imported) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while entries.len() < most {
        let Some(line) = lines.next_line()? else { break };
        match line {
            Ok(entry) => entries.push(entry),
            Err(bad) => done.refuse(bad),
        }
    }
    Ok(entries)
}

/// Sorts entries by time, in the same order however the file's lines are ordered. Of several with the same post, user and
/// time only the last stays: sent again, they would edit there and back. Returns how many went.
pub fn sort(entries: &mut Vec<Entry>) -> u64 {
    let all = entries.len();
    entries.reverse();
    entries.sort_by(|a, b| (a.at, &a.post, &a.user).cmp(&(b.at, &b.post, &b.user)));
    entries.dedup_by(|a, b| (a.at, &a.post, &a.user) == (b.at, &b.post, &b.user));
    (all - entries.len()) as u64
}

struct Importer<'a> {
    app: &'a App,
    now: Time,
    /// The time of the newest entry so far.
    latest: Time,
    posts: HashSet<PostId>,
    done: Imported,
}

impl Imported {
    /// Takes over what was seen of the file.
    fn note(&mut self, lines: &Lines<Text>) {
        let (survey, rules) = (&lines.survey, lines.format().rules());
        (self.lines, self.unrated) = (survey.lines, survey.unrated);
        let rounded = if rules.scale.is_some() { &mut self.rounded } else { &mut self.half_stars_rounded_up };
        *rounded = survey.rounded;
    }

    fn refuse(&mut self, line: BadLine) {
        self.refused += 1;
        if self.bad_lines.len() < BAD_LINES_SHOWN_MAX {
            self.bad_lines.push(line);
        }
    }
}

impl Importer<'_> {
    async fn append(&mut self, entries: Vec<Entry>) -> Result<()> {
        let mut new = Vec::new();
        for entry in &entries {
            self.done.out_of_order += u64::from(entry.at < self.latest);
            self.latest = self.latest.max(entry.at);
            if self.posts.insert(entry.post.clone()) {
                new.push(Post::named_by_id(entry.post.clone(), self.now));
            }
        }
        if !new.is_empty() {
            let created = self.app.catalogue().ensure_posts(new).await;
            self.done.new_posts += created.map_err(|error| ended(error, self.done.imported))?;
        }
        let answers = self.app.intake().take(entries, Source::File, self.now).await;
        let answers = answers.map_err(|error| ended(error, self.done.imported))?;
        self.done.imported += answers.iter().filter(|refusal| refusal.is_none()).count() as u64;
        Ok(())
    }
}

fn summary(done: &Imported) -> String {
    let mut text = format!(
        "imported {} of {} into {} in {} ({} of them new); waiting to be merged: damper flush\n",
        term::number(done.imported),
        term::counted(done.lines, "line", "lines"),
        term::counted(done.posts, "post", "posts"),
        term::span_ms(done.duration_ms),
        term::number(done.new_posts),
    );
    if let Some(known) = done.known {
        text += &format!("read as a file from {known}: {}\n", done.columns);
    }
    if done.scale.contains("onto") {
        text += &format!("scores {}", done.scale);
        text += &match done.rounded {
            0 => "\n".to_owned(),
            rounded => format!("; {} rounded\n", term::number(rounded)),
        };
    }
    if done.unrated > 0 {
        text += &format!("{} without a rating, passed over\n", term::counted(done.unrated, "line", "lines"));
    }
    if !done.ignored_columns.is_empty() {
        text += &format!("not read: the columns {}\n", term::printable(&done.ignored_columns.join(", ")));
    }
    if done.half_stars_rounded_up > 0 {
        text +=
            &format!("{} rounded up\n", term::counted(done.half_stars_rounded_up, "half star", "half stars"));
    }
    if done.superseded > 0 {
        text += &format!(
            "{} had a later line with the same post, user and time, which counts\n",
            term::counted(done.superseded, "line", "lines")
        );
    }
    if done.out_of_order > 0 {
        text += &format!(
            "{} older than a line before, and get the time of the post's newest rating\n",
            term::counted(done.out_of_order, "line was", "lines were")
        );
    }
    if done.refused > 0 {
        text += &format!("{} refused\n", term::attention(&term::counted(done.refused, "line", "lines")));
        for bad in &done.bad_lines {
            text += &format!("  line {:<9} {}\n", term::number(bad.line), bad.reason);
        }
        let hidden = done.refused - done.bad_lines.len() as u64;
        if hidden > 0 {
            text += &format!("  and {} more\n", term::number(hidden));
        }
    }
    text
}
