//! Posts and users: created, found, changed.

pub mod posts;
pub mod users;
