//! `damper import`: reads ratings from a file, each with its own time.
//!
//! The fold takes a post's entries in log order and raises a time that goes back to the previous one. A file
//! ordered by user would lose most of its times. So rows are sorted first, in memory; `--sorted` streams
//! instead.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::{FAILED, JsonArg, now, open, print_json, term};
use crate::app::App;
use crate::app::intake::Source;
use crate::config::Settings;
use crate::entry::Entry;
use crate::error::{Error, Invalid, Kind, Result};
use crate::import::{BadLine, Lines};
use crate::model::post::Post;
use crate::model::{PostId, Time};

/// Entries per append, over all shards.
const CHUNK_ENTRIES: usize = 10_000;
/// Bad lines shown one by one; the rest are only counted.
const BAD_LINES_SHOWN_MAX: usize = 1_000;

#[derive(Args)]
pub struct ImportArgs {
    /// CSV: post,user,score,timestamp, or MovieLens' userId,movieId,rating,timestamp; or JSON lines, as
    /// POST /api/ratings takes them; "-" reads standard input
    file: PathBuf,
    /// The file is sorted by time: stream it instead of sorting it in memory
    #[arg(long)]
    sorted: bool,
    #[command(flatten)]
    output: JsonArg,
}

/// The result of an import, as JSON.
#[derive(Default, Serialize)]
struct Imported {
    lines: u64,
    imported: u64,
    refused: u64,
    posts: u64,
    new_posts: u64,
    half_stars_rounded_up: u64,
    out_of_order: u64,
    duration_ms: u64,
    bad_lines: Vec<BadLine>,
}

impl Imported {
    fn refuse(&mut self, line: BadLine) {
        self.refused += 1;
        if self.bad_lines.len() < BAD_LINES_SHOWN_MAX {
            self.bad_lines.push(line);
        }
    }
}

/// Imports a file. Exit code 1 means that lines were refused.
pub async fn import(settings: Settings, args: &ImportArgs) -> Result<ExitCode> {
    let began = Instant::now();
    let (input, bytes) = open_input(args)?;
    let app = open(settings).await?;
    let mut importer = Importer { app: &app, now: now(), posts: HashSet::new(), done: Imported::default() };
    let mut lines = Lines::new(BufReader::with_capacity(1 << 20, input), importer.now)?;
    if args.sorted {
        let bar = term::progress("importing", term::BYTES);
        bar.set_length(bytes);
        importer.stream(&mut lines, &bar).await?;
        bar.finish_and_clear();
    } else {
        let bar = term::progress("reading", term::BYTES);
        bar.set_length(bytes);
        let entries = importer.read_all(&mut lines, &bar)?;
        bar.finish_and_clear();
        let bar = term::progress("importing", term::ENTRIES);
        bar.set_length(entries.len() as u64);
        importer.append_all(entries, &bar).await?;
        bar.finish_and_clear();
    }
    let mut done = importer.done;
    app.close().await;
    done.posts = importer.posts.len() as u64;
    done.half_stars_rounded_up = lines.rounded;
    done.duration_ms = began.elapsed().as_millis() as u64;
    if args.output.json {
        print_json(&done)?;
    } else {
        term::print(&summary(&done));
    }
    Ok(if done.refused == 0 { ExitCode::SUCCESS } else { FAILED.into() })
}

/// The file and its size in bytes (0 for standard input).
fn open_input(args: &ImportArgs) -> Result<(Box<dyn Read>, u64)> {
    if args.file.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), 0));
    }
    let refused = |e: std::io::Error| {
        Error::Invalid(Invalid::new(
            Kind::UnreadableFile,
            format!("cannot read {}: {e}", args.file.display()),
        ))
    };
    let file = File::open(&args.file).map_err(refused)?;
    let bytes = file.metadata().map_err(refused)?.len();
    Ok((Box::new(file), bytes))
}

struct Importer<'a> {
    app: &'a App,
    now: Time,
    posts: HashSet<PostId>,
    done: Imported,
}

impl Importer<'_> {
    /// All good lines, sorted by time. Lines with the same time keep the file's order.
    fn read_all(&mut self, lines: &mut Lines<impl BufRead>, bar: &ProgressBar) -> Result<Vec<Entry>> {
        let rows_max = self.app.config().import.sort_rows_max;
        let mut entries = Vec::new();
        while let Some(line) = self.next(lines)? {
            entries.push(line);
            if entries.len() > rows_max {
                return Err(Error::Invalid(Invalid::new(
                    Kind::FileTooLong,
                    format!(
                        "the file has more than {} lines, import.sort_rows_max: sort it by time and add --sorted",
                        term::number(rows_max as u64)
                    ),
                )));
            }
            if entries.len() % CHUNK_ENTRIES == 0 {
                bar.set_position(lines.bytes_read());
            }
        }
        entries.sort_by_key(|entry| entry.at);
        Ok(entries)
    }

    async fn append_all(&mut self, entries: Vec<Entry>, bar: &ProgressBar) -> Result<()> {
        for chunk in entries.chunks(CHUNK_ENTRIES) {
            self.append(chunk.to_vec()).await?;
            bar.inc(chunk.len() as u64);
        }
        Ok(())
    }

    /// Appends while reading, so memory stays flat.
    async fn stream(&mut self, lines: &mut Lines<impl BufRead>, bar: &ProgressBar) -> Result<()> {
        let mut chunk = Vec::with_capacity(CHUNK_ENTRIES);
        let mut latest = Time::default();
        while let Some(entry) = self.next(lines)? {
            self.done.out_of_order += u64::from(entry.at < latest);
            latest = latest.max(entry.at);
            chunk.push(entry);
            if chunk.len() == CHUNK_ENTRIES {
                self.append(std::mem::take(&mut chunk)).await?;
                bar.set_position(lines.bytes_read());
            }
        }
        self.append(chunk).await
    }

    /// The next good line.
    fn next(&mut self, lines: &mut Lines<impl BufRead>) -> Result<Option<Entry>> {
        while let Some(line) = lines.next_line()? {
            self.done.lines += 1;
            match line {
                Ok(entry) => return Ok(Some(entry)),
                Err(bad) => self.done.refuse(bad),
            }
        }
        Ok(None)
    }

    async fn append(&mut self, entries: Vec<Entry>) -> Result<()> {
        let mut new = Vec::new();
        for entry in &entries {
            if self.posts.insert(entry.post.clone()) {
                new.push(Post::named_by_id(entry.post.clone(), self.now));
            }
        }
        if !new.is_empty() {
            self.done.new_posts += self.app.catalogue().ensure_posts(new).await?;
        }
        let answers = self.app.intake().take(entries, Source::File, self.now).await.map_err(|error| {
            let held = term::number(self.done.imported);
            match error {
                Error::Unavailable(why) => Error::Unavailable(format!(
                    "{why} (after {held} lines; importing the whole file again is safe)"
                )),
                other => other,
            }
        })?;
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
    if done.half_stars_rounded_up > 0 {
        text += &format!("{} half stars rounded up\n", term::number(done.half_stars_rounded_up));
    }
    if done.out_of_order > 0 {
        text += &format!(
            "{} lines were older than a line before them; they take the time of the post's newest rating\n",
            term::number(done.out_of_order)
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
