//! The schema's version: what this program was written for, and what an older one must not touch.

use sqlx::migrate::MigrateError;

use crate::error::{Error, Result};

/// The newest migration in `migrations/`. Every commit compares it with the database's, so a program that is
/// older than the schema writes nothing.
pub const SCHEMA_VERSION: i64 = 6;

/// Turns a migration's outcome into a sentence that says what to do.
pub fn explain(outcome: Result<(), MigrateError>) -> Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => Err(newer(found)),
        Err(MigrateError::Execute(e)) => Err(e.into()),
        Err(MigrateError::ExecuteMigration(e, version)) => {
            Err(Error::Internal(format!("migration {version} failed: {e}")))
        }
        Err(e) => Err(Error::Config(format!("the database's schema is not Damper's: {e}"))),
    }
}

/// Passes when the database's schema is the one that this program was written for.
///
/// # Errors
/// [`Error::Config`] when it is newer.
pub fn check(found: i64) -> Result<()> {
    if found == SCHEMA_VERSION { Ok(()) } else { Err(newer(found)) }
}

/// The refusal of a schema that is newer than this program.
fn newer(found: i64) -> Error {
    Error::Config(format!(
        "the database's schema has version {found}, this damper knows up to {SCHEMA_VERSION}: \
         install the newer damper that migrated it"
    ))
}
