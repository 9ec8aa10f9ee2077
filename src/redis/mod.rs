//! Redis: how a process reaches it, what it says about itself, and what its errors mean.
//!
//! The commands themselves are the business of `buffer`, `cache` and `limits`.

mod connection;
pub(crate) mod error;
pub(crate) mod health;
pub mod link;
