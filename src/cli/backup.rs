//! `damper backup FILE`: copies the embedded data file while `serve` runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use indicatif::HumanBytes;
use serde::Serialize;

use super::{JsonArg, print_json, term};
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

/// The result of a backup, as JSON.
#[derive(Serialize)]
struct BackupJson {
    file: PathBuf,
    bytes: u64,
    duration_ms: u64,
}

/// Copies the file. It opens, creates and migrates nothing else.
pub async fn backup(settings: Settings, args: &BackupArgs) -> Result<ExitCode> {
    let config = settings.config;
    if config.setup() == Setup::Servers {
        let detail = "damper backup copies the data file of the embedded set-up; on servers copy redis' append-only \
                      file first, and only then run pg_dump (docs/OPERATIONS.md, Backups)";
        return Err(Error::Invalid(Invalid::new(Kind::NotEmbedded, detail)));
    }
    let began = Instant::now();
    let bytes = SqliteFile::back_up(&config.data, &args.file).await?;
    let done = BackupJson { file: args.file.clone(), bytes, duration_ms: began.elapsed().as_millis() as u64 };
    if args.output.json {
        print_json(&done)?;
    } else {
        term::print(&format!(
            "backed up {} to {}: {} in {}\n",
            config.data.display(),
            done.file.display(),
            HumanBytes(bytes),
            term::span_ms(done.duration_ms)
        ));
    }
    Ok(ExitCode::SUCCESS)
}
