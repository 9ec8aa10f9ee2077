//! Answers that are the same for everyone are kept until something changes. That must show in nothing but their cost.

#[cfg(feature = "faults")]
use std::io::Write;
#[cfg(feature = "faults")]
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::http::{Answer, Http, JSON};
use crate::support::in_both_setups;
use crate::support::process::Program;
use crate::support::world::World;
#[cfg(feature = "faults")]
use crate::support::{SEEN_WITHIN, until, within};

in_both_setups!(each_caller_gets_the_answer_in_the_form_asked_for, a_change_shows_at_once_where_it_was_made,);

const PATHS: [&str; 2] = ["/api/posts/p", "/api/posts?limit=5"];

fn each_caller_gets_the_answer_in_the_form_asked_for(world: World) {
    let world = world.with("api.cors_origins", "[\"https://site.example\"]");
    let service = world.start_api();
    let api = service.http();
    let body = json!({"id": "p", "title": "A post", "content": "word ".repeat(200)});
    api.post("/api/posts", &body).expect(201);
    let get = |path: &str, headers: &[(&str, &str)]| api.send("GET", path, headers, None);
    for (round, path) in [0, 1].iter().flat_map(|round| PATHS.map(|path| (round, path))) {
        let plain = get(path, &[("accept-encoding", "identity")]);
        assert_eq!(plain.header("content-encoding"), "", "round {round} of {path}");
        assert!(plain.expect(200).to_string().contains("A post"));
        let packed = get(path, &[("accept-encoding", "gzip")]);
        assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"), "{path}");
        assert!(packed.text.starts_with('\u{1f}'), "this client does not unpack: {}", packed.text);
        let varies = packed.headers.get_all("vary").iter().any(|value| value == "accept-encoding");
        assert!(varies, "{:?}", packed.headers);
        let elsewhere = get(path, &[("origin", "https://site.example")]);
        assert_eq!(elsewhere.header("access-control-allow-origin"), "https://site.example");
        let stranger = get(path, &[("origin", "https://other.example")]);
        assert_eq!(stranger.header("access-control-allow-origin"), "");
        assert_ne!(plain.header("x-request-id"), packed.header("x-request-id"));
        let named = get(path, &[("x-request-id", "mine")]);
        assert_eq!(named.header("x-request-id"), "mine");
        get(path, &[("host", "evil.example")]).problem(403, "host-refused");
        let own = get(&format!("{path}{}user_id=ann", if path.contains('?') { "&" } else { "?" }), &[]);
        assert!(!own.header("cache-control").starts_with("public"), "{}", own.header("cache-control"));
    }
    let whole = get("/api/posts/p", &[]);
    for headers in [vec![], vec![("accept-encoding", "gzip")]] {
        let known = get("/api/posts/p", &[headers, vec![("if-none-match", whole.header("etag"))]].concat());
        assert_eq!(
            (known.status, known.text.as_str(), known.header("etag")),
            (304, "", whole.header("etag"))
        );
        assert_eq!((known.header("content-type"), known.header("content-encoding")), ("", ""));
        assert_eq!(known.header("vary"), get("/api/posts/p", &[]).header("vary"));
    }
}

fn a_change_shows_at_once_where_it_was_made(world: World) {
    let service = world.start_api();
    let api = service.http();
    let admin_token = world.cli(&["admin-token"]).expect(0);
    let admin = service.admin().with_token(admin_token.out.trim());
    let title = |post: &Value| post["title"].as_str().unwrap_or_default().to_owned();
    let listed = || api.get("/api/posts?limit=5").expect(200)["posts"].as_array().map_or(0, Vec::len);
    for count in 1..=3 {
        let id = format!("p{count}");
        api.post("/api/posts", &json!({"id": id, "title": "old", "created_by": "ann"})).expect(201);
        assert_eq!(listed(), count, "a new post is in the list");
        let path = format!("/api/posts/{id}");
        assert_eq!(title(&read_twice(&api, &path).json()), "old");
        let edit = json!({"user_id": "ann", "title": "new"}).to_string();
        api.send("PATCH", &path, &[JSON], Some(edit.as_bytes())).expect(200);
        assert_eq!(title(&read_twice(&api, &path).json()), "new", "a change shows");
        api.rate(&id, "ann", 4);
        assert_eq!(api.read(&id)["count"], 0);
        admin.post("/api/admin/flush", &json!({})).expect(200);
        let post = read_twice(&api, &path).json();
        assert_eq!(post["count"], 1, "a flush shows: {post}");
    }
}

/// A list is as old as its order. Its posts may be read later, when a change that is not in the order has long been noted.
#[cfg(feature = "faults")]
#[test]
fn a_list_whose_posts_came_late_is_not_shown_on() {
    let world = World::servers();
    let late = world.start_armed(Program::Api, &[], "page.ordered=slow@1").await_ready();
    let other = world.start(Program::Api);
    other.http().create("old");
    let listed = || late.http().get("/api/posts?limit=5").expect(200)["posts"].as_array().map_or(0, Vec::len);
    // A process that is asked for posts all the time sees that nothing else is changed.
    let is_asked = || late.http().read("old").is_object();
    std::thread::scope(|threads| {
        let first = threads.spawn(listed);
        until("the order to be read", || late.err().contains("slow at page.ordered"));
        other.http().create("new");
        until("the list to be there", || is_asked() && first.is_finished());
    });
    within(SEEN_WITHIN, "the new post to be in the list", || (is_asked() && listed() == 2).then_some(()));
}

/// A caller may leave as soon as a change is stored. The other processes show it nevertheless.
#[cfg(feature = "faults")]
#[test]
fn a_change_whose_caller_has_left_shows_everywhere() {
    let world = World::servers();
    let late = world.start_armed(Program::Api, &[], "post.added=slow@1").await_ready();
    let other = world.start(Program::Api);
    let api = other.http();
    api.create("old");
    // A process that is asked for posts all the time sees that nothing is changed, and shows its list on. It looks for the
    // mark with GET, four times a second.
    let looks = || {
        let found = world.redis().command(&["INFO", "commandstats"]);
        let text = String::from_utf8_lossy(found.bytes()).into_owned();
        let calls =
            text.split_once("cmdstat_get:calls=").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    };
    let listed = || {
        assert!(api.read("old").is_object());
        api.get("/api/posts?limit=5").expect(200)["posts"].as_array().map_or(0, Vec::len)
    };
    until("the list to be shown on", || listed() == 1 && looks() >= 8);
    let body = json!({"id": "new", "title": "A post"}).to_string();
    let mut caller = TcpStream::connect(late.http().address()).expect("the service listens");
    let head =
        "POST /api/posts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length:";
    write!(caller, "{head} {}\r\n\r\n{body}", body.len()).expect("the service reads");
    until("the post to be stored", || listed() == 1 && late.err().contains("slow at post.added"));
    drop(caller);
    until("the post to be in the other's list", || listed() == 2);
}

/// What was missing a moment ago is in the list as soon as it is in the order.
#[test]
fn a_post_that_was_missing_is_in_the_list_at_once() {
    let world = World::servers();
    let (one, other) = (world.start(Program::Api), world.start(Program::Api));
    for count in 1..=5 {
        let id = format!("p{count}");
        assert_eq!(one.http().get(&format!("/api/posts/{id}")).status, 404);
        other.http().create(&id);
        // Each page is asked for once, so none is a kept one.
        let page = one.http().get(&format!("/api/posts?limit={}", 10 + count)).expect(200);
        assert_eq!(page["posts"][0]["id"], id.as_str(), "{page}");
    }
}

/// The second answer, which may be a kept one; it is the same as the first.
fn read_twice(api: &Http, path: &str) -> Answer {
    let (first, second) = (api.get(path), api.get(path));
    assert_eq!(first.text, second.text, "with no change between");
    assert_eq!(first.header("etag"), second.header("etag"));
    second
}
