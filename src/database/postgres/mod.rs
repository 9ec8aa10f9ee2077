//! Postgres: its pools and time-outs, whether Damper can work in it, how rows are written to it, and what it says of itself.

pub(crate) mod fitness;
pub(crate) mod health;
pub(super) mod pools;
pub(super) mod rows;
mod session;
