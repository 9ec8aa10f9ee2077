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
            (400, "the body is no JSON", "Send one JSON object; the detail says where it breaks.")
        }
        Kind::MalformedPath => (400, "the path cannot be read", "Percent-encode what is no ASCII, as UTF-8."),
        Kind::UnreadableBody => (400, "the body broke off", "Send it again, whole."),
        Kind::TokenMissing => {
            (401, "nobody is known to ask", "Send the header Authorization: Bearer with a token.")
        }
        Kind::TokenInvalid => (
            401,
            "the token is not taken",
            "Get a new token from whoever signs them; the detail says what is wrong with this one.",
        ),
        Kind::RoleMissing => {
            (403, "the role is missing", "Ask with a token whose roles name the one in the detail.")
        }
        Kind::NotTheAuthor => (
            403,
            "somebody else has made the post",
            "Ask as the author; a post without an author stays as it is.",
        ),
        Kind::HostRefused => (
            403,
            "the host or origin is not known",
            "Call the admin listener by localhost, by its IP address, or by a name that the setting admin_hosts lists, \
         and from no page of another site.",
        ),
        Kind::OriginRefused => (
            403,
            "a page of another site asks",
            "Ask from the site itself, or list the site in the setting api.cors_origins.",
        ),
        Kind::NotFound => {
            (404, "there is no such post or user", "Check the id, or create the post or user first.")
        }
        Kind::NoSuchRoute => (404, "there is nothing at this path", "Check the path against /openapi.json."),
        Kind::MethodNotAllowed => {
            (405, "the method is not answered here", "The Allow header lists those that are.")
        }
        Kind::BodyTooSlow => {
            (408, "the body took too long", "Send it faster; api.body_timeout_ms is the limit.")
        }
        Kind::Conflict => (409, "it is there already", "Choose another id, or another name."),
        Kind::BodyTooLarge => (413, "the body is too large", "Send less; api.body_bytes_max is the limit."),
        Kind::LineTooLong => {
            (413, "the line is too long", "A rating takes far less than 64 KiB; end each one with a newline.")
        }
        Kind::UnsupportedMediaType => {
            (415, "the content type is not taken", "Send JSON, as application/json, and not compressed.")
        }
        Kind::InvalidBody => (422, "the body has wrong fields", "Change the field that the pointer names."),
        Kind::InvalidId => (
            422,
            "the id is none",
            "Ids have 1 to 64 characters of A-Z a-z 0-9 . _ ~ : @ + = | - and are neither . nor ..",
        ),
        Kind::InvalidText => {
            (422, "the text is not taken", "Shorten or fill the text that the pointer names.")
        }
        Kind::ScoreOutOfRange => (422, "score is out of range", "Scores are 0, 1, 2, 3, 4 and 5."),
        Kind::ScoreNotWhole => {
            (422, "score is no whole number", "Send the score as a number without a fraction.")
        }
        Kind::InvalidQuery => {
            (422, "the query has wrong parameters", "Change or leave out the parameter named.")
        }
        Kind::InvalidCursor => (422, "the cursor is none of this list", "Begin without a cursor."),
        Kind::LimitOutOfRange => (422, "limit is out of range", "Ask for fewer, or at least one."),
        Kind::PointsOutOfRange => (422, "points is out of range", "Ask for fewer, or at least one."),
        Kind::UserMissing => (422, "the user is missing", "In open mode name the user: user_id."),
        Kind::UserNamed => {
            (422, "the user is named twice", "Leave the name out: the token says who is asking.")
        }
        Kind::InvalidWindow => (
            422,
            "the window is none",
            "A window begins before it ends, and has ended: from is in it, to is not.",
        ),
        Kind::InvalidTime => (
            422,
            "the time cannot be read",
            "Write times as RFC 3339 (2026-11-21T12:00:00Z) or as Unix seconds.",
        ),
        Kind::TimeOutOfRange => {
            (422, "the time is out of range", "Times lie between 1990 and a minute from now.")
        }
        Kind::PostFrozen => {
            (423, "the post is frozen", "Wait until a moderator has thawed it; reading goes on.")
        }
        Kind::RateLimited => (
            429,
            "too many ratings in a minute",
            "Wait as long as Retry-After says; RateLimit tells how much is left of each limit.",
        ),
        Kind::DailyLimit => {
            (429, "enough posts for today", "Wait as long as Retry-After says; the day is that of UTC.")
        }
        Kind::Internal => {
            (500, "damper met something it should not", "Tell whoever runs it; the log has the request's id.")
        }
        Kind::Unavailable => (
            503,
            "damper cannot tell or hold it now",
            "Try again after Retry-After seconds; a rating that was held after all is not counted twice.",
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
