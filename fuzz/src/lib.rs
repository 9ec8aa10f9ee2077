//! The bodies of all targets, which tests on stable Rust run as well.

#[path = "../../tests/shared/bodies.rs"]
mod bodies;

pub use bodies::{body, config, csv, cursor, entry};
