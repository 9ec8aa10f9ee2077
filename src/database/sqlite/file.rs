//! The one SQLite file of the embedded set-up. Readers never wait for a writer (WAL); heavy questions have connections of
//! their own (see [`readers`](super::readers)).
//!
//! SQLite lets one connection write at a time. So a process has one writer, handed out in order of asking: appends and
//! commits take turns, and so do processes (`damper flush` beside `serve`; see [`turns`](super::turns)).

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::lock_file;
use super::readers::{Readers, Reading};
use super::turns::{Turn, Turns};
use crate::config::StoreKnobs;
use crate::database::{Patience, schema};
use crate::error::{Error, Result};

/// How long a write waits for another process' transactions.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Memory of the writer for pages, in KiB (SQLite's sign): scattered keys of a large table would otherwise be
/// written and read again within one transaction.
const WRITER_CACHE: &str = "-65536";
/// The same for a reader.
const READER_CACHE: &str = "-8192";
/// Rows that SQLite's thread may be ahead of who reads them.
const ROWS_AHEAD: usize = 500;
/// Pages of the write-ahead log after which it is folded into the file (4 KiB each).
const CHECKPOINT_PAGES: &str = "16000";

/// An open SQLite file: many readers, one writer.
pub struct SqliteFile {
    pub(crate) path: PathBuf,
    /// Connections for reads; a write over one is refused by SQLite.
    readers: Arc<Readers>,
    /// The same, for questions that may read much.
    heavy: Arc<Readers>,
    for_reading: SqliteConnectOptions,
    for_writing: SqliteConnectOptions,
    /// Nothing after a transaction that did not end well; the next one opens it anew.
    writer: Arc<Mutex<Option<SqliteConnection>>>,
    turns: Turns,
}

/// A write transaction under way, and the only one of this process.
///
/// One that is dropped takes its connection with it: SQLite rolls back what was not committed, whatever state a
/// full disk or a time-out left behind.
pub struct Writing {
    /// It ends before another task has the writer, which would wait for its own.
    _turn: Turn,
    writer: OwnedMutexGuard<Option<SqliteConnection>>,
    has_ended: bool,
}

impl SqliteFile {
    /// Opens or makes the file and brings its schema up to date, under a lock that keeps other processes out
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be opened or its schema is newer than this program.
    pub async fn open(path: &Path, knobs: &StoreKnobs) -> Result<Self> {
        let refused = |what: &str, e: &dyn std::fmt::Display| Error::Config(super::refused(what, path, e));
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("temp_store", "memory")
            .row_buffer_size(ROWS_AHEAD)
            .disable_statement_logging();
        let lock = lock_file(path, ".lock").map_err(|e| refused("lock", &e))?;
        // Off the runtime's threads: the holder of the lock may need one of them to release it.
        let locking = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
        let lock = locking.await.map_err(|e| refused("lock", &e))?.map_err(|e| refused("lock", &e))?;
        let for_writing = options.clone().pragma("cache_size", WRITER_CACHE);
        let mut writer =
            SqliteConnection::connect_with(&for_writing).await.map_err(|e| refused("open", &e))?;
        schema::explain(schema::migrator(schema::SQLITE).run(&mut writer).await)?;
        drop(lock);
        let for_reading = options.pragma("query_only", "on").pragma("cache_size", READER_CACHE);
        let timeout = Duration::from_millis(knobs.connect_timeout_ms);
        let readers = Readers::new(&for_reading, knobs.connections_max, timeout);
        readers.take().await?.end();
        let heavy = Readers::new(&for_reading, knobs.heavy_connections_max, timeout);
        let writer = Arc::new(Mutex::new(Some(writer)));
        let turns = Turns::open(path, BUSY_TIMEOUT).map_err(|e| refused("lock", &e))?;
        Ok(Self { path: path.to_path_buf(), readers, heavy, for_reading, for_writing, writer, turns })
    }

    /// A connection for one question, or for a transaction that only reads.
    pub async fn read(&self, patience: Patience) -> Result<Reading> {
        let readers = if patience == Patience::Heavy { &self.heavy } else { &self.readers };
        readers.take().await
    }

    /// Passes when the file can be read over a new connection, however busy those of the readers are.
    pub async fn probe(&self) -> Result<()> {
        let mut connection = SqliteConnection::connect_with(&self.for_reading).await?;
        sqlx::raw_sql("select id from installation").execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Begins a write transaction, in order of asking: IMMEDIATE, since one that turns from reading to writing
    /// ends in SQLITE_BUSY at once.
    pub async fn begin(&self) -> Result<Writing> {
        let mut writer = self.writer.clone().lock_owned().await;
        if writer.is_none() {
            *writer = Some(SqliteConnection::connect_with(&self.for_writing).await?);
        }
        let mut writing = Writing { _turn: self.turns.wait().await?, writer, has_ended: false };
        writing.run("begin immediate").await?;
        Ok(writing)
    }

    /// Closes the readers and folds the write-ahead log into the file, so that a copy of the file alone is whole.
    pub async fn close(&self) {
        self.readers.close().await;
        self.heavy.close().await;
        // Another process may be reading an older state: then the log stays beside the file, as it may.
        if let Some(writer) = self.writer.lock().await.as_mut() {
            // Most of it by the kind that keeps no writer waiting, the rest only if it need not wait for readers.
            let fold = "pragma wal_checkpoint(passive)";
            let rest = "pragma busy_timeout = 0; pragma wal_checkpoint(truncate)";
            for pragmas in [fold, rest] {
                if let Err(error) = sqlx::raw_sql(pragmas).execute(&mut *writer).await {
                    tracing::debug!(%error, "the write-ahead log stays beside the data file");
                }
            }
        }
    }
}

impl Writing {
    /// The connection, inside the transaction.
    pub fn connection(&mut self) -> Result<&mut SqliteConnection> {
        self.writer.as_mut().ok_or_else(|| Error::Unavailable("the data file is not open".into()))
    }

    /// Makes what was written durable. Its outcome is waited for: what was sent cannot be taken back.
    pub async fn commit(self) -> Result<()> {
        self.end(true).await
    }

    /// Commits, or leaves everything as it was.
    pub(crate) async fn end(mut self, commits: bool) -> Result<()> {
        self.run(if commits { "commit" } else { "rollback" }).await?;
        self.has_ended = true;
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<()> {
        sqlx::raw_sql(statement).execute(self.connection()?).await?;
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.has_ended {
            *self.writer = None;
        }
    }
}

/// Keeps a second `serve` off the same data file, for as long as the file that it returns is open.
///
/// # Errors
/// [`Error::Config`] when another process serves this file.
pub fn lock_for_serving(data: &Path) -> Result<File> {
    let why = match lock_file(data, ".serve").map(|file| (file.try_lock(), file)) {
        Ok((Ok(()), file)) => return Ok(file),
        Ok((Err(TryLockError::WouldBlock), _)) => {
            "another damper serves this file; stop it, or name another file with DAMPER_DATA \
             (all other commands work beside it)"
                .to_owned()
        }
        Ok((Err(TryLockError::Error(e)), _)) | Err(e) => e.to_string(),
    };
    Err(Error::Config(format!("cannot serve {}: {why}", data.display())))
}
