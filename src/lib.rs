#![doc = include_str!("../README.md")]
//!
//! # For readers of the code
//!
//! Data goes one way: [`api`] → [`buffer`] → [`drain`] → [`merge`] → [`store`] → [`cache`] → [`api`]. [`App`] is
//! the one front door: API, worker, command line and tests call it, and nothing else reaches a seam.
//! `ARCHITECTURE.md` walks one rating through the files.
//!
//! Invariant: the checkpoint moves in the transaction that writes what it covers, and nowhere else
//! (`tests/suite/store.rs`, `tests/suite/crash.rs`).
//!
//! Invariant: an average is a function of the log alone, bit for bit, however the log was cut
//! (`tests/suite/drain.rs`, `tests/smoothing/laws.rs`).
//!
//! Invariant: `accepted = applied + quarantined + waiting` in every shard (`tests/suite/drain.rs`).
//!
//! Invariant: what was answered 202 is held durably (`tests/suite/crash.rs`).
//!
//! Invariant: imports go down only, and the wall clock is read in `api`, `cli` and `worker` only
//! (`tests/suite/house.rs`).

pub mod api;
pub mod app;
pub mod buffer;
pub mod cache;
pub mod cli;
pub mod config;
pub mod database;
pub mod entry;
pub mod error;
pub mod faults;
pub mod identity;
pub mod import;
pub mod limits;
pub mod merge;
pub mod model;
pub mod redis;
pub mod smoothing;
pub mod store;
pub mod worker;

pub use app::App;
pub use error::{Error, Result};
