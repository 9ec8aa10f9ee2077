//! Killed while the disk is full: when there is room again, all that was acknowledged is there, once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::full::SmallDisk;
use crate::support::http::{Http, JSON};
use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::world::{EVERY_SECOND, World};
use crate::support::{spawn, until};

const CALLERS: usize = 4;

/// Several callers rate as new users until `kill` has returned, which begins once a rating is refused. Returns what was
/// acknowledged.
fn rate_until_killed(api: &Http, disk: &SmallDisk, kill: impl FnOnce()) -> BTreeMap<String, i64> {
    let (acknowledged, refused, is_over) =
        (Mutex::new(BTreeMap::new()), AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (api, acknowledged, refused, is_over) = (api.clone(), &acknowledged, &refused, &is_over);
            scope.spawn(move || {
                for i in (0..).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                    let (user, score) = (format!("u{caller}-{i}"), i64::from(i) % 6);
                    let body = json!({"user_id": user, "score": score}).to_string();
                    match api.try_send("POST", "/api/posts/p/rate", &[JSON], Some(body.as_bytes())) {
                        Ok(answer) if answer.status == 202 => {
                            acknowledged.lock().unwrap().insert(user, score);
                        }
                        _ => refused.store(true, Ordering::SeqCst),
                    }
                }
            });
        }
        until("ratings to be taken", || acknowledged.lock().unwrap().len() > 50);
        disk.fill();
        until("a rating to be refused", || refused.load(Ordering::SeqCst));
        kill();
        is_over.store(true, Ordering::SeqCst);
    });
    acknowledged.into_inner().unwrap()
}

/// Every acknowledged rating is there, and beside them at most what had no answer or a refusal.
#[track_caller]
fn assert_kept(world: &World, acknowledged: &BTreeMap<String, i64>) {
    world.flush();
    let rows: Vec<(String, i64)> = world.db().all("select user_id, cast(score as bigint) from ratings");
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    for (user, score) in acknowledged {
        assert_eq!(rows.get(user), Some(score), "{user} was acknowledged");
    }
    world.assert_consistent();
}

#[test]
fn a_service_killed_while_its_disk_is_full_has_lost_nothing() {
    let dir = spawn::temp_dir("small-");
    let disk = SmallDisk::mount(&dir.path().join("data"), "6m");
    let world = World::embedded().with("tick", EVERY_SECOND).with("drain.batch_max", 20);
    let world = world.with("data", disk.0.join("test.db").display());
    let mut service = world.start(Program::Damper);
    let api = service.http();
    api.create("p");
    let acknowledged = rate_until_killed(&api, &disk, || service.kill());
    // It may start on a full disk or say why not; it harms nothing.
    world.cli(&["status"]);
    disk.free();
    let service = world.start(Program::Damper);
    service.http().rate("p", "later", 5);
    assert_kept(&world, &acknowledged);
}

#[test]
fn a_redis_that_ends_or_is_killed_while_its_disk_is_full_has_lost_nothing() {
    let dir = spawn::temp_dir("small-");
    let disk = SmallDisk::mount(&dir.path().join("redis"), "6m");
    let folder = disk.0.display().to_string();
    let redis = Redis::start_with(&["--dir", &folder, "--appendfsync", "always"]);
    let world = World::on(redis, Postgres::shared()).with("shards", 2);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    let acknowledged = rate_until_killed(&api, &disk, || world.redis().kill());
    disk.free();
    world.redis().start_again();
    until("ratings to be taken again", || super::rate(&api, "p", "later", 5).status == 202);
    assert_kept(&world, &acknowledged);
    assert_eq!(world.status()["lost"], 0);
}

#[test]
fn a_postgres_killed_while_its_disk_is_full_merges_all_when_there_is_room() {
    let dir = spawn::temp_dir("small-");
    let disk = SmallDisk::mount(&dir.path().join("tables"), "8m");
    let postgres = Postgres::start();
    let world = World::on(Redis::start(), &postgres).with("shards", 1);
    let owner = if spawn::is_root() { "postgres" } else { "root" };
    spawn::run(std::process::Command::new("chown").arg(owner).arg(&disk.0));
    world.import("p,first,5,1790000000\n");
    world.db().change(&format!("create tablespace small location '{}'", disk.0.display()));
    world.db().change("alter table ratings set tablespace small");
    let line = |i: i64| format!("p,u{i},{},{}\n", i % 6, 1_790_000_000 + i);
    world.import(&(0..60_000).map(line).collect::<String>());
    disk.fill();
    let mut flush = world.spawn_cli(&["flush"], b"");
    until("the drain to meet the full disk", || flush.err().contains("No space left"));
    postgres.stop_immediately();
    flush.kill();
    postgres.start_again();
    world.cli(&["flush"]).expect(69);
    disk.free();
    world.flush();
    assert_eq!(world.db().count("select count(*) from ratings"), 60_001);
    world.assert_consistent();
    // The tables must not outlive their disk.
    drop((world, postgres));
}
