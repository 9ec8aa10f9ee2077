//! Postgres: its pools and time-outs, how rows are written to it, and what it says of itself.

pub(super) mod columns;
pub(super) mod copy;
pub mod health;
pub mod pools;
