//! Rows on their way to Postgres: few as an array per column, unnested in one statement, many by COPY.
//!
//! COPY is much faster for many rows and much slower for few: sqlx leaves Nagle's algorithm on, and COPY's last small
//! message then waits for the server's delayed acknowledgement, about 40 ms each time.

use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection};

use crate::database::rows::{Field, Sink, Table, Write};
use crate::error::{Error, Result};

/// COPY is faster from this many rows on.
const COPY_ROWS_MIN: usize = 5_000;
/// Signature, no flags, no extension (Postgres documentation, "COPY", binary format).
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// The length of a field that is null.
const NULL: [u8; 4] = (-1i32).to_be_bytes();
/// Postgres' code for a table that there is not.
const NO_TABLE: &str = "42P01";
/// What is sent at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Sends `rows` to where `table` is staged.
pub async fn stage<T>(
    connection: &mut PgConnection,
    table: &Table,
    rows: &[T],
    write: impl Write<T>,
) -> Result<()> {
    let staged = if rows.len() >= COPY_ROWS_MIN {
        copy_in(connection, table, rows, write).await
    } else {
        let into = |rows: &str| format!("insert into {} ({}) {rows}", table.staged(), table.columns());
        write_rows(connection, into, rows, write).await.map(drop)
    };
    staged.map_err(|error| match &error {
        sqlx::Error::Database(e) if e.code().as_deref() == Some(NO_TABLE) => {
            Error::ReadOnly("the session has no tables to stage rows in: the server only reads".into())
        }
        _ => error.into(),
    })
}

/// Executes the statement that `statement` makes of a query for `rows`. Returns how many rows that changed.
pub async fn write_rows<T>(
    connection: &mut PgConnection,
    statement: impl FnOnce(&str) -> String,
    rows: &[T],
    write: impl Write<T>,
) -> sqlx::Result<u64> {
    let mut values = Columns::default();
    for row in rows {
        values.next = 0;
        write(&mut values, row);
    }
    if values.columns.is_empty() {
        return Ok(0);
    }
    let (mut arguments, mut arrays) = (PgArguments::default(), Vec::new());
    for (i, column) in values.columns.into_iter().enumerate() {
        let (added, kind) = match column {
            Column::Text(values) => (arguments.add(values), "text"),
            Column::Bytes(values) => (arguments.add(values), "bytea"),
            Column::Small(values) => (arguments.add(values), "smallint"),
            Column::Int(values) => (arguments.add(values), "bigint"),
            Column::Float(values) => (arguments.add(values), "double precision"),
        };
        added.map_err(sqlx::Error::Encode)?;
        arrays.push(format!("${}::{kind}[]", i + 1));
    }
    let sql = statement(&format!("select * from unnest({})", arrays.join(", ")));
    Ok(sqlx::query_with(AssertSqlSafe(sql), arguments).execute(connection).await?.rows_affected())
}

enum Column {
    Text(Vec<Option<String>>),
    Bytes(Vec<Vec<u8>>),
    Small(Vec<i16>),
    Int(Vec<Option<i64>>),
    Float(Vec<f64>),
}

/// Takes rows, value by value.
#[derive(Default)]
struct Columns {
    columns: Vec<Column>,
    /// The column that takes the next value.
    next: usize,
}

impl Sink for Columns {
    fn put(&mut self, field: Field<'_>) {
        if self.next == self.columns.len() {
            self.columns.push(match field {
                Field::Text(_) => Column::Text(Vec::new()),
                Field::Bytes(_) => Column::Bytes(Vec::new()),
                Field::Small(_) => Column::Small(Vec::new()),
                Field::Int(_) => Column::Int(Vec::new()),
                Field::Float(_) => Column::Float(Vec::new()),
            });
        }
        match (&mut self.columns[self.next], field) {
            (Column::Text(values), Field::Text(value)) => values.push(value.map(str::to_owned)),
            (Column::Bytes(values), Field::Bytes(value)) => values.push(value.to_vec()),
            (Column::Small(values), Field::Small(value)) => values.push(value),
            (Column::Int(values), Field::Int(value)) => values.push(value),
            (Column::Float(values), Field::Float(value)) => values.push(value),
            // A table's rows are written by one function, so a column never changes its kind.
            _ => {}
        }
        self.next += 1;
    }
}

async fn copy_in<T>(
    connection: &mut PgConnection,
    table: &Table,
    rows: &[T],
    write: impl Write<T>,
) -> sqlx::Result<()> {
    let statement = format!("copy {} ({}) from stdin (format binary)", table.staged(), table.columns());
    let width = (table.width() as i16).to_be_bytes();
    let mut copy = connection.copy_in_raw(&statement).await?;
    let mut buffer = HEADER.to_vec();
    for row in rows {
        buffer.extend_from_slice(&width);
        write(&mut CopyRow(&mut buffer), row);
        if buffer.len() >= CHUNK_BYTES {
            copy.send(buffer.as_slice()).await?;
            buffer.clear();
        }
    }
    buffer.extend_from_slice(&TRAILER);
    copy.send(buffer.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

/// Takes the fields of one row.
struct CopyRow<'a>(&'a mut Vec<u8>);

impl Sink for CopyRow<'_> {
    fn put(&mut self, field: Field<'_>) {
        let CopyRow(row) = self;
        let mut put = |bytes: &[u8]| {
            // A field's length is 32 bits; ours are ids, reasons and payloads of a kilobyte.
            row.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
            row.extend_from_slice(bytes);
        };
        match field {
            Field::Text(None) | Field::Int(None) => row.extend_from_slice(&NULL),
            Field::Text(Some(value)) => put(value.as_bytes()),
            Field::Bytes(value) => put(value),
            Field::Small(value) => put(&value.to_be_bytes()),
            Field::Int(Some(value)) => put(&value.to_be_bytes()),
            Field::Float(value) => put(&value.to_be_bytes()),
        }
    }
}
