//! Faults one by one, each brought about on purpose: what must then happen, and that it mends itself.
//!
//! `tests/chaos` mixes them at random; here each has a test that says what is expected of it.

mod full;
mod locks;
mod network;
mod shrunk;
mod stopped;
mod upgrade;

use serde_json::{Value, json};

use crate::support::http::{Answer, Http, JSON};

/// A rating; its answer, whatever it is.
fn rate(api: &Http, post: &str, user: &str, score: i64) -> Answer {
    let body = json!({"user_id": user, "score": score}).to_string();
    api.send("POST", &format!("/api/posts/{post}/rate"), &[JSON], Some(body.as_bytes()))
}

/// A figure of `damper status --json`.
fn figure(status: &Value, name: &str) -> i64 {
    status[name].as_i64().unwrap_or_else(|| panic!("no {name} in {status}"))
}
