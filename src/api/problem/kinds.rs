//! Every kind of problem that the API answers: its stable name, its status, and what to do about it.
//!
//! A problem's `type` is the path of its page here; docs/PROBLEMS.md lists the same.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::Problem;

/// A kind of problem.
pub struct Kind {
    /// The last segment of its `type`.
    pub name: &'static str,
    /// The status that it is answered with.
    pub status: u16,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What the caller can do.
    pub remedy: &'static str,
}

const fn kind(name: &'static str, status: u16, title: &'static str, remedy: &'static str) -> Kind {
    Kind { name, status, title, remedy }
}

/// All of them, by status.
pub const KINDS: [Kind; 36] = [
    kind(
        "malformed-json",
        400,
        "the body is no JSON",
        "Send one JSON object; the detail says where it breaks.",
    ),
    kind("malformed-path", 400, "the path cannot be read", "Percent-encode what is no ASCII, as UTF-8."),
    kind("unreadable-body", 400, "the body broke off", "Send it again, whole."),
    kind(
        "token-missing",
        401,
        "nobody is known to ask",
        "Send the header Authorization: Bearer with a token.",
    ),
    kind(
        "token-invalid",
        401,
        "the token is not taken",
        "Get a new token from whoever signs them; the detail says what is wrong with this one.",
    ),
    kind(
        "role-missing",
        403,
        "the role is missing",
        "Ask with a token whose roles name the one in the detail.",
    ),
    kind(
        "not-the-author",
        403,
        "somebody else has made the post",
        "Ask as the author; a post without an author stays as it is.",
    ),
    kind(
        "host-refused",
        403,
        "the host or origin is not known",
        "Call the admin listener by localhost, by its IP address, or by a name that the setting admin_hosts lists, \
         and from no page of another site.",
    ),
    kind(
        "origin-refused",
        403,
        "a page of another site asks",
        "Ask from the site itself, or list the site in the setting api.cors_origins.",
    ),
    kind(
        "not-found",
        404,
        "there is no such post or user",
        "Check the id, or create the post or user first.",
    ),
    kind("no-such-route", 404, "there is nothing at this path", "Check the path against /openapi.json."),
    kind(
        "method-not-allowed",
        405,
        "the method is not answered here",
        "The Allow header lists those that are.",
    ),
    kind("body-too-slow", 408, "the body took too long", "Send it faster; api.body_timeout_ms is the limit."),
    kind("conflict", 409, "it is there already", "Choose another id, or another name."),
    kind("body-too-large", 413, "the body is too large", "Send less; api.body_bytes_max is the limit."),
    kind(
        "line-too-long",
        413,
        "the line is too long",
        "A rating takes far less than 64 KiB; end each one with a newline.",
    ),
    kind(
        "unsupported-media-type",
        415,
        "the content type is not taken",
        "Send JSON, as application/json, and not compressed.",
    ),
    kind("invalid-body", 422, "the body has wrong fields", "Change the field that the pointer names."),
    kind(
        "invalid-id",
        422,
        "the id is none",
        "Ids have 1 to 64 characters of A-Z a-z 0-9 . _ ~ : @ + = | - and are neither . nor ..",
    ),
    kind("invalid-text", 422, "the text is not taken", "Shorten or fill the text that the pointer names."),
    kind("score-out-of-range", 422, "score is out of range", "Scores are 0, 1, 2, 3, 4 and 5."),
    kind(
        "score-not-whole",
        422,
        "score is no whole number",
        "Send the score as a number without a fraction.",
    ),
    kind("invalid-query", 422, "the query has wrong parameters", "Change or leave out the parameter named."),
    kind("invalid-cursor", 422, "the cursor is none of this list", "Begin without a cursor."),
    kind("limit-out-of-range", 422, "limit is out of range", "Ask for fewer, or at least one."),
    kind("points-out-of-range", 422, "points is out of range", "Ask for fewer, or at least one."),
    kind("user-missing", 422, "the user is missing", "In open mode name the user: user_id."),
    kind("user-named", 422, "the user is named twice", "Leave the name out: the token says who is asking."),
    kind(
        "invalid-window",
        422,
        "the window is none",
        "A window begins before it ends, and has ended: from is in it, to is not.",
    ),
    kind(
        "invalid-time",
        422,
        "the time cannot be read",
        "Write times as RFC 3339 (2026-11-21T12:00:00Z) or as Unix seconds.",
    ),
    kind(
        "time-out-of-range",
        422,
        "the time is out of range",
        "Times lie between 1990 and a minute from now.",
    ),
    kind("post-frozen", 423, "the post is frozen", "Wait until a moderator has thawed it; reading goes on."),
    kind(
        "rate-limited",
        429,
        "too many ratings in a minute",
        "Wait as long as Retry-After says; RateLimit tells how much is left of each limit.",
    ),
    kind(
        "daily-limit",
        429,
        "enough posts for today",
        "Wait as long as Retry-After says; the day is that of UTC.",
    ),
    kind(
        "internal",
        500,
        "damper met something it should not",
        "Tell whoever runs it; the log has the request's id.",
    ),
    kind(
        "unavailable",
        503,
        "damper cannot tell or hold it now",
        "Try again after Retry-After seconds; a rating that was held after all is not counted twice.",
    ),
];

impl Kind {
    /// The kind of that name.
    pub fn of(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }
}

/// `/problems` and `/problems/{name}`: the pages that types lead to.
pub fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/problems", get(async || page("Problems", &index())))
        .route("/problems/{name}", get(one))
}

async fn one(name: Result<Path<String>, PathRejection>) -> Response {
    match name.ok().and_then(|Path(name)| Kind::of(&name)) {
        Some(kind) => page(
            kind.name,
            &format!(
                "<h1>{}</h1><p>Status {}: {}.</p><p>{}</p>",
                kind.name, kind.status, kind.title, kind.remedy
            ),
        ),
        None => Problem::no_route("this path: there is no problem of that name").into_response(),
    }
}

fn index() -> String {
    let mut list = String::from("<h1>Problems</h1><ul>");
    for kind in &KINDS {
        let _ = write!(
            list,
            "<li>{0} <a href=\"/problems/{1}\">{1}</a>: {2}",
            kind.status, kind.name, kind.title
        );
    }
    list + "</ul>"
}

/// A page of our own words only; nothing in it runs or loads anything.
fn page(title: &str, body: &str) -> Response {
    let html = Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>{body}</html>\n"
    ));
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"))];
    (policy, html).into_response()
}
