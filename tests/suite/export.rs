//! `damper export`, and `damper import` of what it wrote: everything comes back on the other set-up, bit for bit.

use serde_json::{Value, json};

use crate::support::http::{Http, JSON};
use crate::support::process::Process;
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(
    a_running_service_is_exported_and_comes_back_on_the_other_set_up,
    a_table_carries_the_ratings_in_the_order_of_the_log,
    an_export_that_is_cut_or_has_bad_lines_is_named,
);

/// An export's lines without what differs between two logs.
pub fn lines(world: &World) -> Vec<Value> {
    let text = world.cli(&["export"]).expect(0).out;
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let mut lines: Vec<Value> = lines.collect();
    for line in &mut lines {
        let fields = line.as_object_mut().expect("an object");
        fields.remove("position");
        fields.remove("exported_at");
    }
    lines
}

/// Exports `world`, imports that into a new world of the other kind, and compares all there is. Twice: a file may be
/// imported again.
#[track_caller]
pub fn comes_back(world: &World) {
    let other = if world.is_embedded() { World::servers() } else { World::embedded() };
    let text = world.cli(&["export"]).expect(0).out;
    let before = lines(world);
    for round in 0..2 {
        other.cli_with_input(&["import", "-"], text.as_bytes()).expect(0);
        other.flush();
        assert_eq!(other.db().count("select count(*) from quarantine"), 0);
        let after = lines(&other);
        for (line, (was, is)) in before.iter().zip(&after).enumerate() {
            assert_eq!(was, is, "line {line}, import {round}");
        }
        assert_eq!(before.len(), after.len(), "import {round}");
        other.assert_consistent();
    }
}

/// A moderator's client on an open service.
pub fn moderator(world: &World, service: &Process) -> Http {
    let token = world.cli(&["admin-token", "--json"]).expect(0).json();
    service.admin().with_token(token["token"].as_str().expect("a token"))
}

fn a_running_service_is_exported_and_comes_back_on_the_other_set_up(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.post("/api/users", &json!({"id": "ann", "username": "Ann B."})).expect(201);
    let body = json!({"id": "film", "title": "A film, \"quoted\"", "content": "two\nlines"});
    api.post("/api/posts", &body).expect(201);
    api.post("/api/posts", &json!({"id": "again", "repost_of": "film", "created_by": "ann"})).expect(201);
    for i in 0..40 {
        api.rate("film", &format!("u{i}"), i % 6);
    }
    api.rate("film", "u3", 5);
    api.delete("/api/posts/film/rate?user_id=u4");
    world.flush();
    let admin = moderator(&world, &service);
    let now = chrono::Utc::now();
    let window =
        json!({"from": now - chrono::Duration::hours(1), "to": now, "scores": [0], "reason": "zeros"});
    admin.post("/api/admin/posts/film/exclusions", &window).expect(200);
    let policy = json!({"hold": "always", "reason": "a launch"}).to_string();
    admin.send("PUT", "/api/admin/posts/film/policy", &[JSON], Some(policy.as_bytes())).expect(200);
    api.rate("film", "late", 1);
    world.flush();
    comes_back(&world);
    let kinds: Vec<String> = lines(&world).iter().map(|line| line["kind"].to_string()).collect();
    for kind in [
        "export",
        "user",
        "post",
        "opening",
        "hour",
        "rating",
        "held",
        "withdrawal",
        "decision",
        "closing",
        "end",
    ] {
        assert!(kinds.contains(&format!("\"{kind}\"")), "{kind} in {kinds:?}");
    }
    // The published figures, too, and the undoing of what was excluded there.
    let other = if world.is_embedded() { World::servers() } else { World::embedded() };
    let text = world.cli(&["export"]).expect(0).out;
    other.cli_with_input(&["import", "-"], text.as_bytes()).expect(0);
    other.flush();
    let figures = |world: &World| {
        let mut shown = world.cli(&["show", "film", "--json"]).expect(0).json();
        shown.as_object_mut().expect("an object").retain(|name, _| {
            ["count", "raw_average", "histogram", "under_review", "title"].contains(&name.as_str())
        });
        shown
    };
    assert_eq!(figures(&world), figures(&other));
    let restored = other.start_api();
    let admin = moderator(&other, &restored);
    let listed = admin.get("/api/admin/posts/film/exclusions").expect(200);
    let id = listed["exclusions"][0]["id"].as_str().expect("an exclusion").to_owned();
    let undone = admin.delete(&format!("/api/admin/posts/film/exclusions/{id}"));
    assert!(undone.expect(200)["restored"].as_u64().is_some_and(|count| count > 0));
    let film = || restored.http().get("/api/posts/film").expect(200);
    assert_eq!((&film()["content"], &film()["reposts"]), (&json!("two\nlines"), &json!(1)));
    until("the undoing", || film()["histogram"][0] != json!(0));
    other.assert_consistent();
}

fn a_table_carries_the_ratings_in_the_order_of_the_log(world: World) {
    // In another order than that of the times, and several at one moment.
    world.import("a,u1,5,1700000000\na,u2,1,1700500000\nb,u1,0,1700000000\n");
    world.import(&(0..30).map(|i| format!("a,z{},{},1700400000\n", 30 - i, i % 6)).collect::<String>());
    world.flush();
    let run = world.cli(&["export", "--format", "csv"]).expect(0);
    assert!(
        run.out.starts_with("post,user,score,timestamp\na,u1,5,2023-11-14T22:13:20.000Z\n"),
        "{}",
        run.out
    );
    assert!(run.err.contains("exported 33 ratings of 2 posts"), "{}", run.err);
    let other = if world.is_embedded() { World::servers() } else { World::embedded() };
    other.cli_with_input(&["import", "--sorted", "-"], run.out.as_bytes()).expect(0);
    other.flush();
    let averages = |world: &World| -> Vec<Value> {
        lines(world).into_iter().filter(|line| line["kind"] == "closing").collect()
    };
    assert_eq!(averages(&world), averages(&other));
}

fn an_export_that_is_cut_or_has_bad_lines_is_named(world: World) {
    world.import("a,u1,5,1700000000\n");
    world.flush();
    let text = world.cli(&["export"]).expect(0).out;
    let look =
        world.cli(&["import", "--look", &world.file("export.jsonl", &text), "--json"]).expect(0).json();
    assert_eq!(look["form"], "an export", "{look}");
    let other = if world.is_embedded() { World::servers() } else { World::embedded() };
    let cut = &text[..text.trim_end().rfind('\n').expect("lines") + 1];
    let run = other.cli_with_input(&["import", "-"], cut.as_bytes()).expect(1);
    assert!(run.err.contains("not whole"), "{}", run.err);
    let bad = text.replace("{\"kind\":\"end\"", "{\"kind\":\"what\"}\n{\"kind\":\"end\"");
    let run = other.cli_with_input(&["import", "-"], bad.as_bytes()).expect(1);
    assert!(run.out.contains("1 line refused"), "{}", run.out);
    let newer = text.replace("\"version\":1", "\"version\":99");
    let run = other.cli_with_input(&["import", "-"], newer.as_bytes()).expect(1);
    assert!(run.err.contains("use a newer one"), "{}", run.err);
    let run = other.cli_with_input(&["import", "--scale", "1..10", "-"], text.as_bytes()).expect(1);
    assert!(run.err.contains("leave the options"), "{}", run.err);
}
