//! Redis: how a process reaches it, and what it says of itself.
//!
//! What is said over a connection is the business of `buffer`, `cache` and `limits`.

pub mod health;
pub mod link;
