//! SQLite: the one data file, how rows are written to it, its copy while in use, and what it says of itself.

mod backup;
mod file;
pub(crate) mod health;
pub(super) mod parameters;
mod readers;
mod turns;

use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};

pub use file::{SqliteFile, Writing, lock_for_serving};
pub use readers::Reading;

/// A file beside the data file, whose name begins as that one's does.
fn beside(data: &Path, ending: &str) -> PathBuf {
    let mut path = data.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// A file beside the data file that processes lock. Another user may have made it: to read it is enough.
fn lock_file(data: &Path, ending: &str) -> std::io::Result<File> {
    let path = beside(data, ending);
    File::open(&path).or_else(|_| File::options().create(true).truncate(false).write(true).open(path))
}

fn refused(what: &str, data: &Path, why: impl Display) -> String {
    format!("cannot {what} the data file {}: {why}; DAMPER_DATA names another", data.display())
}
