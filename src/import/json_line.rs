//! A line of JSON: `{"post_id": "hello", "user_id": "ann", "score": 5, "at": "2026-11-21T12:00:00Z"}`.
//!
//! A null score withdraws the rating. A line without a score is refused, because a forgotten field must not
//! withdraw. Without `at` the rating has the current time.

use serde::Deserialize;
use serde_json::Value;

use super::{parse_score, parse_time};
use crate::entry::{Action, Entry};
use crate::error::{Invalid, Kind};
use crate::model::json::{self, Misfit, present};
use crate::model::{PostId, Score, Time, UserId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rating {
    post_id: String,
    user_id: String,
    #[serde(default, deserialize_with = "present")]
    score: Option<Value>,
    at: Option<Value>,
}

/// Reads a line. The entry creates no post.
pub fn parse(line: &[u8], now: Time) -> Result<Entry, Misfit> {
    let rating: Rating = json::parse("line", line)?;
    let action = match &rating.score {
        None => {
            let detail = "missing field `score`; null withdraws";
            return Err(Misfit::at("/score", Invalid::new(Kind::InvalidBody, detail)));
        }
        Some(Value::Null) => Action::Withdraw,
        Some(score) => Action::Rate(self::score(score).map_err(|e| Misfit::at("/score", e))?),
    };
    let at = match &rating.at {
        None => now,
        Some(at) => time(at).and_then(|at| at.check_entry(now)).map_err(|e| Misfit::at("/at", e))?,
    };
    let post = PostId::parse(&rating.post_id).map_err(|e| Misfit::at("/post_id", e))?;
    let user = UserId::parse(&rating.user_id).map_err(|e| Misfit::at("/user_id", e))?;
    let entry = Entry::new(post, user, at, action);
    Ok(if rating.at.is_some() { entry.stated() } else { entry })
}

fn score(value: &Value) -> Result<Score, Invalid> {
    match value {
        Value::Number(number) if number.is_f64() => parse_score(&number.to_string()),
        other => json::score(other),
    }
}

fn time(value: &Value) -> Result<Time, Invalid> {
    match value {
        Value::String(text) => parse_time(text),
        other => parse_time(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_ms(1_790_000_000_000);

    #[test]
    fn a_line_is_an_entry() {
        for (line, entry) in [
            (r#"{"post_id":"p","user_id":"u","score":5}"#, "1 r p u 5 1790000000000"),
            (r#" {"score":null,"user_id":"u","post_id":"p"} "#, "1 w p u 1790000000000"),
            (r#"{"post_id":"p","user_id":"u","score":0,"at":null}"#, "1 r p u 0 1790000000000"),
            (r#"{"post_id":"p","user_id":"u","score":0,"at":1412424000}"#, "1 r p u 0 1412424000000 stated"),
            (r#"{"post_id":"p","user_id":"u","score":5.0}"#, "1 r p u 5 1790000000000"),
            (
                r#"{"post_id":"p","user_id":"u","score":0,"at":1412424000250}"#,
                "1 r p u 0 1412424000250 stated",
            ),
            (
                r#"{"post_id":"p","user_id":"u","score":0,"at":1412424000.25}"#,
                "1 r p u 0 1412424000250 stated",
            ),
            (
                r#"{"post_id":"p","user_id":"u","score":0,"at":"2014-10-04T12:00:00.25Z"}"#,
                "1 r p u 0 1412424000250 stated",
            ),
        ] {
            assert_eq!(parse(line.as_bytes(), NOW).unwrap().encode(), entry, "{line}");
        }
    }

    #[test]
    fn an_error_names_its_place() {
        for (line, problem, pointer) in [
            ("", "malformed-json", None),
            ("{", "malformed-json", None),
            ("{} {}", "invalid-body", Some("/post_id")),
            (r#"{"post_id":"p","user_id":"u","score":5}{"#, "malformed-json", None),
            ("[1]", "invalid-body", Some("")),
            ("5", "invalid-body", Some("")),
            (r#"{"post_id":"p","user_id":"u"}"#, "invalid-body", Some("/score")),
            (r#"{"post_id":"p","user_id":"u","score":5,"score":4}"#, "invalid-body", Some("/score")),
            (r#"{"post_id":"p","user_id":"u","score":6}"#, "score-out-of-range", Some("/score")),
            (r#"{"post_id":"p","user_id":"u","score":2.5}"#, "score-not-whole", Some("/score")),
            (r#"{"post_id":"p","user_id":"u","score":6.0}"#, "score-out-of-range", Some("/score")),
            (r#"{"post_id":"p","user_id":"u","score":"5"}"#, "score-not-whole", Some("/score")),
            (r#"{"post_id":"p","user_id":"u","score":-0}"#, "score-not-whole", Some("/score")),
            (r#"{"post_id":7,"user_id":"u","score":5}"#, "invalid-body", Some("/post_id")),
            (r#"{"post_id":"p p","user_id":"u","score":5}"#, "invalid-id", Some("/post_id")),
            (r#"{"post_id":"p","user_id":"","score":5}"#, "invalid-id", Some("/user_id")),
            (r#"{"post_id":"p","user_id":"u","score":5,"at":"soon"}"#, "invalid-time", Some("/at")),
            (r#"{"post_id":"p","user_id":"u","score":5,"at":{}}"#, "invalid-time", Some("/at")),
            (r#"{"post_id":"p","user_id":"u","score":5,"at":17}"#, "time-out-of-range", Some("/at")),
            (r#"{"post_id":"p","user_id":"u","score":5,"at":99999999999}"#, "time-out-of-range", Some("/at")),
            (r#"{"post_id":"p","user_id":"u","score":5,"weight":9}"#, "invalid-body", Some("/weight")),
        ] {
            let misfit = parse(line.as_bytes(), NOW).unwrap_err();
            let name = misfit.invalid.kind.page().slug;
            assert_eq!((name, misfit.pointer.as_deref()), (problem, pointer), "{line}");
        }
        assert_eq!(parse(b"{\"post_id\":\"\xff\"}", NOW).unwrap_err().invalid.kind, Kind::MalformedJson);
    }
}
