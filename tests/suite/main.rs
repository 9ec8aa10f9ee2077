//! The integration tests: real servers, real processes, and every promise in both set-ups.
//!
//! `buffer`, `store`, `cache` test both implementations of each seam alike; `drain` the drain loop; `api`,
//! `interface`, `cli`, `worker` the output for people and programs; `identity`, `limits`, `doors` access;
//! `crash` kills; `faults` all other failures; `house` the arrangement of the source; `docs` the documents;
//! `dependencies` the linked crates. `support` starts the servers: redis-server and Postgres must be
//! installed (scripts/test does it).

mod api;
mod backup;
mod buffer;
mod cache;
mod cli;
mod crash;
mod dependencies;
mod docs;
mod doctor;
mod doors;
mod drain;
mod events;
mod faults;
mod forget;
mod house;
mod identity;
mod ingest;
mod interface;
mod large;
mod limits;
mod moderation;
mod plans;
mod quarantine;
mod random;
mod secrets;
mod store;
#[allow(dead_code, reason = "tests/chaos uses it too")]
mod support;
mod unfit_postgres;
mod unsafe_redis;
mod worker;
