//! The harness checks itself: each mistake that real rating services have made is switched on and must be
//! caught. The same scenario without it must be clean.

use std::collections::BTreeSet;

use crate::law::Law;
use crate::oracle;
use crate::support::http::Http;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::World;
use crate::tee;

/// Ratings in a scenario, and the batch size.
const RATINGS: usize = 400;
const BATCH_MAX: usize = 50;
/// Attempts for a mistake that a time-out may hide.
const TRIES_MAX: usize = 10;

/// The laws broken in a scenario.
type Broken = BTreeSet<Law>;

#[test]
fn a_trim_before_the_commit_is_caught() {
    is_caught("trim-before-commit", Law::Balance, |world, mistake| {
        killed_at(world, "commit.loaded", mistake)
    });
}

#[test]
fn a_checkpoint_outside_the_transaction_is_caught() {
    is_caught("checkpoint-outside", Law::Fold, |world, mistake| killed_at(world, "commit.swapped", mistake));
}

#[test]
fn an_entry_that_stops_the_drain_is_caught() {
    is_caught("poison-stops", Law::Balance, poisoned);
}

#[test]
fn a_blind_overwrite_of_the_cache_is_caught() {
    assert_eq!(overtaken_reader(""), Broken::new(), "without the mistake");
    // A cache call may fail: on a busy machine the late reader's put may time out, and then does no harm.
    let is_caught = (0..TRIES_MAX).any(|_| !overtaken_reader("blind-cache").is_empty());
    assert!(is_caught, "with the mistake");
}

fn is_caught(mistake: &str, law: Law, scenario: fn(&World, &str) -> Broken) {
    for make in [servers, embedded] {
        assert_eq!(scenario(&make(), ""), Broken::new(), "without the mistake");
        let broken = scenario(&make(), mistake);
        assert!(broken.contains(&law), "with the mistake {mistake}: {broken:?}");
    }
}

fn servers() -> World {
    let redis = Redis::start_with(&["--auto-aof-rewrite-percentage", "0"]);
    World::on(redis, Postgres::shared()).with("shards", 2).with("drain.batch_max", BATCH_MAX)
}

fn embedded() -> World {
    let world = World::embedded().with("drain.batch_max", BATCH_MAX);
    world.status();
    world.db().change(tee::TEE);
    world
}

fn fill(world: &World) {
    let line = |i| format!("post{},user{i},{},{}\n", i % 7, i % 6, 1_790_000_000 + i);
    world.import(&(0..RATINGS).map(line).collect::<String>());
}

/// A flush of a program that makes `mistake`, armed to be killed at a fault point.
fn flush(world: &World, mistake: &str, armed: &str) -> Process {
    let mut env = world.env();
    env.push(("FAULTS_MISTAKE".into(), mistake.into()));
    env.push(("FAULTS_AT".into(), armed.into()));
    Process::spawn(Program::Damper, &["flush"], &env, world.path(), b"")
}

/// Kills a drain at a place in its second batch. The next drain goes on.
fn killed_at(world: &World, place: &str, mistake: &str) -> Broken {
    fill(world);
    let mut killed = flush(world, mistake, &format!("{place}=kill@2"));
    until("the drain to be killed", || killed.was_killed());
    flush(world, mistake, "").finish().expect(0);
    oracle::check_log(world).laws()
}

/// One unreadable entry among others.
fn poisoned(world: &World, mistake: &str) -> Broken {
    fill(world);
    if world.is_embedded() {
        world.db().change(
            "insert into buffer (position, payload) select last + 1, x'00ff' from buffer_head;
             update buffer_head set last = last + 1, appends = appends + 1",
        );
    } else {
        world.redis().command_bytes(&[b"XADD", b"damper:{0}:ratings", b"*", b"e", b"\0\xff"]);
    }
    world.import("post0,later,5,1790000900\npost1,later,5,1790000900\n");
    flush(world, mistake, "").finish();
    oracle::check_log(world).laws()
}

/// Stops a reader between the store and the cache, lets a commit overtake it, and continues it.
fn overtaken_reader(mistake: &str) -> Broken {
    let world = servers();
    let other = world.start(Program::Api);
    other.http().create("p");
    let mut env = world.env();
    env.push(("FAULTS_MISTAKE".into(), mistake.into()));
    env.push(("FAULTS_AT".into(), "cache.read=stop@1".into()));
    let slow = Process::spawn(Program::Api, &[], &env, world.path(), b"").await_ready();
    let api: Http = slow.http();
    let reader = std::thread::spawn(move || api.try_get("/api/posts/p").map(|answer| answer.status));
    until("the reader to stop", || slow.is_paused());
    other.http().rate("p", "ann", 5);
    world.flush();
    slow.resume();
    let status = reader.join().expect("the reader ends").expect("it is answered");
    assert_eq!(status, 200);
    // A fresh process without memory reads the cache.
    let third = world.start(Program::Api);
    let shown = third.http().read("p");
    let is_behind = shown["count"] != 1;
    is_behind.then_some(Law::Cache).into_iter().collect()
}
