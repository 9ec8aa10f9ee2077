//! What puts waiting ratings in Redis at risk.

use std::time::Duration;

use super::{Clock, Finding, Findings, bytes};
use crate::config::Config;
use crate::error::Result;
use crate::redis::health::{Keeping, RedisHealth};
use crate::redis::link::RedisLink;

/// The first version with everything that the scripts use.
const MAJOR_MIN: u32 = 7;
/// A Redis that is fuller than this is nearly full.
const FULL_PERCENT: u64 = 80;

pub(super) async fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    let mut findings = Findings::of("redis");
    let asked = ask(config, clock).await;
    let (health, theirs_ms, ours) = match asked {
        Ok(answers) => answers,
        Err(error) => return findings.missing(&error),
    };
    findings.ok("answer", format!("at {}", config.redis_url.host()));
    version(&mut findings, &health);
    keeping(&mut findings, &health);
    eviction(&mut findings, &health);
    memory(&mut findings, &health);
    replication(&mut findings, &health);
    let at_risk = "a minute apart, ratings are answered 503";
    findings.clock(theirs_ms, ours, at_risk);
    findings.all
}

async fn ask(config: &Config, clock: &Clock) -> Result<(RedisHealth, i64, [crate::model::Time; 2])> {
    let timeout = Duration::from_millis(config.buffer.append_timeout_ms);
    let link = RedisLink::open(&config.redis_url, timeout).await?;
    let health = RedisHealth::ask(&link).await?;
    let before = clock();
    let theirs_ms = link.drains.time().await?.ms();
    Ok((health, theirs_ms, [before, clock()]))
}

fn version(findings: &mut Findings, health: &RedisHealth) {
    let Some(version) = health.info("redis_version") else {
        return findings.unknown("version", "the server does not say");
    };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major < MAJOR_MIN => {
            findings.risk("version", version, "Damper has not been tried with it", "use Redis 7.0 or later")
        }
        _ => findings.ok("version", version),
    }
}

fn keeping(findings: &mut Findings, health: &RedisHealth) {
    const REMEDY: &str = "set appendonly yes and appendfsync always";
    match health.keeping() {
        Keeping::Log(Some(fsync)) if fsync == "always" => {
            findings.ok("persistence", "appendonly yes, appendfsync always")
        }
        Keeping::Log(Some(fsync)) if fsync == "everysec" => findings.risk(
            "persistence",
            "appendonly yes, appendfsync everysec",
            "ratings of up to the last 2 s, when Redis is killed or the power fails",
            "set appendfsync always, or live with it",
        ),
        Keeping::Log(Some(fsync)) => findings.risk(
            "persistence",
            format!("appendonly yes, appendfsync {fsync}"),
            "ratings that the system has not written yet, often of the last 30 s, when the power fails",
            "set appendfsync always",
        ),
        Keeping::Log(None) => {
            findings.unknown("persistence", "appendonly yes; the server does not say appendfsync")
        }
        Keeping::Snapshots { save, longest } => findings.risk(
            "persistence",
            format!("appendonly no, save {save}"),
            format!("all ratings since the last snapshot, which may be {longest} ago, whenever Redis stops"),
            REMEDY,
        ),
        Keeping::Nothing => findings.risk(
            "persistence",
            "appendonly no, no save points",
            "all ratings that wait, whenever Redis stops; a start is refused",
            REMEDY,
        ),
        Keeping::NoLog => findings.risk(
            "persistence",
            "appendonly no; the server does not say its save points",
            "all ratings since the last snapshot, if there is one, whenever Redis stops",
            REMEDY,
        ),
        Keeping::Unknown => findings.unknown("persistence", "the server does not say"),
    }
    for (name, what) in
        [("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")]
    {
        if health.info(name).is_some_and(|status| status != "ok") {
            let found = format!("the last write of the {what} failed");
            findings.risk(
                "disk",
                found,
                "ratings are answered 503, or not kept",
                "read Redis' log; is its disk full?",
            );
        }
    }
}

fn eviction(findings: &mut Findings, health: &RedisHealth) {
    match health.eviction() {
        None => findings.unknown("eviction", "the server does not say maxmemory-policy"),
        Some(policy) if health.evicts_ratings() => findings.risk(
            "eviction",
            format!("maxmemory-policy {policy}"),
            "ratings that wait, whenever the memory is full; a start is refused",
            "set maxmemory-policy noeviction",
        ),
        Some(policy) => findings.ok("eviction", format!("maxmemory-policy {policy}")),
    }
}

fn memory(findings: &mut Findings, health: &RedisHealth) {
    let Some(used) = health.count("used_memory") else {
        return findings.unknown("memory", "the server does not say");
    };
    match health.count("maxmemory").filter(|limit| *limit > 0) {
        None => findings.ok("memory", format!("{} used, no limit", bytes(used))),
        Some(limit) => {
            let found = format!("{} of {} used", bytes(used), bytes(limit));
            if used.saturating_mul(100) > limit.saturating_mul(FULL_PERCENT) {
                findings.risk(
                    "memory",
                    found,
                    "a full Redis takes no ratings",
                    "raise maxmemory, or drain more often",
                );
            } else {
                findings.ok("memory", found);
            }
        }
    }
}

fn replication(findings: &mut Findings, health: &RedisHealth) {
    const CHECK: &str = "replication";
    match (health.info("role"), health.count("connected_slaves")) {
        (Some("master"), Some(0)) => findings.ok(CHECK, "primary without replicas"),
        (Some("master"), Some(replicas)) => {
            let least = health.setting("min-replicas-to-write");
            let found =
                format!("primary of {replicas}, min-replicas-to-write {}", least.unwrap_or("unknown"));
            match least {
                None => findings.unknown(CHECK, found),
                Some("0") => findings.risk(
                    CHECK,
                    found,
                    "ratings that no replica has received yet, when one of them takes over",
                    "set min-replicas-to-write 1",
                ),
                Some(_) => {
                    let lag = health.setting("min-replicas-max-lag").unwrap_or("?");
                    findings.ok(CHECK, format!("{found}, min-replicas-max-lag {lag} s"));
                }
            }
        }
        (Some("slave"), _) => findings.risk(
            CHECK,
            "a replica",
            "it takes no ratings: they are answered 503",
            "let DAMPER_REDIS_URL name the primary",
        ),
        _ => findings.unknown(CHECK, "the server does not say"),
    }
}
