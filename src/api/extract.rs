//! Parsing at the edge: bodies, path and query, each refused with the place that must change.

use std::time::Duration;

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
use crate::model::{PostId, UserId, json};

/// A JSON body: malformed text is a 400, anything but the expected fields a 422.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Gate> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, gate: &Gate) -> Result<Self, Problem> {
        check_encoding(&request)?;
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.map(|value| value.to_str().unwrap_or_default());
        let media = content_type.and_then(|text| text.split(';').next()).map(str::trim);
        if let Some(media) = media.filter(|media| !media.eq_ignore_ascii_case("application/json")) {
            let detail = format!("content-type {media:?} is not accepted; send application/json");
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        let config = gate.app().config();
        let within = config.body_timeout();
        let read = tokio::time::timeout(within, read(request, config.api.body_bytes_max));
        let bytes = read.await.map_err(|_| too_slow(within))??;
        Ok(Self(json::parse("body", &bytes)?))
    }
}

/// Refuses a compressed body.
pub fn check_encoding(request: &Request) -> Result<(), Problem> {
    match request.headers().get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let detail = format!("content-encoding {encoding:?} is not accepted; send the body uncompressed");
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
        _ => Ok(()),
    }
}

pub fn too_slow(within: Duration) -> Problem {
    let detail = format!("the body was not complete after {} ms; send it faster", within.as_millis());
    Problem::new(Kind::BodyTooSlow, detail)
}

pub fn broken_off(error: &axum::Error) -> Problem {
    Problem::new(Kind::UnreadableBody, format!("the body ended too early: {error}"))
}

/// A body that is too large by no more than this is read to its end.
const SKIPPED_BYTES_MAX: usize = 1 << 20;

/// The whole body. Its pieces are copied together: even a piece of one byte keeps the buffer that it was read into.
async fn read(request: Request, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let mut length: usize = announced.and_then(|text| text.to_str().ok()?.parse().ok()).unwrap_or(0);
    let mut bytes = Vec::new();
    let mut pieces = request.into_body().into_data_stream();
    while length <= bytes_max {
        let Some(piece) = pieces.next().await else { return Ok(bytes) };
        bytes.extend_from_slice(&piece.map_err(|e| broken_off(&e))?);
        length = bytes.len();
    }
    // A connection that is closed on a sender who still sends is reset, and the answer is lost. So what is a little too large
    // is read to its end.
    let skipped_max = bytes_max + SKIPPED_BYTES_MAX;
    let mut rest = skipped_max.saturating_sub(bytes.len());
    while length <= skipped_max
        && let Some(Ok(piece)) = pieces.next().await
        && piece.len() < rest
    {
        rest -= piece.len();
    }
    let detail = format!("the body is larger than {bytes_max} bytes; send less");
    Err(Problem::new(Kind::BodyTooLarge, detail))
}

/// The post that the path names.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct PostPath(
    /// The post
    pub PostId,
);

impl<S: Send + Sync> FromRequestParts<S> for PostPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let named: Vec<(String, String)> = path(parts).await?;
        // A route without an id is that of a post whose id is the route's last segment.
        let last_segment = || parts.uri.path().rsplit('/').next();
        let id = named.iter().find(|(name, _)| name == "id").map(|(_, id)| id.as_str());
        let id = id.or_else(last_segment).unwrap_or_default();
        PostId::parse(id).map(Self).map_err(|e| Problem::in_parameter(e, "id"))
    }
}

/// The rating that the path names by its post and its user.
#[derive(IntoParams)]
#[into_params(names("post_id", "user_id"), parameter_in = Path)]
pub struct RatingPath(
    /// The post
    pub PostId,
    /// Whose rating
    pub UserId,
);

impl<S: Send + Sync> FromRequestParts<S> for RatingPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (post, user): (String, String) = path(parts).await?;
        let post = PostId::parse(&post).map_err(|e| Problem::in_parameter(e, "post_id"))?;
        let user = UserId::parse(&user).map_err(|e| Problem::in_parameter(e, "user_id"))?;
        Ok(Self(post, user))
    }
}

/// The user that the path names.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct UserPath(
    /// The user
    pub UserId,
);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let id: String = path(parts).await?;
        UserId::parse(&id).map(Self).map_err(|e| Problem::in_parameter(e, "id"))
    }
}

/// What the path names, not checked yet.
async fn path<T: DeserializeOwned + Send>(parts: &mut Parts) -> Result<T, Problem> {
    let Path(named) = Path::from_request_parts(parts, &())
        .await
        .map_err(|e| Problem::new(Kind::MalformedPath, e.body_text()))?;
    Ok(named)
}

/// The query's parameters; an unknown one is refused.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parameters(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads a query, or a part of one.
pub fn parameters<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let refuse =
        |detail: String, name: &str| Problem::in_parameter(Invalid::new(Kind::InvalidQuery, detail), name);
    let uri = format!("/?{query}").parse::<Uri>().map_err(|e| refuse(e.to_string(), ""))?;
    let Query(value) = Query::<T>::try_from_uri(&uri).map_err(|e| {
        let detail = std::error::Error::source(&e).map_or_else(|| e.body_text(), ToString::to_string);
        // The message quotes a name that is unknown or there twice. Other messages begin with the name.
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

/// A form that has more is none of ours.
const FORM_BYTES_MAX: usize = 64 << 10;

/// Fields of a query or a form, in their order; a name may stand there several times.
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of that name; an empty one is none.
    pub fn get<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Every value of that name that is not empty.
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.values(name)
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = self.0.iter().filter(move |(own, value)| *own == name && !value.trim().is_empty());
        named.map(|(_, value)| value.as_str())
    }
}

/// The fields of a page's query.
pub fn fields(uri: &Uri) -> Result<Fields, Problem> {
    parameters(uri.query().unwrap_or_default()).map(Fields)
}

/// The fields of a form that a page sends.
pub async fn form(request: Request, within: Duration) -> Result<Fields, Problem> {
    check_encoding(&request)?;
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if media != Some("application/x-www-form-urlencoded") {
        let detail = "the page takes a form; send application/x-www-form-urlencoded";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let read = tokio::time::timeout(within, read(request, FORM_BYTES_MAX));
    let bytes = read.await.map_err(|_| too_slow(within))??;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Problem::new(Kind::InvalidQuery, "the form is not UTF-8"))?;
    parameters(text).map(Fields)
}
