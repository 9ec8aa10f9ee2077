//! Parsing at the edge: bodies, path and query, each refused with the place that must change.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Uri, header};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::gate::Gate;
use super::problem::Problem;
use crate::error::{Invalid, Kind};
use crate::model::json;
use crate::model::{PostId, UserId};

/// A JSON body: malformed text is a 400, anything but the expected fields a 422.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Gate> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, gate: &Gate) -> Result<Self, Problem> {
        check_content_type(&request)?;
        let config = gate.app().config();
        let within = config.body_timeout();
        let read = tokio::time::timeout(within, read(request, config.api.body_bytes_max));
        let bytes = read.await.map_err(|_| too_slow(within))??;
        Ok(Self(json::parse("body", &bytes)?))
    }
}

fn check_content_type(request: &Request) -> Result<(), Problem> {
    check_encoding(request)?;
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("content-type {media:?} is not accepted; send application/json");
    Err(Problem::new(Kind::UnsupportedMediaType, detail))
}

/// Passes a body that is sent as it is.
pub fn check_encoding(request: &Request) -> Result<(), Problem> {
    match request.headers().get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let detail = format!("content-encoding {encoding:?} is not accepted; send the body uncompressed");
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
        _ => Ok(()),
    }
}

/// A body that does not come.
pub fn too_slow(within: Duration) -> Problem {
    let detail = format!("the body was not complete after {} ms; send it faster", within.as_millis());
    Problem::new(Kind::BodyTooSlow, detail)
}

/// A body that ended before its end.
pub fn broken_off(error: &axum::Error) -> Problem {
    Problem::new(Kind::UnreadableBody, format!("the body ended too early: {error}"))
}

/// The whole body. Copied together as it comes: a piece of one byte would keep the buffer that it was read into.
async fn read(request: Request, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {bytes_max} bytes; send less");
        Problem::new(Kind::BodyTooLarge, detail)
    };
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > bytes_max) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|e| broken_off(&e))?;
        if bytes.len() + piece.len() > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The post that the path names.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct PostPath(pub PostId);

impl<S: Send + Sync> FromRequestParts<S> for PostPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed = |e: PathRejection| Problem::new(Kind::MalformedPath, e.body_text());
        let mut ids =
            Path::<HashMap<String, String>>::from_request_parts(parts, state).await.map_err(malformed)?;
        // A route without an id is that of a post whose id is the route's last segment.
        let id = ids.remove("id").unwrap_or_else(|| last_segment(parts.uri.path()).to_owned());
        PostId::parse(&id).map(Self).map_err(|e| Problem::in_parameter(e, "id"))
    }
}

/// The rating that the path names by its post and its user.
#[derive(IntoParams)]
#[into_params(names("post_id", "user_id"), parameter_in = Path)]
pub struct RatingPath(pub PostId, pub UserId);

impl<S: Send + Sync> FromRequestParts<S> for RatingPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((post, user)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::new(Kind::MalformedPath, e.body_text()))?;
        let post = PostId::parse(&post).map_err(|e| Problem::in_parameter(e, "post_id"))?;
        let user = UserId::parse(&user).map_err(|e| Problem::in_parameter(e, "user_id"))?;
        Ok(Self(post, user))
    }
}

/// The user that the path names.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct UserPath(pub UserId);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::new(Kind::MalformedPath, e.body_text()))?;
        UserId::parse(&id).map(Self).map_err(|e| Problem::in_parameter(e, "id"))
    }
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The query's parameters; one that is not known is refused.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parameters(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads a query, or a part of one.
pub fn parameters<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let refuse = |detail: String, name: &str| {
        Problem::in_parameter(Invalid::new(Kind::InvalidQuery, detail), name.to_owned())
    };
    let uri = format!("/?{query}").parse::<Uri>().map_err(|e| refuse(e.to_string(), ""))?;
    let Query(value) = Query::<T>::try_from_uri(&uri).map_err(|e| {
        let detail = std::error::Error::source(&e).map_or_else(|| e.body_text(), ToString::to_string);
        // A name is quoted in the message when it is unknown, or there twice; else it stands before the message.
        let quoted = |what: &str| detail.split(what).nth(1)?.split('`').next();
        if let Some(name) = quoted("unknown field `") {
            return refuse(format!("`{name}` is not a parameter of this call; leave it out"), name);
        }
        let name = quoted("duplicate field `").or(detail.split(':').next()).unwrap_or_default();
        refuse(detail.clone(), name)
    })?;
    Ok(value)
}

/// No parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The query of a call that takes no parameters.
pub type NoParameters = Parameters<Nothing>;
