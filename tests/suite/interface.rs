//! What the API says of itself, and how it talks: its description, its problems, request ids, CORS, compression.

use std::collections::BTreeSet;
use std::io::Read;

use damper::error::{Kind, Page};
use serde_json::{Value, json};

use crate::identity::keyed;
use crate::support::world::World;

#[test]
fn the_description_is_openapi_3_1_and_says_who_is_named() {
    for is_open in [true, false] {
        let world = if is_open { World::embedded() } else { keyed(World::embedded()) };
        let service = world.start_api();
        let answer = service.http().get("/openapi.json");
        assert_eq!(answer.header("content-type"), "application/json");
        let api = answer.expect(200);
        assert!(
            api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")),
            "{}",
            api["openapi"]
        );
        assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
        let text = api.to_string();
        assert_eq!(text.contains("user_id\",\"in\"") || text.contains("\"name\":\"user_id\""), is_open);
        let body = &api["components"]["schemas"]["RateBody"];
        assert_eq!(body["additionalProperties"], false, "{body}");
        assert_eq!(body["properties"].get("user_id").is_some(), is_open, "{body}");
        let required = if is_open { json!(["score", "user_id"]) } else { json!(["score"]) };
        assert_eq!(body["required"], required);
        let rate = &api["paths"]["/api/posts/{id}/rate"]["post"];
        assert_eq!(rate["security"], if is_open { json!([]) } else { json!([{"token": []}]) });
        assert_eq!(rate["responses"].get("401").is_some(), !is_open);
        let slow = &api["paths"]["/api/ratings"]["post"]["responses"]["408"]["content"];
        let forms: Vec<&String> = slow.as_object().expect("forms of an answer").keys().collect();
        assert_eq!(forms, ["application/problem+json", "application/x-ndjson"]);
        assert!(text.matches("\"$ref\"").count() > 10);
        assert_eq!(unresolved(&api, &api), Vec::<String>::new());
    }
}

/// References that lead nowhere.
fn unresolved(api: &Value, part: &Value) -> Vec<String> {
    match part {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            let own = own.filter(|to| api.pointer(to.trim_start_matches('#')).is_none()).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(|field| unresolved(api, field))).collect()
        }
        Value::Array(list) => list.iter().flat_map(|element| unresolved(api, element)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn swagger_ui_shows_both_descriptions_without_a_network() {
    let world = World::embedded();
    let service = world.start_api();
    let admin = service.admin();
    assert_eq!(admin.get("/docs").header("location"), "/docs/");
    let page = admin.get("/docs/");
    assert_eq!(page.status, 200);
    let mut texts = vec![page.text];
    for part in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js", "index.css"] {
        let answer = admin.get(&format!("/docs/{part}"));
        assert_eq!(answer.status, 200, "{part}");
        texts.push(answer.text);
    }
    assert!(texts[0].contains("./swagger-ui-bundle.js"), "{}", texts[0]);
    assert!(!texts[0].contains("//cdn") && !texts[0].contains("https://"), "it loads nothing from elsewhere");
    for place in ["/openapi.json", "/docs/public.json"] {
        assert!(texts.iter().any(|text| text.contains(place)), "{place}");
    }
    assert!(admin.get("/docs/public.json").expect(200)["paths"]["/api/posts"].is_object());
    let api = admin.get("/openapi.json").expect(200);
    assert!(api["paths"]["/api/admin/flush"].is_object());
    assert_eq!(unresolved(&api, &api), Vec::<String>::new());
    assert!(!api.to_string().to_lowercase().contains("{verdict}"), "each verdict has its own words");
    let public = service.http();
    assert!(public.get("/docs/swagger-initializer.js").text.contains("/openapi.json"));
    public.get("/docs/public.json").problem(404, "no-such-route");
}

#[test]
fn every_problem_has_a_page_and_stands_in_the_docs() {
    let world = World::embedded();
    let service = world.start_api();
    let docs =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROBLEMS.md")).expect("the docs");
    let index = service.http().get("/problems").text;
    let mut pages = 0;
    for Page { slug: name, path, status, title, remedy } in Kind::PAGES {
        let page = service.http().get(path);
        assert_eq!(page.status, 200, "{name}");
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(page.text.contains(remedy) && index.contains(name));
        assert_eq!(service.admin().get(path).status, 200);
        let row = format!("| {status} | `{name}` | {title} | {remedy} |");
        assert!(docs.contains(&row), "docs/PROBLEMS.md lacks the line\n{row}");
        pages += 1;
    }
    assert_eq!(docs.matches("\n| 4").count() + docs.matches("\n| 5").count(), pages);
    for nothing in ["nothing", "%FF", "x%00"] {
        service.http().get(&format!("/problems/{nothing}")).problem(404, "no-such-route");
    }
}

#[test]
fn a_request_bears_an_id_in_its_answer_and_its_log_lines() {
    let world = World::embedded().with("log.filter", "debug");
    let service = world.start_api();
    let api = service.http();
    let own = api.send("GET", "/api/posts", &[("x-request-id", "my-id.7")], None);
    assert_eq!(own.header("x-request-id"), "my-id.7");
    crate::support::until("its log line", || {
        service.err().lines().any(|line| line.contains("my-id.7") && line.contains("/api/posts"))
    });
    let given: BTreeSet<String> =
        (0..5).map(|_| api.get("/api/posts/none").header("x-request-id").to_owned()).collect();
    assert_eq!(given.len(), 5, "each its own: {given:?}");
    for plainly_not in ["", "a b", &"x".repeat(65), "é"] {
        let answer = api.send("OPTIONS", "/nothing", &[("x-request-id", plainly_not)], None);
        assert_ne!(answer.header("x-request-id"), "");
        let answer = api.send("GET", "/livez", &[("x-request-id", plainly_not)], None);
        assert_ne!(answer.header("x-request-id"), plainly_not);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[test]
fn pages_of_listed_origins_may_call_and_others_may_not() {
    let world = World::embedded().with("api.cors_origins", "[\"https://site.example\"]");
    let service = world.start_api();
    let api = service.http();
    let ask = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        api.send("OPTIONS", "/api/posts/p/rate", &headers, None)
    };
    let allowed = ask("https://site.example");
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://site.example");
    assert!(allowed.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(ask("https://evil.example").header("access-control-allow-origin"), "");
    let read = api.send("GET", "/api/posts", &[("origin", "https://site.example")], None);
    assert_eq!(read.header("access-control-allow-origin"), "https://site.example");
    assert!(read.header("access-control-expose-headers").contains("ratelimit"));
    let off = World::embedded();
    let service = off.start_api();
    let read = service.http().send("GET", "/api/posts", &[("origin", "https://site.example")], None);
    assert_eq!(read.header("access-control-allow-origin"), "");
    for wrong in ["[\"site.example\"]", "[\"https://site.example/path\"]"] {
        let run = World::embedded().with("api.cors_origins", wrong).cli(&["serve"]).expect(78);
        assert!(run.err.contains("api.cors_origins"), "{}", run.err);
    }
}

#[test]
fn long_answers_are_compressed_for_who_asks_for_it() {
    let world = World::embedded();
    let service = world.start_api();
    let api = service.http();
    let content = "again and again ".repeat(1_000);
    api.post("/api/posts", &json!({"id": "p", "title": "T", "content": content})).expect(201);
    let raw = |accept: &str| {
        let mut stream = std::net::TcpStream::connect(api.address()).expect("a connection");
        let text =
            format!("GET /api/posts/p HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{accept}\r\n");
        std::io::Write::write_all(&mut stream, text.as_bytes()).expect("it is sent");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        (bytes.len(), String::from_utf8_lossy(&bytes).to_lowercase())
    };
    let ((plain, _), (packed, head)) = (raw(""), raw("accept-encoding: gzip\r\n"));
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: "), "{head}");
    assert!(packed * 5 < plain, "{packed} of {plain}");
}
