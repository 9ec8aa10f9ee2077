//! Rows as Postgres takes them in one statement: an array per column, unnested.
//!
//! Much slower than COPY for many rows, much faster for few: sqlx leaves Nagle's algorithm on, and COPY's last
//! small message then waits for the server's delayed acknowledgement, about 40 ms each time.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;
use crate::store::rows::Sink;

/// The values of one column.
enum Column {
    Text(Vec<String>),
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

/// Inserts `rows` into `table (columns)` and goes on with `tail`; `write` puts a row's values in the order of the
/// columns.
pub async fn insert<T>(
    connection: &mut PgConnection,
    (table, columns, tail): (&str, &str, &str),
    rows: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut dyn Sink, T),
) -> Result<()> {
    let mut values = Columns::default();
    for row in rows {
        values.next = 0;
        write(&mut values, row);
    }
    if values.columns.is_empty() {
        return Ok(());
    }
    let arrays: Vec<String> = values
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| format!("${}::{}[]", i + 1, column.kind()))
        .collect();
    let sql = format!("insert into {table} ({columns}) select * from unnest({}){tail}", arrays.join(", "));
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
    statement.execute(connection).await?;
    Ok(())
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
    fn text(&mut self, value: &str) {
        take!(self, Text, value.to_owned());
    }

    fn bytes(&mut self, value: &[u8]) {
        take!(self, Bytes, value.to_vec());
    }

    fn small(&mut self, value: i16) {
        take!(self, Small, value);
    }

    fn int(&mut self, value: Option<i64>) {
        take!(self, Int, value);
    }

    fn float(&mut self, value: f64) {
        take!(self, Float, value);
    }
}
