//! A line taken apart: into columns, or into the fields of a JSON object.

use std::borrow::Cow;
use std::fmt;

use csv::{ByteRecord, ReaderBuilder};
use serde_json::Value;

use super::options::ROLES;
use crate::error::{Invalid, Kind};

/// What may stand between columns. The first line shows which: it has the most of it.
const DELIMITERS: [&str; 5] = [",", "\t", ";", "::", "|"];
/// Where a field of a JSON object is.
#[derive(Debug)]
pub enum Place {
    Name(String),
    Pointer(String),
}

impl Place {
    pub fn of<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        match self {
            Place::Name(name) => object.get(name),
            Place::Pointer(pointer) => object.pointer(pointer),
        }
    }

    /// The field of the object that it lies in.
    pub fn top(&self) -> &str {
        match self {
            Place::Name(name) => name,
            Place::Pointer(pointer) => pointer[1..].split('/').next().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Name(text) | Place::Pointer(text) => f.write_str(text),
        }
    }
}

pub fn place_of(name: &str) -> Place {
    if name.starts_with('/') { Place::Pointer(name.to_owned()) } else { Place::Name(name.to_owned()) }
}

/// The fields of an object that are no objects themselves: by name, and further in by pointer.
pub fn leaves_of(object: &Value) -> Vec<String> {
    fn collect(value: &Value, at: &str, leaves: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect(value, &format!("{at}/{name}"), leaves);
            }),
            _ => leaves.push(match at[1..].contains(['/', '~']) {
                true => at.to_owned(),
                false => at[1..].to_owned(),
            }),
        }
    }
    let mut leaves = Vec::new();
    if object.is_object() {
        collect(object, "", &mut leaves);
    }
    leaves
}

/// A JSON value as a text of a file has it; nothing for null, lists and objects.
pub fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

pub fn delimiter_of(first: &[u8]) -> Result<&'static str, Invalid> {
    let mut delimiter = DELIMITERS[0];
    let mut width = fields(first, delimiter)?.len();
    for other in &DELIMITERS[1..] {
        let split = fields(first, other)?.len();
        if split > width {
            (delimiter, width) = (other, split);
        }
    }
    Ok(delimiter)
}

pub fn texts(record: &ByteRecord) -> Vec<String> {
    record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
}

/// The fields of a line. Quotes are rare, so only a line that has some goes through the CSV reader.
pub fn fields(text: &[u8], delimiter: &str) -> Result<ByteRecord, Invalid> {
    let bad = |detail: &str| Invalid::new(Kind::BadLine, detail);
    // A tab at the edge is an empty field.
    let text = if delimiter.contains('\t') { text } else { text.trim_ascii() };
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let mut record = ByteRecord::with_capacity(text.len(), ROLES.len());
    if let (&[byte], true) = (delimiter.as_bytes(), text.contains(&b'"')) {
        if text.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
            return Err(bad("line has quotes that do not match"));
        }
        let mut reader = ReaderBuilder::new().has_headers(false).delimiter(byte).from_reader(text);
        reader.read_byte_record(&mut record).map_err(|e| bad(&e.to_string()))?;
        record.trim();
        return Ok(record);
    }
    let (mut rest, between) = (text, delimiter.as_bytes());
    while let Some(end) = find(rest, between) {
        record.push_field(rest[..end].trim_ascii());
        rest = &rest[end + between.len()..];
    }
    record.push_field(rest.trim_ascii());
    Ok(record)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    match part {
        [byte] => text.iter().position(|other| other == byte),
        _ => text.windows(part.len()).position(|window| window == part),
    }
}
