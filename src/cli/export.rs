//! `damper export`: everything, streamed to standard output, from a service that goes on running.
//!
//! JSON lines carry the whole state, so `damper import` takes it back bit for bit. CSV carries the ratings that count, in
//! the order of the log, for programs that read tables; what it leaves out is said.

use std::io::{self, BufWriter, Write};

use clap::{Args, ValueEnum};

use super::exported::{Line, OfPost, VERSION, Whole};
use super::{DONE, log, now, open, term};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::merge::Adopted;
use crate::store::Exported;

#[derive(Args)]
pub struct ExportArgs {
    /// jsonl carries everything; csv only the ratings that count
    #[arg(long, value_enum, default_value_t = Form::Jsonl)]
    format: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Jsonl,
    Csv,
}

/// What was written, and what a table cannot carry.
#[derive(Default)]
struct Counts {
    posts: u64,
    ratings: u64,
    others: u64,
    held: u64,
    excluded: u64,
    decisions: u64,
}

/// Exports. A reader that closes the pipe ends it.
pub async fn export(settings: Settings, args: &ExportArgs) -> Result<u8> {
    let app = open(settings).await?;
    let now = now();
    // Not the lock of standard output, which may not cross threads.
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
    let mut counts = Counts::default();
    let form = args.format;
    let mut write =
        |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(unwritable);
    match form {
        Form::Jsonl => write(&line(&Line::Whole(Whole::Export { version: VERSION, exported_at: now }))?)?,
        Form::Csv => write("post,user,score,timestamp")?,
    }
    let each = &mut |piece: Exported| {
        counts.count(&piece);
        match form {
            Form::Jsonl => lines(piece).iter().try_for_each(|piece| write(&line(piece)?)),
            Form::Csv => row(&piece).map_or(Ok(()), |row| write(&row)),
        }
    };
    let done = app.upkeep().export(now, each).await;
    app.close().await;
    done?;
    if form == Form::Jsonl {
        write(&line(&Line::Whole(Whole::End { posts: counts.posts, ratings: counts.ratings }))?)?;
    }
    out.flush().map_err(unwritable)?;
    let said = format!(
        "exported {} of {}",
        term::counted(counts.ratings, "rating", "ratings"),
        term::counted(counts.posts, "post", "posts")
    );
    let left = counts.left_out();
    log::say(&if form == Form::Csv && !left.is_empty() {
        format!("damper: {said}; a table does not carry {left}: --format jsonl does")
    } else {
        format!("damper: {said}")
    });
    Ok(DONE)
}

impl Counts {
    fn count(&mut self, piece: &Exported) {
        match piece {
            Exported::Post(_) => self.posts += 1,
            Exported::Kept(.., kept) => match &**kept {
                Adopted::Rating { rated, .. } if !rated.is_excluded => self.ratings += 1,
                Adopted::Rating { .. } => self.excluded += 1,
                Adopted::Held { .. } => self.held += 1,
                _ => self.others += 1,
            },
            Exported::Decided(..) => self.decisions += 1,
            Exported::User(_) => self.others += 1,
            Exported::Hour(_) | Exported::Closed(_) => {}
        }
    }

    fn left_out(&self) -> String {
        let parts = [
            (self.excluded, "excluded"),
            (self.held, "held"),
            (self.decisions, "decisions"),
            (self.others, "users and withdrawals"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        parts.map(|(count, name)| format!("{} {name}", term::number(*count))).collect::<Vec<_>>().join(", ")
    }
}

/// The lines of a piece.
fn lines(piece: Exported) -> Vec<Line> {
    match piece {
        Exported::User(user) => vec![Line::Whole(Whole::User(*user))],
        Exported::Post(state) => {
            let average = state.average;
            let (is_frozen, hold) = (state.standing.is_frozen, state.standing.hold);
            let id = state.post.id.clone();
            vec![
                Line::Whole(Whole::Post(Box::new(state.post))),
                Line::of_post(id, Adopted::Opening { average, is_frozen, hold }),
            ]
        }
        Exported::Hour(hour) => {
            let (average, arrivals) = (hour.average, hour.arrivals);
            vec![Line::of_post(hour.post, Adopted::Hour { hour: hour.hour, arrivals, average })]
        }
        Exported::Kept(post_id, user, position, state) => {
            let (user_id, position) = (Some(user), Some(position.to_string()));
            vec![Line::OfPost(Box::new(OfPost { post_id, user_id, position, at: None, state: *state }))]
        }
        Exported::Decided(decided, exclusion) => {
            let (user_id, position) = (Some(decided.by), Some(decided.position.to_string()));
            let state = Adopted::Decision { decision: decided.decision, outcome: decided.outcome, exclusion };
            let at = Some(decided.at);
            vec![Line::OfPost(Box::new(OfPost { post_id: decided.post, user_id, position, at, state }))]
        }
        Exported::Closed(state) if state.average.born.is_some() => {
            vec![Line::of_post(state.post.id, Adopted::Closing { average: state.average })]
        }
        Exported::Closed(_) => Vec::new(),
    }
}

/// A rating that counts, as a row of a table.
fn row(piece: &Exported) -> Option<String> {
    let Exported::Kept(post, user, _, kept) = piece else { return None };
    let Adopted::Rating { rated, .. } = &**kept else { return None };
    (!rated.is_excluded).then(|| format!("{post},{user},{},{}", rated.row.score, rated.rated_at))
}

fn line(line: &Line) -> Result<String> {
    serde_json::to_string(line).map_err(|e| Error::Internal(e.to_string()))
}

fn unwritable(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Error::Busy("standard output was closed before the end".to_owned());
    }
    Error::Internal(format!("standard output cannot be written: {error}"))
}
