#![doc = include_str!("../README.md")]
//!
//! # For readers of the code
//!
//! Data goes one way: [`api`] → [`app::intake`] → [`buffer`] → [`app::drain`] → [`merge`] → [`store`] → [`cache`] →
//! [`api`]. [`App`] opens a set-up and hands out a few doors, [`App::intake`], [`App::reader`], [`App::drainer`],
//! [`App::catalogue`], [`App::moderation`] and [`App::upkeep`]; API, worker, command line and tests call these, and nothing
//! else reaches a seam.
//!
//! | to learn | start at |
//! |---|---|
//! | what a rating is, from the log to the average | [`entry::Entry`], [`merge::merge`], [`smoothing::Average`] |
//! | why nothing is lost or counted twice | [`app::drain`], [`store`] |
//! | what differs between the embedded set-up and servers | [`buffer`], [`cache`], [`database`] |
//! | what the HTTP API does with a request | [`api`] |
//! | what people see in a browser | [`pages`] |
//!
//! `ARCHITECTURE.md` names every room and walks one rating through the files.

pub mod api;
pub mod app;
pub mod buffer;
pub mod cache;
pub mod chart;
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
pub mod pages;
pub mod redis;
pub mod simulate;
pub mod smoothing;
pub mod store;
pub mod tasks;
pub mod worker;

pub use app::App;
pub use error::{Error, Result};
