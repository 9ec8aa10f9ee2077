//! What a refusal says: the place as a pointer or parameter that can be followed.

use serde_json::json;

use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    what_is_wrong_in_a_query_is_named,
    a_pointer_leads_to_the_field_whatever_it_is_called,
    a_parameter_that_is_not_known_is_refused_by_every_call,
);

fn what_is_wrong_in_a_query_is_named(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    for (path, parameter) in [
        ("/api/posts?limit=x", "limit"),
        ("/api/posts?limit=-1", "limit"),
        ("/api/posts?limit=1&limit=2", "limit"),
        ("/api/posts?sort=best", "sort"),
        ("/api/posts?page=2", "page"),
        ("/api/posts/p?user=ann", "user"),
        ("/api/posts/p/history?points=1.5", "points"),
    ] {
        let problem = api.get(path).problem(422, "invalid-query");
        assert_eq!(problem["parameter"], parameter, "{path}: {problem}");
    }
}

fn a_pointer_leads_to_the_field_whatever_it_is_called(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    // RFC 6901: "~" and "/" within a name are written "~0" and "~1".
    for name in ["extra", "a/b", "a~b", "~1", "", "a b", "[0]"] {
        let body = json!({"user_id": "ann", "score": 5, name: "here"});
        let problem = api.post("/api/posts/p/rate", &body).problem(422, "invalid-body");
        let pointer = problem["pointer"].as_str().expect("a pointer");
        assert_eq!(body.pointer(pointer), Some(&json!("here")), "{name:?}: {problem}");
    }
}

fn a_parameter_that_is_not_known_is_refused_by_every_call(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let rating = json!({"user_id": "ann", "score": 5});
    let post = json!({"id": "q", "title": "T"});
    for (call, answer) in [
        ("list", api.get("/api/posts?x=1")),
        ("read", api.get("/api/posts/p?x=1")),
        ("history", api.get("/api/posts/p/history?x=1")),
        ("withdraw", api.delete("/api/posts/p/rate?user_id=ann&x=1")),
        ("create", api.post("/api/posts?x=1", &post)),
        ("rate", api.post("/api/posts/p/rate?x=1", &rating)),
        ("rate as two users", api.post("/api/posts/p/rate?user_id=bob", &rating)),
    ] {
        assert_eq!(answer.status, 422, "{call}: {}", answer.text);
        answer.problem(422, "invalid-query");
    }
    let status = world.status();
    assert_eq!((&status["accepted"], &status["posts"]), (&json!(0), &json!(1)));
}
