//! `damper flush`: drains waiting entries into the averages now.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::{FAILED, JsonArg, now, open, print_json, term};
use crate::app::drain::{DrainOrder, Drained, Move, Progress};
use crate::config::Settings;
use crate::error::Result;
use crate::store::Trigger;

#[derive(Args)]
pub struct FlushArgs {
    #[command(flatten)]
    output: JsonArg,
    /// Give up after this many seconds (exit 1); what was drained by then stays drained
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// Drains until every checkpoint has passed the end its log had at the start. Other drains may help.
pub async fn flush(settings: Settings, args: &FlushArgs) -> Result<ExitCode> {
    let app = open(settings).await?;
    let bar = term::progress("draining", term::ENTRIES);
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
    if args.output.json {
        print_json(&flushed)?;
    } else {
        term::print(&summary(&flushed));
    }
    if flushed.complete {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("damper: not done within {} s; flush again, or raise --timeout", args.timeout);
    Ok(FAILED.into())
}

fn summary(flushed: &Drained) -> String {
    let entries = flushed.applied + flushed.quarantined;
    let mut text = if entries == 0 {
        let outcome = if flushed.complete { "nothing to drain" } else { "nothing drained yet" };
        format!("{outcome}: {} waiting\n", term::number(flushed.waiting))
    } else {
        format!(
            "drained {} into {} in {} ({}): {} applied, {} quarantined, {} waiting\n",
            term::counted(entries, "entry", "entries"),
            term::counted(flushed.posts, "post", "posts"),
            term::span_ms(flushed.duration_ms),
            term::rate(entries, flushed.duration_ms),
            term::number(flushed.applied),
            term::number(flushed.quarantined),
            term::number(flushed.waiting),
        )
    };
    if !flushed.moves.is_empty() {
        let mut table = term::table(&["largest moves", "published", "raw", "ratings", "phasing in", ""]);
        for m in &flushed.moves {
            table.add_row([
                m.post_id.to_string(),
                published(m),
                term::mean(m.published.raw_average),
                term::number(m.published.count),
                term::number(m.published.phasing_in),
                if m.published.crowded { "crowded".into() } else { String::new() },
            ]);
        }
        text.push('\n');
        text.push_str(&term::render(&table));
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
