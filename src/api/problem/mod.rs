//! Errors as RFC 9457 problem+json: what is wrong, where, and what to change.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::{debug, error};

use crate::error::{Error, Invalid};

/// When a caller may try again after a 503.
const RETRY_AFTER_SECONDS: &str = "5";

/// A problem to answer.
#[derive(Debug)]
pub struct Problem {
    name: &'static str,
    status: StatusCode,
    detail: String,
    pointer: Option<String>,
    parameter: Option<String>,
}

/// A problem as it is answered.
#[derive(Serialize)]
struct ProblemJson<'a> {
    /// A stable name, as a path: `/problems/score-out-of-range`.
    #[serde(rename = "type")]
    kind: String,
    title: String,
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
    pub fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status, detail: detail.into(), pointer: None, parameter: None }
    }

    /// A value in the body's field `/name`.
    pub fn in_body(invalid: Invalid, pointer: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..Self::from(invalid) }
    }

    /// A value in a parameter of path or query.
    pub fn in_parameter(invalid: Invalid, parameter: impl Into<String>) -> Self {
        Self { parameter: Some(parameter.into()), ..Self::from(invalid) }
    }

    pub fn no_route(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-route", format!("there is nothing at {path}"))
    }

    pub fn wrong_method(method: &Method) -> Self {
        let detail = format!("{method} is not answered here; the Allow header says what is");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.problem, invalid.detail)
    }
}

/// Logged here, where it is handled: what the caller did wrong is the caller's to know.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NotFound(detail) => Self::new(StatusCode::NOT_FOUND, "not-found", detail),
            Error::Conflict(detail) => Self::new(StatusCode::CONFLICT, "conflict", detail),
            Error::Unavailable(detail) | Error::Busy(detail) => {
                // Many callers meet one outage: whoever lost its server says so, once.
                debug!(detail, "answered 503");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            }
            Error::Config(detail) | Error::Refused(detail) | Error::Internal(detail) => {
                error!(detail, "answered 500");
                let told = "damper met something it should not; its log says what";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", told)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let json = ProblemJson {
            kind: format!("/problems/{}", self.name),
            title: self.name.replace('-', " "),
            status: status.as_u16(),
            detail: &self.detail,
            pointer: self.pointer.as_deref(),
            parameter: self.parameter.as_deref(),
        };
        let mut response = (status, Json(json)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}
