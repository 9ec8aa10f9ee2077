//! Errors as RFC 9457 problem+json: what is wrong, where, and what to change. Every kind is listed in `kinds`.

mod kinds;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::{debug, error};
use utoipa::ToSchema;

use crate::error::{Error, Invalid, Kind};
use crate::model::json::Misfit;

pub use kinds::{Page, pages};

/// When a caller may try again after a 503.
const RETRY_AFTER_SECONDS: &str = "5";

/// A problem to answer.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    status: StatusCode,
    detail: String,
    pointer: Option<String>,
    parameter: Option<String>,
    /// Beside those that every problem has.
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem as it is answered.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemJson<'a> {
    /// A stable name, as a path: `/problems/score-out-of-range`.
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    /// JSON pointer to the field of the body that must change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    /// The parameter of path or query that must change.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        // A kind that only commands meet has no page; met here, the value is refused all the same.
        let status = Page::of(kind).map_or(StatusCode::UNPROCESSABLE_ENTITY, |page| page.status);
        Self { kind, status, detail: detail.into(), pointer: None, parameter: None, headers: Vec::new() }
    }

    /// A value in the body's field `/name`.
    pub fn in_body(invalid: Invalid, pointer: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..Self::from(invalid) }
    }

    /// A value in a parameter of path or query.
    pub fn in_parameter(invalid: Invalid, parameter: impl Into<String>) -> Self {
        Self { parameter: Some(parameter.into()), ..Self::from(invalid) }
    }

    /// A caller without a token, or with one that is not accepted (RFC 6750, section 3).
    pub fn unauthenticated(invalid: &Invalid) -> Self {
        let challenge = match invalid.kind {
            Kind::TokenMissing => "Bearer realm=\"damper\"",
            _ => "Bearer realm=\"damper\", error=\"invalid_token\"",
        };
        Self::new(invalid.kind, invalid.detail.clone())
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// A caller who lacks a role.
    pub fn forbidden(role: &str) -> Self {
        Self::new(Kind::RoleMissing, format!("this call requires a token with the role {role}"))
    }

    /// The same, of the body's field at `pointer`.
    pub fn at(mut self, pointer: &str) -> Self {
        (self.pointer, self.parameter) = (Some(pointer.to_owned()), None);
        self
    }

    /// The same with a header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn no_route(path: &str) -> Self {
        Self::new(Kind::NoSuchRoute, format!("there is nothing at {path}"))
    }

    pub fn wrong_method(method: &Method) -> Self {
        let detail = format!("{method} is not allowed here; the Allow header lists the methods that are");
        Self::new(Kind::MethodNotAllowed, detail)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid.kind, invalid.detail)
    }
}

impl From<Misfit> for Problem {
    fn from(misfit: Misfit) -> Self {
        Self { pointer: misfit.pointer, ..misfit.invalid.into() }
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
            Error::Unavailable(detail) | Error::Busy(detail) => {
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

impl Problem {
    /// As it is answered.
    pub fn json(&self) -> ProblemJson<'_> {
        ProblemJson {
            kind: format!("/problems/{}", self.kind.slug()),
            title: Page::of(self.kind).map_or(self.kind.slug(), |page| page.title),
            status: self.status.as_u16(),
            detail: &self.detail,
            pointer: self.pointer.as_deref(),
            parameter: self.parameter.as_deref(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self.json())).into_response();
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}
