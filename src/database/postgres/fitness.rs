//! Whether Damper can work in a Postgres database: looked at before anything is changed, by a start and by
//! `damper doctor`.

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};

use super::session;
use crate::database::schema::{self, POSTGRES};
use crate::error::{Error, Result};

/// Where migrations are noted, by Damper as by every other program that uses the same library.
const MIGRATIONS: &str = "_sqlx_migrations";
/// How often two sessions are compared. A pooler under load hands them different ones at times.
const COMPARISONS: usize = 3;

/// What was found of one matter. Where it has a remedy, Damper cannot work with it.
#[derive(Debug, Clone)]
pub struct Finding {
    pub check: &'static str,
    pub found: String,
    pub remedy: Option<String>,
}

/// What a database says of itself and of our role in it.
struct Facts {
    encoding: String,
    database: String,
    role: String,
    schema: Option<String>,
    may_create: bool,
    may_stage: bool,
    /// Whether there are notes of migrations, ours or another program's.
    has_migrations: bool,
    /// What there is in the schema, by name.
    names: Vec<String>,
    /// The tables of it that our role may not read and write.
    closed: Vec<String>,
}

const FACTS: &str = "
    with found as (
        select c.oid, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = current_schema())
    select current_setting('server_encoding') as encoding, current_database()::text as database,
           current_user::text as role, current_schema()::text as schema,
           coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
           has_database_privilege(current_database(), 'temporary') as may_stage,
           exists (select from found where relname = '_sqlx_migrations') as has_migrations,
           coalesce((select array_agg(relname::text order by relname) from found), '{}') as names,
           coalesce((select array_agg(relname::text order by relname) from found
                     where relkind = 'r' and relname = any($1)
                       and not (has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
                                and has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete'))),
                    '{}') as closed";

impl Facts {
    fn of(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            encoding: row.try_get("encoding")?,
            database: row.try_get("database")?,
            role: row.try_get("role")?,
            schema: row.try_get("schema")?,
            may_create: row.try_get("may_create")?,
            may_stage: row.try_get("may_stage")?,
            has_migrations: row.try_get("has_migrations")?,
            names: row.try_get("names")?,
            closed: row.try_get("closed")?,
        })
    }
}

/// Passes when Damper can work over `one`; `other` is a second connection.
///
/// # Errors
/// [`Error::Config`] with every obstacle and its remedy.
pub async fn require(one: &mut PgConnection, other: &mut PgConnection, host: &str) -> Result<()> {
    let findings = examine(one, other).await?;
    let sentence = |it: Finding| it.remedy.map(|remedy| format!("{}: {remedy}", it.found));
    let obstacles: Vec<String> = findings.into_iter().filter_map(sentence).collect();
    if obstacles.is_empty() {
        return Ok(());
    }
    Err(Error::Config(format!("Damper cannot work with postgres at {host}: {}", obstacles.join("; "))))
}

/// Looks at everything, and changes nothing. What cannot be looked at is left out.
pub async fn examine(one: &mut PgConnection, other: &mut PgConnection) -> Result<Vec<Finding>> {
    let sessions = sessions(one, other).await?;
    if sessions.remedy.is_some() {
        // What would be asked next would be prepared in another session.
        return Ok(vec![sessions]);
    }
    // A time limit of the role must not end the migration either.
    for connection in [&mut *one, other] {
        session::set(connection, &session::limited(&[])).await?;
    }
    // One snapshot: another process may be migrating.
    let mut moment = one.begin_with("begin isolation level repeatable read, read only").await?;
    let names = [&[MIGRATIONS][..], &schema::created_after(0)].concat();
    let facts = Facts::of(&sqlx::query(FACTS).bind(names).fetch_one(&mut *moment).await?)?;
    let mut findings = vec![sessions, encoding(&facts)];
    if facts.closed.iter().any(|table| table == MIGRATIONS) {
        findings.push(rights(&facts, &facts.closed));
    } else {
        let tables = tables(&facts, &mut moment).await?;
        // What is closed in another program's tables is its own business.
        let closed = if tables.remedy.is_none() { &facts.closed[..] } else { &[] };
        findings.extend([rights(&facts, closed), tables]);
    }
    moment.rollback().await?;
    Ok(findings)
}

/// A pooler may hand each transaction to another session: then staged tables, settings and locks are somewhere else.
async fn sessions(one: &mut PgConnection, other: &mut PgConnection) -> Result<Finding> {
    let first = backend(one).await?;
    for _ in 0..COMPARISONS {
        if backend(other).await? == first || backend(one).await? != first {
            let found = "a pooler hands every transaction to another session".to_owned();
            let remedy =
                "let DAMPER_DATABASE_URL name Postgres itself, or set pool_mode = session in PgBouncer";
            return Ok(Finding { check: "sessions", found, remedy: Some(remedy.to_owned()) });
        }
    }
    Ok(fine("sessions", "last as long as their connections"))
}

/// The server process behind a connection; without a prepared statement, which such a pooler would lose.
async fn backend(connection: &mut PgConnection) -> Result<i32> {
    Ok(sqlx::raw_sql("select pg_backend_pid()").fetch_one(connection).await?.try_get(0)?)
}

fn encoding(facts: &Facts) -> Finding {
    let Facts { encoding, database, .. } = facts;
    if encoding == "UTF8" {
        return fine("encoding", encoding);
    }
    let found = format!("the database {database} is encoded in {encoding}, which cannot hold every text");
    let remedy = "create one with encoding UTF8 (createdb --encoding=UTF8 --template=template0)".to_owned();
    Finding { check: "encoding", found, remedy: Some(remedy) }
}

/// What our role may not do; `closed` are tables of Damper that it may not use.
fn rights(facts: &Facts, closed: &[String]) -> Finding {
    let Facts { database, role, .. } = facts;
    let mut missing = Vec::new();
    match &facts.schema {
        None => missing
            .push(("find a schema on its search_path".to_owned(), "create the schema public".to_owned())),
        Some(schema) if !facts.may_create => missing.push((
            format!("create tables in the schema {schema}"),
            format!("grant create on schema \"{schema}\" to \"{role}\""),
        )),
        Some(_) => {}
    }
    if !facts.may_stage {
        missing.push((
            "create temporary tables".to_owned(),
            format!("grant temporary on database \"{database}\" to \"{role}\""),
        ));
    }
    if !closed.is_empty() {
        missing.push((
            format!("read and write the tables {}", closed.join(", ")),
            format!("alter table … owner to \"{role}\""),
        ));
    }
    let (acts, remedies): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    if acts.is_empty() {
        return fine("rights", "may create tables, and temporary ones");
    }
    let found = format!("the role {role} cannot {}", acts.join(", nor "));
    Finding { check: "rights", found, remedy: Some(remedies.join(", and ")) }
}

/// Another program's tables or migrations, in Damper's place.
async fn tables(facts: &Facts, moment: &mut PgConnection) -> Result<Finding> {
    let of_another = |what: String| Finding {
        check: "tables",
        found: format!("the schema {} holds {what}", facts.schema.as_deref().unwrap_or_default()),
        remedy: Some("give Damper a database of its own".to_owned()),
    };
    let mut applied = Vec::new();
    if facts.has_migrations {
        // Another program's table of this name may have other columns.
        let sql = "select version, checksum from _sqlx_migrations order by version";
        match sqlx::query_as::<_, (i64, Vec<u8>)>(sql).fetch_all(&mut *moment).await {
            Ok(rows) => applied = rows,
            Err(sqlx::Error::Database(_)) => {
                return Ok(of_another("migrations of another program (_sqlx_migrations)".to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let ours = schema::migrator(POSTGRES);
    let is_ours = match (applied.first(), ours.iter().next()) {
        (Some((version, checksum)), Some(first)) => {
            *version == first.version && checksum[..] == first.checksum[..]
        }
        _ => true,
    };
    if !is_ours {
        return Ok(of_another("migrations of another program (_sqlx_migrations)".to_owned()));
    }
    let taken = schema::created_after(applied.len());
    let taken: Vec<&str> = taken.into_iter().filter(|name| facts.names.iter().any(|it| it == name)).collect();
    if !taken.is_empty() {
        return Ok(of_another(format!("{}, which Damper did not create", taken.join(", "))));
    }
    Ok(fine("tables", if applied.is_empty() { "none yet; a start creates them" } else { "Damper's" }))
}

fn fine(check: &'static str, found: &str) -> Finding {
    Finding { check, found: found.to_owned(), remedy: None }
}
