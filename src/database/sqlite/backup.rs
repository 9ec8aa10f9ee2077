//! A copy of the data file as of one moment, while others read and write it. It gets its name only when it is whole and
//! on the disk. `VACUUM INTO` reads one snapshot of all that was committed before it began, so log, checkpoint and
//! averages belong together. It neither waits for writers nor keeps them waiting.

use std::fs::{File, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::{SqliteFile, beside, refused};
use crate::error::{Error, Invalid, Kind, Result};

/// A file under way; removed when it does not get its name.
struct Partial {
    path: PathBuf,
    is_done: bool,
}

impl SqliteFile {
    /// Copies the data file `data` to `to`, which must not exist; returns the copy's bytes. The file is neither made
    /// nor migrated: a backup comes before an upgrade.
    ///
    /// # Errors
    /// `NotFound` when there is no data file, `Conflict` when `to` exists, `Invalid` when it cannot be written.
    pub async fn back_up(data: &Path, to: &Path) -> Result<u64> {
        let source = data.metadata().map_err(|e| Error::NotFound(refused("read", data, e)))?;
        if to.symlink_metadata().is_ok() {
            return Err(taken(to));
        }
        let mut partial = Partial::make(to, source.permissions()).map_err(|e| unwritable(to, &e))?;
        let name = partial.path.to_str().ok_or_else(|| unwritable(to, &"its name is not UTF-8"))?;
        let options =
            SqliteConnectOptions::new().filename(data).create_if_missing(false).disable_statement_logging();
        let mut connection = options.connect().await?;
        let copied = sqlx::query("vacuum into $1").bind(name).execute(&mut connection).await;
        copied.map_err(|e| {
            let detail = format!(
                "cannot copy {} to {}: {e}; damper doctor tells whether the disk is full or the file is broken",
                data.display(),
                to.display()
            );
            Invalid::new(Kind::FailedBackup, detail)
        })?;
        connection.close().await?;
        let to = to.to_path_buf();
        // SQLite does not sync what VACUUM INTO writes; a sync may take long.
        let naming = tokio::task::spawn_blocking(move || partial.finish(&to));
        naming.await.map_err(|e| Error::Internal(format!("the backup stopped: {e}")))?
    }
}

impl Partial {
    /// An empty file beside `to`, which the same users may read as the source.
    fn make(to: &Path, permissions: Permissions) -> io::Result<Self> {
        let ending = format!(".{}.partial", uuid::Uuid::new_v4().simple());
        let path = beside(&std::path::absolute(to)?, &ending);
        let file = File::create_new(&path)?;
        let partial = Self { path, is_done: false };
        file.set_permissions(permissions)?;
        Ok(partial)
    }

    fn finish(&mut self, to: &Path) -> Result<u64> {
        let failed = |e: io::Error| unwritable(to, &e);
        let file = File::open(&self.path).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        match renameat_with(CWD, &self.path, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(taken(to)),
            // Not every file system can do that. A moment ago there was no such file.
            Err(_) if to.symlink_metadata().is_err() => std::fs::rename(&self.path, to).map_err(failed)?,
            Err(_) => return Err(taken(to)),
        }
        self.is_done = true;
        let folder = self.path.parent().map(File::open).transpose().map_err(failed)?;
        folder.map(|folder| folder.sync_all()).transpose().map_err(failed)?;
        Ok(bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn taken(to: &Path) -> Error {
    Error::Conflict(format!("there is a file {} already; choose another name, or remove it", to.display()))
}

fn unwritable(to: &Path, why: &dyn std::fmt::Display) -> Error {
    let detail = format!("cannot write the backup {}: {why}; choose another place", to.display());
    Invalid::new(Kind::UnwritableFile, detail).into()
}
