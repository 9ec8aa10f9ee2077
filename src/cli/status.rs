//! `damper status`: waiting entries, the ticks, and whether the balance holds.

use std::fmt::Write as _;

use super::{DONE, FAILED, JsonArg, now, open, term};
use crate::app::upkeep::Status;
use crate::config::Settings;
use crate::error::Result;
use crate::model::Time;

/// Shows the status. Exit code 1 means that the balance does not hold.
pub async fn status(settings: Settings, args: &JsonArg) -> Result<u8> {
    let app = open(settings).await?;
    let now = now();
    let status = app.upkeep().status(now).await?;
    args.print(&status, || screen(&status, now))?;
    Ok(if status.balanced { DONE } else { FAILED })
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
    let last_drain = status.last_drain.as_ref().map(|run| {
        let (began, ago) = (term::clock(run.started_at), ago(run.started_at));
        let (applied, took) = (term::number(run.applied), term::span_ms(run.duration_ms));
        let failed = run.error.as_ref().map(|error| format!("; failed: {error}")).unwrap_or_default();
        format!("{began} UTC ({ago} ago, {}), {applied} applied in {took}{failed}", run.trigger.as_str())
    });
    line("last drain", last_drain.unwrap_or_else(|| "none yet".into()));
    let (next, last) = (term::clock(status.next_tick), term::clock(status.last_tick));
    let wait = term::span_ms((status.next_tick.ms() - now.ms()).unsigned_abs());
    line("next tick", format!("{next} UTC (in {wait}), last {last}"));
    let (sign, verdict) = match status.balanced {
        true => ("=", "✓".into()),
        false => ("≠", term::attention("does not hold")),
    };
    let sums = [balance.accepted, balance.applied, balance.quarantined, balance.waiting];
    let [accepted, applied, quarantined, waiting] = sums.map(term::number);
    let sum = format!("applied {applied} + quarantined {quarantined} + waiting {waiting}");
    line("balance", format!("accepted {accepted} {sign} {sum}   {verdict}"));
    if balance.quarantined > 0 {
        let what = format!("{quarantined} quarantined so far: damper quarantine list");
        line("attention", term::attention(&what));
    }
    if balance.lost > 0 {
        let what = format!("{} lost by the log's server, at least", term::number(balance.lost));
        line("attention", term::attention(&what));
    }
    text
}
