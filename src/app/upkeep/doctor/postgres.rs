//! What puts merged ratings in Postgres at risk.

use super::{Checks, Clock, Judgement, clocks, ok, refused, risk, silent, unknown};
use crate::config::Config;
use crate::database::postgres::health::PostgresHealth;
use crate::error::Result;

/// The first version with everything that commits use (`server_version_num`).
const VERSION_MIN: u64 = 140_000;

pub(super) async fn examine(config: &Config, clock: &Clock) -> Result<Checks> {
    let before = clock();
    let health = PostgresHealth::ask(&config.database_url, &config.store).await?;
    let ours = [before, clock()];
    // Drains set synchronous_commit on for themselves; the catalogue does not.
    let lost = "posts that were created in the last moments before a crash, and with them their ratings";
    let times = "times in its log and in Damper's cannot be compared";
    let mut checks =
        vec![("answer", ok(format!("at {}", config.database_url.host()))), ("version", version(&health))];
    checks.extend(health.fitness.iter().map(|it| match &it.remedy {
        None => (it.check, ok(&it.found)),
        Some(remedy) => (it.check, refused(&it.found, remedy)),
    }));
    checks.extend([
        on(&health, "synchronous_commit", lost),
        on(&health, "fsync", "everything, when the machine crashes or the power fails"),
        on(&health, "full_page_writes", "everything, when the power fails while a page is written"),
        ("connections", connections(&health, config)),
        ("writes", writes(&health)),
        ("clock", clocks(health.clock_ms, ours, times)),
    ]);
    Ok(checks)
}

fn version(health: &PostgresHealth) -> Judgement {
    let number = health.setting("server_version_num").and_then(|number| number.parse::<u64>().ok());
    let version = health.setting("server_version").unwrap_or("?");
    match number {
        None => silent(),
        Some(VERSION_MIN..) => ok(version),
        Some(_) => risk(version, "Damper has not been tried with it", "use Postgres 14 or later"),
    }
}

/// A setting that must not be off.
fn on(health: &PostgresHealth, name: &'static str, at_risk: &str) -> (&'static str, Judgement) {
    let judgement = match health.setting(name) {
        None => silent(),
        Some("off") => risk("off", at_risk, format!("set {name} on")),
        Some(value) => ok(value),
    };
    (name, judgement)
}

fn connections(health: &PostgresHealth, config: &Config) -> Judgement {
    // One more for the migration at a start.
    let needed = u64::from(config.store.connections_max) + config.drain.parallel_max as u64 + 1;
    let Some(most) = health.connections_max else {
        return unknown("the server does not say max_connections");
    };
    let found = format!("a process uses up to {needed}; {most} allowed, others have {}", health.others);
    if needed.saturating_add(health.others) <= most {
        return ok(found);
    }
    let at_risk = "reads and drains that get no connection: 503, and ratings that wait longer";
    risk(found, at_risk, "raise max_connections, or lower store.connections_max")
}

fn writes(health: &PostgresHealth) -> Judgement {
    if health.is_standby {
        let at_risk = "it takes no writes: nothing is merged, and no posts are created";
        return risk("a standby", at_risk, "let DAMPER_DATABASE_URL name the primary");
    }
    if health.setting("default_transaction_read_only") == Some("on") {
        let at_risk = "nothing is merged, and no posts are created";
        return risk("default_transaction_read_only on", at_risk, "set it off for Damper's role");
    }
    ok("a primary that takes writes")
}
