//! `damper import` of an export: posts, users and every piece of state go back to where they were, through the log like all
//! else that changes an average.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::exported::{Line, OfPost, VERSION, Whole};
use super::file::{Text, ended};
use super::{DONE, FAILED, JsonArg, now, open, term};
use crate::app::App;
use crate::app::drain::DrainOrder;
use crate::config::Settings;
use crate::entry::{Action, Decision, Entry};
use crate::error::{Error, Invalid, Kind, Result};
use crate::faults;
use crate::import::BadLine;
use crate::merge::Adopted;
use crate::model::post::Post;
use crate::model::{PostId, Time, User, UserId};
use crate::store::Trigger;

/// Pieces per append, over all shards, and posts that are added together.
const CHUNK: usize = 2_000;
/// A longer line is no line of an export.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Decisions of a post that are read together.
const PAGE: usize = 500;
/// Refused lines shown one by one.
const SHOWN_MAX: usize = 1_000;
/// A log or a database that is busy or away is tried so often, after a pause that grows each time.
const ATTEMPTS_MAX: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);
/// How the text of a decision begins.
const DECISION: &str = "{\"kind\":\"decision\"";
/// Stands where a piece belongs to no user.
const NO_USER: &str = "export";

/// What came back.
#[derive(Default, Serialize)]
struct Restored {
    exported_at: Time,
    lines: u64,
    users: u64,
    posts: u64,
    new_posts: u64,
    ratings: u64,
    held: u64,
    withdrawals: u64,
    decisions: u64,
    hours: u64,
    refused: u64,
    duration_ms: u64,
    bad_lines: Vec<BadLine>,
}

struct Restorer<'a> {
    app: &'a App,
    now: Time,
    nobody: UserId,
    posts: Vec<Post>,
    pieces: Vec<Entry>,
    /// Decisions that are known here already, of the posts that were asked for.
    known: HashMap<PostId, Vec<(Time, UserId, Decision)>>,
    done: Restored,
    end: Option<(u64, u64)>,
}

/// Takes an export back. Exit code 1 means that lines were refused, or that the file is not whole.
pub async fn restore(settings: Settings, mut text: Text, output: &JsonArg) -> Result<u8> {
    let began = Instant::now();
    let app = open(settings).await?;
    let now = now();
    // What waits may hold decisions that the file has too.
    app.drainer().flush(now, &DrainOrder::quiet(Trigger::Flush)).await?;
    let mut restorer = Restorer {
        app: &app,
        now,
        nobody: UserId::parse(NO_USER)?,
        posts: Vec::new(),
        pieces: Vec::new(),
        known: HashMap::new(),
        done: Restored::default(),
        end: None,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = text.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let read =
            read.map_err(|e| Invalid::new(Kind::UnreadableFile, format!("the file cannot be read: {e}")))?;
        if read == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            let taken = restorer.take(line.trim_ascii()).await;
            taken.map_err(|error| ended(error, restorer.done.lines))?;
        }
    }
    let sent = restorer.send().await;
    sent.map_err(|error| ended(error, restorer.done.lines))?;
    let Restorer { mut done, end, .. } = restorer;
    app.close().await;
    done.duration_ms = began.elapsed().as_millis() as u64;
    let is_whole = end.is_some_and(|(posts, _)| posts == done.posts);
    output.print(&done, || summary(&done))?;
    if !is_whole {
        let detail = "the file is not whole: its last line is missing, or others are; export again, and import that too";
        return Err(Invalid::new(Kind::UnreadableFile, detail).into());
    }
    Ok(if done.refused == 0 { DONE } else { FAILED })
}

impl Restorer<'_> {
    async fn take(&mut self, text: &[u8]) -> Result<()> {
        self.done.lines += 1;
        match Line::parse(text) {
            Err(reason) => self.refuse(reason),
            Ok(Line::Whole(Whole::Export { version, exported_at })) => {
                if version > VERSION {
                    let detail = format!(
                        "the export has version {version}, and this program reads up to {VERSION}: use a newer one"
                    );
                    return Err(Invalid::new(Kind::UnreadableFile, detail).into());
                }
                self.done.exported_at = exported_at;
            }
            Ok(Line::Whole(Whole::End { posts, ratings })) => self.end = Some((posts, ratings)),
            Ok(Line::Whole(Whole::User(user))) => self.user(user).await?,
            Ok(Line::Whole(Whole::Post(post))) => {
                self.done.posts += 1;
                self.posts.push(*post);
            }
            Ok(Line::OfPost(piece)) => self.piece(*piece).await?,
        }
        if self.pieces.len() >= CHUNK || self.posts.len() >= CHUNK {
            self.send().await?;
        }
        Ok(())
    }

    async fn user(&mut self, user: User) -> Result<()> {
        match self.app.catalogue().create_user(user.clone()).await {
            Ok(_) => self.done.users += 1,
            Err(Error::Conflict(why)) => match self.app.catalogue().user(&user.id).await {
                Ok(known) if known.username == user.username => {}
                _ => self.refuse(why),
            },
            Err(other) => return Err(other),
        }
        Ok(())
    }

    async fn piece(&mut self, OfPost { post_id, user_id, at, state, .. }: OfPost) -> Result<()> {
        let at = match (&state, at) {
            (Adopted::Rating { rated, .. }, _) => rated.rated_at,
            (Adopted::Held { held, .. }, _) => held.rated_at,
            (_, at) => at.unwrap_or(self.now),
        };
        let user = user_id.unwrap_or_else(|| self.nobody.clone());
        let count = match &state {
            Adopted::Rating { .. } => &mut self.done.ratings,
            Adopted::Held { .. } => &mut self.done.held,
            Adopted::Withdrawal { .. } => &mut self.done.withdrawals,
            Adopted::Hour { .. } => &mut self.done.hours,
            Adopted::Decision { .. } => &mut self.done.decisions,
            Adopted::Opening { .. } | Adopted::Closing { .. } => &mut 0,
        };
        *count += 1;
        if let Adopted::Decision { decision, .. } = &state
            && self.is_known(&post_id, at, &user, decision).await?
        {
            self.done.decisions -= 1;
            return Ok(());
        }
        let json = serde_json::to_string(&state).map_err(|e| Error::Internal(e.to_string()))?;
        if let Err(why) = at.check_entry(self.now) {
            self.refuse(why.detail);
            return Ok(());
        }
        self.pieces.push(Entry::new(post_id, user, at, Action::Adopt(json.into())));
        Ok(())
    }

    /// Whether a decision was taken over before: a file may be imported again.
    async fn is_known(&mut self, post: &PostId, at: Time, by: &UserId, decision: &Decision) -> Result<bool> {
        if !self.known.contains_key(post) {
            let (mut known, mut after) = (Vec::new(), None);
            loop {
                let page = self.app.moderation().audit_page(Some(post), None, after, PAGE).await?;
                known
                    .extend(page.items.into_iter().map(|decided| (decided.at, decided.by, decided.decision)));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            self.known.insert(post.clone(), known);
        }
        let known = self.known.get(post).map(Vec::as_slice).unwrap_or_default();
        Ok(known.iter().any(|(own, moderator, was)| *own == at && moderator == by && was == decision))
    }

    /// Sends what was read: the posts first, since pieces create none.
    async fn send(&mut self) -> Result<()> {
        if !self.posts.is_empty() {
            let posts = std::mem::take(&mut self.posts);
            self.done.new_posts += self.app.catalogue().ensure_posts(posts).await?;
        }
        faults::reach("restore.read");
        for attempt in 1.. {
            match self.try_to_send(attempt > 1).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS_MAX => {
                    tokio::time::sleep(PAUSE * attempt).await;
                }
                sent => {
                    self.pieces.clear();
                    return sent;
                }
            }
        }
        Ok(())
    }

    /// Sends the pieces; after an error only those that may be sent again.
    async fn try_to_send(&mut self, is_again: bool) -> Result<()> {
        if is_again {
            self.keep_unknown().await?;
        }
        self.app.intake().append_all(self.pieces.clone(), None).await
    }

    /// Keeps of the pieces those that may be sent again after an error: some may be held. A state that came twice is left
    /// out by the merge; a decision is looked for.
    async fn keep_unknown(&mut self) -> Result<()> {
        self.app.drainer().flush(self.now, &DrainOrder::quiet(Trigger::Flush)).await?;
        self.known.clear();
        let mut kept = Vec::new();
        for piece in self.pieces.clone() {
            let decision = match &piece.action {
                Action::Adopt(json) if json.starts_with(DECISION) => {
                    serde_json::from_str(json).map_err(|e| Error::Internal(e.to_string()))?
                }
                _ => None,
            };
            let is_known = match decision {
                Some(Adopted::Decision { decision, .. }) => {
                    self.is_known(&piece.post, piece.at, &piece.user, &decision).await?
                }
                _ => false,
            };
            kept.extend((!is_known).then_some(piece));
        }
        self.pieces = kept;
        Ok(())
    }

    fn refuse(&mut self, reason: String) {
        self.done.refused += 1;
        if self.done.bad_lines.len() < SHOWN_MAX {
            self.done.bad_lines.push(BadLine { line: self.done.lines, reason });
        }
    }
}

fn summary(done: &Restored) -> String {
    let mut text = format!(
        "imported the export of {}: {} ({} of them new), {} with a name, {}, {} held, {}, in {}; waiting to be merged: damper flush\n",
        done.exported_at,
        term::counted(done.posts, "post", "posts"),
        term::number(done.new_posts),
        term::counted(done.users, "user", "users"),
        term::counted(done.ratings, "rating", "ratings"),
        term::number(done.held),
        term::counted(done.decisions, "decision", "decisions"),
        term::span_ms(done.duration_ms),
    );
    if done.refused > 0 {
        text += &format!("{} refused\n", term::attention(&term::counted(done.refused, "line", "lines")));
        for bad in &done.bad_lines {
            text += &format!("  line {:<9} {}\n", term::number(bad.line), bad.reason);
        }
    }
    text
}
