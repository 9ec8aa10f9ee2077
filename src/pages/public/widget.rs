//! `/widget.js`: the script of `<damper-rating>`, for pages of any site.
//!
//! Its address stays the same, since other sites write it into their pages. So a browser asks again after a while, and is
//! answered 304 until the program changes.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::assets::WIDGET;
use crate::api::is_known;

/// Where it is.
pub const PATH: &str = "/widget.js";
/// How long a browser may use it without asking, in seconds, and how long a worse one while it asks.
const CACHING: &str = "public, max-age=3600, stale-while-revalidate=86400";
/// Pages of other sites may load it, isolated ones too.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The script.
pub async fn script(headers: HeaderMap) -> Response {
    let etag = format!("\"{}\"", WIDGET.hash());
    let kept = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, CACHING.to_owned())];
    if is_known(&headers, &etag) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let kind = [(header::CONTENT_TYPE, WIDGET.kind()), (RESOURCE_POLICY, "cross-origin")];
    (kept, kind, WIDGET.bytes()).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// What a page of another site pays for it.
    const PACKED_BYTES_MAX: usize = 8 << 10;

    #[test]
    fn the_script_is_small() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(WIDGET.bytes()).unwrap();
        let packed = packed.finish().unwrap().len();
        assert!(packed <= PACKED_BYTES_MAX, "{packed} bytes, {PACKED_BYTES_MAX} at most");
    }
}
