//! Paging: every list takes `limit` and `cursor`, and answers `next_cursor` and a `Link` to the next page.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::answer::Json;
use super::cursor::{self, Place};
use super::extract::parameters;
use super::problem::Problem;
use crate::error::{Invalid, Kind};

/// Entries of a list on a page when the caller does not say.
const LIMIT_DEFAULT: usize = 20;
/// Entries of a list on a page at most.
pub const LIMIT_MAX: usize = 100;

/// What every list takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many entries the page has at most
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<usize>,
    /// `next_cursor` of the page before
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

/// A request for a page of a list with places `K`, filtered by `F`.
pub struct Paged<F, K> {
    /// Entries on the page at most.
    pub limit: usize,
    /// The place after which the page begins.
    pub after: Option<K>,
    /// What the list takes besides.
    pub filter: F,
    /// The same address, up to where the parameters of paging go.
    address: String,
}

impl<F: DeserializeOwned + Send, K: Place, S: Send + Sync> FromRequestParts<S> for Paged<F, K> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let is_paging = |pair: &&str| matches!(pair.split('=').next(), Some("limit" | "cursor"));
        let (paging, filter): (Vec<&str>, Vec<&str>) = query.partition(is_paging);
        let PageQuery { limit, cursor } = parameters(&paging.join("&"))?;
        let after = cursor.as_deref().map(cursor::parse).transpose();
        let mut address = format!("{}?", parts.uri.path());
        for pair in &filter {
            address.extend([pair, "&"]);
        }
        Ok(Self {
            limit: count(limit, LIMIT_DEFAULT, LIMIT_MAX, (Kind::LimitOutOfRange, "limit"))?,
            after: after.map_err(|e| Problem::in_parameter(e, "cursor"))?,
            filter: parameters(&filter.join("&"))?,
            address,
        })
    }
}

impl<F, K: Place> Paged<F, K> {
    /// Answers a page, with a link to the next one (RFC 8288); `json` makes the body from the next page's cursor.
    pub fn answer<J: Serialize>(&self, next: Option<&K>, json: impl FnOnce(Option<String>) -> J) -> Response {
        let cursor = next.map(cursor::write);
        let link = cursor.as_ref().map(|cursor| {
            let address = format!("{}limit={}&cursor={cursor}", self.address, self.limit);
            AppendHeaders([(header::LINK, format!("<{address}>; rel=\"next\""))])
        });
        (link, Json(json(cursor))).into_response()
    }
}

/// How many are asked for, 1 to `max`: `default` when the caller does not say.
pub fn count(
    asked: Option<usize>,
    default: usize,
    max: usize,
    (kind, name): (Kind, &'static str),
) -> Result<usize, Problem> {
    let count = asked.unwrap_or(default);
    if (1..=max).contains(&count) {
        return Ok(count);
    }
    let detail = format!("{name} {count} is outside 1..={max}");
    Err(Problem::in_parameter(Invalid::new(kind, detail), name))
}
