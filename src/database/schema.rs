//! The schema's version: what this program was written for, and what an older one must not touch.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use crate::error::{Error, Result};

/// The newest migration in `migrations/`. Every commit compares it with the database's, so a program that is
/// older than the schema writes nothing.
pub const SCHEMA_VERSION: i64 = 11;

macro_rules! migrations {
    ($folder:literal) => {
        migrations!($folder: "0001_damper" "0002_identity" "0003_users" "0004_catalogue" "0005_moderation" "0006_review"
            "0007_marks" "0008_alerts" "0009_authors" "0010_steps" "0011_pages")
    };
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../migrations/", $folder, "/", $name, ".sql")))),*]
    };
}

/// Migrations by the names of their files, in order.
type Migrations = &'static [(&'static str, &'static str)];

pub(super) const POSTGRES: Migrations = migrations!("postgres");
pub(super) const SQLITE: Migrations = migrations!("sqlite");

/// Runs `migrations` that a database has not seen yet. Version, description and checksum are those that sqlx's own macro
/// makes of the files, so a database that was migrated by it is taken over.
pub(super) fn migrator(migrations: Migrations) -> Migrator {
    let migration = |(name, sql): &(&'static str, &'static str)| {
        let (version, description) = name.split_once('_').unwrap_or((name, ""));
        Migration::new(
            // The files' names begin with numbers: a test holds the list to the folder.
            version.parse().unwrap_or_default(),
            description.replace('_', " ").into(),
            MigrationType::Simple,
            AssertSqlSafe(*sql).into_sql_str(),
            sql.starts_with("-- no-transaction"),
        )
    };
    Migrator::with_migrations(migrations.iter().map(migration).collect())
}

/// Turns a migration's outcome into a sentence that says what to do.
pub(super) fn explain(outcome: Result<(), MigrateError>) -> Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => Err(newer(found)),
        Err(MigrateError::Execute(e)) => Err(unmigrated("the migration", e)),
        Err(MigrateError::ExecuteMigration(e, version)) => {
            Err(unmigrated(&format!("migration {version}"), e))
        }
        Err(e) => Err(Error::Config(format!("the database's schema is not Damper's: {e}"))),
    }
}

/// Why a migration failed: what passes by itself stays that.
fn unmigrated(migration: &str, error: sqlx::Error) -> Error {
    // Postgres' class of missing rights, and of names that are taken or missing.
    let is_ours_to_mend =
        matches!(&error, sqlx::Error::Database(e) if e.code().is_some_and(|code| code.starts_with("42")));
    if is_ours_to_mend {
        return Error::Config(format!(
            "{migration} failed: {error}. Give Damper a database of its own, and let its role own all tables in it"
        ));
    }
    match Error::from(error) {
        Error::Internal(why) | Error::Refused(why) => Error::Internal(format!("{migration} failed: {why}")),
        passing => passing,
    }
}

/// What the migrations after the first `applied` ones create in Postgres.
pub(super) fn created_after(applied: usize) -> Vec<&'static str> {
    let (old, new) = POSTGRES.split_at(applied.min(POSTGRES.len()));
    // An index may be created anew under its name.
    let old: Vec<&str> = old.iter().flat_map(created).collect();
    new.iter().flat_map(created).filter(|name| !old.contains(name)).collect()
}

/// The names of tables and indexes that a migration creates.
fn created((_, sql): &(&'static str, &'static str)) -> impl Iterator<Item = &'static str> {
    sql.lines().filter_map(|line| {
        let rest = line.strip_prefix("create table ").or_else(|| line.strip_prefix("create index "))?;
        rest.split_whitespace().next()
    })
}

/// Passes when the database's schema is the one that this program was written for.
///
/// # Errors
/// [`Error::Config`] when it is newer.
pub fn check(found: i64) -> Result<()> {
    if found == SCHEMA_VERSION { Ok(()) } else { Err(newer(found)) }
}

fn newer(found: i64) -> Error {
    Error::Config(format!(
        "the database's schema has version {found}, this damper knows up to {SCHEMA_VERSION}: \
         install the newer damper that migrated it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_migration_creates_is_read_from_it() {
        let all = created_after(0);
        for name in ["installation", "posts", "users", "posts_newest", "held"] {
            assert!(all.contains(&name), "{name} in {all:?}");
        }
        let last = created_after(POSTGRES.len() - 1);
        assert!(!last.contains(&"posts"), "{last:?}");
        assert!(!last.contains(&"ranking_alerted"), "an older one created it too: {last:?}");
        assert_eq!(created_after(POSTGRES.len() + 1), Vec::<&str>::new());
    }

    #[test]
    fn every_migration_is_listed_and_read_as_sqlx_reads_it() {
        for (folder, migrations) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
            let found = sqlx::migrate::resolve_blocking(&path).unwrap();
            let migrator = migrator(migrations);
            assert_eq!(found.len(), migrator.iter().count(), "{folder}");
            for ((file, _), listed) in found.iter().zip(migrator.iter()) {
                let seen = |of: &Migration| {
                    (of.version, of.description.clone(), of.migration_type, of.checksum.clone(), of.no_tx)
                };
                assert_eq!(seen(listed), seen(file), "{folder}");
            }
            assert_eq!(migrator.iter().last().map(|last| last.version), Some(SCHEMA_VERSION));
        }
    }
}
