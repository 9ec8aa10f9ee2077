//! SQLite: the one data file, its copy while in use, and what it says of itself.

mod backup;
pub mod file;
pub mod health;

pub use file::{ServeLock, SqliteFile, Writing};
