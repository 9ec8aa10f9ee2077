//! Faults injected one by one: the expected behaviour during each, and the recovery.
//!
//! `tests/chaos` mixes them at random; here each has a test with precise expectations.

mod clock;
mod failover;
mod full;
mod full_killed;
#[cfg(feature = "faults")]
mod imports;
mod lagging;
mod locks;
mod lost;
mod network;
mod shrunk;
mod slow;
mod slow_disk;
mod stopped;
mod unheard;
mod upgrade;

use serde_json::{Value, json};

use crate::support::http::{Answer, Http, JSON};

/// Rates. Returns the answer, whatever it is.
fn rate(api: &Http, post: &str, user: &str, score: i64) -> Answer {
    let body = json!({"user_id": user, "score": score}).to_string();
    api.send("POST", &format!("/api/posts/{post}/rate"), &[JSON], Some(body.as_bytes()))
}

/// A figure of `damper status --json`.
fn figure(status: &Value, name: &str) -> i64 {
    status[name].as_i64().unwrap_or_else(|| panic!("no {name} in {status}"))
}
