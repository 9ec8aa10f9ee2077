//! Exclusions: the ratings of a window are excluded, and restored.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{DecidedJson, ReasonQuery, WaitingJson, decide_one, outcome_wait, reason, scores, time};
use crate::api::extract::{Body, NoParameters, Parameters, PostPath};
use crate::api::gate::{Gate, Moderator};
use crate::api::problem::{Problem, ProblemJson};
use crate::api::{Shared, now};
use crate::app::apart;
use crate::entry::{Decision, Position, Reason, Ruling, Window};
use crate::error::{Error, Result};
use crate::merge::Exclusion;
use crate::model::{PostId, Score, Time, UserId};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExclusionBody {
    /// The first moment whose ratings are excluded
    #[schema(value_type = Time)]
    from: String,
    /// The first moment after them; not in the future
    #[schema(value_type = Time)]
    to: String,
    /// Only these scores; without them, all
    #[serde(default)]
    #[schema(value_type = Vec<Score>, required = false)]
    scores: Vec<Value>,
    /// The reason, for the audit
    #[schema(value_type = Reason)]
    reason: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExcludeQuery {
    /// Only show what would change
    preview: Option<bool>,
}

/// An exclusion.
#[derive(Serialize, ToSchema)]
#[schema(as = Exclusion)]
pub struct ExclusionJson {
    id: String,
    /// `active` or `undone`
    state: &'static str,
    from: Time,
    to: Time,
    /// The scores that it covers; null for all
    #[schema(value_type = Option<Vec<Score>>)]
    scores: Option<Vec<Score>>,
    reason: String,
    decided_by: UserId,
    decided_at: Time,
    /// Ratings that it excluded
    excluded: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Exclusions)]
pub struct ExclusionsJson {
    /// The newest first
    exclusions: Vec<ExclusionJson>,
}

impl From<Exclusion> for ExclusionJson {
    fn from(exclusion: Exclusion) -> Self {
        let Window { from, to, scores } = exclusion.window;
        Self {
            id: exclusion.id.to_string(),
            state: if exclusion.is_undone { "undone" } else { "active" },
            from,
            to,
            scores: Some(scores).filter(|scores| !scores.is_empty()),
            reason: exclusion.reason.as_str().to_owned(),
            decided_by: exclusion.by,
            decided_at: exclusion.at,
            excluded: exclusion.excluded,
        }
    }
}

/// Exclude the ratings of a window
///
/// Those whose own time lies in it and that were accepted before. `?preview=true` shows what would change, and changes
/// nothing.
#[utoipa::path(post, path = "/api/admin/posts/{id}/exclusions", tag = "moderation",
    params(("id" = PostId, Path, description = "The post"), ExcludeQuery), request_body = ExclusionBody,
    responses(
        (status = 200, description = "Decided, or previewed", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingJson),
        (status = 409, description = "`conflict`: the post has too many exclusions", body = ProblemJson<'static>,
            content_type = "application/problem+json"),
    ))]
pub async fn exclude(
    State(gate): State<Gate>,
    Moderator(by): Moderator,
    PostPath(post): PostPath,
    Parameters(query): Parameters<ExcludeQuery>,
    Body(body): Body<ExclusionBody>,
) -> Result<Response, Problem> {
    let now = now();
    let window = Window::new(time(&body.from, "/from")?, time(&body.to, "/to")?, scores(&body.scores)?, now)
        .map_err(|e| Problem::in_body(e, "/to"))?;
    let reason = reason(&body.reason)?;
    if query.preview != Some(true) {
        return decide_one(&gate, post, by, Decision { deed: Ruling::Exclude(window), reason }).await;
    }
    // What waits is merged first.
    let (app, of) = (gate.app().clone(), post.clone());
    let drained = apart("a drain", async move { app.drainer().drain_post(&of, now).await });
    let late = |_| Error::Unavailable("what waits is being merged; try again".into());
    tokio::time::timeout(outcome_wait(&gate), drained).await.map_err(late)??;
    let (decided, users) = gate.app().moderation().preview(&post, &by, window, now).await?;
    let json = DecidedJson { id: None, state: "preview", users: Some(users), ..decided.into() };
    Ok(Json(json).into_response())
}

/// Undo an exclusion
///
/// Its ratings are restored, vested as far as they were, except those that another exclusion covers and those whose users
/// have rated again or withdrawn.
#[utoipa::path(delete, path = "/api/admin/posts/{id}/exclusions/{exclusion_id}", tag = "moderation",
    params(("id" = PostId, Path, description = "The post"), ("exclusion_id" = String, Path, description = "The exclusion"), ReasonQuery),
    responses(
        (status = 200, description = "Undone", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingJson),
        (status = 409, description = "`conflict`: it has been undone already", body = ProblemJson<'static>,
            content_type = "application/problem+json"),
    ))]
pub async fn undo(
    State(gate): State<Gate>,
    Moderator(by): Moderator,
    PostPath(post): PostPath,
    Path(ids): Path<std::collections::HashMap<String, String>>,
    Parameters(query): Parameters<ReasonQuery>,
) -> Result<Response, Problem> {
    let id = ids.get("exclusion_id").map(String::as_str).unwrap_or_default();
    let missing = || Error::NotFound(format!("{post} has no exclusion {id}"));
    let deed = Ruling::Undo(Position::parse(id).ok_or_else(missing)?);
    let reason = query.reason_or("undone")?;
    decide_one(&gate, post, by, Decision { deed, reason }).await
}

/// List the exclusions of a post
#[utoipa::path(get, path = "/api/admin/posts/{id}/exclusions", tag = "moderation",
    params(("id" = PostId, Path, description = "The post")),
    responses((status = 200, description = "The newest first", body = ExclusionsJson)))]
pub async fn exclusions(
    State(app): Shared,
    _: Moderator,
    PostPath(post): PostPath,
    Parameters(_): Parameters<NoParameters>,
) -> Result<Json<ExclusionsJson>, Problem> {
    app.reader().post(&post, None, now()).await?;
    let exclusions =
        app.moderation().exclusions(&post).await?.into_iter().rev().map(ExclusionJson::from).collect();
    Ok(Json(ExclusionsJson { exclusions }))
}
