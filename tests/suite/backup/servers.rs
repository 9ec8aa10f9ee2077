//! The servers' backup as docs/OPERATIONS.md says it: Redis' append-only file or a snapshot first, then `pg_dump`, beside
//! writers and drains. Restored to new servers, all that was acknowledged before it began is there, once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Ratings, beside_writers};
use crate::support::postgres::{Postgres, program};
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::world::{EVERY_SECOND, World};
use crate::support::{spawn, until};

/// A world whose workers drain in small batches, so that a backup always meets some that waits, some that is merged and not
/// trimmed, and some that is gone from the log.
fn busy_world(postgres: &Postgres) -> World {
    World::on(Redis::start(), postgres)
        .with("shards", 2)
        .with("tick", EVERY_SECOND)
        .with("drain.batch_max", 15)
}

/// Lets `back_up` work beside writers and a worker. Returns what was acknowledged before it began.
fn beside_service(world: &World, back_up: impl FnOnce()) -> Ratings {
    let (service, _worker) = (world.start(Program::Api), world.start(Program::Worker));
    beside_writers(&service.http(), |acknowledged| {
        until("ratings that wait beside merged ones", || {
            world.drained() > 100 && acknowledged.lock().unwrap().len() as i64 > world.drained() + 20
        });
        let before = acknowledged.lock().unwrap().clone();
        back_up();
        before
    })
}

/// `pg_dump`, whole and of one moment.
fn dump(world: &World) -> String {
    let dump = world.path().join("damper.sql").display().to_string();
    spawn::run(Command::new(program("pg_dump")).args(["--clean", "--if-exists", "--no-owner"]).args([
        "-f",
        &dump,
        &world.database_url(),
    ]));
    dump
}

/// Loads a dump into the database of a world.
fn load(world: &World, dump: &str) {
    let mut load = Command::new(program("psql"));
    load.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-f", dump, &world.database_url()]).stdout(Stdio::null());
    spawn::run(&mut load);
}

/// The keys that may be newer than the restored tables.
fn delete_cache(world: &World) {
    let keys = world.redis().command(&["KEYS", "damper:cache:*"]).texts();
    for key in keys {
        world.redis().command(&["DEL", &key]);
    }
}

/// All of `expected` is there after a drain, and nothing twice.
#[track_caller]
fn assert_restored(restored: &World, expected: &Ratings) {
    delete_cache(restored);
    restored.flush();
    let rows: Vec<(String, String, i64)> =
        restored.db().all("select post_id, user_id, cast(score as bigint) from ratings");
    let rows: Ratings = rows.into_iter().map(|(post, user, score)| ((post, user), score)).collect();
    for (key, score) in expected {
        assert_eq!(rows.get(key), Some(score), "{key:?} was acknowledged before the backup began");
    }
    restored.assert_consistent();
    let status = restored.status();
    let figure = |name: &str| status[name].as_u64().expect("a figure");
    assert_eq!((figure("waiting"), figure("quarantined")), (0, 0), "{status}");
    // Each writer rates each time as a new user: an entry that was applied twice would be one too many.
    assert_eq!(figure("applied") as usize, rows.len(), "{status}");
    let service = restored.start(Program::Api);
    let read = service.http().read("a");
    let count = rows.keys().filter(|(post, _)| post == "a").count();
    assert_eq!(read["count"], count, "readers see the restored state");
    service.http().rate("a", "after", 5);
    restored.flush();
    restored.assert_consistent();
}

fn copy(from: &Path, to: &Path) {
    spawn::run(Command::new("cp").arg("-r").arg(from).arg(to));
}

#[test]
fn an_append_only_file_and_then_a_dump_restore_all_that_was_acknowledged_before() {
    let postgres = Postgres::shared();
    let world = busy_world(postgres);
    let kept: PathBuf = world.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let mut dumped = String::new();
    let expected = beside_service(&world, || {
        let redis = world.redis();
        redis.command(&["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"]);
        copy(&redis.path().join("appendonlydir"), &kept);
        // What is merged and trimmed in between is in the dump alone.
        let drained = world.drained();
        until("a drain in between", || world.drained() > drained);
        dumped = dump(&world);
    });
    let redis = Redis::start_with(&["--dir", &kept.display().to_string(), "--appendfsync", "no"]);
    let restored = World::on(redis, postgres).with("shards", 2);
    load(&restored, &dumped);
    assert_restored(&restored, &expected);
}

#[test]
fn a_snapshot_and_then_a_dump_restore_all_that_was_acknowledged_before() {
    let postgres = Postgres::shared();
    let world = busy_world(postgres);
    let kept: PathBuf = world.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let mut dumped = String::new();
    let expected = beside_service(&world, || {
        world.redis().command(&["SAVE"]);
        copy(&world.redis().path().join("dump.rdb"), &kept);
        let drained = world.drained();
        until("a drain in between", || world.drained() > drained);
        dumped = dump(&world);
    });
    // A Redis with an append-only file would not read the snapshot.
    let redis = Redis::start_with(&["--dir", &kept.display().to_string(), "--appendonly", "no"]);
    redis.command(&["CONFIG", "SET", "appendonly", "yes"]);
    let restored = World::on(redis, postgres).with("shards", 2);
    load(&restored, &dumped);
    assert_restored(&restored, &expected);
}
