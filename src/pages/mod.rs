//! What people look at in a browser: the dashboard of the admin listener, and the pages of the public one.
//!
//! Pages are rendered here, from templates beside this file. The crate is askama: it checks templates against their values
//! when Damper is built, escapes for HTML unless told otherwise, and brings nothing to the running program but a formatter.
//! Pages ask the doors of [`App`](crate::App), and decide by the functions of the API; no rule stands twice. A file is a
//! page; `session` says who looks, `frame` surrounds every page, `desk` is what all share, `live` keeps them fresh.

pub mod assets;
mod audit;
mod desk;
mod frame;
mod live;
mod overview;
mod post;
mod posts;
mod public;
mod session;
mod show;
mod system;
mod verdicts;
mod viewer;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post as posted};

use crate::api::{self, Gate};
use crate::error::Result;
use desk::Desk;

/// The public listener: its API and its pages.
pub fn public(gate: &Gate) -> Result<Router> {
    api::public(gate, assets::routes().merge(public::routes()))
}

/// The admin listener: its API and the dashboard, which shows `settings` with their sources.
pub fn admin(gate: &Gate, settings: Vec<(String, String, String)>) -> Router {
    let desk = Desk::new(gate.clone(), settings);
    let pages = Router::new()
        .route("/", get(overview::overview))
        .route("/sign-in", posted(session::sign_in))
        .route("/sign-out", posted(session::sign_out))
        .route("/flush", posted(overview::flush))
        .route("/live", get(live::live))
        .route("/posts", get(posts::posts))
        .route("/posts/{id}", get(post::post))
        .route("/posts/{id}/exclude", posted(post::acts::exclude))
        .route("/posts/{id}/undo", posted(post::acts::undo))
        .route("/posts/{id}/policy", posted(post::acts::policy))
        .route("/posts/{id}/held", posted(post::acts::held))
        .route("/held", get(verdicts::held).post(verdicts::decide))
        .route("/audit", get(audit::audit))
        .route("/system", get(system::system))
        .route("/system/quarantine", posted(system::quarantine))
        .with_state(desk)
        .merge(assets::routes());
    api::admin(gate, pages).layer(from_fn(frame::dress))
}
