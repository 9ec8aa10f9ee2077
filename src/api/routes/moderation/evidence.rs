//! Evidence: what arrived when and from whom, and which posts are in a surge or crowded.

use super::time;
use crate::api::routes::prelude::*;
use crate::app::moderation::alerts::{Alert, Step};
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
    #[param(inline)]
    by: Option<Step>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Arrivals)]
pub struct ArrivalsJson {
    post_id: PostId,
    from: Time,
    to: Time,
    /// The steps with ratings, in order
    steps: Vec<ArrivalsStep>,
}

/// Each user's latest rating whose own time lies in the step, whether it counts, is held or excluded.
#[derive(Serialize, ToSchema)]
pub struct ArrivalsStep {
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
pub struct Alerts {
    /// The greatest distance between the exact and the published average first
    alerts: Vec<Alert>,
    next_cursor: Option<String>,
}

impl ArrivalsStep {
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
    params(PostPath, ArrivalsQuery),
    responses((status = 200, description = "The steps with ratings", body = ArrivalsJson)))]
pub async fn arrivals(
    State(app): Shared,
    _: Moderator,
    PostPath(post): PostPath,
    Parameters(query): Parameters<ArrivalsQuery>,
) -> Answer<Json<ArrivalsJson>> {
    let now = now();
    let step = query.by.unwrap_or(Step::Hour);
    let given = |text: Option<String>, name: &str| {
        text.as_deref().map(time).transpose().map_err(|e| Problem::in_parameter(e, name))
    };
    let to = given(query.to, "to")?.unwrap_or(now);
    let from = given(query.from, "from")?.unwrap_or_else(|| to.plus_ms(-STEPS_DEFAULT * step.ms()));
    let found =
        app.moderation().arrivals(&post, (from, to), step, now).await.map_err(|error| match error {
            Error::Invalid(invalid) => Problem::in_parameter(invalid, "from"),
            other => other.into(),
        })?;
    let steps = found.iter().map(|arrivals| ArrivalsStep::of(arrivals, step)).collect();
    Ok(Json(ArrivalsJson { post_id: post, from, to, steps }))
}

/// List the alerts: posts in a surge or crowded, whose published average has yet to move
///
/// With the figures, and a window in which the newest wave of ratings lies. A page may be short: alerts that have
/// ended since the last tick are left out.
#[utoipa::path(get, path = "/api/admin/alerts", tag = "moderation", params(PageQuery), responses(
    (status = 200, description = "The greatest shift first", body = Alerts),
))]
pub async fn alerts(State(app): Shared, _: Moderator, paged: Paged<Nothing, AlertKey>) -> Answer {
    let page = app.moderation().alerts(paged.after.as_ref(), paged.limit, now()).await?;
    Ok(paged.answer(page.next.as_ref(), |next_cursor| Alerts { alerts: page.items, next_cursor }))
}
