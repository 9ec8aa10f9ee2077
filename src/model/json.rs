//! JSON from outside: read into what is expected, or refused with the place that must change.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::error::{Invalid, Kind};
use crate::model::Score;

/// How much of a text from outside is shown: a field's name may be as long as the body.
const SHOWN_CHARS_MAX: usize = 200;

/// What is wrong with a JSON object, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong.
    pub invalid: Invalid,
    /// The field that must change (RFC 6901); `None` when it is not JSON at all.
    pub pointer: Option<String>,
}

impl Misfit {
    /// A wrong value in the field at `pointer`.
    pub fn at(pointer: impl Into<String>, invalid: Invalid) -> Self {
        Self { invalid, pointer: Some(pointer.into()) }
    }
}

/// Reads one object, which messages call `what`: "body", "line".
pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Misfit> {
    check_object(what, bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| explain(what, &e))?;
    json.end().map_err(|e| malformed(what, &e))?;
    Ok(value)
}

/// Passes an object: serde would take a list for an object, field by field.
fn check_object(what: &str, bytes: &[u8]) -> Result<(), Misfit> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Ok(());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|e| malformed(what, &e))?;
    let detail = format!("the {what} is not a JSON object; send {{\"field\": value, …}}");
    Err(Misfit::at("", Invalid::new(Kind::InvalidBody, detail)))
}

fn malformed(what: &str, error: &serde_json::Error) -> Misfit {
    let detail = format!("the {what} is not JSON: {error}");
    Misfit { invalid: Invalid::new(Kind::MalformedJson, detail), pointer: None }
}

fn explain(what: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Misfit {
    if !error.inner().is_data() {
        return malformed(what, error.inner());
    }
    let detail = error.inner().to_string();
    // serde_json names the place by line and column; people look for the field.
    let detail = detail.split(" at line ").next().unwrap_or(&detail).to_owned();
    // RFC 6901, section 3.
    let escaped = |name: &str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let segment = |segment: &serde_path_to_error::Segment| match segment {
        serde_path_to_error::Segment::Seq { index } => format!("/{index}"),
        other => escaped(&other.to_string()),
    };
    let mut pointer: String = error.path().iter().map(segment).collect();
    // What is missing or there twice has no path of its own, only a name in the message.
    let name = ["missing field `", "duplicate field `"].iter().find_map(|what| detail.strip_prefix(what));
    if let Some(name) = name.and_then(|rest| rest.strip_suffix('`')) {
        pointer = format!("{pointer}/{name}");
    }
    Misfit::at(shown(&pointer), Invalid::new(Kind::InvalidBody, shown(&detail)))
}

/// As much of a text from outside as an answer may show.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A field that may be absent. A null is read as a value.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Takes whole numbers, 0..=5; `5.0`, `"5"` and `true` are not whole numbers.
pub fn score(value: &serde_json::Value) -> Result<Score, Invalid> {
    match value {
        serde_json::Value::Number(number) if number.is_i64() || number.is_u64() => {
            Score::parse(number.as_i64().unwrap_or(i64::MAX))
                .map_err(|_| Invalid::new(Kind::ScoreOutOfRange, format!("score {number} is outside 0..=5")))
        }
        other => {
            let shown: String = other.to_string().chars().take(40).collect();
            Err(Invalid::new(Kind::ScoreNotWhole, format!("score {shown} is not a whole number in 0..=5")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_a_whole_number_from_0_to_5() {
        let parse = |json: &str| score(&serde_json::from_str(json).unwrap());
        for good in ["0", "5"] {
            assert_eq!(parse(good).unwrap().to_string(), good);
        }
        for outside in ["6", "-1", "255", "256", "18446744073709551615", "-9223372036854775808"] {
            assert_eq!(parse(outside).unwrap_err().kind, Kind::ScoreOutOfRange, "{outside}");
        }
        for other in ["2.5", "5.0", "-0", "\"5\"", "true", "null", "[5]", "{}", "1e2"] {
            assert_eq!(parse(other).unwrap_err().kind, Kind::ScoreNotWhole, "{other}");
        }
    }
}
