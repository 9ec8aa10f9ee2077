//! The list of held ratings; verdicts on them are in `verdicts`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::OfPost;
use crate::api::Shared;
use crate::api::gate::Moderator;
use crate::api::pages::{PageQuery, Paged};
use crate::api::problem::Problem;
use crate::error::Result;
use crate::merge::{HeldRating, Key};
use crate::model::{PostId, Score, Time, UserId};

/// A rating that waits for a moderator.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldRating)]
pub struct HeldJson {
    post_id: PostId,
    user_id: UserId,
    score: Score,
    rated_at: Time,
    /// When it starts to count if no moderator decides; null for never
    releases_at: Option<Time>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HeldRatings)]
pub struct HeldPageJson {
    /// In the order of posts and users
    ratings: Vec<HeldJson>,
    next_cursor: Option<String>,
}

/// List held ratings
///
/// Those that no moderator has decided on, of all posts or of one. A rating that an exclusion covers is not listed.
#[utoipa::path(get, path = "/api/admin/held", tag = "moderation", params(PageQuery, OfPost), responses(
    (status = 200, description = "In the order of posts and users", body = HeldPageJson,
        headers(("Link" = String, description = "The next page (rel=next)"))),
))]
pub async fn held(State(app): Shared, _: Moderator, paged: Paged<OfPost, Key>) -> Result<Response, Problem> {
    let post = paged.filter.post()?;
    let page = app.moderation().held_page(post.as_ref(), paged.after.as_ref(), paged.limit).await?;
    let json = |((post_id, user_id), held): (Key, HeldRating)| HeldJson {
        post_id,
        user_id,
        score: held.score,
        rated_at: held.rated_at,
        releases_at: app.moderation().released_at(held.rated_at),
    };
    let ratings = page.items.into_iter().map(json).collect();
    Ok(paged.answer(page.next.as_ref(), |next_cursor| HeldPageJson { ratings, next_cursor }))
}
