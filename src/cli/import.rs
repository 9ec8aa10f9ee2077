//! `damper import`: reads ratings from a file, each with its own time.
//!
//! Entries are merged in log order, and a time before the newest one of the post counts as that one. So a file
//! ordered by user would lose most of its times, and rows are sorted first, in memory; `--sorted` streams instead.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::{DONE, FAILED, JsonArg, now, open, term};
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

/// Ends the help.
pub const FORMATS: &str = r#"The first line of the file says how it is read:
  post,user,score,timestamp        CSV with these columns; the header may be missing
  userId,movieId,rating,timestamp  CSV from MovieLens; half stars are rounded up
  {"post_id": "hello", ...         JSON, one rating per line, as for POST /api/ratings
Timestamps are Unix seconds or RFC 3339. Posts that do not exist are created."#;

#[derive(Args)]
pub struct ImportArgs {
    /// The file to import; - reads standard input
    file: PathBuf,
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
    half_stars_rounded_up: u64,
    superseded: u64,
    out_of_order: u64,
    duration_ms: u64,
    bad_lines: Vec<BadLine>,
}

/// Imports a file. Exit code 1 means that lines were refused.
pub async fn import(settings: Settings, args: &ImportArgs) -> Result<u8> {
    let began = Instant::now();
    let (input, bytes) = open_input(&args.file)?;
    let app = open(settings).await?;
    let bar = term::progress(if args.sorted { "importing" } else { "reading" }, term::BYTES, bytes);
    let input = BufReader::with_capacity(1 << 20, bar.wrap_read(input));
    let mut importer = Importer {
        app: &app,
        now: now(),
        latest: Time::default(),
        posts: HashSet::new(),
        done: Imported::default(),
    };
    let mut lines = Lines::new(input, importer.now)?;
    let rows_max = app.config().import.sort_rows_max;
    let mut entries = Vec::new();
    while let Some(line) = lines.next_line()? {
        importer.done.lines += 1;
        match line {
            Ok(entry) => entries.push(entry),
            Err(bad) => importer.refuse(bad),
        }
        if !args.sorted && entries.len() > rows_max {
            let rows_max = term::number(rows_max as u64);
            let detail = format!(
                "the file has more than {rows_max} lines, import.sort_rows_max: sort it by time and add --sorted"
            );
            return Err(Invalid::new(Kind::FileTooLong, detail).into());
        }
        // What is appended while it is read takes little memory.
        if args.sorted && entries.len() == CHUNK_ENTRIES {
            importer.append(std::mem::take(&mut entries)).await?;
        }
    }
    bar.finish_and_clear();
    if !args.sorted {
        importer.done.superseded = sort(&mut entries);
    }
    let bar = term::progress("importing", term::ENTRIES, entries.len() as u64);
    for chunk in entries.chunks(CHUNK_ENTRIES) {
        importer.append(chunk.to_vec()).await?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    app.close().await;
    let done = Imported {
        posts: importer.posts.len() as u64,
        half_stars_rounded_up: lines.rounded,
        duration_ms: began.elapsed().as_millis() as u64,
        ..importer.done
    };
    args.output.print(&done, || summary(&done))?;
    Ok(if done.refused == 0 { DONE } else { FAILED })
}

/// Sorts entries by time, in the same order however the file's lines are ordered. Of several with the same post, user and
/// time only the last stays: sent again, they would edit there and back. Returns how many went.
fn sort(entries: &mut Vec<Entry>) -> u64 {
    let all = entries.len();
    entries.reverse();
    entries.sort_by(|a, b| (a.at, &a.post, &a.user).cmp(&(b.at, &b.post, &b.user)));
    entries.dedup_by(|a, b| (a.at, &a.post, &a.user) == (b.at, &b.post, &b.user));
    (all - entries.len()) as u64
}

/// The file and its size in bytes (0 for standard input).
fn open_input(path: &Path) -> Result<(Box<dyn Read>, u64)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), 0));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (bytes, file) = opened
        .map_err(|e| Invalid::new(Kind::UnreadableFile, format!("cannot read {}: {e}", path.display())))?;
    Ok((Box::new(file), bytes))
}

struct Importer<'a> {
    app: &'a App,
    now: Time,
    /// The time of the newest entry so far.
    latest: Time,
    posts: HashSet<PostId>,
    done: Imported,
}

impl Importer<'_> {
    fn refuse(&mut self, line: BadLine) {
        self.done.refused += 1;
        if self.done.bad_lines.len() < BAD_LINES_SHOWN_MAX {
            self.done.bad_lines.push(line);
        }
    }

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
            self.done.new_posts += self.app.catalogue().ensure_posts(new).await?;
        }
        let answers = self.app.intake().take(entries, Source::File, self.now).await;
        let answers = answers.map_err(|error| match error {
            Error::Unavailable(why) => Error::Unavailable(format!(
                "{why} (after {} lines; importing the whole file again is safe)",
                term::number(self.done.imported)
            )),
            other => other,
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
    if done.superseded > 0 {
        text += &format!(
            "{} lines had a later line with the same post, user and time, which counts\n",
            term::number(done.superseded)
        );
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
