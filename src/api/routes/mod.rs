//! The routes: a file per subject. Each handler reads its request, calls a door of [`App`](crate::App), and writes
//! the answer.

pub mod events;
pub mod explain;
pub mod ingest;
pub mod lists;
pub mod moderation;
pub mod operations;
pub mod posts;
mod prelude;
pub mod probes;
pub mod rates;
pub mod users;
