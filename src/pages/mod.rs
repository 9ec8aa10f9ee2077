//! What people look at in a browser: the dashboard of the admin listener, and the pages of the public one.
//!
//! Pages are rendered here, from templates beside this file. The crate is askama: it checks templates against their values
//! when Damper is built, escapes for HTML unless told otherwise, and brings nothing to the running program but a formatter.
//! Pages ask the doors of [`App`](crate::App) as the API does; no rule stands twice.

pub mod assets;
mod public;

use axum::Router;

use crate::api::Gate;

/// The pages of the public listener.
pub fn public() -> Router<Gate> {
    assets::routes().merge(public::routes())
}

/// The pages of the admin listener.
pub fn admin() -> Router<Gate> {
    assets::routes()
}
