//! After a kill: real programs are killed in mid-work, and counts stay exact.

mod outage;
mod power;
mod trim;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::http::Http;
use crate::support::log::{POSTS, Rng, latest, synthetic};
use crate::support::process::{Process, Program};
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

/// Every place of a drain where a kill may find it.
const PLACES: [&str; 9] = [
    "drain.read",
    "commit.loaded",
    "commit.brought",
    "commit.swapped",
    "commit.upserted",
    "commit.written",
    "commit.done",
    "drain.refreshed",
    "drain.trimmed",
];

fn a_killed_drain_leaves_counts_exact(world: World) {
    let world = world.with("drain.batch_max", 15).with("shards", 4);
    let (lines, ratings) = imported(21, 3_000);
    world.import(&lines);
    let total = lines.lines().count() as u64;
    let mut random = Rng(42);
    let mut before = 0;
    for place in PLACES {
        // Each commits something before it is killed.
        world.flush_killed_at(place, 8 + random.below(8));
        let drained = world.drained();
        assert!(drained > before, "killed at {place}, it has got on from {before} to {drained}");
        before = drained;
        world.status();
    }
    assert!((world.drained() as u64) < total, "the last drain has something left");
    let last = world.flush();
    assert_eq!((&last["waiting"], &last["complete"]), (&json!(0), &json!(true)));
    assert_eq!(world.drained() as u64, total, "each entry was applied once");
    world.assert_exact(&ratings);
}

fn two_flushes_at_once_leave_counts_exact(world: World) {
    // One log, so that both are after the same entries.
    let world = world.with("drain.batch_max", 25).with("shards", 1);
    let (lines, ratings) = imported(22, 2_000);
    world.import(&lines);
    // Both have read a batch and not committed it. What the first one has read, the second one commits.
    let flushes =
        [2, 3].map(|pass| world.stopped_at(Program::Damper, &["flush", "--json"], "commit.loaded", pass));
    assert!((1..lines.lines().count() as i64).contains(&world.drained()), "both are in their middle");
    flushes.iter().for_each(Process::resume);
    let applied = flushes.map(|flush| flush.finish().expect(0).json()["applied"].as_u64().expect("a number"));
    assert_eq!(applied.iter().sum::<u64>(), lines.lines().count() as u64, "each entry by one of them");
    assert!(!applied.contains(&0), "{applied:?}");
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

/// The worker and the API are separate processes: here both are killed at once, each in the middle of its work.
#[test]
fn a_killed_worker_and_api_leave_counts_exact() {
    let world = World::servers().with("drain.batch_max", 10).with("shards", 2);
    let world = world.with("tick", crate::support::world::EVERY_SECOND);
    let (lines, mut ratings) = imported(23, 1_000);
    world.import(&lines);
    for place in ["commit.swapped", "commit.written", "commit.done"] {
        let before = world.drained();
        let mut api = world.start_armed(Program::Api, &[], "submit.held=kill@10").await_ready();
        let mut worker = world.stopped_at(Program::Worker, &[], place, 5);
        // The tenth rating is held, and its caller never learns it.
        for i in 0..10 {
            let (user, stopped) = (format!("{place}-{i}"), AtomicBool::new(true));
            assert_eq!(is_acknowledged(&api.http(), "honest", &user, i % 6, &stopped), i < 9, "{user}");
            ratings.insert(("honest".to_owned(), user), i % 6);
        }
        until("the API to be killed", || !api.is_running());
        assert!(api.was_killed() && worker.is_paused(), "{}", api.err());
        worker.kill();
        assert!(world.drained() > before);
    }
    assert!(world.status()["waiting"].as_u64() > Some(0), "something is left for the flush");
    world.flush();
    world.assert_exact(&ratings);
}
