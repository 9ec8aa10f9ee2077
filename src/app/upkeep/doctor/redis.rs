//! What puts waiting ratings in Redis at risk.

use std::time::Duration;

use super::{Checks, Clock, Judgement, bytes, clocks, ok, refused, risk, silent, unknown};
use crate::cache::redis::bytes_held;
use crate::config::{CacheKnobs, Config};
use crate::error::Result;
use crate::redis::health::{Keeping, MAJOR_MIN, RedisHealth};
use crate::redis::link::RedisLink;

/// A Redis that is fuller than this is nearly full.
const FULL_PERCENT: u64 = 80;

pub(super) async fn examine(config: &Config, clock: &Clock) -> Result<Checks> {
    let timeout = Duration::from_millis(config.buffer.append_timeout_ms);
    let link = RedisLink::open(&config.redis_url, timeout).await?;
    let health = RedisHealth::ask(&link).await?;
    // What the cache may take here, and takes.
    let cache = match config.cache.redis_url.is_empty() {
        true => Some((config.cache.redis_bytes_max, bytes_held(&link).await)),
        false => None,
    };
    let before = clock();
    let theirs_ms = link.drains.time().await?.ms();
    let clock = clocks(theirs_ms, [before, clock()], "a minute apart, ratings are answered 503");
    let mut checks = vec![
        ("answer", ok(format!("at {}", config.redis_url.host()))),
        ("version", version(&health)),
        ("persistence", persistence(&health)),
    ];
    for (name, what) in
        [("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")]
    {
        if health.info(name).is_some_and(|status| status != "ok") {
            let (found, remedy) =
                (format!("the last write of the {what} failed"), "read Redis' log; is its disk full?");
            checks.push(("disk", risk(found, "ratings are answered 503, or not kept", remedy)));
        }
    }
    checks.extend([
        ("eviction", eviction(&health)),
        ("memory", memory(&health, cache)),
        ("replication", replication(&health)),
        ("clock", clock),
    ]);
    Ok(checks)
}

/// The Redis of the cache's own.
pub(super) async fn examine_cache(knobs: &CacheKnobs) -> Result<Checks> {
    let link = RedisLink::open_cache(&knobs.redis_url).await?;
    let health = RedisHealth::ask(&link).await?;
    let memory = match (health.count("used_memory"), health.count("maxmemory").filter(|limit| *limit > 0)) {
        (None, _) => silent(),
        (Some(used), Some(limit)) if limit < knobs.redis_bytes_max => risk(
            format!("{} of {} used", bytes(used), bytes(limit)),
            format!("posts find no room: the cache may take {}", bytes(knobs.redis_bytes_max)),
            "raise maxmemory, or lower cache.redis_bytes_max",
        ),
        (Some(used), limit) => ok(format!("{} of {} used", bytes(used), limit.map_or("any".into(), bytes))),
    };
    Ok(vec![("answer", ok(format!("at {}", knobs.redis_url.host()))), ("memory", memory)])
}

fn version(health: &RedisHealth) -> Judgement {
    let Some(version) = health.version() else { return silent() };
    if health.is_too_old() {
        return refused(version, format!("use Redis {MAJOR_MIN}.0 or later"));
    }
    ok(version)
}

fn persistence(health: &RedisHealth) -> Judgement {
    let remedy = "set appendonly yes and appendfsync always";
    match health.keeping() {
        Keeping::Log(Some(fsync)) => {
            let found = format!("appendonly yes, appendfsync {fsync}");
            let unwritten =
                "ratings that the system has not written yet, often of the last 30 s, when the power fails";
            let newest = "ratings of up to the last 2 s, when Redis is killed or the power fails";
            match fsync.as_str() {
                "always" => ok(found),
                "everysec" => risk(found, newest, "set appendfsync always, or live with it"),
                _ => risk(found, unwritten, "set appendfsync always"),
            }
        }
        Keeping::Log(None) => unknown("appendonly yes; the server does not say appendfsync"),
        Keeping::Snapshots { save, longest } => {
            let at_risk = format!(
                "all ratings since the last snapshot, which may be {longest} ago, whenever Redis stops"
            );
            risk(format!("appendonly no, save {save}"), at_risk, remedy)
        }
        Keeping::Nothing => {
            let at_risk = "all ratings that wait, whenever Redis stops; a start is refused";
            risk("appendonly no, no save points", at_risk, remedy)
        }
        Keeping::NoLog => {
            let at_risk = "all ratings since the last snapshot, if there is one, whenever Redis stops";
            risk("appendonly no; the server does not say its save points", at_risk, remedy)
        }
        Keeping::Unknown => silent(),
    }
}

fn eviction(health: &RedisHealth) -> Judgement {
    let Some(policy) = health.eviction() else {
        return unknown("the server does not say maxmemory-policy");
    };
    let found = format!("maxmemory-policy {policy}");
    if health.evicts_ratings() {
        let at_risk = "ratings that wait, whenever the memory is full; a start is refused";
        return risk(found, at_risk, "set maxmemory-policy noeviction");
    }
    ok(found)
}

/// `cache` is what the read cache may take here, and what it takes.
fn memory(health: &RedisHealth, cache: Option<(u64, u64)>) -> Judgement {
    let Some(used) = health.count("used_memory") else { return silent() };
    let Some(limit) = health.count("maxmemory").filter(|limit| *limit > 0) else {
        let cached = cache
            .map(|(most, held)| format!(", {} of it cached posts, {} at most", bytes(held), bytes(most)));
        return ok(format!("{} used, no limit{}", bytes(used), cached.unwrap_or_default()));
    };
    // Cached posts give way to the log.
    let (most, held) = cache.unwrap_or_default();
    let left = limit.saturating_sub(used.saturating_sub(held));
    let found = format!(
        "{} of {} used, {} of it cached posts ({} at most); {} left for the log",
        bytes(used),
        bytes(limit),
        bytes(held),
        bytes(most),
        bytes(left)
    );
    let used = used.saturating_sub(held);
    if used.saturating_mul(100) > limit.saturating_mul(FULL_PERCENT) {
        return risk(found, "a full Redis takes no ratings", "raise maxmemory, or drain more often");
    }
    ok(found)
}

fn replication(health: &RedisHealth) -> Judgement {
    let replicas = match (health.info("role"), health.count("connected_slaves")) {
        (Some("master"), Some(0)) => return ok("primary without replicas"),
        (Some("master"), Some(replicas)) => replicas,
        (Some("slave"), _) => {
            let at_risk = "it takes no ratings: they are answered 503";
            return risk("a replica", at_risk, "let DAMPER_REDIS_URL name the primary");
        }
        _ => return silent(),
    };
    let least = health.setting("min-replicas-to-write");
    let found = format!("primary of {replicas}, min-replicas-to-write {}", least.unwrap_or("unknown"));
    match least {
        None => unknown(found),
        Some("0") => {
            let at_risk = "ratings that no replica has received yet, when one of them takes over";
            risk(found, at_risk, "set min-replicas-to-write 1")
        }
        Some(_) => {
            let lag = health.setting("min-replicas-max-lag").unwrap_or("?");
            ok(format!("{found}, min-replicas-max-lag {lag} s"))
        }
    }
}
