//! Moderation: ratings are excluded exactly, restored exactly, and every decision is recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use damper::App;
use damper::app::drain::DrainOrder;
use damper::entry::{Action, Decision, Entry, Position, Reason, Ruling, Window};
use damper::merge::Decided;
use damper::model::{Score, Time, UserId};
use damper::store::Trigger;
use serde_json::{Value, json};

use crate::identity::{keyed, token};
use crate::support::http::{Answer, Http, JSON};
use crate::support::log::{START, entry, post_id, posts};
use crate::support::process::Process;
use crate::support::world::World;
use crate::support::{SEEN_WITHIN, in_both_setups, until, within};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The current time in library tests: a hundred days after the first rating.
const NOW: Time = START.plus_ms(100 * DAY_MS);

mod alerts;
mod evidence;
mod exclusions;
mod held;
mod mixture;
mod steps;
mod verdicts;
mod webhook;

mod api {
    use super::*;

    in_both_setups!(
        an_exclusion_leaves_the_figures_without_its_window,
        a_preview_shows_the_result_and_changes_nothing,
        a_frozen_post_takes_no_ratings_and_is_read_on,
        invalid_decisions_are_refused,
        of_two_simultaneous_undos_one_succeeds,
        the_audit_keeps_who_what_when_and_why,
    );
}

mod both {
    #[tokio::test(flavor = "multi_thread")]
    async fn random_entries_of_every_kind_verify_in_both_set_ups() {
        super::mixture::random_entries_of_every_kind_verify_in_both_set_ups().await;
    }
}

/// A moderator's client on a service with keys.
fn moderator(world: World) -> (World, Process, Http) {
    let world = keyed(world);
    let service = world.start_api();
    let admin = service.admin().with_token(&token("mo", &["moderator"]));
    (world, service, admin)
}

/// A hundred honest ratings over three months, and as many zeros within an hour.
fn bombed() -> (String, String) {
    let seconds = |at: Time| format!("{}.{:03}", at.ms() / 1_000, at.ms() % 1_000);
    let honest =
        (0..100).map(|i| format!("film,u{i},{},{}\n", 3 + i % 3, seconds(START.plus_ms(i * 22 * HOUR_MS))));
    let bomb =
        (0..100).map(|i| format!("film,b{i},0,{}\n", seconds(START.plus_ms(95 * DAY_MS + i * 30_000))));
    (honest.collect(), bomb.collect())
}

fn window(scores: Option<&[i64]>) -> Value {
    let (from, to) = (START.plus_ms(95 * DAY_MS), START.plus_ms(95 * DAY_MS + HOUR_MS));
    let mut body = json!({"from": from, "to": to, "reason": "a bomb"});
    if let Some(scores) = scores {
        body["scores"] = json!(scores);
    }
    body
}

/// A line of an import.
fn line(post: &str, user: &str, score: i64, ms: i64) -> String {
    format!("{post},{user},{score},{}.{:03}\n", ms / 1_000, ms % 1_000)
}

fn put(admin: &Http, path: &str, body: &Value) -> Answer {
    admin.send("PUT", path, &[JSON], Some(body.to_string().as_bytes()))
}

/// The figures of a post that do not depend on the time or its name.
fn figures(api: &Http) -> (Value, Value, Value, Value) {
    let post = api.get("/api/posts/film").expect(200);
    let field = |name: &str| post[name].clone();
    (field("count"), field("raw_average"), field("histogram"), field("under_review"))
}

fn an_exclusion_leaves_the_figures_without_its_window(world: World) {
    let (world, service, admin) = moderator(world);
    let api = service.http();
    let (honest, bomb) = bombed();
    world.import(&honest);
    world.flush();
    let (count, mean, histogram, _) = figures(&api);
    world.import(&bomb);
    world.flush();
    until("the bomb to be seen", || figures(&api).0 == json!(200));
    let hit = api.get("/api/posts/film").expect(200);
    assert_eq!(hit["histogram"][0], 100);
    let path = "/api/admin/posts/film/exclusions";
    let done = admin.post(path, &window(None)).expect(200);
    assert_eq!((&done["state"], &done["excluded"]), (&json!("active"), &json!(100)), "{done}");
    assert_eq!((&done["before"]["count"], &done["after"]["count"]), (&json!(200), &json!(100)));
    assert_eq!(done["after"]["raw_average"], mean);
    until("it to be seen", || figures(&api) == (count.clone(), mean.clone(), histogram.clone(), json!(100)));
    world.assert_consistent();
    let id = done["id"].as_str().expect("an id").to_owned();
    let listed = admin.get(path).expect(200);
    assert_eq!(
        (&listed["exclusions"][0]["id"], &listed["exclusions"][0]["state"]),
        (&json!(id), &json!("active"))
    );
    let undone = admin.delete(&format!("{path}/{id}")).expect(200);
    assert_eq!((&undone["state"], &undone["restored"]), (&json!("undone"), &json!(100)), "{undone}");
    let close =
        |a: &Value, b: &Value| (a.as_f64().expect("a mean") - b.as_f64().expect("a mean")).abs() < 1e-6;
    assert_eq!(undone["after"]["count"], 200);
    assert!(close(&undone["after"]["raw_average"], &done["before"]["raw_average"]));
    assert!(close(&undone["after"]["average"], &done["before"]["average"]), "{undone} {done}");
    until("it to be seen", || figures(&api).0 == json!(200) && figures(&api).3 == json!(0));
    assert_eq!(api.get("/api/posts/film").expect(200)["histogram"], hit["histogram"]);
    world.assert_consistent();
    admin.delete(&format!("{path}/{id}")).problem(409, "conflict");
    assert_eq!(admin.get(path).expect(200)["exclusions"][0]["state"], "undone");
}

fn a_preview_shows_the_result_and_changes_nothing(world: World) {
    let (world, service, admin) = moderator(world);
    let (honest, bomb) = bombed();
    world.import(&(honest + &bomb));
    let path = "/api/admin/posts/film/exclusions";
    // Waiting entries are merged first, so that the preview is exact.
    let preview = admin.post(&format!("{path}?preview=true"), &window(Some(&[0, 1]))).expect(200);
    assert_eq!(
        (&preview["id"], &preview["excluded"], &preview["users"]),
        (&Value::Null, &json!(100), &json!(100))
    );
    assert_eq!(figures(&service.http()).0, 200);
    assert_eq!(admin.get(path).expect(200), json!({"exclusions": []}));
    assert_eq!(admin.get("/api/admin/audit").expect(200)["decisions"], json!([]));
    let done = admin.post(path, &window(Some(&[1, 0]))).expect(200);
    for part in ["before", "after"] {
        for field in ["count", "raw_average"] {
            assert_eq!(done[part][field], preview[part][field], "{part} {field}");
        }
        let gap = done[part]["average"].as_f64().expect("a mean")
            - preview[part]["average"].as_f64().expect("a mean");
        assert!(gap.abs() < 1e-3, "{done} {preview}");
    }
    assert_eq!(done["excluded"], preview["excluded"]);
    let other = admin.post(&format!("{path}?preview=true"), &window(Some(&[5]))).expect(200);
    assert_eq!((&other["excluded"], &other["before"]), (&json!(0), &other["after"]));
}

fn a_frozen_post_takes_no_ratings_and_is_read_on(world: World) {
    let (world, service, admin) = moderator(world);
    let (api, ann) = (service.http(), service.http().with_token(&token("ann", &[])));
    ann.post("/api/posts", &json!({"id": "film", "title": "F"})).expect(201);
    let rate = |score: i64| ann.post("/api/posts/film/rate", &json!({"score": score}));
    rate(4).expect(202);
    let frozen = put(&admin, "/api/admin/posts/film/policy", &json!({"frozen": true, "reason": "calm down"}));
    assert_eq!(frozen.expect(200)["state"], "frozen");
    rate(1).problem(423, "post-frozen");
    ann.delete("/api/posts/film/rate").problem(423, "post-frozen");
    let line = json!({"post_id": "film", "user_id": "bob", "score": 1}).to_string();
    let feed = api.with_token(&token("feed", &["ingest"]));
    let answer = feed.send("POST", "/api/ratings", &[], Some(line.as_bytes()));
    assert!(
        answer.text.starts_with(r#"{"line":1,"error":{"type":"/problems/post-frozen""#),
        "{}",
        answer.text
    );
    until("it to be seen", || api.get("/api/posts/film").expect(200)["frozen"] == json!(true));
    assert_eq!(api.get("/api/posts/film").expect(200)["count"], 1, "earlier accepted ratings count");
    let thawed = put(&admin, "/api/admin/posts/film/policy", &json!({"frozen": false, "reason": "calm"}));
    assert_eq!(thawed.expect(200)["state"], "thawed");
    rate(5).expect(202);
    world.flush();
    world.assert_consistent();
}

#[test]
fn a_frozen_post_is_frozen_everywhere_within_a_second_and_thawed_as_well() {
    let (world, service, admin) = moderator(World::servers());
    let other = world.start_api();
    let [ann, bob] = [(&service, "ann"), (&other, "bob")]
        .map(|(process, user)| process.http().with_token(&token(user, &[])));
    ann.post("/api/posts", &json!({"id": "film", "title": "F"})).expect(201);
    let rate = || bob.post("/api/posts/film/rate", &json!({"score": 1})).status;
    for (is_frozen, status) in [(true, 423), (false, 202), (true, 423)] {
        // The other process has it near, and shows it for as long as nothing changes.
        assert_eq!(rate(), if is_frozen { 202 } else { 423 });
        let began = Instant::now();
        while began.elapsed() < SEEN_WITHIN * 2 {
            assert_eq!(other.http().read("film")["frozen"], !is_frozen);
        }
        let policy = json!({"frozen": is_frozen, "reason": "a test"});
        put(&admin, "/api/admin/posts/film/policy", &policy).expect(200);
        within(SEEN_WITHIN, "the other process to know it", || (rate() == status).then_some(()));
        within(SEEN_WITHIN, "the other process to show it", || {
            (other.http().read("film")["frozen"] == is_frozen).then_some(())
        });
    }
    world.flush();
    world.assert_consistent();
}

fn invalid_decisions_are_refused(world: World) {
    let (world, service, admin) = moderator(world);
    let ann = service.http().with_token(&token("ann", &[]));
    ann.post("/api/posts", &json!({"id": "film", "title": "F"})).expect(201);
    let path = "/api/admin/posts/film/exclusions";
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    for (body, name, pointer) in [
        (json!({"from": late, "to": early, "reason": "x"}), "invalid-window", "/to"),
        (json!({"from": early, "to": early, "reason": "x"}), "invalid-window", "/to"),
        (json!({"from": early, "to": "2999-01-01T00:00:00Z", "reason": "x"}), "invalid-window", "/to"),
        (json!({"from": "soon", "to": late, "reason": "x"}), "invalid-time", "/from"),
        (json!({"from": early, "to": late, "reason": " "}), "invalid-text", "/reason"),
        (json!({"from": early, "to": late}), "invalid-body", "/reason"),
        (json!({"from": early, "to": late, "reason": "x", "scores": [6]}), "score-out-of-range", "/scores/0"),
        (json!({"from": early, "to": late, "reason": "x", "scores": ["0"]}), "score-not-whole", "/scores/0"),
        (json!({"from": early, "to": late, "reason": "x", "user": "bob"}), "invalid-body", "/user"),
    ] {
        assert_eq!(admin.post(path, &body).problem(422, name)["pointer"], pointer, "{body}");
    }
    let good = json!({"from": early, "to": late, "reason": "x"});
    admin.post("/api/admin/posts/missing/exclusions", &good).problem(404, "not-found");
    admin.post("/api/admin/posts/missing/exclusions?preview=true", &good).problem(404, "not-found");
    admin.get("/api/admin/posts/missing/exclusions").problem(404, "not-found");
    for id in ["0-99", "nonsense"] {
        admin.delete(&format!("{path}/{id}")).problem(404, "not-found");
    }
    put(&admin, "/api/admin/posts/film/policy", &json!({"frozen": true})).problem(422, "invalid-body");
    admin.get("/api/admin/audit?limit=0").problem(422, "limit-out-of-range");
    admin.get("/api/admin/audit?cursor=00").problem(422, "invalid-cursor");
    assert_eq!(world.status()["accepted"], 0, "the log is empty");
}

fn of_two_simultaneous_undos_one_succeeds(world: World) {
    let (world, _service, admin) = moderator(world);
    let (honest, bomb) = bombed();
    world.import(&(honest + &bomb));
    let path = "/api/admin/posts/film/exclusions";
    let id = admin.post(path, &window(None)).expect(200)["id"].as_str().expect("an id").to_owned();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let undoing: Vec<_> = (0..4).map(|_| scope.spawn(|| admin.delete(&format!("{path}/{id}")))).collect();
        undoing.into_iter().map(|undoing| undoing.join().expect("an answer")).collect()
    });
    let restored: u64 = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.json()["restored"].as_u64().expect("a number"))
        .sum();
    assert_eq!(restored, 100);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 3);
    world.assert_consistent();
}

fn the_audit_keeps_who_what_when_and_why(world: World) {
    let (world, service, admin) = moderator(world);
    let (honest, bomb) = bombed();
    world.import(&(honest + &bomb));
    let ann = service.http().with_token(&token("ann", &[]));
    ann.post("/api/posts", &json!({"id": "other", "title": "O"})).expect(201);
    let path = "/api/admin/posts/film/exclusions";
    let id = admin.post(path, &window(Some(&[0]))).expect(200)["id"].as_str().expect("an id").to_owned();
    put(&admin, "/api/admin/posts/other/policy", &json!({"frozen": true, "reason": "wait"})).expect(200);
    admin.delete(&format!("{path}/{id}?reason=it%20was%20no%20bomb")).expect(200);
    let audit = admin.get("/api/admin/audit").expect(200);
    let rows = audit["decisions"].as_array().expect("rows");
    let row = |i: usize, field: &str| rows[i][field].clone();
    let deeds: BTreeMap<String, usize> =
        (0..3).map(|i| (row(i, "deed").as_str().expect("a word").to_owned(), i)).collect();
    let (undo, freeze, exclude) = (deeds["undo"], deeds["freeze"], deeds["exclude"]);
    assert_eq!(
        (row(undo, "of"), row(undo, "reason")),
        (json!({"exclusion_id": id}), json!("it was no bomb"))
    );
    assert_eq!((row(freeze, "post_id"), row(freeze, "reason")), (json!("other"), json!("wait")));
    assert_eq!((row(exclude, "of")["scores"].clone(), row(exclude, "touched")), (json!([0]), json!(100)));
    assert_eq!(
        (row(exclude, "before")["count"].clone(), row(exclude, "after")["count"].clone()),
        (json!(200), json!(100))
    );
    assert!((0..3).all(|i| row(i, "decided_by") == "mo" && row(i, "refused") == Value::Null));
    let mut walked = Vec::new();
    let mut path = "/api/admin/audit?limit=1".to_owned();
    loop {
        let page = admin.get(&path);
        walked.extend(page.expect(200)["decisions"].as_array().expect("rows").clone());
        match page.header("link").strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(&walked, rows, "page by page it is the same");
    let of_film = admin.get("/api/admin/audit?post_id=film").expect(200);
    assert_eq!(of_film["decisions"].as_array().map(Vec::len), Some(2));
}

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a user id")
}

fn decision(deed: Ruling) -> Decision {
    Decision { deed, reason: Reason::parse("a test").expect("a reason") }
}

/// A window of hours after the start.
fn hours(from: i64, to: i64) -> Ruling {
    let (from, to) = (START.plus_ms(from * HOUR_MS), START.plus_ms(to * HOUR_MS));
    Ruling::Exclude(Window::new(from, to, Vec::new(), NOW.plus_ms(1_000 * DAY_MS)).expect("a window"))
}

/// Decides at `now`, whatever the clocks say. Returns the decision's position and outcome.
async fn decide(app: &App, deed: Ruling, now: Time) -> (Position, Decided) {
    let post = post_id("p");
    append(app, deed, now).await;
    app.drainer().drain_post(&post, now).await.expect("it drains");
    let newest = app.moderation().audit_page(Some(&post), None, None, 1).await.expect("an audit").items;
    let decided = newest.into_iter().next().expect("a row");
    assert_eq!((decided.at, &decided.by), (now, &user("mo")));
    (decided.position, decided)
}

/// Appends a decision like any entry.
async fn append(app: &App, deed: Ruling, now: Time) {
    let action = Action::Decide(Arc::new(decision(deed)));
    let entry = Entry::new(post_id("p"), user("mo"), now, action);
    app.intake().append_all(vec![entry], None).await.expect("it is held");
}

/// The library on this world, with a post rated by `u0`, `u1`, …, one score an hour.
async fn rated(world: &World, scores: &[i64]) -> Arc<App> {
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&["p"])).await.unwrap();
    let entries = scores
        .iter()
        .enumerate()
        .map(|(i, score)| entry("p", &format!("u{i}"), Some(*score), START.plus_ms(i as i64 * HOUR_MS)));
    app.intake().append_all(entries.collect(), None).await.unwrap();
    app
}

/// The post's histogram and the number of excluded ratings.
async fn counts(app: &App) -> ([u64; Score::COUNT], u64) {
    app.drainer().drain_post(&post_id("p"), NOW).await.unwrap();
    let found = app.reader().posts(&[post_id("p")], None, NOW).await.unwrap();
    (found[0].average.histogram, found[0].standing.excluded)
}

/// A drain at a tick, by a worker of this world.
async fn tick(app: &App, now: Time) {
    app.moderation().decisions().release_overdue(now).await;
    let drained = app.drainer().drain(now, &DrainOrder::quiet(Trigger::Tick)).await;
    assert!(drained.failure.is_none() && drained.quarantined == 0, "{drained:?}");
}
