//! The integration tests: real servers, real processes, and every promise in both set-ups.
//!
//! `buffer`, `store`, `cache` hold the two implementations of each seam to one conduct; `drain` the one loop;
//! `api`, `interface`, `cli`, `worker` what people and programs see; `identity`, `limits`, `doors` who may do what;
//! `crash` what a kill leaves; `faults` what else may happen; `house` how the source is arranged; `docs` what the documents
//! say; `dependencies` what is built in. `support` starts the servers: redis-server and Postgres must be installed
//! (scripts/test does it).

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
#[allow(dead_code, reason = "tests/chaos stands on it too")]
mod support;
mod unsafe_redis;
mod worker;
