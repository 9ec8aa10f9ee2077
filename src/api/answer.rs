//! A JSON answer. As axum's own, but written into a plain vector: axum's writer takes long over each small piece, which made
//! a fifth of the work of a page of posts.

use axum::body::Body;
use axum::http::{HeaderValue, header};
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
