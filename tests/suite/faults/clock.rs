//! A clock that jumps by hours, forth and back, under a running program: figures stay right, nothing is lost, ratings are
//! taken and drained. libfaketime stands between the program and its clock; timers are not touched, as on a real machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::rate;
use crate::support::http::Http;
use crate::support::process::{Process, Program};
use crate::support::spawn::REMEDY;
use crate::support::world::{EVERY_SECOND, World};
use crate::support::{until, within};

/// A clock that tests set.
struct Clock(PathBuf);

impl Clock {
    fn new(world: &World, name: &str) -> Self {
        let clock = Self(world.path().join(name));
        clock.set(0);
        clock
    }

    /// So many seconds ahead of the machine's.
    fn set(&self, seconds: i64) {
        let written = self.0.with_extension("new");
        std::fs::write(&written, format!("{seconds:+}")).expect("a file");
        std::fs::rename(written, &self.0).expect("a file");
    }

    /// Starts a program under this clock.
    fn start(&self, world: &World, program: Program) -> Process {
        self.spawn(world, program, &[]).await_ready()
    }

    /// The same without waiting, and with more in its environment.
    fn spawn(&self, world: &World, program: Program, more: &[(&str, &str)]) -> Process {
        let libraries = std::fs::read_dir("/usr/lib").expect("a folder").flatten();
        let library = libraries.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let library = library.into_iter().find(|file| file.is_file());
        let library = library.unwrap_or_else(|| panic!("there is no libfaketime; {REMEDY}"));
        let mut env = world.env();
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        for (name, value) in [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ] {
            env.push((name.into(), value));
        }
        Process::spawn(program, &[], &env, world.path(), b"")
    }
}

const HOUR: i64 = 3_600;
/// Where the clock jumps to, in seconds beside the machine's.
const JUMPS: [i64; 6] = [5 * HOUR, 40, -9 * HOUR, 26 * HOUR, -30, 0];

/// Every figure of a rated post is a number, and its means are within 0 to 5.
#[track_caller]
fn assert_sane(post: &Value, when: &str) {
    for mean in ["average", "raw_average"] {
        let is_sane = post[mean].as_f64().is_some_and(|mean| (0.0..=5.0).contains(&mean));
        assert!(is_sane || post["count"] == 0, "{mean} {when}: {post}");
    }
    let phasing_in = post["phasing_in"].as_f64().expect("a number");
    assert!((0.0..=1e6).contains(&phasing_in), "phasing_in {when}: {post}");
}

/// Reads everything of the post.
#[track_caller]
fn look(api: &Http, when: &str) {
    assert_sane(&api.read("p"), when);
    assert_sane(&api.post_as("p", "editor"), when);
    for path in ["/api/posts?sort=top", "/api/posts/p/history", "/api/posts/p/explain"] {
        api.get(path).expect(200);
    }
}

#[test]
fn an_embedded_service_whose_clock_jumps_loses_nothing_and_stays_sane() {
    let world = World::embedded().with("tick", EVERY_SECOND).with("limits.ratings_per_minute_per_user", 60);
    let clock = Clock::new(&world, "clock");
    let service = clock.start(&world, Program::Damper);
    let api = service.http();
    api.create("p");
    let (mut rows, mut taken) = (BTreeMap::new(), 0);
    let mut take = |user: String, score: i64, when: &str| {
        // A bucket that is full is full for a second, not for the hours that the clock went back.
        within(Duration::from_secs(5), when, || {
            let answer = rate(&api, "p", &user, score);
            assert!([202, 429].contains(&answer.status), "{when}: {}", answer.text);
            (answer.status == 202).then_some(())
        });
        rows.insert(("p".to_owned(), user), score);
        taken += 1;
        taken
    };
    for (i, jump) in JUMPS.into_iter().enumerate() {
        clock.set(jump);
        let when = format!("after the jump to {jump} s");
        let mut total = 0;
        for j in 0..4 {
            total = take(format!("u{i}-{j}"), (i + j) as i64 % 6, &when);
        }
        // As fast as the limit lets one user, and one more.
        for j in 0..if i % 2 == 0 { 62 } else { 2 } {
            total = take("editor".into(), (i + j) as i64 % 6, &when);
        }
        let last = if i % 2 == 0 { 61 } else { 1 };
        assert_eq!(api.post_as("p", "editor")["my_rating"]["score"], (i + last) as i64 % 6, "{when}");
        within(Duration::from_secs(20), &format!("a drain {when}"), || {
            (world.drained() == total).then_some(())
        });
        look(&api, &when);
    }
    drop(service);
    world.assert_exact(&rows);
}

#[test]
fn an_api_whose_clock_leaves_that_of_redis_says_so_and_a_worker_drains_under_any() {
    let world = World::servers().with("shards", 2).with("tick", EVERY_SECOND);
    let (clock, other) = (Clock::new(&world, "clock"), Clock::new(&world, "other"));
    let (service, worker) = (clock.start(&world, Program::Api), other.start(&world, Program::Worker));
    let api = service.http();
    api.create("p");
    let mut rows = BTreeMap::new();
    for (i, jump) in JUMPS.into_iter().enumerate() {
        clock.set(jump);
        other.set(JUMPS[JUMPS.len() - 1 - i]);
        let (user, when) = (format!("u{i}"), format!("after the jump to {jump} s"));
        if jump.abs() < 60 {
            until("the clock to be right again", || rate(&api, "p", &user, i as i64 % 6).status == 202);
            rows.insert(("p".to_owned(), user), i as i64 % 6);
        } else {
            for _ in 0..3 {
                let refused = rate(&api, "p", &user, 5);
                let problem = refused.problem(503, "unavailable");
                assert!(problem["detail"].to_string().contains("clock"), "{problem}");
            }
        }
        let expected = rows.len() as i64;
        within(Duration::from_secs(20), &format!("a drain {when}"), || {
            (world.drained() == expected).then_some(())
        });
        look(&api, &when);
    }
    assert_eq!(rows.len(), 3, "the clock was right thrice");
    drop((service, worker));
    world.assert_exact(&rows);
    assert_eq!(world.status()["lost"], json!(0));
}

/// Then the worker knows the next tick already, by the clock of before.
#[cfg(feature = "faults")]
#[test]
fn a_clock_set_back_during_a_drain_does_not_hold_up_the_next() {
    let world = World::servers().with("shards", 1).with("tick", EVERY_SECOND);
    world.import("p,ann,4,1790000000\n");
    let clock = Clock::new(&world, "clock");
    let worker = clock.spawn(&world, Program::Worker, &[("FAULTS_AT", "drain.trimmed=stop@1")]);
    until("the worker to stand still in a drain", || worker.is_paused());
    clock.set(-9 * HOUR);
    worker.resume();
    world.import("p,bob,2,1790000001\n");
    within(Duration::from_secs(20), "the next drain", || (world.drained() == 2).then_some(()));
    drop(worker);
    world.assert_consistent();
}
