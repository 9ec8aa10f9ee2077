//! Damper.
pub mod api;
pub mod app;
pub mod buffer;
pub mod cache;
pub mod cli;
pub mod config;
pub mod connect;
pub mod drain;
pub mod entry;
pub mod error;
pub mod history;
pub mod import;
mod loader;
pub mod merge;
pub mod post;
pub mod rating;
pub mod read;
pub mod smoothing;
pub mod status;
pub mod store;
pub mod ticks;
pub mod worker;

pub use app::App;
pub use error::{Error, Result};
