//! No space: Redis' memory, and the disks under the append-only file, Postgres and the SQLite file. Writes
//! that cannot be stored are refused, and everything resumes by itself when there is space again.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::rate;
use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::spawn;
use crate::support::until;
use crate::support::world::World;

/// A small file system that is soon full. It is removed with the test.
pub(super) struct SmallDisk(pub PathBuf);

impl SmallDisk {
    pub fn mount(path: &Path, size: &str) -> Self {
        std::fs::create_dir_all(path).expect("a folder");
        let options = format!("size={size},mode=777");
        spawn::run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path));
        Self(path.to_path_buf())
    }

    /// Fills the remaining space.
    pub fn fill(&self) {
        let file = self.0.join("ballast");
        // Ends with an error when the disk is full, as intended.
        let _ = Command::new("dd").arg("if=/dev/zero").arg(format!("of={}", file.display())).output();
    }

    pub fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("there is ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_redis_without_memory_refuses_ratings_and_a_drain_makes_room() {
    let world = World::on(Redis::start(), Postgres::shared()).with("shards", 1);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    let line = |i: i64| format!("p,u{i},{},{}\n", i % 6, 1_790_000_000 + i);
    world.import(&(0..20_000).map(line).collect::<String>());
    let used = world.redis().command(&["INFO", "memory"]);
    let used = String::from_utf8_lossy(used.bytes()).into_owned();
    let used: u64 =
        used.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a figure").parse().unwrap();
    world.redis().command(&["CONFIG", "SET", "maxmemory", &(used - 100_000).to_string()]);
    let refused = rate(&api, "p", "late", 5);
    refused.problem(503, "unavailable");
    assert!(!refused.header("retry-after").is_empty());
    world.flush();
    assert_eq!(rate(&api, "p", "late", 5).status, 202, "the drain has freed memory");
    world.flush();
    assert_eq!(world.db().count("select count(*) from ratings"), 20_001);
    world.assert_consistent();
}

#[test]
fn a_full_disk_under_the_append_only_file_acknowledges_nothing() {
    let dir = spawn::temp_dir("small-");
    let disk = SmallDisk::mount(&dir.path().join("redis"), "16m");
    let folder = disk.0.display().to_string();
    let redis = Redis::start_with(&["--dir", &folder, "--appendfsync", "everysec"]);
    let world = World::on(redis, Postgres::shared()).with("shards", 1);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    let mut acknowledged = 0;
    assert_eq!(rate(&api, "p", "first", 1).status, 202);
    disk.fill();
    until("redis to refuse", || {
        let answer = rate(&api, "p", &format!("u{acknowledged}"), 2);
        acknowledged += i64::from(answer.status == 202);
        answer.status == 503
    });
    disk.free();
    until("writes to be taken again", || rate(&api, "p", "last", 3).status == 202);
    world.flush();
    let rows = world.db().count("select count(*) from ratings");
    assert!(rows >= acknowledged + 2, "{rows} rows, {acknowledged} + 2 acknowledged");
    world.assert_consistent();
}

#[test]
fn a_full_disk_under_the_file_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let dir = spawn::temp_dir("small-");
    let disk = SmallDisk::mount(&dir.path().join("data"), "8m");
    let world = World::embedded();
    let world = world.with("data", disk.0.join("test.db").display());
    let service = world.start(Program::Damper);
    let api = service.http();
    api.create("p");
    assert_eq!(rate(&api, "p", "first", 1).status, 202);
    disk.fill();
    let mut acknowledged = 0;
    until("the service to refuse", || {
        let answer = rate(&api, "p", &format!("u{acknowledged}"), 2);
        acknowledged += i64::from(answer.status == 202);
        answer.status == 503
    });
    assert_eq!(api.read("p")["id"], "p", "reads go on");
    disk.free();
    until("writes to be taken again", || rate(&api, "p", "last", 3).status == 202);
    world.flush();
    assert_eq!(world.db().count("select count(*) from ratings"), acknowledged + 2);
    world.assert_consistent();
}

#[test]
fn a_full_disk_under_postgres_keeps_ratings_waiting_until_there_is_room() {
    let dir = spawn::temp_dir("small-");
    let disk = SmallDisk::mount(&dir.path().join("tables"), "8m");
    let postgres = Postgres::start();
    let world = World::on(Redis::start(), &postgres).with("shards", 1);
    let owner = if spawn::is_root() { "postgres" } else { "root" };
    spawn::run(Command::new("chown").arg(owner).arg(&disk.0));
    let service = world.start(Program::Api);
    service.http().create("p0");
    // Only the tables lie on the small disk. A full disk under its log would end Postgres, and a restart
    // mends that.
    world.db().change(&format!("create tablespace small location '{}'", disk.0.display()));
    world.db().change("alter table ratings set tablespace small");
    let line = |i: i64| format!("p{},u{i},{},{}\n", i % 3, i % 6, 1_790_000_000 + i);
    world.import(&(0..60_000).map(line).collect::<String>());
    disk.fill();
    world.cli(&["flush"]).expect(69);
    assert_eq!(rate(&service.http(), "p0", "late", 5).status, 202, "writes go on");
    disk.free();
    world.flush();
    assert_eq!(world.db().count("select count(*) from ratings"), 60_001);
    world.assert_consistent();
    // The tables must not outlive their disk.
    drop((service, world, postgres));
}
