//! What the data file and its file system say of themselves, for `damper doctor`, which judges. Nothing is written:
//! SQLite makes files of its own beside a file that it opens in write-ahead mode, even for reading, so a file that has
//! none beside it, which no process has open, is read as one that cannot change.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::{beside, refused};
use crate::error::{Error, Result};

/// Names five problems at most.
const CHECK: &str = "pragma quick_check(5)";
/// Times that the file is checked when a service opens it meanwhile.
const CHECKS_MAX: usize = 3;

pub struct SqliteHealth {
    /// Bytes of the file and of its write-ahead log.
    pub size: u64,
    /// Whether the file is kept with a write-ahead log; nothing when it is no SQLite file.
    pub is_write_ahead: Option<bool>,
    /// What a quick check of its structure finds wrong.
    pub problems: Vec<String>,
}

/// The file system that a path is on.
#[derive(Clone, Copy)]
pub struct FileSystem {
    /// Bytes that are left for this user.
    pub free: u64,
    /// Which kind it is, as the kernel numbers them.
    pub kind: u64,
}

impl SqliteHealth {
    /// Looks at the file; nothing when there is none. A large file takes a while.
    pub async fn ask(data: &Path) -> Result<Option<Self>> {
        let refused = |e: std::io::Error| Error::Config(refused("read", data, e));
        if !data.try_exists().map_err(refused)? {
            return Ok(None);
        }
        let mut header = Vec::new();
        File::open(data).and_then(|file| file.take(20).read_to_end(&mut header)).map_err(refused)?;
        let log = beside(data, "-wal");
        let length = |path: &Path| path.metadata().map_or(0, |found| found.len());
        let mut problems = Vec::new();
        for _ in 0..CHECKS_MAX {
            let is_open = log.exists();
            problems = check(data, is_open).await;
            if is_open == log.exists() {
                break;
            }
        }
        Ok(Some(Self {
            size: length(data) + length(&log),
            is_write_ahead: is_write_ahead(&header),
            problems,
        }))
    }
}

impl FileSystem {
    /// The file system of `path`, which exists; nothing when the system does not say.
    pub fn of(path: &Path) -> Option<Self> {
        let found = rustix::fs::statfs(path).ok()?;
        let block = u64::try_from(found.f_bsize).ok()?;
        Some(Self { free: found.f_bavail.saturating_mul(block), kind: found.f_type as u64 & 0xffff_ffff })
    }
}

/// What is wrong with the file's structure.
async fn check(data: &Path, is_open: bool) -> Vec<String> {
    let options = SqliteConnectOptions::new()
        .filename(data)
        .read_only(true)
        .immutable(!is_open)
        .disable_statement_logging();
    let checking = async {
        let mut connection = options.connect().await?;
        let found: Vec<(String,)> = sqlx::query_as(CHECK).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(found)
    };
    match checking.await {
        Ok(found) => found.into_iter().map(|(line,)| line).filter(|line| line != "ok").collect(),
        Err(sqlx::Error::Database(e)) => vec![e.message().to_owned()],
        Err(e) => vec![e.to_string()],
    }
}

/// The write and read versions of a SQLite file stand in bytes 18 and 19 (fileformat2.html, section 1.3). A file of
/// no bytes is a database in which nothing is yet.
fn is_write_ahead(header: &[u8]) -> Option<bool> {
    match header {
        [] => Some(true),
        [b'S', b'Q', b'L', b'i', b't', b'e', .., write, read] if header.len() == 20 => {
            Some((*write, *read) == (2, 2))
        }
        _ => None,
    }
}
