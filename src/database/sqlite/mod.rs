//! SQLite: the one data file, how rows are written to it, its copy while in use, and what it says of itself.

mod backup;
pub mod file;
pub mod health;
pub(super) mod parameters;

pub use file::{ServeLock, SqliteFile, Writing};
