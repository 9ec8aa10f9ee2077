//! Postgres: its pools and time-outs, how rows are written to it, and what it says of itself.

pub(crate) mod health;
pub(crate) mod pools;
pub(super) mod rows;
