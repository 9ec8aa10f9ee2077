//! `/`: what this is, whether it is well, and where to go from here.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{Frame, answer, clock};
use crate::App;
use crate::api::now;

/// The source, if the manifest names its address.
const SOURCE: &str = env!("CARGO_PKG_REPOSITORY");

#[derive(Template)]
#[template(path = "public/home.html", config = "src/pages/askama.toml")]
struct Home {
    frame: Frame,
    about: &'static str,
    source: Option<&'static str>,
    /// Why it is not well, if it is not.
    trouble: Option<String>,
    /// The last tick and the next one.
    last: String,
    next: String,
}

/// The page. It is an answer as long as the process is; whether the rest answers, it says.
pub async fn home(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let now = now();
    let ticks = app.ticks().around(now);
    let page = Home {
        frame: Frame::new(),
        about: env!("CARGO_PKG_DESCRIPTION"),
        source: (!SOURCE.is_empty()).then_some(SOURCE),
        trouble: app.drainer().check_ready().await.err().map(|error| error.to_string()),
        last: clock(ticks.last, now),
        next: clock(ticks.next, now),
    };
    answer(StatusCode::OK, &page, &headers)
}
