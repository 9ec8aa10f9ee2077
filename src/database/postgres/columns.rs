//! Rows as Postgres takes them in one statement: an array per column, unnested.
//!
//! Much slower than COPY for many rows, much faster for few: sqlx leaves Nagle's algorithm on, and COPY's last
//! small message then waits for the server's delayed acknowledgement, about 40 ms each time.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::database::rows::Sink;
use crate::error::Result;

/// The values of one column.
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

/// Executes the statement that `statement` makes of a query for `rows`; `write` puts a row's values in the order of
/// the columns. Returns how many rows that changed.
pub async fn write_rows<T>(
    connection: &mut PgConnection,
    statement: impl FnOnce(&str) -> String,
    rows: &[T],
    write: impl Fn(&mut dyn Sink, &T),
) -> Result<u64> {
    let mut values = Columns::default();
    for row in rows {
        values.next = 0;
        write(&mut values, row);
    }
    if values.columns.is_empty() {
        return Ok(0);
    }
    let arrays: Vec<String> = values
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| format!("${}::{}[]", i + 1, column.kind()))
        .collect();
    let sql = statement(&format!("select * from unnest({})", arrays.join(", ")));
    let mut statement = sqlx::query(AssertSqlSafe(sql));
    for column in values.columns {
        statement = match column {
            Column::Text(values) => statement.bind(values),
            Column::Bytes(values) => statement.bind(values),
            Column::Small(values) => statement.bind(values),
            Column::Int(values) => statement.bind(values),
            Column::Float(values) => statement.bind(values),
        };
    }
    Ok(statement.execute(connection).await?.rows_affected())
}

impl Column {
    fn kind(&self) -> &'static str {
        match self {
            Column::Text(_) => "text",
            Column::Bytes(_) => "bytea",
            Column::Small(_) => "smallint",
            Column::Int(_) => "bigint",
            Column::Float(_) => "double precision",
        }
    }
}

macro_rules! take {
    ($columns:expr, $kind:ident, $value:expr) => {{
        let columns = $columns;
        if columns.next == columns.columns.len() {
            columns.columns.push(Column::$kind(Vec::new()));
        }
        // A table's rows are written by one function, so a column never changes its kind.
        if let Column::$kind(values) = &mut columns.columns[columns.next] {
            values.push($value);
        }
        columns.next += 1;
    }};
}

impl Sink for Columns {
    fn text_or_null(&mut self, value: Option<&str>) {
        take!(self, Text, value.map(str::to_owned));
    }

    fn bytes(&mut self, value: &[u8]) {
        take!(self, Bytes, value.to_vec());
    }

    fn small(&mut self, value: i16) {
        take!(self, Small, value);
    }

    fn int_or_null(&mut self, value: Option<i64>) {
        take!(self, Int, value);
    }

    fn float(&mut self, value: f64) {
        take!(self, Float, value);
    }
}
