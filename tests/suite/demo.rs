//! `damper demo`: the story comes out as it is told, and leaves nothing behind.

use std::path::Path;

use serde_json::Value;

use crate::identity::admin_token::told;
use crate::support::process::{Process, Program};
use crate::support::world::World;
use crate::support::{until, until_some};

/// Starts the demo in a world, with its temporary files in the world's directory.
fn demo(world: &World, args: &[&str]) -> Process {
    let mut env = world.env();
    env.push(("TMPDIR".into(), world.path().display().to_string()));
    Process::spawn(Program::Damper, &[&["demo"], args].concat(), &env, world.path(), b"")
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

#[test]
fn the_bomb_moves_what_is_published_little_and_is_taken_out_whole() {
    // Servers and keys in the settings are not the demo's.
    let world = World::embedded()
        .with("database_url", "postgres://nobody@127.0.0.1:1/nothing")
        .with("redis_url", "redis://127.0.0.1:1")
        .with("auth.jwt_secret", "0123456789abcdef0123456789abcdef");
    let shown = demo(&world, &["--json"]).finish().expect(0).json();
    let mean = |moment: &str, of: &str| {
        shown[moment][of].as_f64().unwrap_or_else(|| panic!("{moment} {of}: {shown}"))
    };
    let before = mean("before", "published");
    assert!((3.8..4.3).contains(&before) && (mean("before", "raw") - before).abs() < 0.05, "{shown}");
    assert!(mean("deepest", "raw") < 2.2 && mean("deepest", "batch_rule") < 0.5, "{shown}");
    assert!(before - mean("day_after", "published") < 0.25, "{shown}");
    assert!(mean("week_after", "published") > mean("week_after", "raw") + 1.0, "{shown}");
    assert!(
        mean("week_after", "published") < mean("day_after", "published"),
        "it moves all the same: {shown}"
    );
    assert!((mean("excluded", "published") - before).abs() < 0.05, "{shown}");
    assert_eq!(shown["excluded"]["batch_rule"], Value::Null);
    assert!(is_empty(world.path()), "the file is gone");
    // The same seed tells the same story.
    let again = demo(&world, &["--json"]).finish().expect(0).json();
    assert_eq!((&again["ratings"], &again["bomb_ratings"]), (&shown["ratings"], &shown["bomb_ratings"]));
}

#[test]
fn without_a_terminal_it_tells_its_story_in_lines() {
    let world = World::embedded();
    let text = demo(&world, &["--seed", "2"]).finish().expect(0).out;
    assert!(text.starts_with("The Last Lantern: "), "{text}");
    for part in
        ["\nday 60, 12:00   published ", "\nat the deepest ", "\nthe bomb excluded ", "damper demo --serve"]
    {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing_behind() {
    let world = World::embedded();
    let story = demo(&world, &[]);
    until("the story to begin", || story.out().contains("day "));
    story.terminate();
    let run = story.finish().expect(1);
    assert!(run.err.contains("the demo was stopped"), "{run:?}");
    assert!(is_empty(world.path()));
}

#[test]
fn its_service_has_the_bomb_still_to_be_excluded() {
    let world = World::embedded();
    let service = demo(&world, &["--serve"]);
    let screen = until_some("the start screen", || {
        let screen = service.out();
        screen.contains("sign in with the token").then_some(screen)
    });
    let address = |name: &str| service.address(name).unwrap_or_else(|| panic!("{screen}"));
    let (api, admin) = (address("api"), address("admin"));
    assert!(
        screen.contains(&format!("http://{admin}   sign in"))
            && screen.contains(&format!("http://{api}/demo"))
    );
    let api = crate::support::http::Http::new(&api);
    let post = api.read("the-last-lantern");
    assert!(post["average"].as_f64() > Some(3.2) && post["raw_average"].as_f64() < Some(2.5), "{post}");
    let admin = crate::support::http::Http::new(&admin).with_token(&told(&service).expect("a token"));
    let alerts = admin.get("/api/admin/alerts").expect(200);
    assert_eq!(alerts["alerts"][0]["post_id"], "the-last-lantern", "{alerts}");
    let arrivals = alerts["alerts"][0]["window"]["arrivals"].as_u64().unwrap_or_default();
    assert!((2_400..2_600).contains(&arrivals), "the window that it suggests is the bomb: {alerts}");
    service.terminate();
    service.finish().expect(0);
    until("the file to be gone", || is_empty(world.path()));
}
