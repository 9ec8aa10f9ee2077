//! The power fails: what was acknowledged is on the disk, whatever becomes of what was not synced.
//!
//! A real process is recorded while it acknowledges ratings. Then its files are built as a power failure may leave them, at
//! the very moments at which an answer was being sent or a sync had just ended, and opened.
//! `cargo test --release --features faults --test suite -- --ignored at_any_moment` takes all those moments.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use damper::entry::Entry;
use serde_json::Value;

use crate::support::disk::{Recorder, Recording, Unsynced, pid_of};
use crate::support::http::Http;
use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::redis::{Redis, Reply};
use crate::support::spawn;
use crate::support::world::{EVERY_SECOND, World, create_all};

const WRITERS: usize = 4;
const POSTS: [&str; 3] = ["a", "b", "c"];

/// So many moments, spread over all.
fn some(moments: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(moments.len());
    (1..=count).map(|i| moments[i * moments.len() / count - 1]).collect()
}

/// Rates as new users, from several callers at once, until `is_enough`; at least `count` times.
fn rate_until(api: &Http, count: usize, is_enough: impl Fn() -> bool + Sync) {
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (api, taken, is_enough) = (api.clone(), &taken, &is_enough);
            scope.spawn(move || {
                for i in (0..).take_while(|_| taken.load(Ordering::Relaxed) < count || !is_enough()) {
                    api.rate(POSTS[i % POSTS.len()], &format!("u{writer}-{i}"), (i % 6) as i64);
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
}

/// Ratings by post and user.
type Ratings = BTreeMap<(String, String), i64>;

/// The ratings and posts whose acknowledgement had begun to be sent.
fn acknowledged(recording: &Recording, moment: usize) -> (Ratings, BTreeSet<String>) {
    let (mut ratings, mut posts) = (Ratings::new(), BTreeSet::new());
    for said in recording.said(moment) {
        let text = String::from_utf8_lossy(said);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().expect("a text").to_owned();
        if head.starts_with("HTTP/1.1 202") {
            ratings.insert((text("post_id"), text("user_id")), body["score"].as_i64().expect("a score"));
        } else if head.starts_with("HTTP/1.1 201") {
            posts.insert(text("id"));
        }
    }
    (ratings, posts)
}

/// The ratings of a data file, merged or waiting, each once.
fn ratings(world: &World) -> Ratings {
    let rows: Vec<(String, String, i64)> =
        world.db().all("select post_id, user_id, cast(score as bigint) from ratings");
    let lines: Vec<(Vec<u8>,)> = world.db().all("select payload from buffer");
    let waiting = lines.into_iter().map(|(line,)| {
        let entry = Entry::decode(&line).expect("a line that can be read");
        let score = entry.action.score().expect("a rating").get().into();
        ((entry.post.to_string(), entry.user.to_string()), score)
    });
    rows.into_iter().map(|(post, user, score)| ((post, user), score)).chain(waiting).collect()
}

/// How often Damper itself opens what is left, which takes a second.
const OPENED_EVERY: usize = 40;

fn embedded(count: usize, moments: usize) {
    let world = World::embedded().with("tick", EVERY_SECOND).with("drain.batch_max", 7);
    let mut service = world.start(Program::Damper);
    let api = service.http();
    let recorder = Recorder::begin(service.id(), world.path(), world.path().join("notes"));
    create_all(&api, &POSTS);
    let drains = || world.db().count("select count(*) from drains where applied > 0");
    rate_until(&api, count, || drains() >= 2);
    service.kill();
    let recording = recorder.end();
    let all = recording.moments();
    let last = *all.last().expect("there are moments");
    let (last_ratings, last_posts) = acknowledged(&recording, last);
    assert!(
        last_ratings.len() >= count && last_posts.len() == POSTS.len() && recording.syncs() > 20,
        "{} ratings, {} syncs were recorded",
        last_ratings.len(),
        recording.syncs()
    );
    let mut built = 0;
    for moment in some(&all, moments) {
        let (expected, posts) = acknowledged(&recording, moment);
        for unsynced in [Unsynced::Gone, Unsynced::Torn(1), Unsynced::Torn(2), Unsynced::Kept] {
            let restored = World::embedded();
            recording.leave(moment, unsynced, restored.path());
            let is_sound: Vec<(String,)> = restored.db().all("pragma integrity_check");
            assert_eq!(is_sound, [("ok".to_owned(),)], "at {moment}, {unsynced:?}");
            let found = ratings(&restored);
            for (key, score) in &expected {
                assert_eq!(
                    found.get(key),
                    Some(score),
                    "{key:?} was acknowledged; at {moment}, {unsynced:?}"
                );
            }
            for post in &posts {
                let rows = format!("select count(*) from posts where id = '{post}'");
                assert_eq!(restored.db().count(&rows), 1, "{post} was created; at {moment}, {unsynced:?}");
            }
            built += 1;
            if built % OPENED_EVERY == 0 {
                restored.flush();
                restored.assert_consistent();
                let rows = restored.db().count("select count(*) from ratings");
                assert_eq!(rows as usize, found.len(), "all are merged, and none twice");
            }
        }
    }
    println!(
        "{built} files after power failures, {} ratings, {} syncs",
        last_ratings.len(),
        recording.syncs()
    );
}

#[test]
fn what_the_embedded_service_acknowledged_is_on_its_disk() {
    embedded(80, 20);
}

#[test]
#[ignore = "takes twenty minutes: every moment"]
fn what_the_embedded_service_acknowledged_is_on_its_disk_at_any_moment() {
    embedded(600, usize::MAX);
}

const STREAM: &str = "damper:{0}:ratings";

/// An entry's id in a stream: milliseconds, and a number among those of one.
type Id = (i64, i64);

fn id(text: &str) -> Option<Id> {
    let (ms, number) = text.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

/// The ids of the entries that a Redis holds.
fn ids(redis: &Redis) -> BTreeSet<Id> {
    let Reply::List(entries) = redis.command(&["XRANGE", STREAM, "-", "+"]) else { panic!("no list") };
    entries.iter().map(|entry| id(&entry.texts()[0]).expect("an id")).collect()
}

/// A Redis on what is left of another one's files.
fn restart(recording: &Recording, moment: usize, unsynced: Unsynced) -> Redis {
    let folder = spawn::temp_dir("left-");
    recording.leave(moment, unsynced, folder.path());
    let manifest = folder.path().join("appendonlydir/appendonly.aof.manifest");
    if matches!(unsynced, Unsynced::Torn(_)) && manifest.is_file() {
        // Redis leaves out an end that is cut off, but wants to be helped with one that has holes.
        let mut mend = Command::new("redis-check-aof");
        mend.arg("--fix").arg(&manifest).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut mend = mend.spawn().expect("redis-check-aof comes with redis-server");
        mend.stdin.take().expect("a pipe").write_all(b"y\n").ok();
        mend.wait().expect("it ends");
    }
    let folder = folder.keep();
    Redis::start_with(&["--dir", &folder.display().to_string(), "--appendfsync", "no"])
}

/// Records a Redis that takes ratings for a while; returns the ids of its entries too.
fn record_redis(fsync: &str, count: usize, is_enough: impl Fn() -> bool + Sync) -> (Recording, BTreeSet<Id>) {
    let redis = Redis::start_with(&["--appendfsync", fsync]);
    let world = World::on(redis, Postgres::shared()).with("shards", 1);
    let service = world.start(Program::Api);
    let api = service.http();
    create_all(&api, &POSTS);
    let redis = world.redis();
    let recorder = Recorder::begin(pid_of(redis), redis.path(), world.path().join("notes"));
    rate_until(&api, count, is_enough);
    let entries = ids(redis);
    redis.kill();
    (recorder.end(), entries)
}

/// The entries whose ids had begun to be sent to the API.
fn told(recording: &Recording, moment: usize, entries: &BTreeSet<Id>) -> BTreeSet<Id> {
    let said: Vec<u8> = recording.said(moment).flatten().copied().collect();
    String::from_utf8_lossy(&said).split("\r\n").filter_map(id).filter(|id| entries.contains(id)).collect()
}

fn redis_always(count: usize, moments: usize) {
    let (recording, entries) = record_redis("always", count, || true);
    let all = recording.moments();
    let last = told(&recording, *all.last().expect("there are moments"), &entries);
    assert!(
        last.len() >= count && recording.syncs() > 10,
        "{} told, {} syncs",
        last.len(),
        recording.syncs()
    );
    let mut built = 0;
    for moment in some(&all, moments) {
        let expected = told(&recording, moment, &entries);
        for unsynced in [Unsynced::Gone, Unsynced::Begun(1), Unsynced::Torn(2)] {
            let left = ids(&restart(&recording, moment, unsynced));
            let missing: Vec<_> = expected.difference(&left).collect();
            assert!(missing.is_empty(), "{missing:?} were acknowledged; at {moment}, {unsynced:?}");
            built += 1;
        }
    }
    println!("{built} logs after power failures, {} entries, {} syncs", last.len(), recording.syncs());
}

#[test]
fn what_redis_acknowledged_with_fsync_always_is_on_its_disk() {
    redis_always(60, 6);
}

#[test]
#[ignore = "takes minutes: every moment"]
fn what_redis_acknowledged_with_fsync_always_is_on_its_disk_at_any_moment() {
    redis_always(400, usize::MAX);
}

/// This shows too that the check above can fail.
#[test]
fn with_fsync_everysec_a_power_failure_costs_two_seconds_at_most() {
    const PROMISED_MS: i64 = 2_000;
    let began = std::time::Instant::now();
    let (recording, entries) = record_redis("everysec", 100, || began.elapsed().as_secs() >= 4);
    let mut worst_ms = 0;
    for moment in some(&recording.moments(), 6) {
        let expected = told(&recording, moment, &entries);
        let left = ids(&restart(&recording, moment, Unsynced::Gone));
        let missing: Vec<_> = expected.difference(&left).collect();
        if let (Some(first), Some(last)) = (missing.first(), expected.last()) {
            assert!(left.iter().all(|id| id < *first), "what is lost is the end: {missing:?}");
            worst_ms = worst_ms.max(last.0 - first.0);
        }
    }
    assert!(worst_ms > 0, "nothing was lost: is unsynced data lost at all here?");
    assert!(worst_ms <= PROMISED_MS, "{worst_ms} ms were lost");
    println!("the worst loss was of {worst_ms} ms");
}
