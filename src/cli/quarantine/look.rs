//! `damper quarantine list` and `show`.
//!
//! Others wrote these bytes, perhaps by mistake. So they are shown escaped and shortened, never raw.

use std::fmt::Write as _;
use std::process::ExitCode;

use comfy_table::CellAlignment;
use serde::Serialize;

use super::NOT_THERE;
use crate::app::App;
use crate::app::upkeep::quarantine::QuarantineId;
use crate::cli::{JsonArg, print_json, term};
use crate::entry::{Entry, Position, Shard};
use crate::error::{Error, Result};
use crate::model::Time;
use crate::store::QuarantinedEntry;

/// Characters of a reason and of a payload in the list.
const REASON_CHARS: usize = 60;
const PAYLOAD_CHARS: usize = 48;
/// Bytes that `show` prints; `--json` has all.
const SHOWN_BYTES: usize = 4_096;
/// Bytes in a line of a hex dump.
const DUMP_BYTES: usize = 16;

#[derive(Serialize)]
struct ListJson {
    entries: Vec<KeptJson>,
    more: u64,
}

/// A quarantined entry, as JSON.
#[derive(Serialize)]
struct KeptJson {
    id: String,
    shard: u16,
    position: String,
    appended_at: Option<Time>,
    reason: String,
    /// The decoded entry, if it can be read.
    entry: Option<EntryJson>,
    /// As text, with a mark for each invalid byte.
    payload: String,
    payload_hex: String,
}

#[derive(Serialize)]
struct EntryJson {
    post_id: String,
    user_id: String,
    score: Option<u8>,
    at: Time,
    origin: Option<String>,
}

/// The first entries as a table, and how many more there are.
pub async fn list(app: &App, limit: usize, output: &JsonArg) -> Result<ExitCode> {
    let (kept, count) = app.upkeep().quarantine(limit).await?;
    let more = count.saturating_sub(kept.len() as u64);
    if output.json {
        print_json(&ListJson { entries: kept.iter().map(KeptJson::of).collect(), more })?;
        return Ok(ExitCode::SUCCESS);
    }
    if count == 0 {
        term::print("nothing is in the quarantine\n");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = term::table(&["id", "when (UTC)", "reason", "payload"]);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Left);
    }
    for kept in &kept {
        let id = QuarantineId::of(kept);
        let reason = shortened(term::printable(&kept.entry.reason), REASON_CHARS);
        // Each byte becomes at least one character.
        let begin = &kept.entry.payload[..kept.entry.payload.len().min(PAYLOAD_CHARS + 1)];
        let payload = shortened(begin.escape_ascii().to_string(), PAYLOAD_CHARS);
        table.add_row([id.to_string(), when(id), reason, payload]);
    }
    let mut text = if kept.is_empty() { String::new() } else { term::render(&table) };
    if more > 0 {
        let _ = writeln!(text, "and {} more: --limit {count}", term::number(more));
    }
    term::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// One entry: reason, content, bytes.
pub async fn show(app: &App, id: QuarantineId, output: &JsonArg) -> Result<ExitCode> {
    let kept = app.upkeep().quarantined(id).await?.ok_or_else(|| not_there(id))?;
    if output.json {
        print_json(&KeptJson::of(&kept))?;
        return Ok(ExitCode::SUCCESS);
    }
    let bytes = &kept.entry.payload;
    let mut text = format!("{id}   {}\n", when(id));
    let _ = writeln!(text, "  reason   {}", term::printable(&kept.entry.reason));
    let entry = match Entry::decode(bytes) {
        Ok(entry) => described(&entry),
        Err(bad) => format!("cannot be read: {}", term::printable(&bad.reason)),
    };
    let _ = writeln!(text, "  entry    {entry}");
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let cut = if shown.len() < bytes.len() { ", the first of them here, all with --json" } else { "" };
    let _ = writeln!(text, "  payload  {} bytes{cut}", term::number(bytes.len() as u64));
    let _ = writeln!(text, "  text     {}\n", shown.escape_ascii());
    text.push_str(&dump(shown));
    term::print(&text);
    Ok(ExitCode::SUCCESS)
}

impl KeptJson {
    fn of(kept: &QuarantinedEntry) -> Self {
        let QuarantinedEntry { shard: Shard(shard), entry } = kept;
        let id = QuarantineId::of(kept);
        Self {
            id: id.to_string(),
            shard: *shard,
            position: entry.position.to_string(),
            appended_at: id.appended_at(),
            reason: entry.reason.clone(),
            entry: Entry::decode(&entry.payload).ok().map(|entry| EntryJson {
                post_id: entry.post.to_string(),
                user_id: entry.user.to_string(),
                score: entry.action.score().map(|score| score.get()),
                at: entry.at,
                origin: entry.origin.as_ref().map(Position::to_string),
            }),
            payload: String::from_utf8_lossy(&entry.payload).into_owned(),
            payload_hex: entry.payload.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

fn not_there(id: QuarantineId) -> Error {
    Error::NotFound(format!("{id} {NOT_THERE}; damper quarantine list shows what is"))
}

/// The entry in words: `ann gives hello a 5, 2026-11-21T11:15:54.240Z`.
pub fn described(entry: &Entry) -> String {
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
        let plain =
            |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let plain: String = line.iter().map(plain).collect();
        let _ = writeln!(text, "  {:08x}  {hex:<width$} {plain}", i * DUMP_BYTES, width = 3 * DUMP_BYTES);
    }
    text
}
