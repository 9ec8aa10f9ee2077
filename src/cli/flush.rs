//! `damper flush`: drains waiting entries into the averages now.

use std::time::{Duration, Instant};

use clap::Args;

use super::{DONE, FAILED, JsonArg, log, now, open, term};
use crate::app::drain::{DrainOrder, Drained, Move, Progress};
use crate::config::Settings;
use crate::error::Result;
use crate::store::Trigger;

#[derive(Args)]
pub struct FlushArgs {
    #[command(flatten)]
    output: JsonArg,
    /// Give up after this many seconds, with exit code 1; what was merged by then stays merged
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// Drains until every checkpoint has passed the end its log had at the start. Other drains may help.
pub async fn flush(settings: Settings, args: &FlushArgs) -> Result<u8> {
    let app = open(settings).await?;
    let bar = term::progress("draining", term::ENTRIES, 0);
    // A deadline beyond the clock's range means no limit.
    let until = Instant::now().checked_add(Duration::from_secs(args.timeout));
    let order = DrainOrder {
        until,
        progress: &|step| match step {
            Progress::Begun(waiting) => bar.inc_length(waiting),
            Progress::Merged(entries) => bar.inc(entries),
        },
        ..DrainOrder::quiet(Trigger::Flush)
    };
    let flushed = app.drainer().flush(now(), &order).await;
    bar.finish_and_clear();
    let flushed = flushed?;
    app.close().await;
    args.output.print(&flushed, || summary(&flushed))?;
    if flushed.complete {
        return Ok(DONE);
    }
    log::say(&format!("damper: not done within {} s; flush again, or raise --timeout", args.timeout));
    Ok(FAILED)
}

fn summary(flushed: &Drained) -> String {
    let entries = flushed.applied + flushed.quarantined;
    let counts = [flushed.applied, flushed.quarantined, flushed.waiting];
    let [applied, quarantined, waiting] = counts.map(term::number);
    let mut text = match (entries, flushed.complete) {
        (0, true) => format!("nothing to drain: {waiting} waiting\n"),
        (0, false) => format!("nothing drained yet: {waiting} waiting\n"),
        _ => format!(
            "drained {} into {} in {} ({}/s): {applied} applied, {quarantined} quarantined, {waiting} waiting\n",
            term::counted(entries, "entry", "entries"),
            term::counted(flushed.posts, "post", "posts"),
            term::span_ms(flushed.duration_ms),
            term::number((entries as f64 * 1_000.0 / flushed.duration_ms.max(1) as f64).round() as u64),
        ),
    };
    if !flushed.moves.is_empty() {
        let rows = flushed.moves.iter().map(|m| {
            [
                m.post_id.to_string(),
                published(m),
                term::mean(m.published.raw_average),
                term::number(m.published.count),
                term::number(m.published.phasing_in),
                if m.published.crowded { "crowded" } else { "" }.to_owned(),
            ]
        });
        let header = ["largest moves", "published", "raw", "ratings", "phasing in", ""];
        text += &format!("\n{}", term::table(header, term::CellAlignment::Right, rows));
    }
    text
}

fn published(m: &Move) -> String {
    let arrow = match (m.before, m.after) {
        (Some(before), Some(after)) if after > before => " ▴",
        (Some(before), Some(after)) if after < before => " ▾",
        _ => "  ",
    };
    format!("{} → {}{arrow}", term::mean(m.before), term::mean(m.after))
}
