//! The quarantine: every bad entry is stored with its reason and bytes, a retry never beats a later wish, and
//! a dropped entry is gone.

mod refused;

use damper::entry::Shard;
use serde_json::{Value, json};

use crate::support::in_both_setups;
use crate::support::log::post_id;
use crate::support::process::Program;
use crate::support::world::World;

in_both_setups!(
    every_bad_entry_is_listed_with_its_reason_and_bytes,
    a_retry_counts_once_its_post_exists,
    a_retry_never_beats_a_newer_rating_or_withdrawal,
    entries_of_one_pair_retried_in_the_wrong_order_end_with_the_newer,
    a_waiting_rating_is_not_hidden_by_a_retry,
    an_entry_that_still_cannot_be_applied_stays,
    a_retry_killed_before_its_delete_counts_once,
    a_dropped_entry_is_gone_for_good,
    a_long_list_counts_the_rest,
);

/// The time of these tests' entries.
const AT: &str = "1700000000000";

/// Adds a line to a post's log that Damper itself would never append.
fn inject(world: &World, post: &str, payload: &[u8]) {
    if world.is_embedded() {
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        world.db().change(&format!(
            "insert into buffer (position, payload) select last + 1, x'{hex}' from buffer_head;
             update buffer_head set last = last + 1, appends = appends + 1"
        ));
    } else {
        world.redis().command_bytes(&[b"XADD", stream(post).as_bytes(), b"*", b"e", payload]);
    }
}

/// The stream of a post's entries.
fn stream(post: &str) -> String {
    format!("damper:{{{}}}:ratings", Shard::of(&post_id(post), 16))
}

/// The entries in the quarantine.
fn list(world: &World) -> Vec<Value> {
    let listed = world.cli(&["quarantine", "list", "--json"]).expect(0).json();
    assert_eq!(listed["more"], 0);
    listed["entries"].as_array().expect("a list").clone()
}

/// The id of the only entry whose payload holds `text`.
fn id_of(world: &World, text: &str) -> String {
    let all = list(world);
    let found: Vec<&Value> =
        all.iter().filter(|entry| entry["payload"].as_str().is_some_and(|p| p.contains(text))).collect();
    assert_eq!(found.len(), 1, "{text} in {all:?}");
    found[0]["id"].as_str().expect("an id").to_owned()
}

/// Quarantines entries for posts that do not exist. The posts are created afterwards.
fn put_aside(world: &World, payloads: &[&str]) {
    world.status();
    for payload in payloads {
        inject(world, payload.split(' ').nth(2).expect("a post"), payload.as_bytes());
    }
    let flushed = world.flush();
    assert_eq!(flushed["quarantined"], payloads.len() as u64, "{flushed}");
    let posts: Vec<&str> = payloads.iter().map(|payload| payload.split(' ').nth(2).unwrap()).collect();
    for post in posts {
        world.import(&format!("{post},somebody,3,1690000000\n"));
    }
    world.flush();
}

/// A user's score for a post, if it counts.
fn score(world: &World, post: &str, user: &str) -> Option<i64> {
    let sql = format!(
        "select cast(score as bigint) from ratings where post_id = '{post}' and user_id = '{user}'
         and status = 'counted'"
    );
    world.db().all::<(i64,)>(&sql).pop().map(|(score,)| score)
}

fn every_bad_entry_is_listed_with_its_reason_and_bytes(world: World) {
    world.import("film,ann,5,1700000000\n");
    let mut poison: Vec<(Vec<u8>, &str)> = vec![
        (b"\xff\xfe\0\x1b[31m".to_vec(), "entry is not text"),
        (format!("2 r film bob 4 {AT}").into(), "unknown encoding version \"2\""),
        (format!("1 x film bob 4 {AT}").into(), "entry of kind \"x\""),
        (format!("1 r film bob 6 {AT}").into(), "score 6 is outside 0..=5"),
        (format!("1 r nowhere bob 4 {AT}").into(), "there is no post nowhere"),
        (vec![b'1'; 5_000], "entry has 5000 bytes"),
    ];
    for (i, (payload, _)) in poison.iter().enumerate() {
        inject(&world, "film", payload);
        world.import(&format!("film,u{i},4,170000000{i}\n"));
    }
    if !world.is_embedded() {
        world.redis().command(&["XADD", &stream("film"), "*", "who", "bob", "score", "4"]);
        poison.push((b"score=4\nwho=bob\n".to_vec(), "other fields than \"e\""));
    }
    let flushed = world.flush();
    assert_eq!((&flushed["applied"], &flushed["quarantined"]), (&json!(7), &json!(poison.len())));
    let kept = list(&world);
    assert_eq!(kept.len(), poison.len());
    let screen = world.cli(&["quarantine", "list"]).expect(0).out;
    for (payload, reason) in &poison {
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = kept.iter().find(|entry| entry["payload_hex"] == hex.as_str());
        let entry = entry.unwrap_or_else(|| panic!("{reason} in {kept:?}"));
        assert!(entry["reason"].as_str().unwrap().contains(reason), "{entry}");
        assert_eq!(entry["entry"].is_object(), reason.contains("no post"), "{entry}");
        let id = entry["id"].as_str().unwrap();
        assert_eq!(entry["appended_at"].is_string(), !world.is_embedded(), "{entry}");
        let row = screen.lines().find(|line| line.starts_with(id)).unwrap_or_default();
        assert!(row.contains(reason), "{screen}");
        let shown = world.cli(&["quarantine", "show", id]).expect(0).out;
        // The beginning of a long payload, as much as fits a screen.
        let text = payload[..payload.len().min(500)].escape_ascii().to_string();
        assert!(shown.contains(reason) && shown.contains(&text), "{shown}");
        assert!(shown.contains(&format!("  00000000  {:02x} ", payload[0])), "{shown}");
        assert_eq!(world.cli(&["quarantine", "show", id, "--json"]).expect(0).json(), *entry);
    }
    assert_eq!(world.cli(&["show", "film", "--json"]).expect(0).json()["count"], 7);
    let status = world.cli(&["status"]).expect(0).out;
    assert!(status.contains("damper quarantine list"), "{status}");
    world.assert_consistent();
}

fn a_retry_counts_once_its_post_exists(world: World) {
    put_aside(&world, &[&format!("1 r late ann 4 {AT}"), &format!("1 r late bob 2 {AT} 5-3")]);
    let (ann, bob) = (id_of(&world, "late ann"), id_of(&world, "late bob"));
    let run = world.cli(&["quarantine", "retry", &ann]).expect(0);
    assert!(run.out.starts_with(&format!("{ann}  retried: ann gives late a 4")), "{}", run.out);
    let run = world.cli(&["quarantine", "retry", "--all", "--json"]).expect(0).json();
    assert_eq!((run[0]["id"].as_str(), run[0]["outcome"].as_str()), (Some(bob.as_str()), Some("retried")));
    assert!(run[0]["detail"].as_str().unwrap().ends_with("first at 5-3"), "the first origin stays: {run}");
    assert_eq!(list(&world), Vec::<Value>::new());
    assert_eq!((score(&world, "late", "ann"), world.status()["waiting"].as_u64()), (None, Some(2)));
    world.flush();
    assert_eq!((score(&world, "late", "ann"), score(&world, "late", "bob")), (Some(4), Some(2)));
    let status = world.status();
    assert_eq!(
        (&status["quarantined"], &status["applied"]),
        (&json!(2), &json!(4)),
        "ever quarantined: {status}"
    );
    world.assert_consistent();
}

fn a_retry_never_beats_a_newer_rating_or_withdrawal(world: World) {
    let users = ["rated", "withdrawn", "never", "alone"];
    let payloads = users.map(|user| format!("1 r late {user} 1 {AT}"));
    put_aside(&world, &payloads.each_ref().map(String::as_str));
    let service = world.start_api();
    let api = service.http();
    api.rate("late", "rated", 5);
    api.rate("late", "withdrawn", 5);
    api.delete("/api/posts/late/rate?user_id=withdrawn").expect(202);
    // A withdrawal that removes nothing still counts as a wish.
    api.delete("/api/posts/late/rate?user_id=never").expect(202);
    world.flush();
    world.cli(&["quarantine", "retry", "--all"]).expect(0);
    world.flush();
    assert_eq!(users.map(|user| score(&world, "late", user)), [Some(5), None, None, Some(1)]);
    let status = world.status();
    assert_eq!((&status["quarantined"], &status["waiting"]), (&json!(4), &json!(0)));
    world.assert_consistent();
}

fn entries_of_one_pair_retried_in_the_wrong_order_end_with_the_newer(world: World) {
    put_aside(
        &world,
        &[
            &format!("1 r late ann 1 {AT}"),
            &format!("1 r late ann 4 {AT}"),
            &format!("1 r late bob 1 {AT}"),
            &format!("1 r late bob 4 {AT}"),
            &format!("1 r late cat 1 {AT}"),
            &format!("1 w late cat {AT}"),
        ],
    );
    let id = |text: &str| id_of(&world, text);
    // In one drain, and in one drain each.
    world.cli(&["quarantine", "retry", &id("ann 4"), &id("ann 1")]).expect(0);
    world.flush();
    for newer_first in [["bob 4", "bob 1"], ["w late cat", "cat 1"]] {
        for text in newer_first {
            world.cli(&["quarantine", "retry", &id(text)]).expect(0);
            world.flush();
        }
    }
    let scores = ["ann", "bob", "cat"].map(|user| score(&world, "late", user));
    assert_eq!(scores, [Some(4), Some(4), None]);
    assert_eq!(world.status()["quarantined"], 6);
    world.assert_consistent();
}

fn a_waiting_rating_is_not_hidden_by_a_retry(world: World) {
    put_aside(&world, &[&format!("1 r late ann 1 {AT}"), &format!("1 r late bob 1 {AT}")]);
    let service = world.start(Program::Damper);
    let api = service.http();
    api.rate("late", "ann", 5);
    world.cli(&["quarantine", "retry", "--all"]).expect(0);
    assert_eq!(api.post_as("late", "ann")["my_rating"], json!({"score": 5, "pending": true}));
    assert_eq!(api.post_as("late", "bob")["my_rating"], Value::Null, "a retry is not a current wish");
    world.flush();
    assert_eq!(api.post_as("late", "ann")["my_rating"], json!({"score": 5, "pending": false}));
    assert_eq!(api.post_as("late", "bob")["my_rating"], json!({"score": 1, "pending": false}));
}

fn an_entry_that_still_cannot_be_applied_stays(world: World) {
    put_aside(&world, &[&format!("1 r late ann 4 {AT}")]);
    inject(&world, "late", b"9 what");
    inject(&world, "late", format!("1 r nowhere ann 4 {AT}").as_bytes());
    world.flush();
    let run = world.cli(&["quarantine", "retry", "--all"]).expect(1);
    assert!(run.out.contains("stays: entry has unknown encoding version \"9\""), "{}", run.out);
    assert!(run.out.contains("stays: there is no post nowhere"), "{}", run.out);
    assert!(run.out.contains("retried: ann gives late a 4"), "{}", run.out);
    assert_eq!(list(&world).len(), 2);
    let run =
        world.cli(&["quarantine", "retry", "7/1-1", &id_of(&world, "9 what"), "--json"]).expect(1).json();
    assert_eq!((&run[0]["outcome"], &run[1]["outcome"]), (&json!("unknown"), &json!("stays")));
    world.flush();
    assert_eq!((list(&world).len(), score(&world, "late", "ann")), (2, Some(4)));
    assert_eq!(world.status()["quarantined"], 3);
}

fn a_retry_killed_before_its_delete_counts_once(world: World) {
    put_aside(&world, &[&format!("1 r late ann 4 {AT}")]);
    let mut env = world.env();
    env.push(("FAULTS_AT".into(), "retry.held=kill@1".into()));
    let args = ["quarantine", "retry", "--all"];
    let killed = crate::support::process::Process::spawn(Program::Damper, &args, &env, world.path(), b"");
    assert_eq!(killed.finish().code, -1, "it was killed");
    assert_eq!((list(&world).len(), world.status()["waiting"].as_u64()), (1, Some(1)), "it is in both");
    world.cli(&args).expect(0);
    world.flush();
    assert_eq!((list(&world).len(), score(&world, "late", "ann")), (0, Some(4)));
    assert_eq!(world.cli(&["show", "late", "--json"]).expect(0).json()["count"], 2);
    world.assert_consistent();
}

fn a_dropped_entry_is_gone_for_good(world: World) {
    put_aside(
        &world,
        &["ann", "bob", "cat"].map(|user| format!("1 r late {user} 4 {AT}")).each_ref().map(|s| s.as_str()),
    );
    let ann = id_of(&world, "late ann");
    let run = world.cli(&["quarantine", "drop", &ann]).expect(0);
    assert_eq!(run.out, format!("{ann}  dropped: there is no post late\n"));
    let run = world.cli(&["quarantine", "drop", &ann]).expect(1);
    assert_eq!(run.out, format!("{ann}  unknown: is not in the quarantine\n"));
    let run = world.cli(&["quarantine", "show", &ann]).expect(1);
    assert!(run.err.contains("damper quarantine list"), "{}", run.err);
    for args in
        [&["quarantine", "drop"][..], &["quarantine", "retry"], &["quarantine", "drop", "--all", &ann]]
    {
        world.cli(args).expect(2);
    }
    let run = world.cli(&["quarantine", "drop", "seven"]).expect(2);
    assert!(run.err.contains("damper quarantine list"), "{}", run.err);
    let run = world.cli(&["quarantine", "drop", "--all", "--json"]).expect(0).json();
    assert_eq!(run.as_array().map(Vec::len), Some(2), "{run}");
    let run = world.cli(&["quarantine", "drop", "--all"]).expect(0);
    assert_eq!(run.out, "nothing is in the quarantine\n");
    assert_eq!(world.cli(&["quarantine", "list"]).expect(0).out, "nothing is in the quarantine\n");
    assert_eq!(world.status()["quarantined"], 3, "ever quarantined");
    world.assert_consistent();
}

fn a_long_list_counts_the_rest(world: World) {
    let payloads: Vec<String> = (0..120).map(|i| format!("1 r post{} user{i} 4 {AT}", i % 7)).collect();
    world.status();
    for payload in &payloads {
        inject(&world, payload.split(' ').nth(2).unwrap(), payload.as_bytes());
    }
    world.flush();
    let run = world.cli(&["quarantine", "list"]).expect(0).out;
    assert!(run.lines().count() == 52 && run.ends_with("and 70 more: --limit 120\n"), "{run}");
    let run = world.cli(&["quarantine", "list", "--limit", "7", "--json"]).expect(0).json();
    assert_eq!((run["entries"].as_array().map(Vec::len), &run["more"]), (Some(7), &json!(113)));
    // More than one page of a sweep, over several shards.
    let dropped = world.cli(&["quarantine", "drop", "--all", "--json"]).expect(0).json();
    assert_eq!(dropped.as_array().map(Vec::len), Some(120));
    assert_eq!(list(&world), Vec::<Value>::new());
    assert_eq!(world.status()["quarantined"], 120);
}
