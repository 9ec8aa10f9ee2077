//! What is wrong is refused with its place and remedy, as problem+json, and nothing of it is stored.

use serde_json::{Value, json};

use crate::support::http::{Answer, Http, JSON};
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    a_wrong_rating_is_refused_with_its_place,
    a_list_in_place_of_an_object_is_refused,
    a_wrong_post_is_refused_with_its_place,
    a_wrong_path_or_query_is_refused_with_its_parameter,
    a_body_that_is_no_json_is_refused,
    what_is_not_there_is_told_as_a_problem,
);

/// Passes when nothing has been taken since the one post was made.
fn assert_nothing_stored(world: &World) {
    let status = world.status();
    assert_eq!((&status["accepted"], &status["posts"]), (&json!(0), &json!(1)), "{status}");
}

fn send(api: &Http, path: &str, body: impl AsRef<[u8]>) -> Answer {
    api.send("POST", path, &[JSON], Some(body.as_ref()))
}

#[track_caller]
fn assert_pointer(problem: &Value, pointer: &str) {
    assert_eq!(problem["pointer"], pointer, "{problem}");
}

fn a_wrong_rating_is_refused_with_its_place(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let long = format!(r#"{{"user_id":"{}","score":5}}"#, "x".repeat(65));
    let table = [
        (r#"{"user_id":"ann","score":6}"#, "score-out-of-range", "/score"),
        (r#"{"user_id":"ann","score":-1}"#, "score-out-of-range", "/score"),
        (r#"{"user_id":"ann","score":99999999999999999999}"#, "score-not-whole", "/score"),
        (r#"{"user_id":"ann","score":18446744073709551615}"#, "score-out-of-range", "/score"),
        (r#"{"user_id":"ann","score":2.5}"#, "score-not-whole", "/score"),
        (r#"{"user_id":"ann","score":5.0}"#, "score-not-whole", "/score"),
        (r#"{"user_id":"ann","score":-0}"#, "score-not-whole", "/score"),
        (r#"{"user_id":"ann","score":"5"}"#, "score-not-whole", "/score"),
        (r#"{"user_id":"ann","score":true}"#, "score-not-whole", "/score"),
        (r#"{"user_id":"ann","score":null}"#, "score-not-whole", "/score"),
        (r#"{"user_id":"ann","score":[5]}"#, "score-not-whole", "/score"),
        (r#"{"user_id":"ann"}"#, "invalid-body", "/score"),
        (r#"{"score":5}"#, "invalid-body", "/user_id"),
        (r#"{}"#, "invalid-body", "/score"),
        (r#"{"user_id":"ann","score":5,"weight":9}"#, "invalid-body", "/weight"),
        (r#"{"user_id":"ann","score":5,"score":4}"#, "invalid-body", "/score"),
        (r#"{"user_id":"ann","user_id":"bob","score":5}"#, "invalid-body", "/user_id"),
        (r#"{"user_id":7,"score":5}"#, "invalid-body", "/user_id"),
        (r#"{"user_id":null,"score":5}"#, "invalid-body", "/user_id"),
        (r#"{"user_id":["ann"],"score":5}"#, "invalid-body", "/user_id"),
        (r#"{"user_id":"","score":5}"#, "invalid-id", "/user_id"),
        (r#"{"user_id":".","score":5}"#, "invalid-id", "/user_id"),
        (r#"{"user_id":"a b","score":5}"#, "invalid-id", "/user_id"),
        (r#"{"user_id":"a\u0000b","score":5}"#, "invalid-id", "/user_id"),
        (r#"{"user_id":"a\r\nb","score":5}"#, "invalid-id", "/user_id"),
        (r#"{"user_id":"{0}","score":5}"#, "invalid-id", "/user_id"),
        (r#"{"user_id":"a/b","score":5}"#, "invalid-id", "/user_id"),
        (r#"{"user_id":"١٢","score":5}"#, "invalid-id", "/user_id"),
        (r#"{"user_id":"ａnn","score":5}"#, "invalid-id", "/user_id"),
        (long.as_str(), "invalid-id", "/user_id"),
        (r#""ann""#, "invalid-body", ""),
        ("5", "invalid-body", ""),
        ("null", "invalid-body", ""),
    ];
    for (body, name, pointer) in table {
        eprintln!("{body}");
        assert_pointer(&send(&api, "/api/posts/p/rate", body).problem(422, name), pointer);
    }
    let told = send(&api, "/api/posts/p/rate", r#"{"user_id":"ann","score":7}"#).json();
    assert_eq!(told["detail"], "score 7 is outside 0..=5", "the value and what is allowed");
    assert_nothing_stored(&world);
}

/// serde takes the fields of a struct in order from a list, unless it is kept from it.
fn a_list_in_place_of_an_object_is_refused(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    assert_pointer(&send(&api, "/api/posts/p/rate", r#"["ann",5]"#).problem(422, "invalid-body"), "");
    assert_pointer(&send(&api, "/api/posts", r#"["q","T",null,null]"#).problem(422, "invalid-body"), "");
    assert_nothing_stored(&world);
}

fn a_wrong_post_is_refused_with_its_place(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let title = |chars: usize| json!({"title": "é".repeat(chars)}).to_string();
    let content = json!({"title": "T", "content": "é".repeat(20_001)}).to_string();
    let (long_title, empty, long_id) = (title(301), title(0), "x".repeat(65));
    let long_id = json!({"id": long_id, "title": "T"}).to_string();
    let table = [
        (r#"{"id":"q"}"#, "invalid-body", "/title"),
        (r#"{"title":5}"#, "invalid-body", "/title"),
        (r#"{"title":null}"#, "invalid-body", "/title"),
        (empty.as_str(), "invalid-text", "/title"),
        (r#"{"title":" \t "}"#, "invalid-text", "/title"),
        (r#"{"title":"a\u0000b"}"#, "invalid-text", "/title"),
        (long_title.as_str(), "invalid-text", "/title"),
        (r#"{"title":"T","content":"a\u0000b"}"#, "invalid-text", "/content"),
        (content.as_str(), "invalid-text", "/content"),
        (r#"{"title":"T","content":5}"#, "invalid-body", "/content"),
        (r#"{"title":"T","created_by":"a b"}"#, "invalid-id", "/created_by"),
        (r#"{"title":"T","id":".."}"#, "invalid-id", "/id"),
        (r#"{"title":"T","id":""}"#, "invalid-id", "/id"),
        (r#"{"title":"T","id":5}"#, "invalid-body", "/id"),
        (long_id.as_str(), "invalid-id", "/id"),
        (r#"{"title":"T","created_at":"2026-01-01T00:00:00Z"}"#, "invalid-body", "/created_at"),
        (r#"{"title":"T","title":"U"}"#, "invalid-body", "/title"),
    ];
    for (body, name, pointer) in table {
        eprintln!("{body}");
        assert_pointer(&send(&api, "/api/posts", body).problem(422, name), pointer);
    }
    assert_nothing_stored(&world);
}

fn a_wrong_path_or_query_is_refused_with_its_parameter(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let long = format!("/api/posts/{}", "x".repeat(65));
    let table = [
        ("/api/posts/a%00b", "invalid-id", "id"),
        ("/api/posts/%7B0%7D", "invalid-id", "id"),
        ("/api/posts/a%0D%0Ab", "invalid-id", "id"),
        ("/api/posts/a%2Fb", "invalid-id", "id"),
        ("/api/posts/a%20b/history", "invalid-id", "id"),
        ("/api/posts/%D9%A3", "invalid-id", "id"),
        ("/api/posts/%2E%2E", "invalid-id", "id"),
        (long.as_str(), "invalid-id", "id"),
        ("/api/posts/p?user_id=a%20b", "invalid-id", "user_id"),
        ("/api/posts/p?user_id=", "invalid-id", "user_id"),
        ("/api/posts?user_id=%00", "invalid-id", "user_id"),
        ("/api/posts?limit=0", "limit-out-of-range", "limit"),
        ("/api/posts?limit=101", "limit-out-of-range", "limit"),
        ("/api/posts?cursor=00", "invalid-cursor", "cursor"),
        ("/api/posts?cursor=%C3%A9", "invalid-cursor", "cursor"),
        ("/api/posts?cursor=", "invalid-cursor", "cursor"),
        ("/api/posts/p/history?points=0", "points-out-of-range", "points"),
        ("/api/posts/p/history?points=1001", "points-out-of-range", "points"),
    ];
    for (path, name, parameter) in table {
        eprintln!("{path}");
        let problem = api.get(path).problem(422, name);
        assert_eq!(problem["parameter"], parameter, "{problem}");
    }
    for query in ["limit=x", "limit=-1", "limit=1.5", "sort=hot", "sort=", "page=2", "limit=1&limit=2"] {
        api.get(&format!("/api/posts?{query}")).problem(422, "invalid-query");
    }
    api.get("/api/posts/p?user=ann").problem(422, "invalid-query");
    api.get("/api/posts/p?user_id=ann&user_id=bob").problem(422, "invalid-query");
    let unnamed = api.delete("/api/posts/p/rate").problem(422, "user-missing");
    assert_eq!(unnamed["parameter"], "user_id");
    api.delete("/api/posts/p/rate?user_id=a%20b").problem(422, "invalid-id");
    api.delete("/api/posts/p/rate?user_id=ann&score=5").problem(422, "invalid-query");
    send(&api, "/api/posts/a%20b/rate", r#"{"user_id":"ann","score":5}"#).problem(422, "invalid-id");
    assert_eq!(api.get("/api/posts/%FF").json()["status"], 400, "no text at all");
    let newest = api.get("/api/posts?limit=1").expect(200);
    assert_eq!(newest["next_cursor"], Value::Null);
    assert_nothing_stored(&world);
}

fn a_body_that_is_no_json_is_refused(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let table: [(&str, &[u8]); 10] = [
        ("/api/posts/p/rate", b""),
        ("/api/posts/p/rate", b"{"),
        ("/api/posts/p/rate", b"{\"user_id\":\"ann\",\"score\":5}x"),
        ("/api/posts/p/rate", b"{\"user_id\":\"ann\",\"score\":5}{}"),
        ("/api/posts/p/rate", b"{\"user_id\":\"ann\",\"score\":05}"),
        ("/api/posts/p/rate", b"{\"user_id\":\"ann\",\"score\":1e309}"),
        ("/api/posts/p/rate", b"{\"user_id\":\"\xff\",\"score\":5}"),
        ("/api/posts/p/rate", b"user_id=ann&score=5"),
        ("/api/posts", b""),
        ("/api/posts", b"{\"title\":\"T\"}x"),
    ];
    for (path, body) in table {
        eprintln!("{path} {:?}", String::from_utf8_lossy(&body[..body.len().min(40)]));
        send(&api, path, body).problem(400, "malformed-json");
    }
    let deep = "[".repeat(10_000);
    for body in [deep.clone(), format!(r#"{{"user_id":"ann","score":{deep}"#)] {
        let refused = send(&api, "/api/posts/p/rate", body);
        assert!([400, 422].contains(&refused.status), "{}", refused.text);
    }
    // The second is more than the buffers between hold: its sender gets the answer after it has sent everything.
    for spaces in [270_000, 1_200_000] {
        let large = format!(r#"{{"user_id":"ann","score":5}}{}"#, " ".repeat(spaces));
        send(&api, "/api/posts/p/rate", large).problem(413, "body-too-large");
    }
    let good = br#"{"user_id":"ann","score":5}"#;
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x"] {
        let answer = api.send("POST", "/api/posts/p/rate", &[("content-type", media)], Some(good));
        answer.problem(415, "unsupported-media-type");
    }
    assert_nothing_stored(&world);
    for media in ["application/json; charset=utf-8", "Application/JSON"] {
        let answer = api.send("POST", "/api/posts/p/rate", &[("content-type", media)], Some(good));
        assert_eq!(answer.status, 202, "{media}");
    }
}

fn what_is_not_there_is_told_as_a_problem(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    for path in ["/api/posts/none", "/api/posts/none/history", "/api/posts/none?user_id=ann"] {
        let problem = api.get(path).problem(404, "not-found");
        assert!(problem["detail"].as_str().unwrap().contains("none"), "{problem}");
    }
    let rating = json!({"user_id": "ann", "score": 5});
    api.post("/api/posts/none/rate", &rating).problem(404, "not-found");
    api.delete("/api/posts/none/rate?user_id=ann").problem(404, "not-found");
    for path in ["/nothing", "/api", "/api/post", "/api/posts/p/rates", "/api/posts/p/rate/x", "/metrics"] {
        api.get(path).problem(404, "no-such-route");
    }
    for (method, path, allowed) in [
        ("PUT", "/api/posts", &["GET", "POST"][..]),
        ("DELETE", "/api/posts", &["GET", "POST"]),
        ("POST", "/api/posts/p", &["GET", "PATCH"]),
        ("PUT", "/api/posts/p", &["GET", "PATCH"]),
        ("GET", "/api/posts/p/rate", &["POST", "DELETE"]),
        ("POST", "/livez", &["GET"]),
    ] {
        let answer = api.send(method, path, &[], None);
        answer.problem(405, "method-not-allowed");
        let allow: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
        assert!(allowed.iter().all(|method| allow.contains(method)), "{method} {path}: {allow:?}");
        assert!(!allow.contains(&method));
    }
    let head = api.send("HEAD", "/api/posts/p", &[], None);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_nothing_stored(&world);
}
