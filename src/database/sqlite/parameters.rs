//! Rows as SQLite takes them: parameters of many-row statements, since text would not carry a float's 8 bytes.

use sqlx::query_builder::{QueryBuilder, Separated};
use sqlx::sqlite::{Sqlite, SqliteConnection};

use crate::database::rows::{Field, Sink, Table, Write};
use crate::error::Result;

/// Rows that one statement writes: so few different statements are prepared once and kept, whatever a batch holds.
/// (SQLite allows 32,766 parameters.)
const ROWS_AT_ONCE: [usize; 3] = [256, 16, 1];
/// Where the rows stand in a statement.
const ROWS: &str = "{rows}";

/// Writes `rows` into `table`, many a statement. Returns how many rows that changed.
pub async fn write_rows<T>(
    writer: &mut SqliteConnection,
    table: &Table,
    rows: &[T],
    write: impl Write<T>,
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
    fn put(&mut self, field: Field<'_>) {
        match field {
            Field::Text(value) => self.0.push_bind(value.map(str::to_owned)),
            Field::Bytes(value) => self.0.push_bind(value.to_vec()),
            Field::Small(value) => self.0.push_bind(value),
            Field::Int(value) => self.0.push_bind(value),
            Field::Float(value) => self.0.push_bind(value),
        };
    }
}
