//! `damper backup FILE`: copies the embedded data file while `serve` runs.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;

use super::{JsonArg, term};
use crate::config::{Settings, Setup};
use crate::database::sqlite::SqliteFile;
use crate::error::{Error, Invalid, Kind, Result};

#[derive(Args)]
pub struct BackupArgs {
    /// Name of the copy; the file must not exist yet
    file: PathBuf,
    #[command(flatten)]
    output: JsonArg,
}

/// Copies the file. It opens, creates and migrates nothing else.
pub async fn backup(settings: Settings, args: &BackupArgs) -> Result<u8> {
    let config = settings.config;
    if config.setup() == Setup::Servers {
        let detail = "damper backup copies the data file of the embedded set-up; on servers copy redis' append-only \
                      file first, and only then run pg_dump (docs/OPERATIONS.md, Backups)";
        return Err(Error::Invalid(Invalid::new(Kind::NotEmbedded, detail)));
    }
    let began = Instant::now();
    let bytes = SqliteFile::back_up(&config.data, &args.file).await?;
    let duration_ms = began.elapsed().as_millis() as u64;
    let done = json!({"file": args.file.to_string_lossy(), "bytes": bytes, "duration_ms": duration_ms});
    args.output.print(&done, || {
        let (from, to) = (config.data.display(), args.file.display());
        format!("backed up {from} to {to}: {} in {}\n", HumanBytes(bytes), term::span_ms(duration_ms))
    })
}
