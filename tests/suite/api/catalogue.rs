//! Reposts, authors' changes, the daily limit, and ratings that make their posts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::identity::{keyed, token};
use crate::support::http::{Answer, Http, JSON};
use crate::support::world::World;
use crate::support::{DAY, in_both_setups, keep_within};

in_both_setups!(
    a_repost_names_the_first_and_has_ratings_of_its_own,
    a_post_counts_its_reposts_however_many_come_at_once,
    an_author_changes_title_and_content,
    nobody_else_changes_a_post,
    with_keys_the_tokens_user_is_the_author,
    of_fifty_posts_at_once_the_limit_is_made,
    whoever_made_enough_today_is_told_when_to_go_on,
    posts_without_an_author_and_refused_ones_do_not_count,
    an_open_catalogue_makes_a_post_of_a_rating,
    an_open_catalogue_takes_a_withdrawal_of_what_waits,
    what_was_taken_while_it_was_open_makes_its_post_later,
);

fn post(api: &Http, body: &Value) -> Answer {
    api.post("/api/posts", body)
}

fn patch(api: &Http, id: &str, body: &Value) -> Answer {
    api.send("PATCH", &format!("/api/posts/{id}"), &[JSON], Some(body.to_string().as_bytes()))
}

fn a_repost_names_the_first_and_has_ratings_of_its_own(world: World) {
    let service = world.start_api();
    let api = service.http();
    let origin = post(&api, &json!({"id": "o", "title": "The origin", "content": "Text"})).expect(201);
    assert_eq!((&origin["repost_of"], &origin["reposts"]), (&Value::Null, &json!(0)));
    let first = post(&api, &json!({"id": "r", "repost_of": "o", "created_by": "ann"})).expect(201);
    assert_eq!((&first["repost_of"], &first["title"]), (&json!("o"), &json!("The origin")));
    assert_eq!(first["content"], Value::Null);
    let second = json!({"id": "rr", "repost_of": "r", "title": "Look", "content": "My own words"});
    let second = post(&api, &second).expect(201);
    assert_eq!((&second["repost_of"], &second["title"]), (&json!("o"), &json!("Look")), "the first is named");
    assert_eq!(api.read("o")["reposts"], 2);
    assert_eq!(api.read("r")["reposts"], 0);
    api.rate("r", "bob", 1);
    api.rate("o", "bob", 5);
    world.flush();
    assert_eq!(api.post_as("o", "bob")["raw_average"], 5.0);
    assert_eq!(api.post_as("r", "bob")["raw_average"], 1.0);
    let list = api.get("/api/posts").expect(200);
    let listed = |id: &str| {
        let mut posts = list["posts"].as_array().expect("posts").iter();
        posts.find(|post| post["id"] == id).expect("it is listed").clone()
    };
    assert_eq!((&listed("o")["repost_of"], &listed("o")["reposts"]), (&Value::Null, &json!(2)));
    assert_eq!(listed("rr")["repost_of"], "o");
    let missing = post(&api, &json!({"id": "x", "repost_of": "nobody-made-it"})).problem(404, "not-found");
    assert_eq!(missing["pointer"], "/repost_of");
    assert_eq!(post(&api, &json!({"repost_of": "a b"})).problem(422, "invalid-id")["pointer"], "/repost_of");
    assert_eq!(post(&api, &json!({"id": "x"})).problem(422, "invalid-body")["pointer"], "/title");
    post(&api, &json!({"id": "r", "repost_of": "o"})).problem(409, "conflict");
    assert_eq!(api.read("o")["reposts"], 2, "what was refused is not counted");
    assert_eq!(world.db().count("select count(*) from posts"), 3);
}

fn a_post_counts_its_reposts_however_many_come_at_once(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("o");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| post(&api, &json!({"repost_of": "o"})).expect(201));
        }
    });
    assert_eq!(api.read("o")["reposts"], 20);
}

fn an_author_changes_title_and_content(world: World) {
    let service = world.start_api();
    let api = service.http();
    let made = json!({"id": "p", "title": "Title", "content": "Content", "created_by": "ann"});
    post(&api, &made).expect(201);
    api.rate("p", "ann", 4);
    world.flush();
    let etag = api.get("/api/posts/p").header("etag").to_owned();
    let changed = patch(&api, "p", &json!({"user_id": "ann", "title": "Another"})).expect(200);
    assert_eq!((&changed["title"], &changed["content"]), (&json!("Another"), &json!("Content")));
    assert_eq!(changed["my_rating"], json!({"score": 4, "pending": false}));
    let seen = api.get("/api/posts/p");
    assert_eq!((&seen.json()["title"], &seen.json()["raw_average"]), (&json!("Another"), &json!(4.0)));
    assert_ne!(seen.header("etag"), etag, "who keeps the old one is told");
    let emptied = patch(&api, "p", &json!({"user_id": "ann", "content": null})).expect(200);
    assert_eq!((&emptied["title"], &emptied["content"]), (&json!("Another"), &Value::Null));
    patch(&api, "p", &json!({"user_id": "ann", "title": "T", "content": "C"})).expect(200);
    let seen = api.read("p");
    assert_eq!((&seen["title"], &seen["content"]), (&json!("T"), &json!("C")));
    for (body, name, pointer) in [
        (json!({"user_id": "ann"}), "invalid-body", ""),
        (json!({"user_id": "ann", "title": null}), "invalid-body", "/title"),
        (json!({"user_id": "ann", "title": " "}), "invalid-text", "/title"),
        (json!({"user_id": "ann", "title": "x".repeat(301)}), "invalid-text", "/title"),
        (json!({"user_id": "ann", "content": "x".repeat(20_001)}), "invalid-text", "/content"),
        (json!({"user_id": "ann", "created_by": "bob"}), "invalid-body", "/created_by"),
        (json!({"user_id": "a b", "title": "T"}), "invalid-id", "/user_id"),
        (json!({"title": "T"}), "invalid-body", "/user_id"),
    ] {
        assert_eq!(patch(&api, "p", &body).problem(422, name)["pointer"], pointer, "{body}");
    }
    assert_eq!(api.read("p"), seen, "what was refused changed nothing");
}

fn nobody_else_changes_a_post(world: World) {
    let service = world.start_api();
    let api = service.http();
    post(&api, &json!({"id": "p", "title": "T", "created_by": "ann"})).expect(201);
    api.create("nobodys");
    let title = |user: &str| json!({"user_id": user, "title": "Mine"});
    patch(&api, "p", &title("bob")).problem(403, "not-the-author");
    patch(&api, "nobodys", &title("bob")).problem(403, "not-the-author");
    patch(&api, "unmade", &title("bob")).problem(404, "not-found");
    assert_eq!(api.read("p")["title"], "T");
    assert_eq!(patch(&api, "batch", &title("bob")).status, 404, "a post may bear that name");
    post(&api, &json!({"id": "batch", "title": "T", "created_by": "bob"})).expect(201);
    assert_eq!(patch(&api, "batch", &title("bob")).expect(200)["title"], "Mine");
}

fn with_keys_the_tokens_user_is_the_author(world: World) {
    let world = keyed(world);
    let service = world.start_api();
    let api = service.http();
    let ann = api.with_token(&token("ann", &[]));
    post(&ann, &json!({"id": "p", "title": "T"})).expect(201);
    assert_eq!(patch(&ann, "p", &json!({"title": "U"})).expect(200)["title"], "U");
    let admin = api.with_token(&token("olga", &["admin", "moderator", "ingest"]));
    patch(&admin, "p", &json!({"title": "V"})).problem(403, "not-the-author");
    patch(&api, "p", &json!({"title": "V"})).problem(401, "token-missing");
    patch(&ann, "p", &json!({"title": "V", "user_id": "ann"})).problem(422, "user-named");
    assert_eq!(api.read("p")["title"], "U");
}

/// The longest that a test of a day's posts takes.
const WORK: Duration = Duration::from_secs(20);

fn of_fifty_posts_at_once_the_limit_is_made(world: World) {
    keep_within(DAY, WORK);
    let world = world.with("catalogue.posts_per_day_per_user", 5);
    let first = world.start_api();
    // Another process beside it, where that is possible.
    let second = if world.is_embedded() { None } else { Some(world.start_api()) };
    let doors = [first.http(), second.as_ref().map_or_else(|| first.http(), |second| second.http())];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..50)
            .map(|i| {
                let api = &doors[i % 2];
                scope.spawn(move || post(api, &json!({"title": "T", "created_by": "ann"})).status)
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 45, "{statuses:?}");
    assert_eq!(world.db().count("select count(*) from posts"), 5);
    assert_eq!(world.db().count("select count(*) from ranking"), 5);
}

fn whoever_made_enough_today_is_told_when_to_go_on(world: World) {
    keep_within(DAY, WORK);
    let world = world.with("catalogue.posts_per_day_per_user", 1);
    let service = world.start_api();
    let api = service.http();
    post(&api, &json!({"title": "T", "created_by": "ann"})).expect(201);
    let refused = post(&api, &json!({"title": "T", "created_by": "ann"}));
    let problem = refused.problem(429, "daily-limit");
    let detail = problem["detail"].as_str().expect("a detail");
    let tomorrow = (chrono::Utc::now() + chrono::Duration::days(1)).format("%Y-%m-%dT00:00:00").to_string();
    assert!(detail.contains("1 posts today") && detail.contains(&tomorrow), "{detail}");
    let wait: i64 = refused.header("retry-after").parse().expect("seconds");
    let now = chrono::Utc::now().timestamp();
    let left = DAY.as_secs() as i64 - now % DAY.as_secs() as i64;
    assert!((left..=left + WORK.as_secs() as i64).contains(&wait), "{wait} s, with {left} s left of the day");
    post(&api, &json!({"title": "T", "created_by": "bob"})).expect(201);
    // A repost is a post, too.
    let origin = api.create("o")["id"].clone();
    post(&api, &json!({"repost_of": origin, "created_by": "bob"})).problem(429, "daily-limit");
    assert_eq!(api.read("o")["reposts"], 0);
}

fn posts_without_an_author_and_refused_ones_do_not_count(world: World) {
    keep_within(DAY, WORK);
    let world = world.with("catalogue.posts_per_day_per_user", 2);
    let service = world.start_api();
    let api = service.http();
    for i in 0..5 {
        api.create(&format!("p{i}"));
    }
    for _ in 0..3 {
        post(&api, &json!({"id": "p0", "title": "T", "created_by": "ann"})).problem(409, "conflict");
    }
    post(&api, &json!({"title": "T", "created_by": "ann"})).expect(201);
    post(&api, &json!({"title": "T", "created_by": "ann"})).expect(201);
    post(&api, &json!({"title": "T", "created_by": "ann"})).problem(429, "daily-limit");
    // Whoever is forgotten is unknown.
    world.cli(&["forget", "ann", "--yes"]).expect(0);
    assert_eq!(world.db().count("select count(*) from daily_posts"), 0);
}

fn an_open_catalogue_makes_a_post_of_a_rating(world: World) {
    let world = world.with("catalogue.mode", "open");
    let service = world.start_api();
    let api = service.http();
    api.rate("their:42", "ann", 5);
    api.rate("their:42", "bob", 2);
    world.flush();
    let made = api.read("their:42");
    assert_eq!(
        (&made["title"], &made["count"], &made["raw_average"]),
        (&json!("their:42"), &json!(2), &json!(3.5))
    );
    assert_eq!((&made["created_by"], &made["repost_of"]), (&Value::Null, &Value::Null));
    for sort in ["new", "top"] {
        let list = api.get(&format!("/api/posts?sort={sort}")).expect(200);
        assert_eq!(list["posts"][0]["id"], "their:42", "{sort}");
    }
    post(&api, &json!({"id": "their:42", "title": "T"})).problem(409, "conflict");
    // A post that is made otherwise meanwhile keeps its texts.
    api.rate("told", "ann", 1);
    post(&api, &json!({"id": "told", "title": "The title", "created_by": "ann"})).expect(201);
    world.flush();
    assert_eq!((&api.read("told")["title"], &api.read("told")["count"]), (&json!("The title"), &json!(1)));
    assert_eq!(world.status()["quarantined"], 0);
    world.cli(&["verify"]).expect(0);
}

fn an_open_catalogue_takes_a_withdrawal_of_what_waits(world: World) {
    let world = world.with("catalogue.mode", "open");
    let service = world.start_api();
    let api = service.http();
    api.rate("p", "ann", 5);
    api.delete("/api/posts/p/rate?user_id=ann").expect(202);
    api.delete("/api/posts/never/rate?user_id=ann").expect(202);
    world.flush();
    assert_eq!(api.read("p")["count"], 0);
    api.get("/api/posts/never").problem(404, "not-found");
    let status = world.status();
    assert_eq!((&status["applied"], &status["quarantined"]), (&json!(3), &json!(0)), "{status}");
}

fn what_was_taken_while_it_was_open_makes_its_post_later(world: World) {
    let open = world.with("catalogue.mode", "open");
    let service = open.start_api();
    service.http().rate("p", "ann", 3);
    service.terminate();
    service.finish().expect(0);
    let closed = open.with("catalogue.mode", "closed");
    let service = closed.start_api();
    let api = service.http();
    api.post("/api/posts/other/rate", &json!({"user_id": "ann", "score": 3})).problem(404, "not-found");
    closed.flush();
    assert_eq!(api.read("p")["count"], 1);
    api.rate("p", "bob", 4);
}
