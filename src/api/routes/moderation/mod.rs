//! For moderators, on the admin listener: a post's policy here; exclusions, held ratings and verdicts on them, evidence
//! and the audit in files of their own. A decision is appended to the log and merged while its caller waits. If that takes
//! too long, the caller gets the decision's id, and it is merged later.

pub mod audit;
pub mod evidence;
pub mod exclusions;
pub mod held;

use std::time::Duration;

use crate::api::routes::prelude::*;
use crate::app::apart;
use crate::entry::{Decision, Hold, Position, Reason, Ruling};
use crate::merge::{Decided, Outcome, Standing};
use crate::model::json;
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
    fn post(&self) -> Answer<Option<PostId>> {
        let post = self.post_id.as_deref().map(PostId::parse).transpose();
        post.map_err(|e| Problem::in_parameter(e, "post_id"))
    }
}

/// How a post's ratings are taken.
#[derive(Serialize, ToSchema)]
pub struct Policy {
    /// Which of its ratings are held; null for those that the settings name
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
pub struct DecidedPolicy {
    /// The decision's id; of two at once, that of the last
    id: String,
    /// `frozen` or `thawed`, as the post is now
    state: &'static str,
    #[serde(flatten)]
    policy: Policy,
    before: Published,
    after: Published,
}

/// A decision and its outcome.
#[derive(Serialize, ToSchema)]
#[schema(as = Decision)]
pub struct DecidedJson {
    /// Its id; null for a preview
    id: Option<String>,
    #[serde(flatten)]
    effect: Effect,
    before: Published,
    after: Published,
}

/// What a decision changes
#[derive(Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Effect {
    /// Nothing yet: what an exclusion would change
    Preview {
        /// Ratings that would be excluded
        excluded: u64,
        /// Held ratings that would be excluded besides
        held: u64,
        /// The number of users whose ratings these are
        users: u64,
    },
    /// An exclusion
    Active {
        /// Ratings that were excluded
        excluded: u64,
        /// Held ratings that were excluded besides
        held: u64,
    },
    /// The undoing of an exclusion
    Undone {
        /// Ratings that were restored
        restored: u64,
        /// Held ratings that were restored besides
        held: u64,
    },
    Approved {
        /// Held ratings that count now
        approved: u64,
    },
    Rejected {
        /// Held ratings that were deleted
        rejected: u64,
    },
}

/// A decision that is not merged yet.
#[derive(Serialize, ToSchema)]
pub struct WaitingDecision {
    id: String,
    /// `waiting`: it will be merged, and then the audit lists it
    state: &'static str,
}

impl Policy {
    async fn of(app: &App, post: &PostId) -> Answer<Self> {
        let Standing { is_frozen: frozen, excluded, hold, held } =
            app.moderation().stored(post).await?.standing;
        Ok(Self { hold, default_hold: app.config().moderation.hold, frozen, held, excluded })
    }
}

/// Read how a post's ratings are taken
#[utoipa::path(get, path = "/api/admin/posts/{id}/policy", tag = "moderation", params(PostPath), responses(
    (status = 200, description = "Its policy", body = Policy),
))]
pub async fn policy(
    State(app): Shared,
    _: Moderator,
    PostPath(post): PostPath,
    _: NoParameters,
) -> Answer<Json<Policy>> {
    Ok(Json(Policy::of(&app, &post).await?))
}

/// Hold a post's ratings, freeze it, or thaw it
///
/// Fields that are left out stay as they are. Held ratings wait for a moderator and do not count meanwhile: those that
/// would take the surge lane, or all. A frozen post takes no ratings (423); it can still be read, and what was accepted
/// before still counts.
#[utoipa::path(put, path = "/api/admin/posts/{id}/policy", tag = "moderation",
    params(PostPath), request_body = PolicyBody, responses(
        (status = 200, description = "Decided", body = DecidedPolicy),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingDecision),
    ))]
pub async fn set_policy(
    State(gate): State<Gate>,
    Moderator(by): Moderator,
    PostPath(post): PostPath,
    _: NoParameters,
    Body(body): Body<PolicyBody>,
) -> Answer {
    let reason = reason(&body.reason)?;
    let hold = body.hold.as_ref().map(hold).transpose()?.map(Ruling::Hold);
    let frozen = body.frozen.map(|frozen| if frozen { Ruling::Freeze } else { Ruling::Thaw });
    let deeds = hold.into_iter().chain(frozen);
    let decisions: Vec<Decision> = deeds.map(|deed| Decision { deed, reason: reason.clone() }).collect();
    if decisions.is_empty() {
        let detail = "there is nothing to decide; send hold, frozen, or both";
        return Err(Problem::in_body(Invalid::new(Kind::InvalidBody, detail), ""));
    }
    let (position, decided) = decide(&gate, &post, by, decisions).await?;
    let Some(decided) = decided else { return Ok(waiting(position)) };
    let policy = Policy::of(gate.app(), &post).await?;
    let json = DecidedPolicy {
        id: position.to_string(),
        state: if policy.frozen { "frozen" } else { "thawed" },
        policy,
        before: decided.outcome.before,
        after: decided.outcome.after,
    };
    Ok(Json(json).into_response())
}

fn hold(value: &Value) -> Answer<Option<Hold>> {
    let hold = value.as_str().and_then(Hold::parse);
    if hold.is_none() && !value.is_null() {
        let detail = "hold is not off, surge, always or null";
        return Err(Problem::in_body(Invalid::new(Kind::InvalidBody, detail), "/hold"));
    }
    Ok(hold)
}

fn reason(text: &str) -> Answer<Reason> {
    Reason::parse(text).map_err(|e| Problem::in_body(e, "/reason"))
}

/// The reason that a query gives, or `instead`.
fn reason_or(given: Option<&str>, instead: &str) -> Answer<Reason> {
    Reason::parse(given.unwrap_or(instead)).map_err(|e| Problem::in_parameter(e, "reason"))
}

fn time(text: &str) -> Result<Time, Invalid> {
    let at = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| {
        let detail = format!("{text:?} is not a time in RFC 3339, like 2026-11-21T12:00:00Z");
        Invalid::new(Kind::InvalidTime, detail)
    })?;
    Ok(at.to_utc().into())
}

fn time_in_body(text: &str, pointer: &str) -> Answer<Time> {
    time(text).map_err(|e| Problem::in_body(e, pointer))
}

/// Scores in a body.
fn scores(values: &[Value]) -> Answer<Vec<Score>> {
    let score = |(i, value)| json::score(value).map_err(|e| Problem::in_body(e, format!("/scores/{i}")));
    values.iter().enumerate().map(score).collect()
}

fn outcome_wait(gate: &Gate) -> Duration {
    let request = Duration::from_millis(gate.app().config().api.request_timeout_ms);
    OUTCOME_WAIT.min(request.mul_f64(OUTCOME_PART))
}

fn waiting(position: Position) -> Response {
    (StatusCode::ACCEPTED, Json(WaitingDecision { id: position.to_string(), state: "waiting" }))
        .into_response()
}

/// Takes a decision, and answers its outcome or that it waits. `effect` names the ratings that it touched, and the held
/// ones besides.
async fn decide_one(
    gate: &Gate,
    post: &PostId,
    Moderator(by): Moderator,
    decision: Decision,
    effect: impl FnOnce(u64, u64) -> Effect,
) -> Answer {
    let (position, decided) = decide(gate, post, by, vec![decision]).await?;
    let Some(Decided { outcome, .. }) = decided else { return Ok(waiting(position)) };
    let effect = effect(outcome.touched, outcome.held);
    let id = Some(position.to_string());
    Ok(Json(DecidedJson { id, effect, before: outcome.before, after: outcome.after }).into_response())
}

/// Takes decisions on one post, all or none. Returns the position of the last, and its outcome if it is merged in time.
pub(crate) async fn decide(
    gate: &Gate,
    post: &PostId,
    by: UserId,
    decisions: Vec<Decision>,
) -> Answer<(Position, Option<Decided>)> {
    let now = now();
    let positions = gate.app().moderation().decisions().decide_all(post, &by, decisions, now).await?;
    let position = *positions.last().ok_or_else(|| Error::Internal("nothing was decided".into()))?;
    let decided = wait(gate, post.clone(), position, now, outcome_wait(gate)).await?;
    match decided {
        Some(Decided { outcome: Outcome { refused: Some(why), .. }, .. }) => Err(Error::Conflict(why).into()),
        decided => Ok((position, decided)),
    }
}

/// The outcome of the decision at `position`; nothing if that takes longer than `within`.
async fn wait(
    gate: &Gate,
    post: PostId,
    position: Position,
    now: Time,
    within: Duration,
) -> Answer<Option<Decided>> {
    let app = gate.app().clone();
    let outcome =
        apart("a decision", async move { app.moderation().decisions().outcome(&post, position, now).await });
    let Ok(outcome) = tokio::time::timeout(within, outcome).await else { return Ok(None) };
    match outcome {
        // It is in the log, and the next tick merges it.
        Err(error) if error.is_transient() => Ok(None),
        decided => Ok(Some(decided?)),
    }
}
