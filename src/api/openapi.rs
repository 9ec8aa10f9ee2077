//! The API's description (OpenAPI 3.1), made from the handlers. `viewer` shows it.
//!
//! A handler says what it takes and what it answers when all is well. This file adds what every call may answer besides,
//! and what follows from who may ask: with keys, no body or query names a user.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use super::problem::Problem;
use super::routes::ingest;
use crate::error::Kind;

/// Fields and parameters that name a user in open mode.
const NAMES: [&str; 2] = ["user_id", "created_by"];

/// For whom a description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audience {
    /// Whether callers name themselves.
    pub is_open: bool,
    /// Whether it is the admin listener's.
    pub is_admin: bool,
}

/// Completes what the handlers say.
pub fn describe(api: &utoipa::openapi::OpenApi, audience: Audience) -> Value {
    let mut api = serde_json::to_value(api).unwrap_or_default();
    api["info"] = json!({
        "title": if audience.is_admin { "Damper, for its operators" } else { "Damper" },
        "version": env!("CARGO_PKG_VERSION"),
        "description": env!("CARGO_PKG_DESCRIPTION"),
        "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
    });
    api["components"]["schemas"]["Problem"] = serde_json::to_value(Problem::schema()).unwrap_or_default();
    api["components"]["securitySchemes"]["token"] = json!({"type": "http", "scheme": "bearer"});
    for (path, item) in api["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            complete(operation, (method, path), audience);
        }
    }
    name_users(&mut api["components"]["schemas"], audience.is_open);
    choose_fields(&mut api["components"]["schemas"]);
    name_a_post_as_its_route(&mut api["paths"]);
    api
}

/// The id of a post may be the name of a route beside it; reading and changing it are the same calls.
fn name_a_post_as_its_route(paths: &mut Value) {
    for (method, id, summary) in [
        ("get", "read_post_named_batch", "Read the post whose id is batch"),
        ("patch", "edit_post_named_batch", "Change the post whose id is batch"),
    ] {
        let mut operation = paths["/api/posts/{id}"][method].clone();
        if let (Some(batch), Some(parameters)) =
            (paths.get_mut("/api/posts/batch"), operation.get_mut("parameters").and_then(Value::as_array_mut))
        {
            parameters.retain(|parameter| parameter["in"] != "path");
            operation["operationId"] = id.into();
            operation["summary"] = summary.into();
            batch[method] = operation;
        }
    }
}

/// What one field asks of another.
fn choose_fields(schemas: &mut Value) {
    let repeats = json!({"required": ["repost_of"], "properties": {"repost_of": {"type": "string"}}});
    for (body, choice) in [
        ("CreateBody", json!([{"required": ["title"]}, repeats])),
        ("EditBody", json!([{"required": ["title"]}, {"required": ["content"]}])),
        ("PolicyBody", json!([{"required": ["hold"]}, {"required": ["frozen"]}])),
    ] {
        if let Some(schema) = schemas.get_mut(body) {
            schema["anyOf"] = choice;
        }
    }
}

/// Adds who may ask, how a list goes on, and the problems that any such call may answer.
fn complete(operation: &mut Value, (method, path): (&str, &str), audience: Audience) {
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if status.starts_with(['4', '5']) {
            response["content"] = problem_content();
        }
    }
    if operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "cursor")) {
        let link = json!({"description": "The next page (rel=next)", "schema": {"type": "string"}});
        operation["responses"]["200"]["headers"]["Link"] = link;
    }
    if !path.starts_with("/api/") {
        return;
    }
    let has_body = operation.get("requestBody").is_some();
    let mut statuses = vec![422, 500, 503];
    match path {
        ingest::PATH => statuses.extend([400, 403, 408, 415]),
        _ if has_body => statuses.extend([400, 408, 413, 415]),
        _ => {}
    }
    if path.contains('{') {
        statuses.extend([400, 404]);
    }
    if path.ends_with("/rate") {
        statuses.push(429);
    }
    if audience.is_admin {
        statuses.extend([401, 403]);
    } else {
        statuses.push(if audience.is_open { 403 } else { 401 });
    }
    for status in statuses {
        let response = &mut operation["responses"][status.to_string()];
        if response.is_null() {
            *response = problem(status);
        }
    }
    if path == ingest::PATH {
        answer_in_lines(&mut operation["responses"]);
    }
    let token = json!({"token": []});
    // Reading needs no token, but shows more with one.
    let reads = method == "get" || path.ends_with("/batch");
    operation["security"] = match (audience.is_open && !audience.is_admin, reads && !audience.is_admin) {
        (true, _) => json!([]),
        (false, true) => json!([{}, token]),
        (false, false) => json!([token]),
    };
    if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        // A path that names a user does so with keys, too.
        let is_name = |parameter: &Value| NAMES.iter().any(|name| parameter["name"] == *name);
        parameters.retain(|it| audience.is_open || it["in"] == "path" || !is_name(it));
    }
}

/// What ends such a body early is in the last line of the answer.
fn answer_in_lines(responses: &mut Value) {
    let lines = responses["200"]["content"][ingest::NDJSON].clone();
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        if status.starts_with(['4', '5']) {
            response["content"][ingest::NDJSON] = lines.clone();
        }
    }
}

/// The response of a problem's status.
fn problem(status: u16) -> Value {
    let pages = Kind::PAGES.iter().filter(|page| page.status == status);
    let description: Vec<String> = pages.map(|page| format!("`{}`: {}", page.slug, page.title)).collect();
    json!({"description": description.join("; "), "content": problem_content()})
}

fn problem_content() -> Value {
    json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}})
}

/// In open mode a body may name a user, and must where a rating is sent. With keys it must not.
fn name_users(schemas: &mut Value, is_open: bool) {
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        if !name.ends_with("Body") {
            continue;
        }
        match (is_open, schema.get_mut("properties").and_then(Value::as_object_mut)) {
            // A field that may be null may be left out as well.
            (true, Some(fields))
                if fields.get("user_id").is_some_and(|field| field.get("$ref").is_some()) =>
            {
                match schema["required"].as_array_mut() {
                    Some(required) => required.push("user_id".into()),
                    None => schema["required"] = json!(["user_id"]),
                }
            }
            // With keys, users name only themselves.
            (false, Some(fields)) if name == "UserBody" => drop(fields.remove("id")),
            (false, Some(fields)) => NAMES.iter().for_each(|name| drop(Map::remove(fields, *name))),
            _ => {}
        }
    }
}

/// A route that answers with a description.
pub fn route<S: Clone + Send + Sync + 'static>(path: &str, api: &Value) -> Router<S> {
    let text = api.to_string();
    Router::new().route(path, get(async move || ([(CONTENT_TYPE, "application/json")], text)))
}
