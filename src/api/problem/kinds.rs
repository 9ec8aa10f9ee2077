//! What the API says about every kind of problem: its status, its title, and what to do about it.
//!
//! A problem's `type` is the path of its page here; docs/PROBLEMS.md lists the same. The names are in `error::kind`.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::Problem;
use crate::error::Kind;

/// What the API says about a kind of problem.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Whose page it is.
    pub kind: Kind,
    /// The status that it is answered with.
    pub status: StatusCode,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What the caller can do.
    pub remedy: &'static str,
}

impl Page {
    /// The page of a kind. Those that only commands meet have none.
    pub fn of(kind: Kind) -> Option<Page> {
        let (status, title, remedy) = text(kind)?;
        Some(Page { kind, status: StatusCode::from_u16(status).ok()?, title, remedy })
    }

    /// All pages, by status.
    pub fn all() -> impl Iterator<Item = Page> {
        Kind::ALL.iter().copied().filter_map(Page::of)
    }

    /// The page at `/problems/{slug}`.
    fn by_slug(slug: &str) -> Option<Page> {
        Page::all().find(|page| page.kind.slug() == slug)
    }
}

/// Status, title and remedy of each kind: the one table. A kind without a line here does not compile.
fn text(kind: Kind) -> Option<(u16, &'static str, &'static str)> {
    Some(match kind {
        Kind::MalformedJson => {
            (400, "the body is not JSON", "Send one JSON object; the detail says where it breaks.")
        }
        Kind::MalformedPath => {
            (400, "the path cannot be read", "Percent-encode characters beyond ASCII, as UTF-8.")
        }
        Kind::UnreadableBody => (400, "the body ended too early", "Send the whole body again."),
        Kind::TokenMissing => {
            (401, "a token is required", "Send the header Authorization: Bearer with a token.")
        }
        Kind::TokenInvalid => (
            401,
            "the token is not accepted",
            "Get a new token from its issuer; the detail says what is wrong with this one.",
        ),
        Kind::RoleMissing => (403, "the role is missing", "Use a token with the role that the detail names."),
        Kind::NotTheAuthor => (
            403,
            "the caller is not the author",
            "Ask as the author; a post without an author cannot be changed.",
        ),
        Kind::HostRefused => (
            403,
            "the host or origin is unknown",
            "Call the admin listener by localhost, by its IP address, or by a name that the setting admin_hosts lists, \
         and from no page of another site.",
        ),
        Kind::OriginRefused => (
            403,
            "the request comes from a page of another site",
            "Ask from the site itself, or list the site in the setting api.cors_origins.",
        ),
        Kind::NotFound => {
            (404, "there is no such post or user", "Check the id, or create the post or user first.")
        }
        Kind::NoSuchRoute => (404, "there is nothing at this path", "Check the path against /openapi.json."),
        Kind::MethodNotAllowed => {
            (405, "the method is not allowed here", "The Allow header lists the methods that are.")
        }
        Kind::BodyTooSlow => {
            (408, "the body took too long", "Send it faster; api.body_timeout_ms is the limit.")
        }
        Kind::Conflict => (409, "it exists already", "Choose another id, or another name."),
        Kind::BodyTooLarge => (413, "the body is too large", "Send less; api.body_bytes_max is the limit."),
        Kind::LineTooLong => {
            (413, "the line is too long", "A rating takes far less than 64 KiB; end each one with a newline.")
        }
        Kind::UnsupportedMediaType => {
            (415, "the content type is not accepted", "Send JSON, as application/json, and not compressed.")
        }
        Kind::InvalidBody => {
            (422, "a field of the body is invalid", "Change the field that the pointer names.")
        }
        Kind::InvalidId => (
            422,
            "the id is invalid",
            "Ids have 1 to 64 characters of A-Z a-z 0-9 . _ ~ : @ + = | - and are neither . nor ..",
        ),
        Kind::InvalidText => (
            422,
            "the text is invalid",
            "Change the text that the pointer or parameter names; the detail says how.",
        ),
        Kind::ScoreOutOfRange => (422, "the score is out of range", "Scores are 0, 1, 2, 3, 4 and 5."),
        Kind::ScoreNotWhole => {
            (422, "the score is not a whole number", "Send the score as a number without a fraction.")
        }
        Kind::InvalidQuery => {
            (422, "a parameter of the query is invalid", "Change or leave out the parameter that is named.")
        }
        Kind::InvalidCursor => (422, "the cursor is not one of this list", "Begin without a cursor."),
        Kind::LimitOutOfRange => {
            (422, "the limit is out of range", "Ask for a number in the range that the detail names.")
        }
        Kind::PointsOutOfRange => (
            422,
            "the number of points is out of range",
            "Ask for a number in the range that the detail names.",
        ),
        Kind::UserMissing => (422, "the user is missing", "In open mode, name the user in user_id."),
        Kind::UserNamed => (422, "the user is named twice", "Leave the user out; the token names the user."),
        Kind::InvalidWindow => (
            422,
            "the window is invalid",
            "A window begins before it ends, and ends in the past; it includes from, and excludes to.",
        ),
        Kind::InvalidTime => (
            422,
            "the time cannot be read",
            "Write times as RFC 3339 (2026-11-21T12:00:00Z) or as Unix seconds.",
        ),
        Kind::TimeOutOfRange => {
            (422, "the time is out of range", "Use a time between 1990 and one minute from now.")
        }
        Kind::PostFrozen => {
            (423, "the post is frozen", "Wait until a moderator thaws it; it can still be read.")
        }
        Kind::RateLimited => (
            429,
            "too many ratings in a minute",
            "Wait as long as Retry-After says; RateLimit shows how much is left of each limit.",
        ),
        Kind::DailyLimit => {
            (429, "too many posts today", "Wait as long as Retry-After says; days are counted in UTC.")
        }
        Kind::Internal => {
            (500, "an internal error", "Report it to the operator; the log has the request's id.")
        }
        Kind::Unavailable => (
            503,
            "the service is unavailable for now",
            "Try again after Retry-After seconds; a rating that was stored all the same is not counted twice.",
        ),
        Kind::BadLine
        | Kind::EmptyFile
        | Kind::FailedBackup
        | Kind::FileTooLong
        | Kind::NotEmbedded
        | Kind::NotOpen
        | Kind::SettingOutOfRange
        | Kind::TooManyEntries
        | Kind::UnknownHeader
        | Kind::UnknownLane
        | Kind::UnreadableFile
        | Kind::UnwritableFile => return None,
    })
}

/// `/problems` and `/problems/{name}`: the pages that types lead to.
pub fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/problems", get(async || page("Problems", &index())))
        .route("/problems/{name}", get(one))
}

async fn one(name: Result<Path<String>, PathRejection>) -> Response {
    match name.ok().and_then(|Path(name)| Page::by_slug(&name)) {
        Some(Page { kind, status, title, remedy }) => {
            let (name, status) = (kind.slug(), status.as_u16());
            page(name, &format!("<h1>{name}</h1><p>Status {status}: {title}.</p><p>{remedy}</p>"))
        }
        None => Problem::no_route("this path: there is no problem of that name").into_response(),
    }
}

fn index() -> String {
    let mut list = String::from("<h1>Problems</h1><ul>");
    for Page { kind, status, title, .. } in Page::all() {
        let (name, status) = (kind.slug(), status.as_u16());
        let _ = write!(list, "<li>{status} <a href=\"/problems/{name}\">{name}</a>: {title}");
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
