//! `/demo`: the newest posts with the widget, live, to try what a visitor of a site would see.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{Frame, answer, clock, widget};
use crate::App;
use crate::api::{Gate, now};
use crate::model::PostId;
use crate::store::Sort;

/// Posts on the page.
const POSTS: usize = 3;

#[derive(Template)]
#[template(path = "public/demo.html", config = "src/pages/askama.toml")]
struct Demo {
    frame: Frame,
    script: String,
    widget: &'static str,
    /// Whether visitors name themselves.
    is_open: bool,
    posts: Vec<Shown>,
    /// Why there are no posts to see, if the store does not answer.
    trouble: Option<String>,
    next: String,
}

struct Shown {
    id: PostId,
    title: String,
    badge: String,
}

/// The page.
pub async fn demo(State(gate): State<Gate>, State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let now = now();
    let page = app.reader().page(Sort::New, None, None, POSTS, None, now).await;
    let (posts, trouble) = match page {
        Ok(page) => (page.items, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let shown = |post: crate::model::post::Post| Shown {
        badge: format!("/api/posts/{}/badge.svg", post.id.as_path_segment()),
        title: post.title,
        id: post.id,
    };
    let status = if trouble.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let page = Demo {
        frame: Frame::new(),
        script: super::assets::DEMO.path(),
        widget: widget::PATH,
        is_open: gate.is_open(),
        posts: posts.into_iter().map(|view| shown(view.post)).collect(),
        trouble,
        next: clock(app.ticks().around(now).next, now),
    };
    answer(status, &page, &headers)
}
