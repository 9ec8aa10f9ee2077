//! Errors as RFC 9457 problem+json: what is wrong, where, and what to change; and the pages that their types lead to.
//!
//! The kinds, with their statuses and texts, are listed in `error::kind`.

use std::fmt::Write as _;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tracing::{debug, error};
use utoipa::ToSchema;

use crate::error::{Error, Invalid, Kind, Page};
use crate::model::json::Misfit;

/// When a caller may try again after a 503.
const RETRY_AFTER_SECONDS: &str = "5";

/// A problem as it is answered.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Problem {
    /// A stable name, as a path: `/problems/score-out-of-range`.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// JSON pointer to the field of the body that must change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pointer: Option<Box<str>>,
    /// The parameter of path or query that must change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    parameter: Option<Box<str>>,
    /// Beside those that every problem has.
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What an answer that is a problem says, for those who show it to people instead.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub title: &'static str,
    pub detail: String,
}

impl Problem {
    /// Its status.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong, and what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// A problem of this kind; `detail` is for people.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let Page { path, title, status, .. } = *kind.page();
        Self { kind: path, title, status, detail: detail.into(), ..Self::default() }
    }

    /// A value in the body's field at `pointer`.
    pub fn in_body(invalid: Invalid, pointer: impl Into<Box<str>>) -> Self {
        Self { pointer: Some(pointer.into()), ..Self::from(invalid) }
    }

    /// A value in a parameter of path or query.
    pub fn in_parameter(invalid: Invalid, parameter: impl Into<Box<str>>) -> Self {
        Self { parameter: Some(parameter.into()), ..Self::from(invalid) }
    }

    /// A caller without a token, or with one that is not accepted (RFC 6750, section 3).
    pub fn unauthenticated(invalid: Invalid) -> Self {
        let challenge = match invalid.kind {
            Kind::TokenMissing => "Bearer realm=\"damper\"",
            _ => "Bearer realm=\"damper\", error=\"invalid_token\"",
        };
        Self::from(invalid).with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// The same, of the body's field at `pointer`.
    pub fn at(mut self, pointer: &str) -> Self {
        (self.pointer, self.parameter) = (Some(pointer.into()), None);
        self
    }

    /// The same with a header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// There is nothing at `path`.
    pub fn no_route(path: &str) -> Self {
        Self::new(Kind::NoSuchRoute, format!("there is nothing at {path}"))
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid.kind, invalid.detail)
    }
}

impl From<Misfit> for Problem {
    fn from(misfit: Misfit) -> Self {
        Self { pointer: misfit.pointer.map(Into::into), ..misfit.invalid.into() }
    }
}

/// Logged here, where it is handled. What the caller did wrong is answered, not logged.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::Forbidden(detail) => Self::new(Kind::NotTheAuthor, detail),
            Error::Limited { detail, wait_seconds } => {
                Self::new(Kind::DailyLimit, detail).with(header::RETRY_AFTER, HeaderValue::from(wait_seconds))
            }
            Error::NotFound(detail) => Self::new(Kind::NotFound, detail),
            Error::Conflict(detail) => Self::new(Kind::Conflict, detail),
            Error::Unavailable(detail) | Error::Busy(detail) | Error::ReadOnly(detail) => {
                // Many callers meet one outage; the part that lost its server logs it, once.
                debug!(detail, "answered 503");
                Self::new(Kind::Unavailable, detail)
            }
            Error::Config(detail) | Error::Refused(detail) | Error::Internal(detail) => {
                error!(detail, "answered 500");
                Self::new(Kind::Internal, "an internal error; the log says which")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let own = std::mem::take(&mut self.headers);
        let said = Said { title: self.title, detail: self.detail.clone() };
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.extend(own);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response.extensions_mut().insert(said);
        response
    }
}

/// `/problems` and `/problems/{name}`: the pages that types lead to.
pub fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/problems", get(index)).route("/problems/{name}", get(page))
}

async fn index() -> Response {
    let mut list = String::from("<h1>Problems</h1><ul>");
    for Page { slug, path, status, title, .. } in Kind::PAGES {
        let _ = write!(list, "<li>{status} <a href=\"{path}\">{slug}</a>: {title}");
    }
    html("Problems", &(list + "</ul>"))
}

async fn page(name: Result<Path<String>, PathRejection>) -> Response {
    match name.ok().and_then(|Path(name)| Kind::PAGES.iter().find(|page| page.slug == name)) {
        Some(Page { slug, status, title, remedy, .. }) => {
            html(slug, &format!("<h1>{slug}</h1><p>Status {status}: {title}.</p><p>{remedy}</p>"))
        }
        None => Problem::no_route("this path: there is no problem of that name").into_response(),
    }
}

/// A page of our own words only; nothing in it runs or loads anything.
fn html(title: &str, body: &str) -> Response {
    let html = Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>{body}</html>\n"
    ));
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"))];
    (policy, html).into_response()
}
