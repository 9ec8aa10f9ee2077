//! What answers are made of: JSON, and whether a caller has an answer already. JSON is as axum's own, but written into a
//! plain vector: axum's writer takes long over each small piece, which made a fifth of the work of a page of posts.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use crate::error::Error;

/// Room for a post without a long content.
const USUAL_BYTES: usize = 1_024;

/// A value that is answered as JSON.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        if let Err(error) = serde_json::to_writer(&mut bytes, &self.0) {
            return Problem::from(Error::Internal(format!("an answer is no JSON: {error}"))).into_response();
        }
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], Body::from(bytes)).into_response()
    }
}

/// Whether a caller has the answer with this `ETag` (RFC 9110, section 13.1.2).
pub fn is_known(asked: &HeaderMap, etag: impl AsRef<[u8]>) -> bool {
    fn opaque(tag: &[u8]) -> &[u8] {
        let tag = tag.trim_ascii();
        tag.strip_prefix(b"W/").unwrap_or(tag)
    }
    let values = asked.get_all(header::IF_NONE_MATCH).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|tag| tag.trim_ascii() == b"*" || opaque(tag) == opaque(etag.as_ref()))
}
