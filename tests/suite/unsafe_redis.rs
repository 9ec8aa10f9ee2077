//! A Redis whose settings may lose ratings is refused at start, unless that is allowed.

use crate::support::postgres::Postgres;
use crate::support::process::Run;
use crate::support::redis::Redis;
use crate::support::world::World;

/// A world whose Redis has these settings.
fn world(settings: &[&str]) -> World {
    World::on(Redis::start_with(settings), Postgres::shared())
}

/// Checks that one line contains all of these.
#[track_caller]
fn assert_said(run: &Run, said: &[&str]) {
    let lines: Vec<&str> = run.err.lines().collect();
    assert_eq!(lines.len(), 1, "{}", run.err);
    for text in said {
        assert!(lines[0].contains(text), "{text:?} in {}", lines[0]);
    }
}

#[test]
fn a_redis_that_evicts_ratings_is_refused_unless_that_is_allowed() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let world = world(&["--maxmemory", "64mb", "--maxmemory-policy", policy]);
        let address = world.redis().address();
        let said = [
            &format!(
                "damper: redis at {address} evicts keys when its memory is full (maxmemory-policy {policy})"
            ),
            "ratings among them: set maxmemory-policy noeviction, or allow it with",
            "DAMPER_BUFFER__ALLOW_UNSAFE_REDIS=true",
        ];
        assert_said(&world.cli(&["status"]).expect(78), &said);
        assert_said(&world.cli(&["serve"]).expect(78), &said);
        let keys = world.redis().command(&["DBSIZE"]).int();
        assert_eq!(keys, 0, "nothing was written");
        let allowed = world.with("buffer.allow_unsafe_redis", true);
        let run = allowed.cli(&["status", "--json"]).expect(0);
        assert_said(&run, &["WARN", policy, "set maxmemory-policy noeviction"]);
        assert_eq!(run.json()["balanced"], true);
    }
}

#[test]
fn a_safe_redis_is_accepted_without_a_message() {
    for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
        let run = world(&["--maxmemory", "64mb", "--maxmemory-policy", policy]).cli(&["status"]).expect(0);
        assert_eq!(run.err, "", "{policy}");
    }
}

#[test]
fn a_redis_without_persistence_is_refused_unless_that_is_allowed() {
    let world = world(&["--appendonly", "no"]);
    let said =
        ["keeps nothing on disk (appendonly no, no save points)", "a restart loses all ratings that wait"];
    let run = world.cli(&["status"]).expect(78);
    assert_said(&run, &said);
    assert_said(&run, &["set appendonly yes, or allow it with DAMPER_BUFFER__ALLOW_UNSAFE_REDIS=true"]);
    // A setting changed while Redis runs counts too.
    world.redis().command(&["CONFIG", "SET", "appendonly", "yes"]);
    assert_eq!(world.cli(&["status"]).expect(0).err, "");
    world.redis().command(&["CONFIG", "SET", "appendonly", "no"]);
    let allowed = world.with("buffer.allow_unsafe_redis", true);
    assert_said(&allowed.cli(&["status"]).expect(0), &said);
}

#[test]
fn both_faults_are_reported_at_once() {
    let world = world(&["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]);
    assert_said(&world.cli(&["status"]).expect(78), &["allkeys-lru", "; redis at", "keeps nothing on disk"]);
}

#[test]
fn a_redis_with_snapshots_only_is_accepted_with_a_warning() {
    let world = world(&["--appendonly", "no", "--save", "7200 1 60 100"]);
    let run = world.cli(&["status"]).expect(0);
    let said = "ratings since its last snapshot are lost, which may be 2 h ago (save 7200 1 60 100): set appendonly yes";
    assert_said(&run, &["WARN", "has no append-only file", said]);
}

#[test]
fn a_redis_that_hides_its_settings_is_not_refused() {
    let silent = ["--rename-command", "CONFIG", ""];
    assert_eq!(world(&silent).cli(&["status"]).expect(0).err, "");
    // These two are read from INFO alone.
    let world = self::world(&[&silent[..], &["--appendonly", "no"]].concat());
    assert_said(&world.cli(&["status"]).expect(0), &["does not say whether it makes snapshots"]);
    let world = self::world(&[&silent[..], &["--maxmemory-policy", "allkeys-lru"]].concat());
    assert_said(&world.cli(&["status"]).expect(78), &["allkeys-lru"]);
}
