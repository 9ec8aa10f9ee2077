//! Exclusions: the ratings of a window are excluded, and restored.

use axum::extract::Path;

use super::{
    DecidedJson, Effect, ReasonQuery, WaitingDecision, decide_one, outcome_wait, reason, reason_or, scores,
    time_in_body,
};
use crate::api::routes::prelude::*;
use crate::app::apart;
use crate::app::moderation::Preview;
use crate::entry::{Decision, Position, Reason, Ruling, Window};
use crate::merge::{Exclusion, Outcome};

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
    scores: Option<Vec<Score>>,
    reason: Reason,
    decided_by: UserId,
    decided_at: Time,
    /// Ratings that it excluded
    excluded: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Exclusions {
    /// The newest first
    exclusions: Vec<ExclusionJson>,
}

impl From<Exclusion> for ExclusionJson {
    fn from(exclusion: Exclusion) -> Self {
        let Exclusion { window, by: decided_by, at: decided_at, reason, excluded, .. } = exclusion;
        let Window { from, to, scores } = window;
        let (id, scores) = (exclusion.id.to_string(), Some(scores).filter(|scores| !scores.is_empty()));
        let state = if exclusion.is_undone { "undone" } else { "active" };
        Self { id, state, from, to, scores, reason, decided_by, decided_at, excluded }
    }
}

/// Exclude the ratings of a window
///
/// Those whose own time lies in it and that were accepted before. `?preview=true` shows what would change, and changes
/// nothing.
#[utoipa::path(post, path = "/api/admin/posts/{id}/exclusions", tag = "moderation",
    params(PostPath, ExcludeQuery), request_body = ExclusionBody, responses(
        (status = 200, description = "Decided, or previewed", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingDecision),
        (status = 409, description = "`conflict`: the post has too many exclusions"),
    ))]
pub async fn exclude(
    State(gate): State<Gate>,
    moderator: Moderator,
    PostPath(post): PostPath,
    Parameters(query): Parameters<ExcludeQuery>,
    Body(body): Body<ExclusionBody>,
) -> Answer {
    let now = now();
    let (from, to) = (time_in_body(&body.from, "/from")?, time_in_body(&body.to, "/to")?);
    let window = Window::new(from, to, scores(&body.scores)?, now);
    let window = window.map_err(|e| Problem::in_body(e, "/to"))?;
    let reason = reason(&body.reason)?;
    if query.preview != Some(true) {
        let effect = |excluded, held| Effect::Active { excluded, held };
        let decision = Decision { deed: Ruling::Exclude(window), reason };
        return decide_one(&gate, &post, moderator, decision, effect).await;
    }
    let Preview { outcome, users, .. } = preview(&gate, &post, &moderator.0, window, now).await?;
    let Outcome { touched: excluded, held, before, after, .. } = outcome;
    let effect = Effect::Preview { excluded, held, users };
    Ok(Json(DecidedJson { id: None, effect, before, after }).into_response())
}

/// What the exclusion of a window would do; what waits is merged first.
pub(crate) async fn preview(
    gate: &Gate,
    post: &PostId,
    by: &UserId,
    window: Window,
    now: Time,
) -> Answer<Preview> {
    let (app, of) = (gate.app().clone(), post.clone());
    let drained = apart("a drain", async move { app.drainer().drain_post(&of, now).await });
    let late = |_| Error::Unavailable("what waits is being merged; try again".into());
    tokio::time::timeout(outcome_wait(gate), drained).await.map_err(late)??;
    Ok(gate.app().moderation().preview(post, by, window, now).await?)
}

/// Undo an exclusion
///
/// Its ratings are restored, vested as far as they were, except those that another exclusion covers and those whose users
/// have rated again or withdrawn.
#[utoipa::path(delete, path = "/api/admin/posts/{id}/exclusions/{exclusion_id}", tag = "moderation",
    params(PostPath, ("exclusion_id" = String, Path, description = "The exclusion"), ReasonQuery), responses(
        (status = 200, description = "Undone", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingDecision),
        (status = 409, description = "`conflict`: it has been undone already"),
    ))]
pub async fn undo(
    State(gate): State<Gate>,
    moderator: Moderator,
    PostPath(post): PostPath,
    Path((_, id)): Path<(String, String)>,
    Parameters(query): Parameters<ReasonQuery>,
) -> Answer {
    let missing = || Error::NotFound(format!("{post} has no exclusion {id}"));
    let deed = Ruling::Undo(Position::parse(&id).ok_or_else(missing)?);
    let reason = reason_or(query.reason.as_deref(), "undone")?;
    let effect = |restored, held| Effect::Undone { restored, held };
    decide_one(&gate, &post, moderator, Decision { deed, reason }, effect).await
}

/// List the exclusions of a post
#[utoipa::path(get, path = "/api/admin/posts/{id}/exclusions", tag = "moderation", params(PostPath), responses(
    (status = 200, description = "The newest first", body = Exclusions),
))]
pub async fn exclusions(
    State(app): Shared,
    _: Moderator,
    PostPath(post): PostPath,
    _: NoParameters,
) -> Answer<Json<Exclusions>> {
    app.reader().post(&post, None, now()).await?;
    let exclusions =
        app.moderation().exclusions(&post).await?.into_iter().rev().map(ExclusionJson::from).collect();
    Ok(Json(Exclusions { exclusions }))
}
