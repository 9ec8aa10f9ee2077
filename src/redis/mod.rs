//! Redis: how a process reaches it, what it says about itself, and what its errors mean.
//!
//! The commands themselves are the business of `buffer`, `cache` and `limits`.

mod connection;
pub mod error;
pub mod health;
pub mod link;
mod side;

pub use side::Side;
