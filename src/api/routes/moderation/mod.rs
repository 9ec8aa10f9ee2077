//! For moderators, on the admin listener: a post's policy here; exclusions, held ratings and verdicts on them, evidence
//! and the audit in files of their own. Each decision is appended to the log and merged while its caller waits; if that
//! takes too long, the caller gets its name and it is merged later.

pub mod audit;
pub mod evidence;
pub mod exclusions;
pub mod held;
pub mod verdicts;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::api::extract::{Body, NoParameters, Parameters, PostPath};
use crate::api::gate::{Gate, Moderator};
use crate::api::problem::Problem;
use crate::api::{Shared, now};
use crate::app::apart;
use crate::entry::{Decision, Hold, Position, Reason, Ruling};
use crate::error::{Error, Invalid, Kind, Result};
use crate::merge::Decided;
use crate::merge::Standing;
use crate::model::json;
use crate::model::{PostId, Score, Time, UserId};
use crate::smoothing::Published;

/// A moderator waits for the outcome at most this long, or this part of a request's time; then it is merged all the same.
const OUTCOME_WAIT: Duration = Duration::from_secs(5);
const OUTCOME_PART: f64 = 0.8;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyBody {
    /// Which of the post's ratings are held; null for those that the settings name
    #[serde(default, deserialize_with = "json::present")]
    #[schema(value_type = Option<Hold>)]
    hold: Option<Value>,
    /// Whether the post takes no ratings
    #[serde(default, deserialize_with = "json::present")]
    #[schema(value_type = bool)]
    frozen: Option<bool>,
    /// The reason, for the audit
    #[schema(value_type = Reason)]
    reason: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReasonQuery {
    /// The reason, for the audit
    #[param(value_type = Option<Reason>)]
    reason: Option<String>,
}

/// A list that may be narrowed down to one post.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OfPost {
    /// Only of this post
    #[param(value_type = Option<PostId>)]
    post_id: Option<String>,
}

impl OfPost {
    /// The post that is named, if one is.
    fn post(&self) -> Result<Option<PostId>, Problem> {
        let post = self.post_id.as_deref().map(PostId::parse).transpose();
        post.map_err(|e| Problem::in_parameter(e, "post_id"))
    }
}

/// How a post's ratings are taken.
#[derive(Serialize, ToSchema)]
#[schema(as = Policy)]
pub struct PolicyJson {
    /// Which of its ratings are held; null for those that the settings name
    #[schema(value_type = Option<Hold>)]
    hold: Option<Hold>,
    /// Which ratings the settings hold
    default_hold: Hold,
    /// Whether it takes no ratings
    frozen: bool,
    /// Ratings that are held
    held: u64,
    /// Ratings that are excluded
    excluded: u64,
}

/// A post's policy after a decision.
#[derive(Serialize, ToSchema)]
#[schema(as = DecidedPolicy)]
pub struct DecidedPolicyJson {
    /// The decision's id; of two at once, that of the last
    id: String,
    /// `frozen` or `thawed`, as the post is now
    state: &'static str,
    #[serde(flatten)]
    policy: PolicyJson,
    before: Published,
    after: Published,
}

/// The outcome of a decision.
#[derive(Serialize, ToSchema)]
#[schema(as = Decision)]
pub struct DecidedJson {
    /// Its id; null for a preview
    id: Option<String>,
    /// `active`, `undone`, `approved`, `rejected`; `preview`
    state: &'static str,
    /// Ratings that were excluded
    #[serde(skip_serializing_if = "Option::is_none")]
    excluded: Option<u64>,
    /// Ratings that were restored
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<u64>,
    /// Held ratings that count now
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<u64>,
    /// Held ratings that were deleted
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    /// Held ratings that were excluded, or restored, besides
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
    /// The number of users whose ratings these are (previews only)
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<u64>,
    before: Published,
    after: Published,
}

/// A decision that is not merged yet.
#[derive(Serialize, ToSchema)]
#[schema(as = WaitingDecision)]
pub struct WaitingJson {
    id: String,
    /// `waiting`: it will be merged, and then the audit lists it
    state: &'static str,
}

impl PolicyJson {
    fn of(standing: Standing, default_hold: Hold) -> Self {
        Self {
            hold: standing.hold,
            default_hold,
            frozen: standing.is_frozen,
            held: standing.held,
            excluded: standing.excluded,
        }
    }
}

impl From<Decided> for DecidedJson {
    fn from(Decided { position, decision, outcome, .. }: Decided) -> Self {
        let of = |is_it: bool, count: u64| is_it.then_some(count);
        let (deed, touched) = (&decision.deed, outcome.touched);
        let is_exclusion = matches!(deed, Ruling::Exclude(_) | Ruling::Undo(_));
        Self {
            id: Some(position.to_string()),
            state: match deed {
                Ruling::Freeze => "frozen",
                Ruling::Thaw => "thawed",
                Ruling::Hold(_) => "decided",
                Ruling::Exclude(_) => "active",
                Ruling::Undo(_) => "undone",
                Ruling::Approve(_) => "approved",
                Ruling::Reject(_) => "rejected",
            },
            excluded: of(matches!(deed, Ruling::Exclude(_)), touched),
            restored: of(matches!(deed, Ruling::Undo(_)), touched),
            approved: of(matches!(deed, Ruling::Approve(_)), touched),
            rejected: of(matches!(deed, Ruling::Reject(_)), touched),
            held: of(is_exclusion, outcome.held),
            users: None,
            before: outcome.before,
            after: outcome.after,
        }
    }
}

/// Read how a post's ratings are taken
#[utoipa::path(get, path = "/api/admin/posts/{id}/policy", tag = "moderation",
    params(("id" = PostId, Path, description = "The post")),
    responses((status = 200, description = "Its policy", body = PolicyJson)))]
pub async fn policy(
    State(app): Shared,
    _: Moderator,
    PostPath(post): PostPath,
    Parameters(_): Parameters<NoParameters>,
) -> Result<Json<PolicyJson>, Problem> {
    let standing = app.moderation().stored(&post).await?.standing;
    Ok(Json(PolicyJson::of(standing, app.config().moderation.hold)))
}

/// Hold a post's ratings, freeze it, or thaw it
///
/// Fields that are left out stay as they are. Held ratings wait for a moderator and do not count meanwhile: those that
/// would take the surge lane, or all. A frozen post takes no ratings (423); it can still be read, and what was accepted
/// before still counts.
#[utoipa::path(put, path = "/api/admin/posts/{id}/policy", tag = "moderation",
    params(("id" = PostId, Path, description = "The post")), request_body = PolicyBody,
    responses(
        (status = 200, description = "Decided", body = DecidedPolicyJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingJson),
    ))]
pub async fn set_policy(
    State(gate): State<Gate>,
    Moderator(by): Moderator,
    PostPath(post): PostPath,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<PolicyBody>,
) -> Result<Response, Problem> {
    let reason = reason(&body.reason)?;
    let hold = body.hold.as_ref().map(hold).transpose()?.map(Ruling::Hold);
    let frozen = body.frozen.map(|frozen| if frozen { Ruling::Freeze } else { Ruling::Thaw });
    let deeds = hold.into_iter().chain(frozen);
    let decisions: Vec<Decision> = deeds.map(|deed| Decision { deed, reason: reason.clone() }).collect();
    if decisions.is_empty() {
        let detail = "there is nothing to decide; send hold, frozen, or both";
        return Err(Problem::in_body(Invalid::new(Kind::InvalidBody, detail), ""));
    }
    match decide(&gate, &post, by, decisions).await? {
        Answer::Waits(waiting) => Ok(waiting.into_response()),
        Answer::Decided(decided) => {
            let standing = gate.app().moderation().stored(&post).await?.standing;
            let json = DecidedPolicyJson {
                id: decided.position.to_string(),
                state: if standing.is_frozen { "frozen" } else { "thawed" },
                policy: PolicyJson::of(standing, gate.app().config().moderation.hold),
                before: decided.outcome.before,
                after: decided.outcome.after,
            };
            Ok(Json(json).into_response())
        }
    }
}

fn hold(value: &Value) -> Result<Option<Hold>, Problem> {
    match value {
        Value::Null => Ok(None),
        value => value.as_str().and_then(Hold::parse).map(Some).ok_or_else(|| {
            let detail = "hold is not off, surge, always or null";
            Problem::in_body(Invalid::new(Kind::InvalidBody, detail), "/hold")
        }),
    }
}

fn reason(text: &str) -> Result<Reason, Problem> {
    Reason::parse(text).map_err(|e| Problem::in_body(e, "/reason"))
}

impl ReasonQuery {
    /// The reason that is given, or `instead`.
    fn reason_or(&self, instead: &str) -> Result<Reason, Problem> {
        let text = self.reason.as_deref().unwrap_or(instead);
        Reason::parse(text).map_err(|e| Problem::in_parameter(e, "reason"))
    }
}

/// A time in a body.
fn time(text: &str, pointer: &'static str) -> Result<Time, Problem> {
    let wrong = || {
        Invalid::new(
            Kind::InvalidTime,
            format!("{text:?} is not a time in RFC 3339, like 2026-11-21T12:00:00Z"),
        )
    };
    let at = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| Problem::in_body(wrong(), pointer))?;
    Ok(at.to_utc().into())
}

/// Scores in a body.
fn scores(values: &[Value]) -> Result<Vec<Score>, Problem> {
    let score = |(i, value)| json::score(value).map_err(|e| Problem::in_body(e, format!("/scores/{i}")));
    values.iter().enumerate().map(score).collect()
}

fn outcome_wait(gate: &Gate) -> Duration {
    let request = Duration::from_millis(gate.app().config().api.request_timeout_ms);
    OUTCOME_WAIT.min(request.mul_f64(OUTCOME_PART))
}

/// What a moderator is answered.
enum Answer {
    Decided(Box<Decided>),
    Waits(WaitingAnswer),
}

struct WaitingAnswer(Position);

impl IntoResponse for WaitingAnswer {
    fn into_response(self) -> Response {
        let json = WaitingJson { id: self.0.to_string(), state: "waiting" };
        (StatusCode::ACCEPTED, Json(json)).into_response()
    }
}

/// Takes a decision and answers its outcome, or that it waits.
async fn decide_one(gate: &Gate, post: PostId, by: UserId, decision: Decision) -> Result<Response, Problem> {
    Ok(match decide(gate, &post, by, vec![decision]).await? {
        Answer::Decided(decided) => Json(DecidedJson::from(*decided)).into_response(),
        Answer::Waits(waiting) => waiting.into_response(),
    })
}

/// Takes decisions on one post, all or none; answers the outcome of the last.
async fn decide(gate: &Gate, post: &PostId, by: UserId, decisions: Vec<Decision>) -> Result<Answer, Problem> {
    let (app, now) = (gate.app().clone(), now());
    let positions = app.moderation().decide_all(post, &by, decisions, now).await?;
    let position = *positions.last().ok_or_else(|| Error::Internal("nothing was decided".into()))?;
    let decided = wait(gate, post.clone(), position, now, outcome_wait(gate)).await?;
    let Some(decided) = decided else { return Ok(Answer::Waits(WaitingAnswer(position))) };
    match decided.outcome.refused {
        Some(why) => Err(Error::Conflict(why).into()),
        None => Ok(Answer::Decided(Box::new(decided))),
    }
}

/// The outcome of the decision at `position`; nothing if that takes longer than `within`.
async fn wait(
    gate: &Gate,
    post: PostId,
    position: Position,
    now: Time,
    within: Duration,
) -> Result<Option<Decided>, Problem> {
    let app = gate.app().clone();
    let outcome = apart("a decision", async move { app.moderation().outcome(&post, position, now).await });
    let Ok(outcome) = tokio::time::timeout(within, outcome).await else { return Ok(None) };
    match outcome {
        // It is held, and the next tick merges it.
        Err(error) if error.is_transient() => Ok(None),
        decided => Ok(Some(decided?)),
    }
}
