//! Rows as SQLite takes them: parameters of many-row statements, since text would not carry a float's 8 bytes.

use sqlx::query_builder::{QueryBuilder, Separated};
use sqlx::sqlite::{Sqlite, SqliteConnection};

use crate::database::rows::{Sink, Table};
use crate::error::Result;

/// Rows that one statement writes: so few different statements are prepared once and kept, whatever a batch holds.
/// (SQLite allows 32,766 parameters.)
const ROWS_AT_ONCE: [usize; 3] = [256, 16, 1];
/// Where the rows stand in a statement.
const ROWS: &str = "{rows}";

/// Writes `rows` into `table`, many a statement; `write` puts a row's values in the order of the columns. Returns how
/// many rows that changed.
pub async fn write_rows<T>(
    writer: &mut SqliteConnection,
    table: &Table,
    rows: &[T],
    write: impl Fn(&mut dyn Sink, &T),
) -> Result<u64> {
    let statement = table.write(ROWS);
    let (head, tail) = statement.split_once(ROWS).unwrap_or((&statement, ""));
    let (mut rest, mut changed) = (rows, 0);
    while let Some(count) = ROWS_AT_ONCE.into_iter().find(|&count| count <= rest.len()) {
        let chunk;
        (chunk, rest) = rest.split_at(count);
        let mut statement = QueryBuilder::<Sqlite>::new(head);
        statement.push_values(chunk, |values, row| write(&mut ParameterRow(values), row)).push(tail);
        changed += statement.build().persistent(true).execute(&mut *writer).await?.rows_affected();
    }
    Ok(changed)
}

/// Takes the parameters of one row.
struct ParameterRow<'a>(Separated<'a, Sqlite, &'static str>);

impl Sink for ParameterRow<'_> {
    fn text_or_null(&mut self, value: Option<&str>) {
        self.0.push_bind(value.map(str::to_owned));
    }

    fn bytes(&mut self, value: &[u8]) {
        self.0.push_bind(value.to_vec());
    }

    fn small(&mut self, value: i16) {
        self.0.push_bind(value);
    }

    fn int_or_null(&mut self, value: Option<i64>) {
        self.0.push_bind(value);
    }

    fn float(&mut self, value: f64) {
        self.0.push_bind(value);
    }
}
