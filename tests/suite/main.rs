//! The integration tests: real servers, real processes, and every promise in both set-ups.
//!
//! `buffer`, `store`, `cache` test both implementations of each seam alike; `drain` the drain loop; `api`,
//! `interface`, `cli`, `demo`, `worker` the output for people and programs; `import`, `ingest`, `proxies` bulk ratings; `identity`,
//! `limits`, `doors` access; `browser` what people see in a real browser; `environment` is where programs run as people have it; `crash` kills; `faults` all other
//! failures; `fuzz` the bodies of the fuzz targets; `house` the arrangement of the source; `docs` the documents;
//! `pages` the dashboard over HTTP, `browser` what people see; `dependencies` the linked crates. `support` starts the servers: redis-server and Postgres must be
//! installed (scripts/test does it).

mod api;
mod backup;
mod browser;
mod buffer;
mod cache;
mod cli;
mod crash;
mod demo;
mod dependencies;
mod docs;
mod doctor;
mod doors;
mod drain;
mod environment;
mod events;
mod export;
mod faults;
mod foreign_redis;
mod forget;
mod fuzz;
mod house;
mod identity;
mod import;
mod ingest;
mod interface;
mod large;
mod limits;
mod moderation;
mod pages;
mod plans;
mod proxies;
mod quarantine;
mod random;
mod secrets;
mod simulate;
mod store;
#[allow(dead_code, reason = "tests/chaos uses it too")]
mod support;
mod unfit_postgres;
mod unsafe_redis;
mod worker;
