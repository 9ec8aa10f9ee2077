//! Postgres: its pools and time-outs, and what it says of itself.

pub mod health;
pub mod pools;
