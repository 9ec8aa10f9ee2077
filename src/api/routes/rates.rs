//! Rating and withdrawing: `POST` and `DELETE /api/posts/{id}/rate`.

use std::fmt::Write as _;
use std::net::IpAddr;

use axum::http::{HeaderName, HeaderValue};
use axum::response::AppendHeaders;

use super::prelude::*;
use crate::api::address::ClientAddress;
use crate::app::intake::{Accepted, Rater};
use crate::entry::Action;
use crate::limits::{Admission, Quota};
use crate::model::json::{self, present};

/// What is left of each limit (RateLimit header fields for HTTP, an Internet-Draft of the HTTPAPI group).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limits themselves.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Room for such a header, so that its text is written in place.
const HEADER_BYTES: usize = 96;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateBody {
    /// The user who rates
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = UserId)]
    user_id: Option<String>,
    // Any JSON, so that the problem can say what is wrong with it.
    /// A whole number
    #[schema(value_type = Score)]
    score: Value,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WithdrawQuery {
    /// The user whose rating is withdrawn
    #[param(value_type = UserId, required = true)]
    user_id: Option<String>,
}

/// Rate a post
///
/// Answered once the rating is stored durably; it counts from the tick in `counts_from` on.
#[utoipa::path(post, path = "/api/posts/{id}/rate", tag = "ratings", params(PostPath),
    request_body = RateBody, responses((status = 202, description = "Accepted", body = Accepted)))]
pub async fn rate(
    State(app): Shared,
    Somebody(caller): Somebody,
    ClientAddress(address): ClientAddress,
    PostPath(post): PostPath,
    _: NoParameters,
    Body(body): Body<RateBody>,
) -> Answer {
    let user = caller.named_in_body(body.user_id.as_deref())?;
    let score = json::score(&body.score).map_err(|e| Problem::in_body(e, "/score"))?;
    take(&app, (caller.rater(&user), address), &post, Action::Rate(score)).await
}

/// Withdraw a rating
///
/// The answer is that of a rating, whether or not there was one.
#[utoipa::path(delete, path = "/api/posts/{id}/rate", tag = "ratings", params(PostPath, WithdrawQuery), responses(
    (status = 202, description = "Accepted", body = Accepted),
))]
pub async fn withdraw(
    State(app): Shared,
    Somebody(caller): Somebody,
    ClientAddress(address): ClientAddress,
    PostPath(post): PostPath,
    Parameters(query): Parameters<WithdrawQuery>,
) -> Answer {
    let unnamed = || {
        let detail = "user_id is missing; add ?user_id=… to name the user";
        Problem::in_parameter(Invalid::new(Kind::UserMissing, detail), "user_id")
    };
    let user = caller.reader(query.user_id.as_deref())?.ok_or_else(unnamed)?;
    take(&app, (caller.rater(&user), address), &post, Action::Withdraw).await
}

/// Takes a rating or withdrawal, unless a limit is reached. The limits come first: they cost no database work.
async fn take(app: &App, (rater, address): (Rater<'_>, IpAddr), post: &PostId, action: Action) -> Answer {
    let now = now();
    let admission = app.limits().take(rater.user, address, post, now).await;
    let headers = quota_headers(&admission);
    let outcome = match &admission.refused {
        Some(quota) => Err(limited(quota)),
        None => app.intake().submit(post, rater, action, now).await.map_err(Problem::from),
    };
    match outcome {
        Ok(accepted) => Ok((StatusCode::ACCEPTED, AppendHeaders(headers), Json(accepted)).into_response()),
        Err(problem) => {
            Err(headers.into_iter().fold(problem, |problem, (name, value)| problem.with(name, value)))
        }
    }
}

/// The headers that show what is left.
fn quota_headers(admission: &Admission) -> Vec<(HeaderName, HeaderValue)> {
    if admission.quotas.is_empty() {
        return Vec::new();
    }
    let (mut policies, mut left) = (String::with_capacity(HEADER_BYTES), String::with_capacity(HEADER_BYTES));
    for Quota { policy, per_minute, remaining, reset_seconds, .. } in &admission.quotas {
        let comma = if left.is_empty() { "" } else { ", " };
        let _ = write!(policies, "{comma}\"{policy}\";q={per_minute};w=60");
        let _ = write!(left, "{comma}\"{policy}\";r={remaining};t={reset_seconds}");
    }
    let headers = [(RATE_LIMIT_POLICY, policies), (RATE_LIMIT, left)].into_iter();
    headers.filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?))).collect()
}

fn limited(quota: &Quota) -> Problem {
    let Quota { policy, per_minute, wait_seconds, .. } = quota;
    let detail =
        format!("more than {per_minute} ratings a minute of one {policy}; try again in {wait_seconds} s");
    Problem::new(Kind::RateLimited, detail).with(header::RETRY_AFTER, HeaderValue::from(*wait_seconds))
}
