//! Rows as Postgres' binary COPY takes them: for each a count of fields, for each field its length and bytes.

use sqlx::PgConnection;

use crate::database::rows::{Sink, Table};
use crate::error::Result;

/// Signature, no flags, no extension (Postgres documentation, "COPY", binary format).
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// The length of a field that is null.
const NULL: [u8; 4] = (-1i32).to_be_bytes();
/// What is sent at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Copies `rows` to where `table` is staged; `write` puts a row's fields in the order of the columns.
pub async fn copy_in<T>(
    connection: &mut PgConnection,
    table: &Table,
    rows: &[T],
    write: impl Fn(&mut dyn Sink, &T),
) -> Result<()> {
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
    fn text_or_null(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.bytes(value.as_bytes()),
            None => self.0.extend_from_slice(&NULL),
        }
    }

    fn bytes(&mut self, value: &[u8]) {
        // A field's length is 32 bits; ours are ids, reasons and payloads of a kilobyte.
        self.0.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn small(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    fn int_or_null(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.bytes(&value.to_be_bytes()),
            None => self.0.extend_from_slice(&NULL),
        }
    }

    fn float(&mut self, value: f64) {
        self.bytes(&value.to_be_bytes());
    }
}
