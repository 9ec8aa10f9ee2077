//! The API as callers see it: the whole contract, over real processes, in both set-ups.

mod catalogue;
mod edges;
mod explain;
mod kept;
mod listeners;
mod lists;
mod pages;
mod posts;
mod problems;
mod refusals;
mod users;

pub use listeners::metric;

use std::time::Instant;

use damper::model::Time;
use serde_json::{Value, json};

use crate::support::process::{Process, Program};
use crate::support::world::World;
use crate::support::{SEEN_WITHIN, in_both_setups, within};

in_both_setups!(
    a_rating_is_taken_shown_as_pending_and_counts_after_a_drain,
    a_withdrawal_is_taken_shown_as_pending_and_counts_after_a_drain,
    the_latest_rating_of_a_user_wins,
    a_commit_of_one_process_is_seen_by_the_others_within_a_second,
    zero_is_a_score_here_too,
    a_trailing_slash_makes_no_difference,
    an_id_may_hold_every_character_of_the_alphabet,
    a_service_that_is_told_to_stop_ends_well,
);

/// A moment in RFC 3339, UTC, with milliseconds.
#[track_caller]
fn time(value: &Value) -> Time {
    let text = value.as_str().expect("a text");
    let time: Time = serde_json::from_value(value.clone()).expect("RFC 3339");
    assert_eq!(time.to_string(), text, "in UTC and with milliseconds");
    time
}

fn now() -> Time {
    chrono::Utc::now().into()
}

/// The fields that an answer has, sorted.
fn fields(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn a_rating_is_taken_shown_as_pending_and_counts_after_a_drain(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let before = now();
    let accepted = api.rate("p", "ann", 4);
    assert_eq!(fields(&accepted), ["accepted_at", "counts_from", "post_id", "score", "user_id"]);
    assert_eq!((&accepted["post_id"], &accepted["user_id"]), (&json!("p"), &json!("ann")));
    assert_eq!(accepted["score"], 4);
    let at = time(&accepted["accepted_at"]);
    assert!(before <= at && at <= now(), "{at}");
    assert!(time(&accepted["counts_from"]) > at);
    let pending = api.post_as("p", "ann");
    assert_eq!(pending["my_rating"], json!({"score": 4, "pending": true}));
    assert_eq!((&pending["count"], &pending["average"]), (&json!(0), &Value::Null), "it does not count yet");
    assert_eq!(pending["next_tick"], accepted["counts_from"]);
    assert_eq!(api.post_as("p", "bob")["my_rating"], Value::Null);
    assert_eq!(api.read("p")["my_rating"], Value::Null, "nobody is named");
    assert_eq!(world.flush()["applied"], 1);
    let counted = until_count(&service, "p", 1);
    assert_eq!(counted["my_rating"], json!({"score": 4, "pending": false}));
    assert_eq!((&counted["average"], &counted["raw_average"]), (&json!(4.0), &json!(4.0)));
    assert_eq!(counted["histogram"], json!([0, 0, 0, 0, 1, 0]));
}

/// Waits until the service sees `count` ratings of a post; returns it as ann sees it.
#[track_caller]
fn until_count(service: &Process, post: &str, count: u64) -> Value {
    let api = service.http();
    within(SEEN_WITHIN, "the commit to be seen", || {
        Some(api.post_as(post, "ann")).filter(|seen| seen["count"] == count)
    })
}

fn a_withdrawal_is_taken_shown_as_pending_and_counts_after_a_drain(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    api.rate("p", "ann", 5);
    api.rate("p", "bob", 1);
    world.flush();
    until_count(&service, "p", 2);
    let accepted = api.delete("/api/posts/p/rate?user_id=ann").expect(202);
    assert_eq!(fields(&accepted), ["accepted_at", "counts_from", "post_id", "score", "user_id"]);
    assert_eq!((&accepted["user_id"], &accepted["score"]), (&json!("ann"), &Value::Null));
    let pending = api.post_as("p", "ann");
    assert_eq!(pending["my_rating"], json!({"score": null, "pending": true}));
    assert_eq!(pending["count"], 2);
    world.flush();
    let counted = until_count(&service, "p", 1);
    assert_eq!((&counted["my_rating"], &counted["raw_average"]), (&Value::Null, &json!(1.0)));
    api.delete("/api/posts/p/rate?user_id=never-rated").expect(202);
    world.flush();
    until_count(&service, "p", 1);
}

fn the_latest_rating_of_a_user_wins(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    for score in [5, 0, 3, 1] {
        api.rate("p", "ann", score);
        assert_eq!(api.post_as("p", "ann")["my_rating"], json!({"score": score, "pending": true}));
    }
    world.flush();
    let counted = until_count(&service, "p", 1);
    assert_eq!(counted["histogram"], json!([0, 1, 0, 0, 0, 0]));
    world.assert_exact(&[(("p".into(), "ann".into()), 1)].into());
}

fn a_commit_of_one_process_is_seen_by_the_others_within_a_second(world: World) {
    // In the embedded set-up one process serves, and another one, `damper flush`, commits.
    let count = if world.is_embedded() { 1 } else { 3 };
    let services: Vec<Process> = (0..count).map(|_| world.start_api()).collect();
    services[0].http().create("p");
    for round in 1..=3 {
        // Now it is near every reader, and shown for as long as nothing changes.
        let began = Instant::now();
        while began.elapsed() < SEEN_WITHIN * 2 {
            for service in &services {
                assert_eq!(service.http().read("p")["count"], round - 1);
            }
        }
        services[0].http().rate("p", &format!("u{round}"), 5);
        world.flush();
        for service in services.iter().rev() {
            until_count(service, "p", round);
        }
    }
}

fn zero_is_a_score_here_too(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    assert_eq!(api.rate("p", "ann", 0)["score"], 0);
    assert_eq!(api.post_as("p", "ann")["my_rating"], json!({"score": 0, "pending": true}));
    world.flush();
    let counted = until_count(&service, "p", 1);
    assert_eq!((&counted["average"], &counted["raw_average"]), (&json!(0.0), &json!(0.0)));
    assert_eq!(counted["my_rating"], json!({"score": 0, "pending": false}));
}

fn a_trailing_slash_makes_no_difference(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.post("/api/posts/", &json!({"id": "p", "title": "P"})).expect(201);
    api.post("/api/posts/p/rate/", &json!({"user_id": "ann", "score": 2})).expect(202);
    assert_eq!(api.get("/api/posts/p/").expect(200)["id"], "p");
    assert_eq!(api.get("/api/posts/p/?user_id=ann").expect(200)["my_rating"]["score"], 2);
    assert_eq!(api.get("/api/posts/").expect(200)["posts"].as_array().map(Vec::len), Some(1));
    api.get("/api/posts/p/history/").expect(200);
    api.delete("/api/posts/p/rate/?user_id=ann").expect(202);
}

fn an_id_may_hold_every_character_of_the_alphabet(world: World) {
    let service = world.start_api();
    let api = service.http();
    let (post, user) = ("aZ09._~:@+=|-", "uZ09._~:@+=|-");
    let made = api.post("/api/posts", &json!({"id": post, "title": "P", "created_by": user}));
    assert_eq!(made.expect(201)["created_by"], user);
    let path = made.header("location").to_owned();
    let accepted = api.post(&format!("{path}/rate"), &json!({"user_id": user, "score": 3})).expect(202);
    assert_eq!((&accepted["post_id"], &accepted["user_id"]), (&json!(post), &json!(user)));
    let as_user = format!("{path}?user_id=uZ09._~:@%2B%3D%7C-");
    assert_eq!(api.get(&as_user).expect(200)["my_rating"], json!({"score": 3, "pending": true}));
    world.flush();
    world.assert_exact(&[((post.into(), user.into()), 3)].into());
}

fn a_service_that_is_told_to_stop_ends_well(world: World) {
    let service = world.start_api();
    service.http().create("p");
    service.http().rate("p", "ann", 3);
    service.terminate();
    service.finish().expect(0);
    world.flush();
    world.assert_exact(&[(("p".into(), "ann".into()), 3)].into());
}

#[test]
fn the_three_programs_serve_one_set_of_servers_together() {
    let world = World::servers();
    let (api, all) = (world.start(Program::Api), world.start(Program::Damper));
    let worker = world.start(Program::Worker);
    api.http().create("p");
    all.http().rate("p", "ann", 5);
    assert_eq!(api.http().post_as("p", "ann")["my_rating"], json!({"score": 5, "pending": true}));
    drop(worker);
    world.flush();
    until_count(&api, "p", 1);
    until_count(&all, "p", 1);
}
