//! Rating and withdrawing: `POST` and `DELETE /api/posts/{id}/rate`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Body, NoParameters, Parameters, PostPath, reader};
use super::problem::Problem;
use super::{Shared, now};
use crate::app::Accepted;
use crate::entry::Action;
use crate::error::Invalid;
use crate::rating::{Score, UserId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateBody {
    user_id: String,
    /// Anything, so that what is wrong with it can be said in our words.
    score: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawQuery {
    user_id: Option<String>,
}

/// Takes a rating: 202 once it is held durably.
pub async fn rate(
    State(app): Shared,
    PostPath(post): PostPath,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<RateBody>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let user = UserId::parse(&body.user_id).map_err(|e| Problem::in_body(e, "/user_id"))?;
    let score = parse_score(&body.score).map_err(|e| Problem::in_body(e, "/score"))?;
    let accepted = app.submit(&post, &user, Action::Rate(score), now()).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// Takes a withdrawal of the caller's rating.
pub async fn withdraw(
    State(app): Shared,
    PostPath(post): PostPath,
    Parameters(query): Parameters<WithdrawQuery>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let unnamed = || {
        let detail = "whose rating is withdrawn? Add ?user_id=…";
        Problem::in_parameter(Invalid::new("user-missing", detail), "user_id")
    };
    let user = reader(query.user_id.as_deref())?.ok_or_else(unnamed)?;
    let accepted = app.submit(&post, &user, Action::Withdraw, now()).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// Takes whole numbers, 0..=5; `5.0`, `"5"` and `true` are not whole numbers.
fn parse_score(value: &Value) -> Result<Score, Invalid> {
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            Score::parse(number.as_i64().unwrap_or(i64::MAX))
                .map_err(|_| Invalid::new("score-out-of-range", format!("score {number} is outside 0..=5")))
        }
        other => {
            let shown: String = other.to_string().chars().take(40).collect();
            Err(Invalid::new("score-not-whole", format!("score {shown} is no whole number, 0..=5")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_a_whole_number_from_0_to_5() {
        let parse = |json: &str| parse_score(&serde_json::from_str(json).unwrap());
        for good in ["0", "5"] {
            assert_eq!(parse(good).unwrap().to_string(), good);
        }
        for outside in ["6", "-1", "18446744073709551615", "-9223372036854775808"] {
            assert_eq!(parse(outside).unwrap_err().problem, "score-out-of-range", "{outside}");
        }
        for other in ["2.5", "5.0", "-0", "\"5\"", "true", "null", "[5]", "{}", "1e2"] {
            assert_eq!(parse(other).unwrap_err().problem, "score-not-whole", "{other}");
        }
    }
}
