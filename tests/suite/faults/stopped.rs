//! A worker is stopped in the middle of a commit and continued after others made progress: it writes nothing.

use std::collections::BTreeMap;

use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World};

const RATINGS: i64 = 300;

fn filled() -> (World, BTreeMap<(String, String), i64>) {
    let world = World::servers().with("shards", 1).with("drain.batch_max", 100);
    let line = |i: i64| format!("p{},u{i},{},{}\n", i % 3, i % 6, 1_790_000_000 + i);
    world.import(&(0..RATINGS).map(line).collect::<String>());
    let rows = (0..RATINGS).map(|i| ((format!("p{}", i % 3), format!("u{i}")), i % 6)).collect();
    (world, rows)
}

/// Stops a worker at a place in its second batch, lets a flush make progress, and continues the worker.
#[cfg(feature = "faults")]
fn another_drain_overtakes(place: &str) {
    let (world, rows) = filled();
    let world = world.with("tick", EVERY_SECOND);
    let mut env = world.env();
    env.push(("FAULTS_AT".into(), format!("{place}=stop@2")));
    let mut stopped = Process::spawn(Program::Worker, &[], &env, world.path(), b"");
    until("the worker to stop", || stopped.is_paused());
    until("another drain to get on", || world.cli(&["flush"]).code == 0);
    assert_eq!(world.drained(), RATINGS);
    stopped.resume();
    world.import("p0,later,5,1790001000\n");
    until("the continued worker to drain again", || {
        assert!(stopped.is_running(), "{}", stopped.err());
        world.drained() == RATINGS + 1
    });
    let mut rows = rows;
    rows.insert(("p0".into(), "later".into()), 5);
    world.assert_exact(&rows);
}

#[cfg(feature = "faults")]
#[test]
fn a_worker_stopped_while_it_stages_rows_is_overtaken() {
    another_drain_overtakes("commit.brought");
}

#[cfg(feature = "faults")]
#[test]
fn a_worker_stopped_after_the_swap_loses_its_lock_and_is_overtaken() {
    another_drain_overtakes("commit.swapped");
}

#[cfg(feature = "faults")]
#[test]
fn a_worker_stopped_before_its_commit_loses_its_lock_and_is_overtaken() {
    another_drain_overtakes("commit.written");
}

#[test]
fn a_stopped_postgres_and_a_stopped_redis_are_waited_for() {
    let postgres = Postgres::start();
    let world = World::on(Redis::start(), &postgres).with("shards", 2).with("drain.batch_max", 10);
    let line = |i: i64| format!("p{},u{i},{},{}\n", i % 3, i % 6, 1_790_000_000 + i);
    world.import(&(0..RATINGS).map(line).collect::<String>());
    let world = world.with("tick", EVERY_SECOND);
    let mut worker = world.start(Program::Worker);
    until("the worker to drain", || world.drained() > 0);
    postgres.pause();
    world.redis().pause();
    until("the worker to notice", || worker.err().contains("the database does not answer"));
    world.redis().resume();
    postgres.resume();
    until("the worker to drain the rest", || {
        assert!(worker.is_running(), "{}", worker.err());
        world.drained() == RATINGS
    });
    world.assert_consistent();
}
