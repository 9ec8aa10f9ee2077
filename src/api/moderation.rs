//! For moderators, on the admin listener: freezing, exclusions and their undoing, the audit.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::cursor;
use super::extract::{Body, NoParameters, Parameters, PostPath};
use super::gate::{Gate, Moderator};
use super::lists::{limit, next};
use super::problem::{Problem, ProblemJson};
use super::{Shared, now};
use crate::entry::{Decision, Deed, Position, Reason, Window};
use crate::error::{Error, Invalid, Result};
use crate::json::score;
use crate::outcome::{Decided, Exclusion, Figures};
use crate::rating::{PostId, Score, Time, UserId};

/// Whoever decides waits for the outcome at most this long, or this part of a request's time; it comes all the same.
const OUTCOME_WAIT: Duration = Duration::from_secs(5);
const OUTCOME_PART: f64 = 0.8;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyBody {
    /// Whether the post takes no ratings
    frozen: bool,
    /// Why
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00]*[^\\s\\x00][^\\x00]*$")]
    reason: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExclusionBody {
    /// The first moment whose ratings are taken out
    #[schema(value_type = Time)]
    from: String,
    /// The first moment after them; it has passed
    #[schema(value_type = Time)]
    to: String,
    /// Only these scores; without them, all
    #[serde(default)]
    #[schema(value_type = Vec<Score>, required = false)]
    scores: Vec<Value>,
    /// Why
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00]*[^\\s\\x00][^\\x00]*$")]
    reason: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExcludeQuery {
    /// Only say what would become
    preview: Option<bool>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UndoQuery {
    /// Why
    #[param(min_length = 1, max_length = 500, pattern = "^[^\\x00]*[^\\s\\x00][^\\x00]*$")]
    reason: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Decisions on the page
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<usize>,
    /// `next_cursor` of the page before
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
    /// Only of this post
    #[param(value_type = Option<PostId>)]
    post_id: Option<String>,
}

/// What came of a decision.
#[derive(Serialize, ToSchema)]
#[schema(as = Decision)]
pub struct DecidedJson {
    /// Its name; null for a preview
    id: Option<String>,
    /// `active`, `undone`, `frozen`, `thawed`; `preview`
    state: &'static str,
    /// Ratings that were taken out
    #[serde(skip_serializing_if = "Option::is_none")]
    excluded: Option<u64>,
    /// Ratings that were brought back
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<u64>,
    /// Users whose ratings these are (previews only)
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<u64>,
    before: Figures,
    after: Figures,
}

/// A decision that takes longer.
#[derive(Serialize, ToSchema)]
#[schema(as = WaitingDecision)]
pub struct WaitingJson {
    id: String,
    /// `waiting`: it will be merged, and stands in the audit then
    state: &'static str,
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
    /// Null: all
    #[schema(value_type = Option<Vec<Score>>)]
    scores: Option<Vec<Score>>,
    reason: String,
    decided_by: UserId,
    decided_at: Time,
    /// Ratings that it took out
    excluded: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Exclusions)]
pub struct ExclusionsJson {
    /// The newest first
    exclusions: Vec<ExclusionJson>,
}

/// A row of the audit.
#[derive(Serialize, ToSchema)]
#[schema(as = Audited)]
pub struct AuditedJson {
    id: String,
    post_id: PostId,
    decided_at: Time,
    decided_by: UserId,
    /// `freeze`, `thaw`, `exclude`, `undo`
    deed: &'static str,
    /// What it was about: the window of an exclusion, the id of the one that was undone
    #[schema(value_type = Option<Object>)]
    of: Option<Value>,
    reason: String,
    before: Figures,
    after: Figures,
    /// Ratings that it took out or brought back
    touched: u64,
    /// Why nothing came of it, if nothing did
    refused: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Audit)]
pub struct AuditJson {
    /// The newest first
    decisions: Vec<AuditedJson>,
    next_cursor: Option<String>,
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

impl From<Decided> for AuditedJson {
    fn from(Decided { position, post, at, by, decision, outcome }: Decided) -> Self {
        let of = match &decision.deed {
            Deed::Exclude(window) => serde_json::to_value(window).ok(),
            Deed::Undo(id) => Some(json!({"exclusion_id": id.to_string()})),
            Deed::Freeze | Deed::Thaw => None,
        };
        Self {
            id: position.to_string(),
            post_id: post,
            decided_at: at,
            decided_by: by,
            deed: decision.deed.as_str(),
            of,
            reason: decision.reason.as_str().to_owned(),
            before: outcome.before,
            after: outcome.after,
            touched: outcome.touched,
            refused: outcome.refused,
        }
    }
}

/// Freeze a post, or thaw it
///
/// A frozen post takes no ratings (423); reading goes on, and what was accepted before still counts.
#[utoipa::path(put, path = "/api/admin/posts/{id}/policy", tag = "moderation",
    params(("id" = PostId, Path, description = "The post")), request_body = PolicyBody,
    responses(
        (status = 200, description = "Decided", body = DecidedJson),
        (status = 202, description = "It takes longer, and goes on", body = WaitingJson),
    ))]
pub async fn policy(
    State(gate): State<Gate>,
    Moderator(by): Moderator,
    PostPath(post): PostPath,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<PolicyBody>,
) -> Result<Response, Problem> {
    let deed = if body.frozen { Deed::Freeze } else { Deed::Thaw };
    decide(&gate, post, by, Decision { deed, reason: reason(&body.reason)? }).await
}

/// Take out the ratings of a window
///
/// Those whose own time lies in it and that were accepted before. `?preview=true` says what would become, and does
/// nothing.
#[utoipa::path(post, path = "/api/admin/posts/{id}/exclusions", tag = "moderation",
    params(("id" = PostId, Path, description = "The post"), ExcludeQuery), request_body = ExclusionBody,
    responses(
        (status = 200, description = "Decided, or previewed", body = DecidedJson),
        (status = 202, description = "It takes longer, and goes on", body = WaitingJson),
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
    let window = window(&body, now)?;
    let reason = reason(&body.reason)?;
    if query.preview != Some(true) {
        return decide(&gate, post, by, Decision { deed: Deed::Exclude(window), reason }).await;
    }
    // What waits is merged first, in a task of its own: it goes on when the caller goes away.
    let (app, of) = (gate.app().clone(), post.clone());
    let drained = tokio::spawn(async move { app.drain_post(&of, now).await });
    let late = |_| Error::Unavailable("what waits is being merged; try again".into());
    let drained = tokio::time::timeout(outcome_wait(&gate), drained).await.map_err(late)?;
    drained.map_err(|e| Error::Internal(format!("a drain stopped: {e}")))??;
    let preview = gate.app().preview(&post, &by, window, now).await?;
    let json = DecidedJson {
        id: None,
        state: "preview",
        excluded: Some(preview.excluded),
        restored: None,
        // A user has one rating of a post.
        users: Some(preview.excluded),
        before: preview.before,
        after: preview.after,
    };
    Ok(Json(json).into_response())
}

/// Undo an exclusion
///
/// Its ratings are back, as far vested as they were, but for those that another exclusion keeps out and those whose users
/// have rated again or withdrawn.
#[utoipa::path(delete, path = "/api/admin/posts/{id}/exclusions/{exclusion_id}", tag = "moderation",
    params(("id" = PostId, Path, description = "The post"), ("exclusion_id" = String, Path, description = "The exclusion"), UndoQuery),
    responses(
        (status = 200, description = "Undone", body = DecidedJson),
        (status = 202, description = "It takes longer, and goes on", body = WaitingJson),
        (status = 409, description = "`conflict`: it has been undone already", body = ProblemJson<'static>,
            content_type = "application/problem+json"),
    ))]
pub async fn undo(
    State(gate): State<Gate>,
    Moderator(by): Moderator,
    PostPath(post): PostPath,
    Path(ids): Path<std::collections::HashMap<String, String>>,
    Parameters(query): Parameters<UndoQuery>,
) -> Result<Response, Problem> {
    let id = ids.get("exclusion_id").map(String::as_str).unwrap_or_default();
    let missing = || Error::NotFound(format!("{post} has no exclusion {id}"));
    let deed = Deed::Undo(Position::parse(id).ok_or_else(missing)?);
    let reason = Reason::parse(query.reason.as_deref().unwrap_or("undone"));
    let reason = reason.map_err(|e| Problem::in_parameter(e, "reason"))?;
    decide(&gate, post, by, Decision { deed, reason }).await
}

/// The exclusions of a post
#[utoipa::path(get, path = "/api/admin/posts/{id}/exclusions", tag = "moderation",
    params(("id" = PostId, Path, description = "The post")),
    responses((status = 200, description = "The newest first", body = ExclusionsJson)))]
pub async fn exclusions(
    State(app): Shared,
    _: Moderator,
    PostPath(post): PostPath,
    Parameters(_): Parameters<NoParameters>,
) -> Result<Json<ExclusionsJson>, Problem> {
    app.post(&post, None, now()).await?;
    let exclusions = app.exclusions(&post).await?.into_iter().rev().map(ExclusionJson::from).collect();
    Ok(Json(ExclusionsJson { exclusions }))
}

/// Who decided what, when and why, and what came of it
#[utoipa::path(get, path = "/api/admin/audit", tag = "moderation", params(AuditQuery), responses(
    (status = 200, description = "The newest first", body = AuditJson,
        headers(("Link" = String, description = "The next page (rel=next)"))),
))]
pub async fn audit(
    State(app): Shared,
    _: Moderator,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    let post = query.post_id.as_deref().map(PostId::parse).transpose();
    let post = post.map_err(|e| Problem::in_parameter(e, "post_id"))?;
    let after = query.cursor.as_deref().map(cursor::parse_audit).transpose();
    let after = after.map_err(|e| Problem::in_parameter(e, "cursor"))?;
    let (decided, after) = app.audit_page(post.as_ref(), after, limit).await?;
    let next_cursor = after.as_ref().map(cursor::write_audit);
    let of = post.map(|post| format!("&post_id={}", super::lists::escape(post.as_str()))).unwrap_or_default();
    let link = next_cursor
        .as_ref()
        .map(|cursor| next(&format!("/api/admin/audit?limit={limit}{of}&cursor={cursor}")));
    let decisions = decided.into_iter().map(AuditedJson::from).collect();
    Ok((link, Json(AuditJson { decisions, next_cursor })).into_response())
}

fn reason(text: &str) -> Result<Reason, Problem> {
    Reason::parse(text).map_err(|e| Problem::in_body(e, "/reason"))
}

fn window(body: &ExclusionBody, now: Time) -> Result<Window, Problem> {
    let time = |text: &str, pointer| {
        let wrong = || Invalid::new("invalid-time", format!("{text:?} is no time in RFC 3339"));
        let at =
            chrono::DateTime::parse_from_rfc3339(text).map_err(|_| Problem::in_body(wrong(), pointer))?;
        Ok::<Time, Problem>(at.to_utc().into())
    };
    let scores = body.scores.iter().enumerate();
    let scores =
        scores.map(|(i, value)| score(value).map_err(|e| Problem::in_body(e, format!("/scores/{i}"))));
    let scores: Vec<Score> = scores.collect::<Result<_, _>>()?;
    Window::new(time(&body.from, "/from")?, time(&body.to, "/to")?, scores, now)
        .map_err(|e| Problem::in_body(e, "/to"))
}

fn outcome_wait(gate: &Gate) -> Duration {
    let request = Duration::from_millis(gate.app().config().api.request_timeout_ms);
    OUTCOME_WAIT.min(request.mul_f64(OUTCOME_PART))
}

/// Takes a decision and answers what came of it, or that it goes on.
async fn decide(gate: &Gate, post: PostId, by: UserId, decision: Decision) -> Result<Response, Problem> {
    let (app, now) = (gate.app().clone(), now());
    let position = app.decide(&post, &by, decision, now).await?;
    // In a task of its own: it goes on when the caller goes away.
    let outcome = tokio::spawn(async move { app.outcome(&post, position, now).await });
    let Ok(outcome) = tokio::time::timeout(outcome_wait(gate), outcome).await else {
        let waiting = WaitingJson { id: position.to_string(), state: "waiting" };
        return Ok((StatusCode::ACCEPTED, Json(waiting)).into_response());
    };
    let decided = outcome.map_err(|e| Error::Internal(format!("a decision stopped: {e}")))?;
    let decided = match decided {
        // It is held, and the next tick merges it.
        Err(error) if error.is_transient() => {
            let waiting = WaitingJson { id: position.to_string(), state: "waiting" };
            return Ok((StatusCode::ACCEPTED, Json(waiting)).into_response());
        }
        decided => decided?,
    };
    if let Some(why) = decided.outcome.refused {
        return Err(Error::Conflict(why).into());
    }
    let (state, excluded, restored) = match decided.decision.deed {
        Deed::Freeze => ("frozen", None, None),
        Deed::Thaw => ("thawed", None, None),
        Deed::Exclude(_) => ("active", Some(decided.outcome.touched), None),
        Deed::Undo(_) => ("undone", None, Some(decided.outcome.touched)),
    };
    let (before, after) = (decided.outcome.before, decided.outcome.after);
    let id = Some(position.to_string());
    Ok(Json(DecidedJson { id, state, excluded, restored, users: None, before, after }).into_response())
}
