//! `damper quarantine`: lists and shows quarantined entries, retries them or drops them.
//!
//! Others wrote these bytes, perhaps by mistake. So they are shown escaped and shortened, never raw.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DONE, FAILED, JsonArg, now, open, print_json, term};
use crate::app::App;
use crate::app::upkeep::quarantine::QuarantineId;
use crate::config::Settings;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::store::QuarantinedEntry;

const NOTHING: &str = "nothing is in the quarantine\n";
const NOT_THERE: &str = "is not in the quarantine";
/// Characters of a reason and of a payload in the list.
const REASON_CHARS: usize = 60;
const PAYLOAD_CHARS: usize = 48;
/// Bytes that `show` prints; `--json` has all.
const SHOWN_BYTES: usize = 4_096;
/// Bytes in a line of a hex dump.
const DUMP_BYTES: usize = 16;

#[derive(Args)]
pub struct QuarantineArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List quarantined entries, in order of shard and position
    List {
        /// Show at most this many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        output: JsonArg,
    },
    /// Show one entry: reason, content, bytes
    Show {
        /// SHARD/POSITION, as listed
        id: QuarantineId,
        #[command(flatten)]
        output: JsonArg,
    },
    /// Append entries to the log again, where they never replace a later rating or withdrawal of the same user; exit
    /// code 1 if some could not be appended
    Retry(Chosen),
    /// Delete entries for good; exit code 1 if some were not there
    Drop(Chosen),
}

#[derive(Args)]
struct Chosen {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    output: JsonArg,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// SHARD/POSITION, as listed
    #[arg(value_name = "ID")]
    ids: Vec<QuarantineId>,
    /// Everything in the quarantine now
    #[arg(long)]
    all: bool,
}

/// Runs one of the four subcommands.
pub async fn quarantine(settings: Settings, args: &QuarantineArgs) -> Result<u8> {
    let app = open(settings).await?;
    let code = match &args.command {
        Command::List { limit, output } => list(&app, *limit, output).await,
        Command::Show { id, output } => show(&app, *id, output).await,
        Command::Retry(chosen) => change(&app, chosen, true).await,
        Command::Drop(chosen) => change(&app, chosen, false).await,
    };
    app.close().await;
    code
}

/// The first entries, and how many more there are.
async fn list(app: &App, limit: usize, output: &JsonArg) -> Result<u8> {
    let (kept, count) = app.upkeep().quarantine(limit).await?;
    let more = count.saturating_sub(kept.len() as u64);
    if output.json {
        let entries: Vec<_> = kept.iter().map(as_json).collect();
        return print_json(&json!({"entries": entries, "more": more}));
    }
    let rows = kept.iter().map(|kept| {
        let id = QuarantineId::of(kept);
        let reason = shortened(term::printable(&kept.entry.reason), REASON_CHARS);
        // Each byte becomes at least one character.
        let begin = &kept.entry.payload[..kept.entry.payload.len().min(PAYLOAD_CHARS + 1)];
        let payload = shortened(begin.escape_ascii().to_string(), PAYLOAD_CHARS);
        [id.to_string(), when(id), reason, payload]
    });
    let header = ["id", "when (UTC)", "reason", "payload"];
    let mut text = match (count, kept.is_empty()) {
        (0, _) => NOTHING.to_owned(),
        (_, true) => String::new(),
        _ => term::table(header, term::CellAlignment::Left, rows),
    };
    if more > 0 {
        let _ = writeln!(text, "and {} more: --limit {count}", term::number(more));
    }
    term::print(&text);
    Ok(DONE)
}

/// One entry: reason, content, bytes.
async fn show(app: &App, id: QuarantineId, output: &JsonArg) -> Result<u8> {
    let kept = app.upkeep().quarantined(id).await?;
    let kept = kept
        .ok_or_else(|| Error::NotFound(format!("{id} {NOT_THERE}; damper quarantine list shows what is")))?;
    if output.json {
        return print_json(&as_json(&kept));
    }
    let bytes = &kept.entry.payload;
    let entry = match Entry::decode(bytes) {
        Ok(entry) => described(&entry),
        Err(bad) => format!("cannot be read: {}", term::printable(&bad.reason)),
    };
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let cut = if shown.len() < bytes.len() { ", the first of them here, all with --json" } else { "" };
    let mut text = format!("{id}   {}\n", when(id));
    let _ = writeln!(text, "  reason   {}", term::printable(&kept.entry.reason));
    let _ = writeln!(text, "  entry    {entry}");
    let _ = writeln!(text, "  payload  {} bytes{cut}", term::number(bytes.len() as u64));
    let _ = writeln!(text, "  text     {}\n", shown.escape_ascii());
    term::print(&(text + &dump(shown)));
    Ok(DONE)
}

fn as_json(kept: &QuarantinedEntry) -> Value {
    let QuarantinedEntry { shard, entry } = kept;
    let id = QuarantineId::of(kept);
    let decoded = Entry::decode(&entry.payload).ok().map(|decoded| {
        json!({
            "post_id": decoded.post,
            "user_id": decoded.user,
            "score": decoded.action.score(),
            "at": decoded.at,
            "origin": decoded.origin.map(|origin| origin.to_string()),
        })
    });
    json!({
        "id": id.to_string(),
        "shard": shard.0,
        "position": entry.position.to_string(),
        "appended_at": id.appended_at(),
        "reason": entry.reason,
        // Null if it cannot be read.
        "entry": decoded,
        // With a mark for each byte that is not text.
        "payload": String::from_utf8_lossy(&entry.payload),
        "payload_hex": entry.payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}

/// Retries or drops the chosen entries.
async fn change(app: &App, chosen: &Chosen, is_retry: bool) -> Result<u8> {
    let mut change = Change { app, is_retry, is_json: chosen.output.json, outcomes: Vec::new(), code: DONE };
    let changed = change.run(chosen).await;
    if change.is_json {
        print_json(&change.outcomes)?;
    } else if changed.is_ok() && change.outcomes.is_empty() {
        term::print(NOTHING);
    }
    changed.map(|()| change.code)
}

/// A retry or a drop under way, with the outcome of each entry so far. Text is printed at once, JSON at the end.
struct Change<'a> {
    app: &'a App,
    is_retry: bool,
    is_json: bool,
    outcomes: Vec<Value>,
    code: u8,
}

impl Change<'_> {
    async fn run(&mut self, chosen: &Chosen) -> Result<()> {
        // One at a time, in the order given.
        for id in &chosen.which.ids {
            match self.app.upkeep().quarantined(*id).await? {
                Some(kept) => self.page(&[kept]).await?,
                None => self.add(*id, "unknown", NOT_THERE, FAILED),
            }
        }
        if chosen.which.all {
            let mut walk = self.app.upkeep().walk_quarantine().await?;
            while let Some(page) = walk.next().await? {
                self.page(&page).await?;
            }
        }
        Ok(())
    }

    async fn page(&mut self, page: &[QuarantinedEntry]) -> Result<()> {
        let upkeep = self.app.upkeep();
        if self.is_retry {
            for (kept, outcome) in page.iter().zip(upkeep.retry_quarantined(page, now()).await?) {
                let id = QuarantineId::of(kept);
                match outcome {
                    Ok(entry) => self.add(id, "retried", &described(&entry), DONE),
                    Err(reason) => self.add(id, "stays", &reason, FAILED),
                }
            }
            return Ok(());
        }
        for kept in page {
            let id = QuarantineId::of(kept);
            // Another drop or retry may have been faster.
            match upkeep.drop_quarantined(id).await? {
                true => self.add(id, "dropped", &kept.entry.reason, DONE),
                false => self.add(id, "unknown", NOT_THERE, FAILED),
            }
        }
        Ok(())
    }

    fn add(&mut self, id: QuarantineId, outcome: &str, detail: &str, code: u8) {
        self.code = self.code.max(code);
        if !self.is_json {
            term::print(&format!("{id}  {outcome}: {}\n", term::printable(detail)));
        }
        self.outcomes.push(json!({"id": id.to_string(), "outcome": outcome, "detail": detail}));
    }
}

/// The entry in words: `ann gives hello a 5, 2026-11-21T11:15:54.240Z`.
fn described(entry: &Entry) -> String {
    let Entry { post, user, at, .. } = entry;
    let origin = entry.origin.map(|origin| format!(", first at {origin}")).unwrap_or_default();
    match entry.action.score() {
        Some(score) => format!("{user} gives {post} a {score}, {at}{origin}"),
        None => format!("{user} withdraws from {post}, {at}{origin}"),
    }
}

fn when(id: QuarantineId) -> String {
    id.appended_at().map_or("–".into(), |at| at.to_utc().format("%Y-%m-%d %H:%M:%S").to_string())
}

fn shortened(text: String, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `00000000  31 20 72 20 …  1 r hello ann 5`
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (i, line) in bytes.chunks(DUMP_BYTES).enumerate() {
        let hex: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let plain = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
        let plain: String = line.iter().map(plain).collect();
        let _ = writeln!(text, "  {:08x}  {hex:<width$} {plain}", i * DUMP_BYTES, width = 3 * DUMP_BYTES);
    }
    text
}
