//! Verdicts on held ratings, as moderators reach them through the API, and what a user sees of them.

use damper::entry::{Ruling, Which};
use damper::model::Time;
use serde_json::{Value, json};

use super::{decision, moderator, put, user};
use crate::identity::{seconds, sign, token};
use crate::support::log::post_id;
use crate::support::process::Process;
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(
    held_ratings_are_listed_and_decided_one_by_one,
    many_are_decided_at_once_or_all_that_match,
    a_score_that_changed_since_it_was_seen_is_not_decided_on,
    a_held_rating_is_shown_to_its_user,
    a_rejected_rating_is_not_shown_again_before_the_log_is_trimmed,
    the_settings_hold_where_a_post_has_no_policy,
    an_account_that_is_too_young_is_held,
    forget_erases_held_ratings_too,
);

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

fn a_score_that_changed_since_it_was_seen_is_not_decided_on(world: World) {
    let (world, service, admin) = moderator(world);
    service.http().with_token(&token("author", &[])).create("p");
    put(&admin, "/api/admin/posts/p/policy", &json!({"hold": "always", "reason": "wait"})).expect(200);
    for (user, score) in [("ann", 4), ("bob", 4), ("cat", 4)] {
        rate(&service, "p", user, score);
    }
    world.flush();
    let seen = |user: &str| json!({"post_id": "p", "user_id": user, "score": 4});
    // They are seen as fours; then two change, one of them without being merged yet.
    rate(&service, "p", "ann", 0);
    world.flush();
    rate(&service, "p", "bob", 1);
    let body = json!({"ratings": [seen("ann"), seen("bob"), seen("cat")], "reason": "fine"});
    let done = admin.post("/api/admin/held/approve", &body).expect(200)["decisions"].clone();
    let state = |i: usize| done[i]["state"].as_str().expect("a word");
    assert_eq!([state(0), state(1), state(2)], ["changed", "changed", "approved"], "{done}");
    assert!(done[1]["detail"].as_str().is_some_and(|detail| detail.contains("bob is 1 now")), "{done}");
    let one =
        |user: &str, query: &str| admin.post(&format!("/api/rating/reject/p/{user}{query}"), &Value::Null);
    one("ann", "?score=4").problem(409, "conflict");
    assert_eq!(one("ann", "?score=four").problem(422, "score-not-whole")["parameter"], "score");
    assert_eq!(one("ann", "?score=0").expect(200)["rejected"], 1);
    let post = service.http().get("/api/posts/p").expect(200);
    assert_eq!((&post["histogram"], &post["under_review"]), (&json!([0, 0, 0, 0, 1, 0]), &json!(1)));
    let audit = admin.get("/api/admin/audit").expect(200)["decisions"].clone();
    assert_eq!(audit[0]["of"], json!({"user_id": "ann", "score": 0}));
    let six = json!({"ratings": [{"post_id": "p", "user_id": "bob", "score": 6}], "reason": "r"});
    let problem = admin.post("/api/admin/held/approve", &six).problem(422, "score-out-of-range");
    assert_eq!(problem["pointer"], "/ratings/0/score");
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
    world.flush_killed_at("drain.refreshed", 1);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (app, now) = (world.app().await, Time::from(chrono::Utc::now()));
        let reject = decision(Ruling::Reject(Which::User(user("ann"))));
        app.moderation()
            .decisions()
            .decide(&post_id("p"), &user("mo"), reject, now)
            .await
            .expect("it is taken");
    });
    world.flush_killed_at("drain.refreshed", 1);
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
