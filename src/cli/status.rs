//! `damper status`: waiting entries, the ticks, and whether the balance holds.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::{FAILED, JsonArg, now, open, print_json, term};
use crate::app::upkeep::Status;
use crate::config::Settings;
use crate::error::Result;
use crate::model::Time;

/// Shows the status. Exit code 1 means that the balance does not hold.
pub async fn status(settings: Settings, args: &JsonArg) -> Result<ExitCode> {
    let app = open(settings).await?;
    let now = now();
    let status = app.upkeep().status(now).await?;
    if args.json {
        print_json(&status)?;
    } else {
        term::print(&screen(&status, now));
    }
    Ok(if status.balanced { ExitCode::SUCCESS } else { FAILED.into() })
}

fn screen(status: &Status, now: Time) -> String {
    let balance = &status.balance;
    let ago = |time: Time| term::span_ms((now.ms() - time.ms()).max(0).unsigned_abs());
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line(status.setup, format!("{} · {}", status.buffer, status.store));
    line("posts", term::number(status.posts));
    let oldest =
        balance.oldest_waiting_at.map(|oldest| format!(", oldest {}", ago(oldest))).unwrap_or_default();
    line("waiting", format!("{}{oldest}", term::counted(balance.waiting, "entry", "entries")));
    line(
        "last drain",
        match &status.last_drain {
            None => "none yet".into(),
            Some(run) => {
                let failed = run.error.as_ref().map(|error| format!("; failed: {error}")).unwrap_or_default();
                format!(
                    "{} UTC ({} ago, {}), {} applied in {}{failed}",
                    term::clock(run.started_at),
                    ago(run.started_at),
                    run.trigger.as_str(),
                    term::number(run.applied),
                    term::span_ms(run.duration_ms)
                )
            }
        },
    );
    line(
        "next tick",
        format!(
            "{} UTC (in {}), last {}",
            term::clock(status.next_tick),
            term::span_ms((status.next_tick.ms() - now.ms()).unsigned_abs()),
            term::clock(status.last_tick)
        ),
    );
    let sign = if status.balanced { "=" } else { "≠" };
    let verdict = if status.balanced { "✓".into() } else { term::attention("does not hold") };
    line(
        "balance",
        format!(
            "accepted {} {sign} applied {} + quarantined {} + waiting {}   {verdict}",
            term::number(balance.accepted),
            term::number(balance.applied),
            term::number(balance.quarantined),
            term::number(balance.waiting)
        ),
    );
    if balance.quarantined > 0 {
        let what =
            format!("{} quarantined so far: damper quarantine list", term::number(balance.quarantined));
        line("attention", term::attention(&what));
    }
    if balance.lost > 0 {
        let what = format!("{} lost by the log's server, at least", term::number(balance.lost));
        line("attention", term::attention(&what));
    }
    text
}
