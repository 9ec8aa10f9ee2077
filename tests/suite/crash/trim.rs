//! What is trimmed from the log is on the disk of the store: the trim waits for the answer to COMMIT, and that for the disk,
//! whatever the settings of Postgres say. Small batches share a trim.

use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::proxy::{Fault, Proxy};
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::World;

const RATINGS: i64 = 20;

fn import(world: &World, round: i64) {
    let line = |i: i64| format!("p,u{round}-{i},{},{}\n", i % 6, 1_790_000_000 + round * RATINGS + i);
    world.import(&(0..RATINGS).map(line).collect::<String>());
}

/// This server would answer a COMMIT ten seconds before it is on the disk.
#[test]
fn a_postgres_that_dies_behind_a_drain_keeps_what_was_trimmed() {
    let postgres = Postgres::start_with(&["synchronous_commit=off", "wal_writer_delay=10000"]);
    let world = World::on(Redis::start(), &postgres).with("shards", 1);
    for round in 0..2 {
        import(&world, round);
        world.flush();
        postgres.stop_immediately();
        postgres.start_again();
        assert_eq!(world.redis().command(&["XLEN", "damper:{0}:ratings"]).int(), 0, "the log is trimmed");
        assert_eq!(world.db().count("select count(*) from ratings"), (round + 1) * RATINGS);
        world.assert_consistent();
    }
}

/// The COMMIT arrives and its answer does not: nothing is trimmed, though another connection sees it all merged.
#[cfg(feature = "faults")]
#[test]
fn nothing_is_trimmed_before_the_commit_is_answered() {
    let postgres = Postgres::shared();
    let world = World::on(Redis::start(), postgres).with("shards", 1);
    import(&world, 0);
    let near = postgres.address();
    let proxy = Proxy::start(&near);
    let distant = world.database_url().replace(&near, &proxy.address());
    let world = world.with("database_url", distant);
    let mut env = world.env();
    env.push(("FAULTS_AT".into(), "commit.written=stop@1".into()));
    let mut flush = Process::spawn(Program::Damper, &["flush"], &env, world.path(), b"");
    until("the drain to stop before its COMMIT", || flush.is_paused());
    proxy.set(Fault::OneWay);
    flush.resume();
    until("the COMMIT to arrive", || world.drained() == RATINGS);
    let waiting = || world.redis().command(&["XLEN", "damper:{0}:ratings"]).int();
    until("its answer to be held back", || {
        assert_eq!(waiting(), RATINGS, "trimmed without an answer");
        proxy.hits() > 0
    });
    flush.kill();
    assert_eq!(waiting(), RATINGS, "trimmed without an answer");
    proxy.set(Fault::None);
    world.flush();
    assert_eq!(waiting(), 0);
    world.assert_consistent();
}

/// In the SQLite file, whose batches are small.
#[cfg(feature = "faults")]
#[test]
fn small_batches_share_one_trim_and_a_drain_that_is_killed_before_it_leaves_it_to_the_next() {
    const COUNT: i64 = 3_000;
    let world = World::embedded();
    let line = |i: i64| format!("p{},u{i},{},{}\n", i % 7, i % 6, 1_700_000_000 + i);
    world.import(&(0..COUNT).map(line).collect::<String>());
    let count = |what: &str| world.db().count(&format!("select count(*) from {what}"));
    world.flush_killed_at("drain.refreshed", 1);
    assert_eq!(world.drained(), COUNT, "the first trim comes after all commits");
    assert!(count("changes") > 1, "they are several");
    assert_eq!(count("buffer"), COUNT);
    world.flush();
    assert_eq!((world.drained(), count("buffer")), (COUNT, 0));
    world.assert_consistent();
}
