//! Every route with every identity, as one table. A route that is not in it fails the test.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{admin_token, keyed, seconds, sign, token};
use crate::support::http::{Answer, Http, JSON};
use crate::support::process::Process;
use crate::support::world::World;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Stranger,
    User,
    Ingest,
    Moderator,
    Admin,
}

const EVERYBODY: [Who; 6] = [Who::Nobody, Who::Stranger, Who::User, Who::Ingest, Who::Moderator, Who::Admin];

/// A route, and the status that each identity gets, in the order of [`EVERYBODY`]: with keys, and in open mode, where
/// only the admin listener asks who somebody is.
struct Row {
    method: &'static str,
    path: &'static str,
    keyed: [u16; 6],
    open: [u16; 6],
}

const fn row(method: &'static str, path: &'static str, keyed: [u16; 6], open: [u16; 6]) -> Row {
    Row { method, path, keyed, open }
}

const ALL: [u16; 6] = [200; 6];
const READ: [u16; 6] = [200, 401, 200, 200, 200, 200];
const TAKEN: [u16; 6] = [202; 6];
const RATED: [u16; 6] = [401, 401, 202, 202, 202, 202];
const OPERATED: [u16; 6] = [401, 401, 403, 403, 403, 200];
const MODERATED: [u16; 6] = [401, 401, 403, 403, 200, 200];
/// Whoever may has found nothing.
const MISSED: [u16; 6] = [401, 401, 403, 403, 404, 404];
const MISSED_OPEN: [u16; 6] = [401, 401, 401, 401, 401, 404];
/// Tokens mean nothing in open mode; the last is the admin token.
const OPERATED_OPEN: [u16; 6] = [401, 401, 401, 401, 401, 200];

/// Of the public listener.
const PUBLIC: [Row; 30] = [
    row("get", "/api/posts", READ, ALL),
    row("post", "/api/posts", [401, 401, 201, 201, 201, 201], [201; 6]),
    row("get", "/api/posts/{id}", READ, ALL),
    row("patch", "/api/posts/{id}", [401, 401, 200, 200, 200, 200], [403; 6]),
    row("get", "/api/posts/{id}/history", READ, ALL),
    row("get", "/api/posts/{id}/explain", READ, ALL),
    row("get", "/api/posts/{id}/aggregate-rating", [404, 401, 404, 404, 404, 404], [404; 6]),
    row("get", "/api/posts/{id}/badge.svg", READ, ALL),
    row("post", "/api/posts/batch", READ, ALL),
    row("get", "/api/posts/batch", [404, 401, 404, 404, 404, 404], [404; 6]),
    row("patch", "/api/posts/batch", [401, 401, 404, 404, 404, 404], [404; 6]),
    row("post", "/api/posts/{id}/rate", RATED, TAKEN),
    row("delete", "/api/posts/{id}/rate", RATED, TAKEN),
    row("post", "/api/ratings", [401, 401, 403, 200, 403, 403], ALL),
    row("get", "/api/events", READ, ALL),
    row("get", "/api/users", READ, ALL),
    row("post", "/api/users", [401, 401, 201, 409, 409, 409], [201; 6]),
    row("get", "/api/users/{id}", [404, 401, 404, 404, 404, 404], [404; 6]),
    row("get", "/api/users/{id}/posts", READ, ALL),
    row("get", "/livez", ALL, ALL),
    row("get", "/readyz", ALL, ALL),
    row("get", "/openapi.json", ALL, ALL),
    row("get", "/problems", ALL, ALL),
    row("get", "/problems/{name}", ALL, ALL),
    row("get", "/", ALL, ALL),
    row("get", "/demo", ALL, ALL),
    row("get", "/widget.js", ALL, ALL),
    row("get", "/docs/", ALL, ALL),
    row("get", "/docs/swagger-initializer.js", ALL, ALL),
    row("get", "/api/admin/status", [404; 6], [404; 6]),
];
/// Of the admin listener.
const ADMIN: [Row; 28] = [
    row("post", "/api/admin/flush", OPERATED, OPERATED_OPEN),
    row("get", "/api/admin/status", OPERATED, OPERATED_OPEN),
    row("get", "/api/admin/drains", OPERATED, OPERATED_OPEN),
    row("get", "/api/admin/posts/{id}/policy", MODERATED, OPERATED_OPEN),
    row("put", "/api/admin/posts/{id}/policy", MODERATED, OPERATED_OPEN),
    row("get", "/api/admin/posts/{id}/arrivals", MODERATED, OPERATED_OPEN),
    row("get", "/api/admin/alerts", MODERATED, OPERATED_OPEN),
    row("get", "/api/admin/held", MODERATED, OPERATED_OPEN),
    row("post", "/api/admin/held/approve", MODERATED, OPERATED_OPEN),
    row("post", "/api/admin/held/reject", MODERATED, OPERATED_OPEN),
    row("post", "/api/admin/posts/{id}/held/approve", MODERATED, OPERATED_OPEN),
    row("post", "/api/admin/posts/{id}/held/reject", MODERATED, OPERATED_OPEN),
    row("post", "/api/rating/approve/{post_id}/{user_id}", MISSED, MISSED_OPEN),
    row("post", "/api/rating/reject/{post_id}/{user_id}", MISSED, MISSED_OPEN),
    row("post", "/api/admin/posts/{id}/exclusions", MODERATED, OPERATED_OPEN),
    row("get", "/api/admin/posts/{id}/exclusions", MODERATED, OPERATED_OPEN),
    row("delete", "/api/admin/posts/{id}/exclusions/{exclusion_id}", MISSED, MISSED_OPEN),
    row("get", "/api/admin/audit", MODERATED, OPERATED_OPEN),
    row("get", "/livez", ALL, ALL),
    row("get", "/readyz", ALL, ALL),
    row("get", "/metrics", ALL, ALL),
    row("get", "/openapi.json", ALL, ALL),
    row("get", "/docs/public.json", ALL, ALL),
    row("get", "/docs/", ALL, ALL),
    row("get", "/docs/swagger-initializer.js", ALL, ALL),
    row("get", "/problems", ALL, ALL),
    row("get", "/problems/{name}", ALL, ALL),
    row("get", "/api/posts", [404; 6], [404; 6]),
];

fn ask(api: &Http, method: &str, path: &str, is_open: bool, body_needed: bool) -> Answer {
    let path = path.replace("{id}", "p").replace("{name}", "not-found").replace("{exclusion_id}", "0-99");
    let path = path.replace("{post_id}", "p").replace("{user_id}", "nobody");
    let mut body = match path.as_str() {
        "/api/posts" => json!({"title": "T"}),
        "/api/posts/batch" => json!({"ids": ["p"]}),
        "/api/admin/posts/p/policy" => json!({"frozen": false, "reason": "a test"}),
        "/api/admin/posts/p/exclusions" => {
            json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "reason": "a test"})
        }
        "/api/admin/held/approve" | "/api/admin/held/reject" => {
            json!({"ratings": [{"post_id": "p", "user_id": "nobody"}], "reason": "a test"})
        }
        "/api/admin/posts/p/held/approve" | "/api/admin/posts/p/held/reject" => json!({"reason": "a test"}),
        "/api/users" => json!({"username": format!("user {}", chrono::Utc::now())}),
        _ => json!({"score": 3}),
    };
    if method == "patch" {
        body = json!({"title": "T"});
    }
    if is_open && (path.ends_with("/rate") || method == "patch") {
        body["user_id"] = "ann".into();
    }
    let is_delete = method == "delete" && is_open && path.ends_with("/rate");
    let path = if is_delete { format!("{path}?user_id=ann") } else { path };
    // Events have no end; the head tells who may have them.
    let method = if path == "/api/events" { "head" } else { method };
    let body = body.to_string();
    let body = body_needed.then_some(body.as_bytes());
    api.send(&method.to_uppercase(), &path, if body_needed { &[JSON] } else { &[] }, body)
}

fn as_who(api: &Http, who: Who, admin_token: Option<&str>) -> Http {
    let roles = |roles: &[&str]| api.with_token(&token("ann", roles));
    match (who, admin_token) {
        (Who::Nobody, _) => api.clone(),
        (Who::Stranger, _) => api.with_token(&(sign(&json!({"sub": "ann", "exp": seconds() + 60})) + "x")),
        (Who::User, _) => roles(&[]),
        (Who::Ingest, _) => roles(&["ingest"]),
        (Who::Moderator, _) => roles(&["moderator", "user"]),
        (Who::Admin, None) => roles(&["admin"]),
        (Who::Admin, Some(token)) => api.with_token(token),
    }
}

/// The operations that a listener describes.
fn described(listener: &Http) -> (Value, BTreeSet<(String, String)>) {
    let api = listener.get("/openapi.json").expect(200);
    let mut operations = BTreeSet::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            operations.insert((method.clone(), path.clone()));
        }
    }
    (api, operations)
}

fn check(service: &Process, listener: &Http, rows: &[Row], admin_token: Option<&str>) {
    let is_open = admin_token.is_some();
    let (api, operations) = described(listener);
    for (method, path) in &operations {
        assert!(
            rows.iter().any(|row| row.method == method && row.path == path),
            "{method} {path} is in no row: say who may ask"
        );
    }
    for row in rows {
        let key = (row.method.to_owned(), row.path.to_owned());
        let is_described = operations.contains(&key);
        for (i, who) in EVERYBODY.into_iter().enumerate() {
            let api_as = as_who(listener, who, admin_token);
            let answer =
                ask(&api_as, row.method, row.path, is_open, ["post", "patch", "put"].contains(&row.method));
            let expected = if is_open { row.open[i] } else { row.keyed[i] };
            assert_eq!(answer.status, expected, "{} {} as {who:?}: {}", row.method, row.path, answer.text);
            let responses = &api["paths"][row.path][row.method]["responses"];
            assert!(
                !is_described || responses.get(expected.to_string()).is_some(),
                "{} {}: {expected} is not described",
                row.method,
                row.path
            );
        }
    }
    assert!(!service.err().contains("answered 500"), "{}", service.err());
}

#[test]
fn every_route_answers_every_identity_as_the_table_says_with_keys() {
    let world = keyed(World::embedded());
    let service = world.start_api();
    service
        .http()
        .with_token(&token("ann", &[]))
        .post("/api/posts", &json!({"id": "p", "title": "P"}))
        .expect(201);
    check(&service, &service.http(), &PUBLIC, None);
    check(&service, &service.admin(), &ADMIN, None);
}

#[test]
fn every_route_answers_every_identity_as_the_table_says_in_open_mode() {
    let world = World::embedded();
    let service = world.start_api();
    let admin_token = admin_token::told(&service).expect("a token");
    service.http().create("p");
    check(&service, &service.http(), &PUBLIC, Some(&admin_token));
    check(&service, &service.admin(), &ADMIN, Some(&admin_token));
}

#[test]
fn what_no_description_shows_is_listed_here() {
    // Routes of the API's source that `routes!` does not make: each is in the table above, as the descriptions are.
    let mut plain = BTreeSet::new();
    for entry in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api")).expect("a folder").flatten()
    {
        collect(&entry.path(), &mut plain);
    }
    let expected = [
        "/api/posts/batch",
        // Leads to /docs/.
        "/docs",
        "/docs/swagger-initializer.js",
        "/problems",
        "/problems/{name}",
    ];
    assert_eq!(plain, expected.map(str::to_owned).into());
}

fn collect(path: &std::path::Path, plain: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder").flatten() {
            collect(&entry.path(), plain);
        }
        return;
    }
    let text = std::fs::read_to_string(path).expect("a source file");
    let named = text.split("route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    plain.extend(named.filter(|path| path.starts_with('/')).map(str::to_owned));
}
