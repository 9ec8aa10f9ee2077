//! Imports under faults. An export whose replies are lost cannot know what the log took, and everything counts once all the
//! same; one that ends says that it may be repeated.

use serde_json::json;

use super::network::Distant;
use crate::export::{lines, moderator};
use crate::support::http::JSON;
use crate::support::process::Program;
use crate::support::proxy::Fault;
use crate::support::until;
use crate::support::world::World;

/// A world with ratings, one of each post held, and decisions of two kinds.
fn moderated() -> World {
    let world = World::embedded();
    let service = world.start_api();
    let (api, admin) = (service.http(), moderator(&world, &service));
    for post in ["film", "book"] {
        api.create(post);
        for i in 0..12 {
            api.rate(post, &format!("u{i}"), i % 6);
        }
    }
    world.flush();
    let now = chrono::Utc::now();
    let window =
        json!({"from": now - chrono::Duration::hours(1), "to": now, "scores": [0], "reason": "zeros"});
    for post in ["film", "book"] {
        admin.post(&format!("/api/admin/posts/{post}/exclusions"), &window).expect(200);
        let policy = json!({"hold": "always", "reason": "a launch"}).to_string();
        let path = format!("/api/admin/posts/{post}/policy");
        admin.send("PUT", &path, &[JSON], Some(policy.as_bytes())).expect(200);
        api.rate(post, "late", 1);
    }
    world.flush();
    world
}

#[test]
fn an_import_whose_append_was_not_answered_brings_every_decision_once() {
    let (world, distant) = (moderated(), Distant::new());
    let other = &distant.world;
    let export = other.file("export.jsonl", world.cli(&["export"]).expect(0).out);
    // Redis knows the script, so it needs no second question.
    other.redis().command(&["SCRIPT", "LOAD", include_str!("../../../src/buffer/redis/append.lua")]);
    let import = other.stopped_at(Program::Damper, &["import", &export], "restore.read", 1);
    distant.redis.set(Fault::OneWay);
    import.resume();
    let logged = || {
        let logs = other.redis().command(&["KEYS", "damper:{*}:ratings"]).texts();
        logs.iter().map(|log| other.redis().command(&["XLEN", log]).int()).sum::<i64>()
    };
    until("the log to take what is sent", || logged() > 0);
    // What Redis said by now is never heard.
    distant.redis.vanish();
    distant.redis.set(Fault::None);
    let run = import.finish();
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    other.flush();
    assert_eq!(other.db().count("select count(*) from quarantine"), 0);
    let (before, after) = (lines(&world), lines(other));
    for (line, (was, is)) in before.iter().zip(&after).enumerate() {
        assert_eq!(was, is, "line {line}");
    }
    assert_eq!(before.len(), after.len());
    assert!(after.iter().filter(|line| line["kind"] == "decision").count() >= 4, "{after:?}");
    other.assert_consistent();
}

#[test]
fn an_import_that_finds_the_log_full_says_that_it_may_be_repeated() {
    let world = World::servers();
    world.import("p,bob,1,1600000000\n");
    let ratings = world.file("r.csv", "post,user,score,timestamp\np,ann,5,1700000000\n");
    let memory = |bytes: &str| world.redis().command(&["CONFIG", "SET", "maxmemory", bytes]);
    memory("1");
    let refused = world.cli(&["import", &ratings]).expect(69);
    assert!(
        refused.err.contains("(after 0 lines; importing the whole file again is safe)"),
        "{}",
        refused.err
    );
    memory("0");
    world.cli(&["import", &ratings]).expect(0);
    world.flush();
    let row = |user: &str, score| (("p".to_owned(), user.to_owned()), score);
    world.assert_exact(&[row("ann", 5), row("bob", 1)].into_iter().collect());
}
