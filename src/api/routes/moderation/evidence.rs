//! Evidence: what arrived when and from whom, and which posts are in a surge or crowded.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::extract::{Parameters, PostPath};
use crate::api::gate::Moderator;
use crate::api::pages::{NoFilter, PageQuery, Paged};
use crate::api::problem::Problem;
use crate::api::{Shared, now};
use crate::app::moderation::alerts::{Alert, Step};
use crate::error::{Error, Invalid, Kind, Result};
use crate::model::{PostId, Time};
use crate::store::{AlertKey, Arrivals};

/// Without `from`, so many steps before `to`.
const STEPS_DEFAULT: i64 = 72;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ArrivalsQuery {
    /// The first moment; without it, 72 steps before `to`
    #[param(value_type = Option<Time>)]
    from: Option<String>,
    /// The first moment after; without it, now
    #[param(value_type = Option<Time>)]
    to: Option<String>,
    /// How long a step is
    #[param(value_type = Option<Step>)]
    by: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Arrivals)]
pub struct ArrivalsJson {
    post_id: PostId,
    from: Time,
    to: Time,
    /// The steps with ratings, in order
    steps: Vec<StepJson>,
}

/// Each user's latest rating whose own time lies in the step, whether it counts, is held or excluded.
#[derive(Serialize, ToSchema)]
#[schema(as = ArrivalsStep)]
pub struct StepJson {
    /// The step's beginning
    at: Time,
    ratings: u64,
    /// How many have the score 0, 1, .. 5
    #[schema(value_type = Vec<u64>, min_items = 6, max_items = 6)]
    by_score: [u64; 6],
    /// The share of users who had never rated anything before
    never_rated_before: f64,
    /// Of the accounts with a user here, the share younger than a week; null if there are none
    younger_than_a_week: Option<f64>,
    /// Ratings by accounts with a user here
    known_accounts: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Alerts)]
pub struct AlertsJson {
    /// The newest first
    alerts: Vec<Alert>,
    next_cursor: Option<String>,
}

impl StepJson {
    fn of(arrivals: &Arrivals, step: Step) -> Self {
        let share = |part: u64, of: u64| part as f64 / of as f64;
        let (ratings, known) = (arrivals.ratings(), arrivals.known_accounts);
        Self {
            at: Time::from_ms(arrivals.step * step.ms()),
            ratings,
            by_score: arrivals.by_score,
            never_rated_before: share(arrivals.first_ratings, ratings),
            younger_than_a_week: (known > 0).then(|| share(arrivals.young_accounts, known)),
            known_accounts: known,
        }
    }
}

/// Read what arrived when, and from whom
///
/// By the ratings' own times, counted by minutes, hours or days. At most 10,000 steps.
#[utoipa::path(get, path = "/api/admin/posts/{id}/arrivals", tag = "moderation",
    params(("id" = PostId, Path, description = "The post"), ArrivalsQuery),
    responses((status = 200, description = "The steps with ratings", body = ArrivalsJson)))]
pub async fn arrivals(
    State(app): Shared,
    _: Moderator,
    PostPath(post): PostPath,
    Parameters(query): Parameters<ArrivalsQuery>,
) -> Result<Json<ArrivalsJson>, Problem> {
    let now = now();
    let by = query.by.as_deref().unwrap_or("hour");
    let step = match by {
        "minute" => Step::Minute,
        "hour" => Step::Hour,
        "day" => Step::Day,
        _ => {
            let detail = format!("by {by:?} is not minute, hour or day");
            return Err(Problem::in_parameter(Invalid::new(Kind::InvalidQuery, detail), "by"));
        }
    };
    let to = query.to.as_deref().map(|text| time(text, "to")).transpose()?.unwrap_or(now);
    let from = query.from.as_deref().map(|text| time(text, "from")).transpose()?;
    let from = from.unwrap_or_else(|| to.plus_ms(-STEPS_DEFAULT * step.ms()));
    let found =
        app.moderation().arrivals(&post, (from, to), step, now).await.map_err(|error| match error {
            Error::Invalid(invalid) => Problem::in_parameter(invalid, "from"),
            other => other.into(),
        })?;
    let steps = found.iter().map(|arrivals| StepJson::of(arrivals, step)).collect();
    Ok(Json(ArrivalsJson { post_id: post, from, to, steps }))
}

/// List the posts that are in a surge or crowded
///
/// With the figures, and a window in which the newest wave of ratings lies. A page may be short: posts whose
/// surge has passed meanwhile are left out.
#[utoipa::path(get, path = "/api/admin/alerts", tag = "moderation", params(PageQuery), responses(
    (status = 200, description = "The newest first", body = AlertsJson,
        headers(("Link" = String, description = "The next page (rel=next)"))),
))]
pub async fn alerts(
    State(app): Shared,
    _: Moderator,
    paged: Paged<NoFilter, AlertKey>,
) -> Result<Response, Problem> {
    let page = app.moderation().alerts(paged.after.as_ref(), paged.limit, now()).await?;
    let alerts = page.items;
    Ok(paged.answer(page.next.as_ref(), |next_cursor| AlertsJson { alerts, next_cursor }))
}

fn time(text: &str, name: &'static str) -> Result<Time, Problem> {
    let wrong = || {
        Invalid::new(
            Kind::InvalidTime,
            format!("{text:?} is not a time in RFC 3339, like 2026-11-21T12:00:00Z"),
        )
    };
    let at = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| Problem::in_parameter(wrong(), name))?;
    Ok(at.to_utc().into())
}
