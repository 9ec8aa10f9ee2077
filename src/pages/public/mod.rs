//! The public listener's pages: what this is and whether it is well, a demo, and the script of the widget.
//!
//! They load nothing from other hosts, run no script that stands in a page, and say everything that they can without one.

mod demo;
mod home;
mod widget;

use askama::Template;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::assets;
use crate::api::{Gate, Problem, is_known};
use crate::error::Error;
use crate::model::Time;

/// What these pages may load, run and show: their own files, and the API of the same listener.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `/`, `/demo` and `/widget.js`.
pub fn routes() -> Router<Gate> {
    Router::new()
        .route("/", get(home::home))
        .route("/demo", get(demo::demo))
        .route(widget::PATH, get(widget::script))
}

/// What every page's frame shows.
struct Frame {
    style: String,
    icon: String,
    version: &'static str,
}

impl Frame {
    fn new() -> Self {
        Self {
            style: assets::PUBLIC_STYLE.path(),
            icon: assets::ICON.path(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Answers a page, or 304 to a browser that has it as it is.
fn answer(status: StatusCode, page: &impl Template, headers: &HeaderMap) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            let error = Error::Internal(format!("a page cannot be rendered: {error}"));
            return Problem::from(error).into_response();
        }
    };
    let etag = format!("\"{}\"", assets::hash(html.as_bytes()));
    let kept = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if status == StatusCode::OK && is_known(headers, &etag) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let held = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "same-origin")];
    (status, kept, held, Html(html)).into_response()
}

/// A moment as pages write it, in UTC: `14:35:00`, with its day when that is not today.
fn clock(time: Time, now: Time) -> String {
    let (time, now) = (time.to_utc(), now.to_utc());
    let form = if time.date_naive() == now.date_naive() { "%H:%M:%S" } else { "%-d %b %Y, %H:%M:%S" };
    time.format(form).to_string()
}
