//! The worker: ticks start it, it drains by itself, ends cleanly, and any number of workers stay exact.

use std::collections::BTreeMap;

use serde_json::json;

use crate::api::metric;
use crate::support::process::Program;
use crate::support::world::{EVERY_SECOND, World};
use crate::support::{in_both_setups, until};

in_both_setups!(
    a_service_drains_at_its_ticks,
    a_service_stopped_in_mid_drain_ends_cleanly,
    a_tick_that_comes_late_catches_up,
);

/// `count` ratings of three posts, by different users, and the expected result.
fn ratings(count: i64) -> (String, BTreeMap<(String, String), i64>) {
    let rows = (0..count).map(|i| ((format!("post{}", i % 3), format!("u{i}")), i % 6));
    let rows: BTreeMap<_, _> = rows.collect();
    let lines = rows.iter().map(|((post, user), score)| format!("{post},{user},{score},1700000000\n"));
    (lines.collect(), rows)
}

/// Number of successful drains at a tick, from the database's record.
fn ticks(world: &World) -> i64 {
    world.db().count("select count(*) from drains where started_by = 'tick' and error is null")
}

fn until_drained(world: &World, count: i64) {
    until("the worker to drain", || world.drained() == count);
}

fn a_service_drains_at_its_ticks(world: World) {
    let world = world.with("tick", EVERY_SECOND);
    let service = world.start(Program::Damper);
    let (api, admin) = (service.http(), service.admin());
    api.create("p");
    api.rate("p", "ann", 5);
    until("the rating to count", || {
        api.post_as("p", "ann")["my_rating"] == json!({"score": 5, "pending": false})
    });
    api.rate("p", "bob", 0);
    until("the next one to count", || api.read("p")["count"] == 2);
    let tick = r#"damper_drains_total{outcome="complete",trigger="tick"}"#;
    until("the drain to be counted", || metric(&admin, tick).is_some_and(|drains| drains >= 2.0));
    assert!(metric(&admin, "damper_drain_seconds_count").is_some_and(|drains| drains >= 2.0));
    assert_eq!(metric(&admin, "damper_waiting"), Some(0.0));
    let status = world.status();
    assert_eq!(status["last_drain"]["trigger"], "tick", "{status}");
}

fn a_service_stopped_in_mid_drain_ends_cleanly(world: World) {
    let world = world.with("tick", EVERY_SECOND).with("drain.batch_max", 5).with("shards", 2);
    let (lines, rows) = ratings(3_000);
    world.import(&lines);
    let service = world.start(Program::Damper);
    until("the drain to get on", || world.drained() > 0);
    service.terminate();
    service.finish().expect(0);
    assert!(world.drained() < 3_000, "it was stopped in mid-drain");
    world.status();
    world.flush();
    world.assert_exact(&rows);
}

fn a_tick_that_comes_late_catches_up(world: World) {
    let (lines, rows) = ratings(500);
    world.import(&lines);
    // No worker ran at any of the ticks in between.
    let world = world.with("tick", EVERY_SECOND);
    let _service = world.start(Program::Damper);
    until_drained(&world, 500);
    until("the drain to be recorded", || ticks(&world) >= 1);
    world.assert_exact(&rows);
}

/// A world of servers whose workers tick every second.
fn ticking() -> World {
    World::servers().with("tick", EVERY_SECOND)
}

#[test]
fn a_separate_worker_drains_entries_of_the_api() {
    let world = ticking().with("worker_listen", "127.0.0.1:0");
    let (api, worker) = (world.start(Program::Api), world.start(Program::Worker));
    api.http().create("p");
    api.http().rate("p", "ann", 3);
    until("the rating to count", || api.http().read("p")["count"] == 1);
    let listener = worker.admin();
    for probe in ["/livez", "/readyz"] {
        assert_eq!(listener.get(probe).status, 200, "{probe}");
    }
    listener.get("/api/posts/p").problem(404, "no-such-route");
    assert_eq!(metric(&listener, "damper_applied_total"), Some(1.0));
    let tick = r#"damper_drains_total{outcome="complete",trigger="tick"}"#;
    until("the drain to be counted", || metric(&listener, tick).is_some());
    worker.terminate();
    worker.finish().expect(0);
    api.terminate();
    api.finish().expect(0);
}

#[test]
fn a_worker_without_a_listener_listens_nowhere() {
    let worker = ticking().start(Program::Worker);
    let screen = worker.out();
    assert!(screen.contains("ticks   every") && !screen.contains("http://"), "{screen}");
}

/// A world whose whole log is one shard, so that drains at once are after the same entries.
fn one_log(count: i64) -> (World, BTreeMap<(String, String), i64>) {
    let world = ticking().with("drain.batch_max", 20).with("shards", 1);
    let (lines, rows) = ratings(count);
    world.import(&lines);
    (world, rows)
}

#[test]
fn two_workers_at_once_leave_counts_exact() {
    let (world, rows) = one_log(2_000);
    // Both have read a batch and not committed it. What the first one has read, the second one commits.
    let first = world.stopped_at(Program::Worker, &[], "commit.loaded", 1);
    let second = world.stopped_at(Program::Worker, &[], "commit.loaded", 4);
    assert_eq!(world.drained(), 3 * 20);
    for worker in [&first, &second] {
        worker.resume();
    }
    until_drained(&world, 2_000);
    for worker in [first, second] {
        worker.terminate();
        worker.finish().expect(0);
    }
    world.assert_exact(&rows);
    let applied = "select cast(sum(applied) as bigint) from drains";
    assert_eq!(world.db().count(applied), 2_000, "each entry by one drain");
}

#[test]
fn a_worker_beside_flushes_leaves_counts_exact() {
    let (world, rows) = one_log(2_000);
    let worker = world.stopped_at(Program::Worker, &[], "commit.loaded", 3);
    // Merges the worker's third batch and the next one, and has read one more.
    let flush = world.stopped_at(Program::Damper, &["flush", "--json"], "commit.loaded", 3);
    assert_eq!(world.drained(), 4 * 20);
    worker.resume();
    until("the worker to merge what the flush has read", || world.drained() > 4 * 20);
    flush.resume();
    let flushed = flush.finish().expect(0).json();
    assert!(flushed["applied"].as_i64() >= Some(2 * 20), "{flushed}");
    until_drained(&world, 2_000);
    worker.terminate();
    worker.finish().expect(0);
    world.assert_exact(&rows);
}
