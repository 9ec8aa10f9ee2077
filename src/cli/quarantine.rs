//! `damper quarantine`: looks at quarantined entries, retries them or drops them.
//!
//! This file has the arguments, retry and drop. `look.rs` has the commands that only read.

mod look;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{FAILED, JsonArg, now, open, print_json, term};
use crate::app::App;
use crate::app::upkeep::quarantine::QuarantineId;
use crate::config::Settings;
use crate::error::Result;
use crate::store::QuarantinedEntry;

const NOT_THERE: &str = "is not in the quarantine";

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
    /// Append entries again; an entry never replaces a later wish of its user. Exit 1 when some had to stay
    Retry(Chosen),
    /// Delete entries for good; exit 1 when some were not there
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

/// The outcome for one entry.
#[derive(Serialize)]
struct OutcomeJson {
    id: String,
    /// `retried` or `dropped`; `stays` or `unknown` on failure.
    outcome: &'static str,
    detail: String,
}

/// Runs one of the four subcommands.
pub async fn quarantine(settings: Settings, args: &QuarantineArgs) -> Result<ExitCode> {
    let app = open(settings).await?;
    let code = match &args.command {
        Command::List { limit, output } => look::list(&app, *limit, output).await,
        Command::Show { id, output } => look::show(&app, *id, output).await,
        Command::Retry(chosen) => change(&app, chosen, true).await,
        Command::Drop(chosen) => change(&app, chosen, false).await,
    };
    app.close().await;
    code
}

/// Retries or drops the chosen entries, page by page, and reports the outcome of each.
async fn change(app: &App, chosen: &Chosen, is_retry: bool) -> Result<ExitCode> {
    let mut report = Report { is_json: chosen.output.json, outcomes: Vec::new(), has_failed: false };
    let changed = if chosen.which.all {
        change_all(app, is_retry, &mut report).await
    } else {
        change_some(app, &chosen.which.ids, is_retry, &mut report).await
    };
    if report.is_json {
        print_json(&report.outcomes)?;
    } else if changed.is_ok() && chosen.which.all && report.outcomes.is_empty() {
        term::print("nothing is in the quarantine\n");
    }
    changed?;
    Ok(if report.has_failed { FAILED.into() } else { ExitCode::SUCCESS })
}

async fn change_all(app: &App, is_retry: bool, report: &mut Report) -> Result<()> {
    let mut sweep = app.upkeep().walk_quarantine().await?;
    while let Some(page) = sweep.next().await? {
        change_kept(app, &page, is_retry, report).await?;
    }
    Ok(())
}

async fn change_some(app: &App, ids: &[QuarantineId], is_retry: bool, report: &mut Report) -> Result<()> {
    // One at a time, in the order given.
    for id in ids {
        match app.upkeep().quarantined(*id).await? {
            Some(kept) => change_kept(app, &[kept], is_retry, report).await?,
            None => report.add(*id, "unknown", NOT_THERE.into(), true),
        }
    }
    Ok(())
}

async fn change_kept(
    app: &App,
    kept: &[QuarantinedEntry],
    is_retry: bool,
    report: &mut Report,
) -> Result<()> {
    if is_retry {
        for (kept, outcome) in kept.iter().zip(app.upkeep().retry_quarantined(kept, now()).await?) {
            let id = QuarantineId::of(kept);
            match outcome {
                Ok(entry) => report.add(id, "retried", look::described(&entry), false),
                Err(reason) => report.add(id, "stays", reason, true),
            }
        }
        return Ok(());
    }
    for kept in kept {
        let id = QuarantineId::of(kept);
        // Another drop or retry may have been faster.
        if app.upkeep().drop_quarantined(id).await? {
            report.add(id, "dropped", kept.entry.reason.clone(), false);
        } else {
            report.add(id, "unknown", NOT_THERE.into(), true);
        }
    }
    Ok(())
}

/// The outcomes so far. Text is printed at once, JSON at the end.
struct Report {
    is_json: bool,
    outcomes: Vec<OutcomeJson>,
    has_failed: bool,
}

impl Report {
    fn add(&mut self, id: QuarantineId, outcome: &'static str, detail: String, is_failure: bool) {
        self.has_failed |= is_failure;
        if !self.is_json {
            term::print(&format!("{id}  {outcome}: {}\n", term::printable(&detail)));
        }
        self.outcomes.push(OutcomeJson { id: id.to_string(), outcome, detail });
    }
}
