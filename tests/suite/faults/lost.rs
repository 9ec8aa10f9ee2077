//! What a log's server loses is counted: `lost` is exactly what a drain's look had seen waiting, and the log no longer has.
//! What no look had seen is lost uncounted, and the rest counts once.

use std::collections::BTreeMap;
use std::process::Command;

use super::{figure, rate};
use crate::support::http::Http;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::redis::Redis;
use crate::support::world::World;
use crate::support::{spawn, until};

/// What should be in the tables, and in `lost`.
#[derive(Default)]
pub(super) struct Ledger {
    rows: BTreeMap<(String, String), i64>,
    pub lost: i64,
    users: usize,
}

impl Ledger {
    /// Rates as `count` new users, who count if `is_kept`.
    pub fn rate(&mut self, api: &Http, count: usize, is_kept: bool) {
        for _ in 0..count {
            let (user, score) = (format!("u{}", self.users), self.users as i64 % 6);
            self.users += 1;
            until("a rating to be taken", || rate(api, "p", &user, score).status == 202);
            if is_kept {
                self.rows.insert(("p".to_owned(), user), score);
            }
        }
    }

    /// Drains, and compares.
    #[track_caller]
    pub fn assert_after_drain(&self, world: &World, when: &str) {
        world.flush();
        world.assert_exact(&self.rows);
        let status = world.status();
        let (lost, accepted) = (figure(&status, "lost"), figure(&status, "accepted"));
        assert_eq!((lost, accepted), (self.lost, self.rows.len() as i64), "lost, accepted; {when}");
    }
}

/// A drain that looks at the log, and is killed before it commits anything.
#[cfg(feature = "faults")]
pub(super) fn look(world: &World) {
    let mut env = world.env();
    env.push(("FAULTS_AT".into(), "drain.read=kill@1".into()));
    let mut flush = Process::spawn(Program::Damper, &["flush"], &env, world.path(), b"");
    until("the drain to end", || !flush.is_running());
    assert!(flush.was_killed(), "{}", flush.err());
}

/// Each time: so many are merged, so many more are seen by a look, so many come after it, Redis loses all, and so many
/// come before the next look.
#[cfg(feature = "faults")]
#[test]
fn what_a_look_had_seen_of_a_flushed_redis_is_lost_to_the_entry() {
    let world = World::servers().with("shards", 1);
    let service = world.start(Program::Api);
    let (api, mut ledger) = (service.http(), Ledger::default());
    api.create("p");
    for (merged, seen, unseen, later) in
        [(0, 3, 0, 5), (1, 3, 0, 1), (2, 4, 2, 0), (0, 2, 3, 40), (3, 0, 2, 1), (0, 1, 0, 1)]
    {
        ledger.rate(&api, merged, true);
        if merged > 0 {
            world.flush();
        }
        ledger.rate(&api, seen, false);
        if seen > 0 {
            look(&world);
        }
        ledger.rate(&api, unseen, false);
        world.redis().command(&["FLUSHALL"]);
        ledger.rate(&api, later, true);
        ledger.lost += seen as i64;
        ledger.assert_after_drain(
            &world,
            &format!("{merged} merged, {seen} seen, {unseen} unseen, {later} later"),
        );
    }
}

/// A copy of Redis' files, as of a moment when it was not running.
fn copy_files(world: &World, from: &str, to: &str) {
    let folder = world.redis().path();
    spawn::run(Command::new("rm").arg("-rf").arg(folder.join(to)));
    spawn::run(Command::new("cp").arg("-r").arg(folder.join(from)).arg(folder.join(to)));
}

/// An old copy of the append-only file comes back: of its entries some are merged, some still wait, and those that were
/// accepted after it are gone. An API may reach it before the next drain, or not.
#[cfg(feature = "faults")]
#[test]
fn what_a_look_had_seen_beyond_an_old_copy_is_lost_to_the_entry() {
    for is_api_first in [true, false] {
        let world = World::servers().with("shards", 1).with("drain.batch_max", 3);
        let service = world.start(Program::Api);
        let (api, mut ledger) = (service.http(), Ledger::default());
        api.create("p");
        ledger.rate(&api, 6, true);
        world.redis().kill();
        copy_files(&world, "appendonlydir", "copy");
        world.redis().start_again();
        // Three of the copy's six are merged, and trimmed; then four more are seen, and two are not.
        let mut env = world.env();
        env.push(("FAULTS_AT".into(), "drain.trimmed=kill@1".into()));
        let mut flush = Process::spawn(Program::Damper, &["flush"], &env, world.path(), b"");
        until("the drain to end", || !flush.is_running());
        assert_eq!(world.drained(), 3);
        ledger.rate(&api, 4, false);
        look(&world);
        ledger.rate(&api, 2, false);
        let service = is_api_first.then_some(service);
        world.redis().kill();
        copy_files(&world, "copy", "appendonlydir");
        world.redis().start_again();
        if service.is_some() {
            ledger.rate(&api, 7, true);
        }
        ledger.lost = 4;
        ledger.assert_after_drain(&world, &format!("the API first: {is_api_first}"));
    }
}

/// With snapshots only, a killed Redis loses what came after the last one: all that, and nothing else.
#[cfg(feature = "faults")]
#[test]
fn a_killed_redis_with_snapshots_only_loses_what_came_after_the_last_one() {
    let redis = Redis::start_with(&["--appendonly", "no", "--save", "3600 1"]);
    let world = World::on(redis, Postgres::shared()).with("shards", 1);
    let service = world.start(Program::Api);
    let (api, mut ledger) = (service.http(), Ledger::default());
    api.create("p");
    ledger.rate(&api, 5, true);
    world.redis().command(&["SAVE"]);
    // Merged before the kill: not lost, though the snapshot lacks them. Nor is applied twice what it still has.
    ledger.rate(&api, 4, true);
    world.flush();
    ledger.rate(&api, 3, false);
    look(&world);
    ledger.rate(&api, 2, false);
    world.redis().kill();
    world.redis().start_again();
    ledger.rate(&api, 6, true);
    ledger.lost = 3;
    ledger.assert_after_drain(&world, "five in the snapshot, four merged since, three seen, two not");
}
