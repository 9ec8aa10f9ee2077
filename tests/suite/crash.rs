//! After a kill: real programs are killed in mid-work, and counts stay exact.

mod outage;
mod power;
mod trim;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::http::Http;
use crate::support::log::{POSTS, Rng, latest, synthetic};
use crate::support::process::Program;
use crate::support::world::{World, create_all};
use crate::support::{in_both_setups, until};

in_both_setups!(
    a_killed_drain_leaves_counts_exact,
    two_flushes_at_once_leave_counts_exact,
    a_killed_service_loses_nothing_that_it_acknowledged,
);

/// The log in the format of `damper import`. A CSV has no withdrawals, so they are left out.
fn csv(log: &[damper::entry::Entry]) -> String {
    let line = |entry: &damper::entry::Entry| {
        let seconds = entry.at.ms() as f64 / 1_000.0;
        entry.action.score().map(|score| format!("{},{},{score},{seconds:.3}\n", entry.post, entry.user))
    };
    log.iter().filter_map(line).collect()
}

/// The ratings that result from a synthetic log's lines, sorted by time as an import does.
fn imported(seed: u64, count: u64) -> (String, BTreeMap<(String, String), i64>) {
    let mut log = synthetic(seed, count);
    log.retain(|entry| entry.action.score().is_some());
    log.sort_by_key(|entry| entry.at);
    (csv(&log), latest(&log))
}

fn a_killed_drain_leaves_counts_exact(world: World) {
    const KILLS: u64 = 8;
    let world = world.with("drain.batch_max", 15).with("shards", 4);
    let (lines, ratings) = imported(21, 6_000);
    world.import(&lines);
    let total = lines.lines().count() as u64;
    let mut random = Rng(42);
    let mut killed_in_its_middle = 0;
    for round in 1..=KILLS {
        let before = world.drained();
        let mut flush = world.spawn_cli(&["flush"], b"");
        // Somewhere in this round's part of the log, at any step of a batch.
        let progress = 1 + random.below(total / KILLS - 100) as i64;
        until("the drain to get on", || world.drained() >= before + progress || !flush.is_running());
        std::thread::sleep(Duration::from_micros(random.below(4_000)));
        killed_in_its_middle += u64::from(flush.is_running());
        flush.kill();
        assert!(world.drained() > before, "round {round} has got on");
        world.status();
    }
    assert!(
        killed_in_its_middle >= KILLS / 2,
        "only {killed_in_its_middle} drains were killed in their middle"
    );
    assert!((world.drained() as u64) < total, "the last drain has something left");
    let last = world.flush();
    assert_eq!((&last["waiting"], &last["complete"]), (&json!(0), &json!(true)));
    assert_eq!(world.drained() as u64, total, "each entry was applied once");
    world.assert_exact(&ratings);
}

fn two_flushes_at_once_leave_counts_exact(world: World) {
    let world = world.with("drain.batch_max", 25).with("shards", 4);
    let (lines, ratings) = imported(22, 4_000);
    world.import(&lines);
    let flushes: Vec<_> = (0..2).map(|_| world.spawn_cli(&["flush", "--json"], b"")).collect();
    let applied: u64 = flushes
        .into_iter()
        .map(|flush| flush.finish().expect(0).json()["applied"].as_u64().expect("a number"))
        .sum();
    assert_eq!(applied, lines.lines().count() as u64, "each entry by one of them");
    world.assert_exact(&ratings);
}

fn a_killed_service_loses_nothing_that_it_acknowledged(world: World) {
    const CALLERS: usize = 8;
    let mut service = world.start_api();
    create_all(&service.http(), &POSTS);
    let stop = AtomicBool::new(false);
    let (stopped, api, editing) = (&stop, service.http(), service.http());
    let (acknowledged, edits) = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let api = api.clone();
                scope.spawn(move || rate_until_refused(&api, caller, stopped))
            })
            .collect();
        let editor = scope.spawn(|| edit_until_refused(&editing, stopped));
        until("many ratings to be acknowledged", || world.status()["accepted"].as_u64() >= Some(400));
        service.kill();
        stop.store(true, Ordering::SeqCst);
        let acknowledged = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect::<Vec<_>>();
        (acknowledged, editor.join().unwrap())
    });
    let _again = world.start_api();
    world.flush();
    let rows: Vec<(String, String, i64)> =
        world.db().all("select post_id, user_id, cast(score as bigint) from ratings");
    let mut rows: BTreeMap<_, _> =
        rows.into_iter().map(|(post, user, score)| ((post, user), score)).collect();
    let edited = rows.remove(&("honest".to_owned(), "editor".to_owned()));
    assert!(
        edits.contains(&edited),
        "{edited:?} is neither the last acknowledged nor the one under way: {edits:?}"
    );
    for (post, user, score) in &acknowledged {
        assert_eq!(rows.get(&(post.clone(), user.clone())), Some(score), "{post} {user}");
    }
    let unanswered = rows.len() - acknowledged.len();
    assert!(unanswered <= CALLERS, "{unanswered} ratings without an answer");
    world.assert_consistent();
}

/// Rates as new users until the service is gone. Returns the acknowledged ratings.
fn rate_until_refused(api: &Http, caller: usize, stopped: &AtomicBool) -> Vec<(String, String, i64)> {
    let mut acknowledged = Vec::new();
    for i in 0.. {
        let (post, user, score) = (POSTS[i % POSTS.len()], format!("caller{caller}-{i}"), i as i64 % 6);
        if !is_acknowledged(api, post, &user, score, stopped) {
            break;
        }
        acknowledged.push((post.to_owned(), user, score));
    }
    acknowledged
}

/// Rates one post as one user until the service is gone. Returns the last acknowledged score, and the score
/// that may have been accepted without an answer.
fn edit_until_refused(api: &Http, stopped: &AtomicBool) -> [Option<i64>; 2] {
    let mut last = None;
    for score in (0..6).cycle() {
        if !is_acknowledged(api, "honest", "editor", score, stopped) {
            return [last, Some(score)];
        }
        last = Some(score);
    }
    unreachable!("the service is killed")
}

/// Whether a rating is acknowledged. If not, the service must be gone.
fn is_acknowledged(api: &Http, post: &str, user: &str, score: i64, stopped: &AtomicBool) -> bool {
    let path = format!("/api/posts/{}/rate", post.replace('|', "%7C"));
    let body = json!({"user_id": user, "score": score}).to_string();
    match api.try_send("POST", &path, &[crate::support::http::JSON], Some(body.as_bytes())) {
        Ok(answer) => {
            assert_eq!(answer.status, 202, "{}", answer.text);
            true
        }
        Err(_) => {
            until("the service to be killed", || stopped.load(Ordering::SeqCst));
            false
        }
    }
}

/// The worker and the API are separate processes: either may be killed without the other.
#[test]
fn a_killed_worker_and_api_leave_counts_exact() {
    let world = World::servers().with("drain.batch_max", 10).with("shards", 2);
    let world = world.with("tick", crate::support::world::EVERY_SECOND);
    let (lines, ratings) = imported(23, 3_000);
    world.import(&lines);
    let mut api = world.start(Program::Api);
    for _ in 0..3 {
        let before = world.drained();
        let mut worker = world.start(Program::Worker);
        until("the worker to drain", || world.drained() > before);
        worker.kill();
    }
    api.kill();
    world.flush();
    world.assert_exact(&ratings);
}
