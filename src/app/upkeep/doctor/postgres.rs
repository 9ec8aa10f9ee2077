//! What puts merged ratings in Postgres at risk.

use super::{Clock, Finding, Findings};
use crate::config::Config;
use crate::database::postgres::health::PostgresHealth;

/// The first version with everything that commits use (`server_version_num`).
const VERSION_MIN: u64 = 140_000;

pub(super) async fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    let mut findings = Findings::of("postgres");
    let before = clock();
    let health = match PostgresHealth::ask(&config.database_url, &config.store).await {
        Ok(health) => health,
        Err(error) => return findings.missing(&error),
    };
    let ours = [before, clock()];
    findings.ok("answer", format!("at {}", config.database_url.host()));
    version(&mut findings, &health);
    settings(&mut findings, &health);
    connections(&mut findings, &health, config);
    writes(&mut findings, &health);
    let at_risk = "times in its log and in Damper's cannot be compared";
    findings.clock(health.clock_ms, ours, at_risk);
    findings.all
}

fn version(findings: &mut Findings, health: &PostgresHealth) {
    let number = health.setting("server_version_num").and_then(|number| number.parse::<u64>().ok());
    let version = health.setting("server_version").unwrap_or("?");
    match number {
        None => findings.unknown("version", "the server does not say"),
        Some(VERSION_MIN..) => findings.ok("version", version),
        Some(_) => {
            findings.risk(
                "version",
                version,
                "Damper has not been tried with it",
                "use Postgres 14 or later",
            );
        }
    }
}

fn settings(findings: &mut Findings, health: &PostgresHealth) {
    // Drains set it to "on" for themselves; the catalogue does not.
    match health.setting("synchronous_commit") {
        None => findings.unknown("synchronous_commit", "the server does not say"),
        Some("off") => findings.risk(
            "synchronous_commit",
            "off",
            "posts that were created in the last moments before a crash, and with them their ratings",
            "set synchronous_commit on",
        ),
        Some(value) => findings.ok("synchronous_commit", value),
    }
    for (name, at_risk) in [
        ("fsync", "everything, when the machine crashes or the power fails"),
        ("full_page_writes", "everything, when the power fails while a page is written"),
    ] {
        match health.setting(name) {
            None => findings.unknown(name, "the server does not say"),
            Some("off") => findings.risk(name, "off", at_risk, format!("set {name} on")),
            Some(value) => findings.ok(name, value),
        }
    }
}

fn connections(findings: &mut Findings, health: &PostgresHealth, config: &Config) {
    // One more for the migration at a start.
    let needed = u64::from(config.store.connections_max) + config.drain.parallel_max as u64 + 1;
    let Some(most) = health.connections_max else {
        return findings.unknown("connections", "the server does not say max_connections");
    };
    let found = format!("a process uses up to {needed}; {most} allowed, others have {}", health.others);
    if needed.saturating_add(health.others) > most {
        let at_risk = "reads and drains that get no connection: 503, and ratings that wait longer";
        findings.risk("connections", found, at_risk, "raise max_connections, or lower store.connections_max");
    } else {
        findings.ok("connections", found);
    }
}

fn writes(findings: &mut Findings, health: &PostgresHealth) {
    let is_read_only = health.setting("default_transaction_read_only") == Some("on");
    if health.is_standby {
        let at_risk = "it takes no writes: nothing is merged, and no posts are created";
        findings.risk("writes", "a standby", at_risk, "let DAMPER_DATABASE_URL name the primary");
    } else if is_read_only {
        let at_risk = "nothing is merged, and no posts are created";
        findings.risk("writes", "default_transaction_read_only on", at_risk, "set it off for Damper's role");
    } else {
        findings.ok("writes", "a primary that takes writes");
    }
}
