//! A disk on which every fsync takes long: a rating is answered in time, and what is answered 202 is durable. What is
//! answered 503 never beats a later rating of its user. strace delays the calls of the real process.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lost::Ledger;
use super::{figure, rate};
use crate::support::disk::{pid_of, slow_down};
use crate::support::http::Http;
use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World};

const CALLERS: usize = 6;
/// A machine that is busy with other tests is slow.
const SLACK: Duration = Duration::from_millis(1_500);

/// Several callers rate as new users, `each` times; returns every user's score and status.
fn rate_from_many(api: &Http, name: &str, each: usize, within: Duration) -> BTreeMap<String, (i64, u16)> {
    let answers = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (api, answers) = (api.clone(), &answers);
            scope.spawn(move || {
                for i in 0..each {
                    let (user, score, asked) = (format!("{name}{caller}-{i}"), i as i64 % 4, Instant::now());
                    let answer = rate(&api, "p", &user, score);
                    assert!(asked.elapsed() < within + SLACK, "{user} waited {:?}", asked.elapsed());
                    assert!([202, 503].contains(&answer.status), "{}", answer.text);
                    answers.lock().unwrap().insert(user, (score, answer.status));
                }
            });
        }
    });
    answers.into_inner().unwrap()
}

/// Every rating that was answered 202 is there, and every later one of those that were refused.
#[track_caller]
fn assert_kept(world: &World, answers: &BTreeMap<String, (i64, u16)>) {
    let rows: Vec<(String, i64)> = world.db().all("select user_id, cast(score as bigint) from ratings");
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    for (user, (score, _)) in answers.iter().filter(|(_, (_, status))| *status == 202) {
        assert_eq!(rows.get(user), Some(score), "{user} was acknowledged");
    }
    world.assert_consistent();
}

/// Those who were refused rate again, on a sound disk.
fn rate_again(api: &Http, answers: &mut BTreeMap<String, (i64, u16)>) {
    for (user, answer) in answers.iter_mut().filter(|(_, (_, status))| *status == 503) {
        until("ratings to be taken again", || rate(api, "p", user, 5).status == 202);
        *answer = (5, 202);
    }
}

#[test]
fn a_slow_disk_under_the_file_makes_ratings_slow_and_then_refused() {
    let (append, request) = (Duration::from_millis(300), Duration::from_millis(3_000));
    let world = World::embedded()
        .with("buffer.append_timeout_ms", append.as_millis())
        .with("api.request_timeout_ms", request.as_millis());
    let mut service = world.start(Program::Damper);
    let api = service.http();
    api.create("p");
    // A commit that has begun is awaited; others wait for their turn.
    let tracer = slow_down(service.id(), 500);
    let mut answers = rate_from_many(&api, "slow", 3, request);
    drop(tracer);
    let taken = answers.values().filter(|(_, status)| *status == 202).count();
    assert!(taken > 0, "a disk that takes half a second still takes ratings");
    // One that takes longer than a request may: nobody is told that it was kept.
    let tracer = slow_down(service.id(), 5_000);
    let hung = rate_from_many(&api, "hung", 1, request);
    assert!(hung.values().all(|(_, status)| *status == 503), "{hung:?}");
    assert_eq!(api.get("/api/posts/p").status, 200, "reads go on");
    drop(tracer);
    answers.extend(hung);
    rate_again(&api, &mut answers);
    service.kill();
    world.flush();
    assert_kept(&world, &answers);
}

#[test]
fn a_slow_disk_under_redis_makes_ratings_slow_and_then_refused() {
    let append = Duration::from_millis(600);
    let redis = Redis::start_with(&["--appendfsync", "always"]);
    let world = World::on(redis, Postgres::shared()).with("shards", 2);
    let world = world.with("buffer.append_timeout_ms", append.as_millis());
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    let tracer = slow_down(pid_of(world.redis()), 50);
    let mut answers = rate_from_many(&api, "slow", 4, append);
    drop(tracer);
    assert!(answers.values().any(|(_, status)| *status == 202), "{answers:?}");
    let tracer = slow_down(pid_of(world.redis()), 2_000);
    let hung = rate_from_many(&api, "hung", 2, append);
    assert!(hung.values().all(|(_, status)| *status == 503), "{hung:?}");
    assert_eq!(api.get("/api/posts/p").status, 200, "reads go on");
    drop(tracer);
    answers.extend(hung);
    rate_again(&api, &mut answers);
    world.redis().kill();
    world.redis().start_again();
    world.flush();
    assert_kept(&world, &answers);
    assert_eq!(figure(&world.status(), "lost"), 0);
}

/// Where the disk is slow, Redis with `everysec` does not even write for a while. Killed then, it loses the last moments.
#[test]
fn a_killed_redis_with_fsync_everysec_loses_the_last_two_seconds_at_most() {
    const PROMISED: Duration = Duration::from_secs(2);
    let redis = Redis::start_with(&["--appendfsync", "everysec"]);
    let world = World::on(redis, Postgres::shared()).with("shards", 1).with("tick", EVERY_SECOND);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    let (mut worst, mut total) = (Duration::ZERO, 0);
    for round in 0..2 {
        let tracer = slow_down(pid_of(world.redis()), 1_700);
        let (began, mut taken) = (Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_millis(3_500 + 400 * round) {
            let user = format!("u{round}-{}", taken.len());
            if rate(&api, "p", &user, 4).status == 202 {
                taken.push((user, Instant::now()));
            }
        }
        world.redis().kill();
        let killed = Instant::now();
        drop(tracer);
        world.redis().start_again();
        until("ratings to be taken again", || rate(&api, "p", &format!("after{round}"), 1).status == 202);
        world.flush();
        let rows: Vec<(String, i64)> = world.db().all("select user_id, cast(score as bigint) from ratings");
        let rows: BTreeMap<_, _> = rows.into_iter().collect();
        let lost: Vec<_> = taken.iter().filter(|(user, _)| !rows.contains_key(user)).collect();
        total += lost.len();
        if let Some((user, at)) = lost.first() {
            worst = worst.max(killed - *at);
            assert!(
                killed - *at < PROMISED + SLACK / 3,
                "{user} was lost, {:?} after its answer",
                killed - *at
            );
        }
        world.assert_consistent();
        assert!(figure(&world.status(), "lost") as usize <= total, "no more is counted than is lost");
    }
    assert!(total > 0, "no kill has met what was not written yet");
    println!("{total} ratings lost by two kills, the oldest {worst:?} old");
}

/// What is merged is not lost with its log, however slow the disk.
#[test]
fn a_drain_on_a_slow_disk_ends_and_loses_nothing() {
    let world = World::embedded().with("tick", EVERY_SECOND).with("drain.batch_max", 20);
    let mut service = world.start(Program::Damper);
    let (api, mut ledger) = (service.http(), Ledger::default());
    api.create("p");
    let tracer = slow_down(service.id(), 100);
    ledger.rate(&api, 30, true);
    until("the service to drain", || world.drained() == 30);
    ledger.rate(&api, 10, true);
    service.kill();
    drop(tracer);
    ledger.assert_after_drain(&world, "killed on a slow disk");
}
