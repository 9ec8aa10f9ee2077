//! Held ratings: none of them counts before it is approved or released.

use std::sync::Arc;

use damper::App;
use damper::entry::{Action, Entry, Hold, Position, Ruling, Terms, Which, Window};
use damper::error::Error;
use damper::model::{Score, Time};

use damper::smoothing::{Average, UserState, When};
use serde_json::{Value, json};

use super::{
    DAY_MS, HOUR_MS, NOW, append, decide, decision, flush_killed_at, hours, moderator, put, rated, tick, user,
};
use crate::identity::{seconds, sign, token};
use crate::support::log::{START, bits, entry, post_id};
use crate::support::process::Process;
use crate::support::world::World;
use crate::support::{in_both_setups, until};

mod api {
    use super::*;

    in_both_setups!(
        held_ratings_are_listed_and_decided_one_by_one,
        many_are_decided_at_once_or_all_that_match,
        a_held_rating_is_shown_to_its_user,
        a_rejected_rating_is_not_shown_again_before_the_log_is_trimmed,
        the_settings_hold_where_a_post_has_no_policy,
        an_account_that_is_too_young_is_held,
        forget_erases_held_ratings_too,
    );
}

mod library {
    use super::*;

    in_both_setups!(async
        a_held_rating_is_an_arrival_until_it_is_approved_and_counts_once,
        a_new_rating_replaces_a_held_one_and_is_held,
        a_withdrawal_removes_the_held_rating_too,
        only_ratings_for_the_surge_lane_are_held,
        an_excluded_held_rating_is_neither_approved_nor_released,
        a_frozen_post_takes_an_approval,
        an_undecided_rating_is_released,
        a_tick_releases_at_most_a_thousand,
        a_retry_does_not_replace_a_rating_held_since,
        an_entry_older_than_a_rejected_rating_does_not_count,
        a_drain_that_is_killed_in_the_middle_of_an_approval_leaves_the_same,
    );
}

mod both {
    #[tokio::test(flavor = "multi_thread")]
    async fn holds_and_decisions_come_out_the_same_however_the_log_is_cut() {
        super::holds_and_decisions_come_out_the_same_however_the_log_is_cut().await;
    }
}

const ALWAYS: Ruling = Ruling::Hold(Some(Hold::Always));

fn approve(id: &str) -> Ruling {
    Ruling::Approve(Which::User(user(id)))
}

/// The post's histogram, and its numbers of held and excluded ratings.
async fn counts(app: &App) -> ([u64; Score::COUNT], u64, u64) {
    app.drainer().drain_post(&post_id("p"), NOW).await.unwrap();
    let found = app.reader().posts(&[post_id("p")], None, NOW).await.unwrap();
    (found[0].average.histogram, found[0].standing.held, found[0].standing.excluded)
}

async fn average(world: &World) -> Average {
    world.store().await.posts(&[post_id("p")]).await.unwrap().remove(0).expect("it is there").average
}

/// A post that holds everything, and one rating of it by `u`, an hour before [`NOW`].
async fn holding(world: &World, score: i64) -> Arc<App> {
    let app = rated(world, &[]).await;
    append(&app, ALWAYS, START).await;
    app.intake().append_all(vec![entry("p", "u", Some(score), NOW.plus_ms(-HOUR_MS))], None).await.unwrap();
    app
}

async fn a_held_rating_is_an_arrival_until_it_is_approved_and_counts_once(world: World) {
    let app = holding(&world, 4).await;
    assert_eq!(counts(&app).await, ([0; 6], 1, 0));
    let (mut expected, mut u) = (Average::default(), UserState::default());
    let when = When { at: NOW.plus_ms(-HOUR_MS), is_stated: false };
    u.hold(&mut expected, Score::parse(4).unwrap(), when, app.params());
    assert_eq!(bits(&average(&world).await), bits(&expected));
    let (_, decided) = decide(&app, approve("u"), NOW).await;
    assert_eq!((decided.outcome.touched, decided.outcome.after.count), (1, 1));
    u.release(&mut expected, NOW, app.params());
    assert_eq!(bits(&average(&world).await), bits(&expected), "it arrived when it was held");
    let (_, twice) = decide(&app, approve("u"), NOW.plus_ms(1)).await;
    assert!(twice.outcome.refused.is_some_and(|why| why.contains("no rating of u is held")));
    assert_eq!(counts(&app).await, ([0, 0, 0, 0, 1, 0], 0, 0));
    let never = app.moderation().decide(&post_id("p"), &user("mo"), decision(approve("v")), NOW).await;
    assert!(matches!(never, Err(Error::NotFound(_))), "{never:?}");
    world.assert_consistent();
}

async fn a_new_rating_replaces_a_held_one_and_is_held(world: World) {
    let app = rated(&world, &[2]).await;
    append(&app, ALWAYS, NOW).await;
    let again = |score, ms| entry("p", "u0", Some(score), NOW.plus_ms(ms));
    app.intake().append_all(vec![again(5, 1), again(4, 2)], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 1, 0), "what counted goes on counting");
    // While a rating is held, new ones are held too, whatever the policy is now.
    append(&app, Ruling::Hold(Some(Hold::Off)), NOW.plus_ms(3)).await;
    app.intake().append_all(vec![again(1, 4)], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 1, 0));
    decide(&app, approve("u0"), NOW.plus_ms(5)).await;
    assert_eq!(counts(&app).await, ([0, 1, 0, 0, 0, 0], 0, 0));
    append(&app, ALWAYS, NOW.plus_ms(6)).await;
    app.intake().append_all(vec![again(0, 7)], None).await.unwrap();
    let (_, rejected) = decide(&app, Ruling::Reject(Which::User(user("u0"))), NOW.plus_ms(8)).await;
    assert_eq!(rejected.outcome.touched, 1);
    assert_eq!(counts(&app).await, ([0, 1, 0, 0, 0, 0], 0, 0), "what counted goes on counting");
    world.assert_consistent();
}

async fn a_withdrawal_removes_the_held_rating_too(world: World) {
    let app = rated(&world, &[2]).await;
    append(&app, ALWAYS, NOW).await;
    let entries = [
        entry("p", "u0", Some(5), NOW.plus_ms(1)),
        entry("p", "v", Some(5), NOW.plus_ms(2)),
        entry("p", "u0", None, NOW.plus_ms(3)),
    ];
    app.intake().append_all(entries.to_vec(), None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 1, 0));
    app.intake().append_all(vec![entry("p", "v", None, NOW.plus_ms(4))], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 0, 0));
    assert_eq!(world.db().count("select count(*) from held"), 0);
    world.assert_consistent();
}

async fn only_ratings_for_the_surge_lane_are_held(world: World) {
    let honest: Vec<Entry> =
        (0..60).map(|i| entry("p", &format!("u{i}"), Some(4), START.plus_ms(i * DAY_MS))).collect();
    let bomb = (0..50).map(|i| entry("p", &format!("b{i}"), Some(0), NOW.plus_ms(i * 1_000)));
    let log: Vec<Entry> = honest.into_iter().chain(bomb).collect();
    let app = rated(&world, &[]).await;
    append(&app, Ruling::Hold(Some(Hold::Surge)), START).await;
    app.intake().append_all(log.clone(), None).await.unwrap();
    let (histogram, held, _) = counts(&app).await;
    let average = average(&world).await;
    assert_eq!((average.surge.count, average.count() + held), (0, 110));
    // The bomb's ratings that would not take the surge lane count.
    let mut unheld = Average::default();
    for entry in &log {
        let (score, when) = (entry.action.score().expect("a score"), When { at: entry.at, is_stated: false });
        UserState::default().rate(&mut unheld, score, when, app.params());
    }
    assert_eq!((held, histogram[4]), (unheld.surge.count, 60));
    assert!(held > 40, "{held}");
    let window = Window::new(NOW, NOW.plus_ms(DAY_MS), Vec::new(), NOW.plus_ms(DAY_MS)).unwrap();
    let (_, rejected) = decide(&app, Ruling::Reject(Which::Window(window)), NOW.plus_ms(DAY_MS)).await;
    assert_eq!((rejected.outcome.touched, counts(&app).await.1), (held, 0));
    world.assert_consistent();
}

async fn an_excluded_held_rating_is_neither_approved_nor_released(world: World) {
    let app = rated(&world, &[1, 1]).await;
    append(&app, ALWAYS, START.plus_ms(2 * HOUR_MS)).await;
    let at = |hours| START.plus_ms(hours * HOUR_MS);
    let entries = [entry("p", "u0", Some(5), at(3)), entry("p", "v", Some(5), at(4))];
    app.intake().append_all(entries.to_vec(), None).await.unwrap();
    let preview = Window::new(at(0), at(10), Vec::new(), NOW).unwrap();
    counts(&app).await;
    let (preview, users) = app.moderation().preview(&post_id("p"), &user("mo"), preview, NOW).await.unwrap();
    assert_eq!((preview.outcome.touched, preview.outcome.held, users), (2, 2, 3));
    let (id, decided) = decide(&app, hours(0, 10), NOW).await;
    assert_eq!((decided.outcome.touched, decided.outcome.held), (2, 2));
    assert_eq!(counts(&app).await, ([0; 6], 0, 4));
    let all = Which::Window(Window::open(None, None, Vec::new(), NOW).unwrap());
    let (_, approved) = decide(&app, Ruling::Approve(all), NOW.plus_ms(1)).await;
    assert_eq!((approved.outcome.touched, approved.outcome.refused), (0, None));
    tick(&app, NOW.plus_ms(2)).await;
    assert_eq!(counts(&app).await, ([0; 6], 0, 4), "long after, nothing is released");
    // A new rating is held for itself.
    app.intake().append_all(vec![entry("p", "v", Some(3), NOW.plus_ms(3))], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 1, 3));
    let (_, undone) = decide(&app, Ruling::Undo(id), NOW.plus_ms(4)).await;
    assert_eq!((undone.outcome.touched, undone.outcome.held), (2, 1));
    assert_eq!(counts(&app).await, ([0, 2, 0, 0, 0, 0], 2, 0));
    world.assert_consistent();
}

async fn a_frozen_post_takes_an_approval(world: World) {
    let app = holding(&world, 3).await;
    append(&app, Ruling::Freeze, NOW).await;
    let (_, decided) = decide(&app, approve("u"), NOW.plus_ms(1)).await;
    assert_eq!((decided.outcome.touched, counts(&app).await.0), (1, [0, 0, 0, 1, 0, 0]));
}

async fn an_undecided_rating_is_released(world: World) {
    // Only a worker whose clock is right appends a release.
    let now = Time::from(chrono::Utc::now());
    let ago = |hours: i64| now.plus_ms(-hours * HOUR_MS);
    let app = rated(&world, &[]).await;
    append(&app, ALWAYS, START).await;
    let rate = |user: &str, score, at| entry("p", user, Some(score), at);
    let both = vec![rate("u", 2, ago(72).plus_ms(-1)), rate("v", 3, ago(71))];
    app.intake().append_all(both, None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 2, 0));
    assert_eq!(app.moderation().released_at(ago(71)), Some(now.plus_ms(HOUR_MS)));
    let held = async || {
        let held = world.store().await.held_of(&user("u"), &[post_id("p")]).await.unwrap().remove(0);
        held.expect("it is held").position
    };
    let first = held().await;
    // Two workers at once append the same release twice.
    let (one, two) = (world.app().await, world.app().await);
    tokio::join!(tick(&one, now), tick(&two, now));
    // Another process sees the changes of these two within a second.
    let app = world.app().await;
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 1, 0), "the other's time has not come");
    let audit = app.moderation().audit_page(None, None, 10).await.unwrap().items;
    assert_eq!(audit.len(), 1, "the only decision is the policy");
    // A late release does not apply to a rating held since.
    app.intake().append_all(vec![rate("u", 5, now)], None).await.unwrap();
    tick(&app, now).await;
    assert_ne!(held().await, first);
    let release = Entry::new(post_id("p"), user("u"), now, Action::Release(first));
    app.intake().append_all(vec![release], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 2, 0));
    world.assert_consistent();
    // 0 means never.
    let never = world.with("moderation.hold_release_hours", 0);
    let app = never.app().await;
    app.intake().append_all(vec![rate("w", 4, ago(10_000))], None).await.unwrap();
    tick(&app, now).await;
    assert_eq!((counts(&app).await.1, app.moderation().released_at(now)), (3, None));
}

async fn a_tick_releases_at_most_a_thousand(world: World) {
    let now = Time::from(chrono::Utc::now());
    let app = rated(&world, &[]).await;
    append(&app, ALWAYS, START).await;
    let old = now.plus_ms(-100 * HOUR_MS);
    let many = (0..1_500).map(|i| entry("p", &format!("u{i}"), Some(3), old.plus_ms(i)));
    app.intake().append_all(many.collect(), None).await.unwrap();
    for (counted, held) in [(0, 1_500), (1_000, 500), (1_500, 0), (1_500, 0)] {
        assert_eq!(counts(&app).await, ([0, 0, 0, counted, 0, 0], held, 0));
        tick(&app, now).await;
    }
    world.assert_consistent();
}

async fn a_retry_does_not_replace_a_rating_held_since(world: World) {
    let app = holding(&world, 5).await;
    counts(&app).await;
    let retry = Entry { origin: Some(Position::new(0, 1)), ..entry("p", "u", Some(0), START) };
    app.intake().append_all(vec![retry], None).await.unwrap();
    decide(&app, approve("u"), NOW).await;
    assert_eq!(counts(&app).await, ([0, 0, 0, 0, 0, 1], 0, 0), "the newer one");
}

async fn an_entry_older_than_a_rejected_rating_does_not_count(world: World) {
    let app = rated(&world, &[2]).await;
    append(&app, ALWAYS, NOW).await;
    app.intake()
        .append_all(vec![entry("p", "u0", Some(5), NOW), entry("p", "v", Some(5), NOW)], None)
        .await
        .unwrap();
    for rejected in ["u0", "v"] {
        decide(&app, Ruling::Reject(Which::User(user(rejected))), NOW.plus_ms(1)).await;
    }
    append(&app, Ruling::Hold(None), NOW.plus_ms(2)).await;
    let retry = |user: &str| Entry { origin: Some(Position::new(0, 1)), ..entry("p", user, Some(0), START) };
    app.intake().append_all(vec![retry("u0"), retry("v")], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 0, 0), "both wanted something newer");
    world.assert_consistent();
}

async fn holds_and_decisions_come_out_the_same_however_the_log_is_cut() {
    let mut outcomes = Vec::new();
    for is_embedded in [true, false] {
        for batch in [1, 4, 20_000] {
            let world = if is_embedded { World::embedded() } else { World::servers() };
            let world = world.with("drain.batch_max", batch);
            let app = rated(&world, &[0, 5, 1]).await;
            let at = |seconds: i64| NOW.plus_ms(seconds * 1_000);
            let young = Terms { is_too_young: true, ..Terms::default() };
            let always = Terms { hold: Hold::Always, ..Terms::default() };
            let rate = |user: &str, score, seconds, terms| Entry {
                terms,
                ..entry("p", user, Some(score), at(seconds))
            };
            app.intake()
                .append_all(vec![rate("y", 0, 0, young), rate("a", 1, 1, always)], None)
                .await
                .unwrap();
            append(&app, Ruling::Hold(Some(Hold::Surge)), at(2)).await;
            app.intake()
                .append_all((0..20).map(|i| rate(&format!("b{i}"), 0, 3 + i, always)).collect(), None)
                .await
                .unwrap();
            append(&app, approve("y"), at(30)).await;
            let gone = entry("p", "b17", None, at(33));
            let again = vec![rate("y", 3, 31, young), rate("b19", 4, 32, always), gone];
            app.intake().append_all(again, None).await.unwrap();
            let window = Window::new(at(0), at(20), Vec::new(), at(40)).unwrap();
            append(&app, Ruling::Exclude(window.clone()), at(40)).await;
            append(&app, Ruling::Reject(Which::User(user("b18"))), at(41)).await;
            append(&app, Ruling::Approve(Which::Window(Window { to: at(60), ..window })), at(42)).await;
            let flushed = world.flush();
            assert_eq!((&flushed["quarantined"], &world.status()["waiting"]), (&json!(0), &json!(0)));
            let state = world.store().await.posts(&[post_id("p")]).await.unwrap().remove(0).unwrap();
            let rows: Vec<(String, String)> =
                world.db().all("select user_id, status from held order by user_id");
            let rated: Vec<(String, String)> =
                world.db().all("select user_id, status from ratings order by user_id");
            assert!(state.standing.excluded > 0 && !rows.is_empty(), "{:?} {rows:?}", state.standing);
            outcomes.push((bits(&state.average), state.standing, rows, rated));
            world.assert_consistent();
        }
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
}

async fn a_drain_that_is_killed_in_the_middle_of_an_approval_leaves_the_same(world: World) {
    let app = rated(&world, &[5]).await;
    append(&app, ALWAYS, START).await;
    let bulk = (0..12_000).map(|i| entry("p", &format!("h{i:05}"), Some(i % 6), NOW.plus_ms(i)));
    app.intake().append_all(bulk.collect(), None).await.unwrap();
    assert_eq!(counts(&app).await.1, 12_000);
    let all = Window::open(None, None, Vec::new(), NOW.plus_ms(DAY_MS)).unwrap();
    append(&app, Ruling::Approve(Which::Window(all)), NOW.plus_ms(DAY_MS)).await;
    for (place, pass) in [("bulk.paged", 2), ("bulk.walked", 1)] {
        flush_killed_at(&world, place, pass);
        assert_eq!(world.db().count("select count(*) from held"), 12_000);
        assert_eq!(world.db().count("select count(*) from ratings"), 1);
    }
    app.drainer().drain_post(&post_id("p"), NOW.plus_ms(DAY_MS)).await.unwrap();
    assert_eq!(counts(&app).await, ([2_000, 2_000, 2_000, 2_000, 2_000, 2_001], 0, 0));
    world.assert_consistent();
}

fn rate(service: &Process, post: &str, user: &str, score: i64) {
    let api = service.http().with_token(&token(user, &[]));
    api.post(&format!("/api/posts/{post}/rate"), &json!({"score": score})).expect(202);
}

fn held_ratings_are_listed_and_decided_one_by_one(world: World) {
    let (world, service, admin) = moderator(world);
    let author = service.http().with_token(&token("author", &[]));
    author.create("p");
    let path = "/api/admin/posts/p/policy";
    assert_eq!(admin.get(path).expect(200)["default_hold"], "off");
    let set = put(&admin, path, &json!({"hold": "always", "reason": "a launch"})).expect(200);
    assert_eq!(
        (&set["hold"], &set["frozen"], &set["state"]),
        (&json!("always"), &json!(false), &json!("thawed"))
    );
    for (user, score) in [("ann", 5), ("bob", 0), ("cat", 3)] {
        rate(&service, "p", user, score);
    }
    world.flush();
    until("they are held", || service.http().get("/api/posts/p").expect(200)["under_review"] == 3);
    let post = service.http().get("/api/posts/p").expect(200);
    assert_eq!((&post["count"], &post["raw_average"]), (&json!(0), &Value::Null));
    let mut walked = Vec::new();
    let mut next = "/api/admin/held?limit=1&post_id=p".to_owned();
    loop {
        let page = admin.get(&next);
        walked.extend(page.expect(200)["ratings"].as_array().expect("ratings").clone());
        match page.header("link").strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) {
            Some(link) => next = link.to_owned(),
            None => break,
        }
    }
    assert_eq!(admin.get("/api/admin/held").expect(200)["ratings"], json!(walked), "page by page the same");
    let users: Vec<&str> = walked.iter().map(|held| held["user_id"].as_str().expect("a user")).collect();
    assert_eq!((users, &walked[0]["score"]), (vec!["ann", "bob", "cat"], &json!(5)));
    assert!(walked[0]["releases_at"].is_string());
    let approved = admin.post("/api/rating/approve/p/ann", &Value::Null).expect(200);
    assert_eq!((&approved["state"], &approved["approved"]), (&json!("approved"), &json!(1)));
    assert_eq!(approved["after"]["count"], 1);
    let rejected = admin.post("/api/rating/reject/p/bob?reason=a%20bot", &Value::Null).expect(200);
    assert_eq!((&rejected["state"], &rejected["rejected"]), (&json!("rejected"), &json!(1)));
    admin.post("/api/rating/approve/p/ann", &Value::Null).problem(404, "not-found");
    admin.post("/api/rating/approve/none/ann", &Value::Null).problem(404, "not-found");
    admin.post("/api/rating/approve/p/a%20b", &Value::Null).problem(422, "invalid-id");
    let shown = service.http().get("/api/posts/p").expect(200);
    assert_eq!(
        (&shown["count"], &shown["raw_average"], &shown["under_review"]),
        (&json!(1), &json!(5.0), &json!(1))
    );
    let audit = admin.get("/api/admin/audit").expect(200);
    let rows = audit["decisions"].as_array().expect("rows");
    assert_eq!((&rows[0]["deed"], &rows[0]["of"]), (&json!("reject"), &json!({"user_id": "bob"})));
    assert_eq!((&rows[0]["reason"], &rows[2]["of"]), (&json!("a bot"), &json!({"hold": "always"})));
    let set = put(&admin, path, &json!({"hold": null, "frozen": true, "reason": "both"})).expect(200);
    assert_eq!((&set["hold"], &set["state"]), (&Value::Null, &json!("frozen")));
    for (body, pointer) in [
        (json!({"reason": "nothing"}), ""),
        (json!({"hold": "sometimes", "reason": "r"}), "/hold"),
        (json!({"hold": "always"}), "/reason"),
        (json!({"frozen": null, "reason": "r"}), "/frozen"),
    ] {
        let problem = put(&admin, path, &body).problem(422, "invalid-body");
        assert_eq!(problem["pointer"], pointer, "{body}: {problem}");
    }
    let user_without_role = service.admin().with_token(&token("ann", &[]));
    user_without_role.get("/api/admin/held").problem(403, "role-missing");
    world.assert_consistent();
}

fn many_are_decided_at_once_or_all_that_match(world: World) {
    let (world, service, admin) = moderator(world);
    let author = service.http().with_token(&token("author", &[]));
    author.create("p");
    author.create("q");
    for post in ["p", "q"] {
        let path = format!("/api/admin/posts/{post}/policy");
        put(&admin, &path, &json!({"hold": "always", "reason": "wait"})).expect(200);
        (0..6).for_each(|i| rate(&service, post, &format!("u{i}"), i));
    }
    let named = |post: &str, user: &str| json!({"post_id": post, "user_id": user});
    let ratings = json!([named("p", "u5"), named("q", "u5"), named("p", "nobody"), named("p", "u5")]);
    let done =
        admin.post("/api/admin/held/approve", &json!({"ratings": ratings, "reason": "fine"})).expect(200);
    let states: Vec<&str> = done["decisions"]
        .as_array()
        .expect("decisions")
        .iter()
        .map(|one| one["state"].as_str().expect("a word"))
        .collect();
    assert_eq!(states, ["approved", "approved", "refused", "refused"], "{done}");
    let path = "/api/admin/posts/p/held";
    let zeros =
        admin.post(&format!("{path}/reject"), &json!({"scores": [0, 1], "reason": "bots"})).expect(200);
    assert_eq!(zeros["rejected"], 2);
    let rest = admin.post(&format!("{path}/approve"), &json!({"reason": "people"})).expect(200);
    assert_eq!((&rest["approved"], &rest["after"]["count"]), (&json!(3), &json!(4)));
    let rejected = json!({"ratings": [named("q", "u0")], "reason": "bots"});
    admin.post("/api/admin/held/reject", &rejected).expect(200);
    let histogram =
        |post: &str| service.http().get(&format!("/api/posts/{post}")).expect(200)["histogram"].clone();
    until("it is seen", || histogram("p") == json!([0, 0, 1, 1, 1, 1]));
    until("it is seen", || histogram("q") == json!([0, 0, 0, 0, 0, 1]));
    assert_eq!(admin.get("/api/admin/held").expect(200)["ratings"].as_array().map(Vec::len), Some(4));
    for (body, pointer) in [
        (json!({"ratings": [], "reason": "r"}), "/ratings"),
        (json!({"ratings": vec![named("p", "u"); 101], "reason": "r"}), "/ratings"),
        (json!({"ratings": [{"post_id": "p"}], "reason": "r"}), "/ratings/0/user_id"),
    ] {
        let problem = admin.post("/api/admin/held/approve", &body).problem(422, "invalid-body");
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    let turned = json!({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z", "reason": "r"});
    admin.post(&format!("{path}/approve"), &turned).problem(422, "invalid-window");
    world.assert_consistent();
}

fn a_held_rating_is_shown_to_its_user(world: World) {
    let (world, service, admin) = moderator(world);
    let ann = service.http().with_token(&token("ann", &[]));
    ann.create("p");
    ann.post("/api/posts/p/rate", &json!({"score": 2})).expect(202);
    world.flush();
    put(&admin, "/api/admin/posts/p/policy", &json!({"hold": "always", "reason": "r"})).expect(200);
    ann.post("/api/posts/p/rate", &json!({"score": 5})).expect(202);
    let own = || ann.get("/api/posts/p").expect(200)["my_rating"].clone();
    assert_eq!(own(), json!({"score": 5, "pending": true}));
    world.flush();
    until("it is held", || own() == json!({"score": 5, "pending": false, "held": true}));
    admin.post("/api/rating/reject/p/ann", &Value::Null).expect(200);
    until("the one that counts is back", || own() == json!({"score": 2, "pending": false}));
}

fn a_rejected_rating_is_not_shown_again_before_the_log_is_trimmed(world: World) {
    let (world, service, admin) = moderator(world);
    let ann = service.http().with_token(&token("ann", &[]));
    ann.create("p");
    ann.post("/api/posts/p/rate", &json!({"score": 2})).expect(202);
    world.flush();
    put(&admin, "/api/admin/posts/p/policy", &json!({"hold": "always", "reason": "r"})).expect(200);
    ann.post("/api/posts/p/rate", &json!({"score": 5})).expect(202);
    // Merged, and still in the log.
    flush_killed_at(&world, "drain.refreshed", 1);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (app, now) = (world.app().await, Time::from(chrono::Utc::now()));
        let reject = decision(Ruling::Reject(Which::User(user("ann"))));
        app.moderation().decide(&post_id("p"), &user("mo"), reject, now).await.expect("it is taken");
    });
    flush_killed_at(&world, "drain.refreshed", 1);
    until("the one that counts is back", || {
        ann.get("/api/posts/p").expect(200)["my_rating"] == json!({"score": 2, "pending": false})
    });
}

fn the_settings_hold_where_a_post_has_no_policy(world: World) {
    let (world, service, admin) = moderator(world.with("moderation.hold", "always"));
    let author = service.http().with_token(&token("author", &[]));
    author.create("p");
    author.create("q");
    put(&admin, "/api/admin/posts/q/policy", &json!({"hold": "off", "reason": "trusted"})).expect(200);
    rate(&service, "p", "ann", 5);
    rate(&service, "q", "ann", 5);
    world.import("p,imported,3,1790000000\n");
    // Merged by a process that holds nothing: a rating accepted on other terms is held anyway.
    drop(service);
    let world = world.with("moderation.hold", "off");
    world.flush();
    let service = world.start_api();
    let shown = |post: &str| {
        let post = service.http().get(&format!("/api/posts/{post}")).expect(200);
        (post["count"].clone(), post["under_review"].clone())
    };
    assert_eq!((shown("p"), shown("q")), ((json!(0), json!(2)), (json!(1), json!(0))));
}

fn an_account_that_is_too_young_is_held(world: World) {
    let (world, service, _) = moderator(world.with("moderation.hold_accounts_younger_than_days", 7));
    let api = service.http();
    api.with_token(&token("author", &[])).create("p");
    let with_age = |user: &str, created_at: Value| {
        sign(&json!({"sub": user, "exp": seconds() + 3_600, "account_created_at": created_at}))
    };
    let long_ago = chrono::Utc::now() - chrono::Duration::days(8);
    for (user, claim) in [
        ("old", json!(seconds() - 8 * 86_400)),
        ("known", json!(long_ago.to_rfc3339())),
        ("new", json!(seconds() - 6 * 86_400)),
        ("odd", json!({"when": "always"})),
    ] {
        let caller = api.with_token(&with_age(user, claim));
        caller.post("/api/posts/p/rate", &json!({"score": 5})).expect(202);
    }
    // Registered here long ago, registered just now, and unknown.
    for user in ["ann", "bob"] {
        api.with_token(&token(user, &[])).post("/api/users", &json!({"username": user})).expect(201);
    }
    world
        .db()
        .change(&format!("update users set created_at = {} where id = 'ann'", long_ago.timestamp_millis()));
    for user in ["ann", "bob", "cat"] {
        rate(&service, "p", user, 4);
    }
    world.flush();
    let held: Vec<(String,)> = world.db().all("select user_id from held order by user_id");
    let held: Vec<&str> = held.iter().map(|(user,)| user.as_str()).collect();
    assert_eq!(held, ["bob", "cat", "new", "odd"]);
    world.assert_consistent();
}

fn forget_erases_held_ratings_too(world: World) {
    let (world, service, admin) = moderator(world);
    let ann = service.http().with_token(&token("ann", &[]));
    service.http().with_token(&token("author", &[])).create("p");
    put(&admin, "/api/admin/posts/p/policy", &json!({"hold": "always", "reason": "r"})).expect(200);
    ann.post("/api/posts/p/rate", &json!({"score": 5})).expect(202);
    let shown = world.cli(&["forget", "ann", "--export"]).expect(0).json();
    assert_eq!(
        (&shown["held"][0]["post_id"], &shown["held"][0]["score"]),
        (&json!("p"), &json!(5)),
        "{shown}"
    );
    world.cli(&["forget", "ann", "--yes"]).expect(0);
    assert_eq!(world.db().count("select count(*) from held"), 0);
    assert_eq!(world.status()["waiting"], 0);
}
