//! Verdicts on held ratings: one, all that match, or many by name are approved or rejected.
//!
//! Each pair of calls differs in its verdict only, which is a value here.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{DecidedJson, ReasonQuery, WaitingJson, decide_one, outcome_wait, reason, scores, time, wait};
use crate::api::extract::{Body, NoParameters, Parameters, PostPath, RatingPath};
use crate::api::gate::{Gate, Moderator};
use crate::api::now;
use crate::api::problem::{Problem, ProblemJson};
use crate::entry::{Decision, Reason, Ruling, Which, Window};
use crate::error::{Error, Invalid, Kind, Result};
use crate::merge::Key;
use crate::model::{PostId, Score, Time, UserId};

/// Ratings that one call may name.
const MANY_MAX: usize = 100;

/// What a moderator decides about a held rating.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// It counts from now on.
    Approve,
    /// It is deleted.
    Reject,
}

impl Verdict {
    fn ruling(self, which: Which) -> Ruling {
        match self {
            Verdict::Approve => Ruling::Approve(which),
            Verdict::Reject => Ruling::Reject(which),
        }
    }

    /// The state of a rating that it was given on; the reason, too, when none is given.
    fn done(self) -> &'static str {
        match self {
            Verdict::Approve => "approved",
            Verdict::Reject => "rejected",
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchBody {
    /// The first moment whose ratings match; without it, from the beginning
    #[schema(value_type = Option<Time>)]
    from: Option<String>,
    /// The first moment after them; without it, all until now
    #[schema(value_type = Option<Time>)]
    to: Option<String>,
    /// Only these scores; without them, all
    #[serde(default)]
    #[schema(value_type = Vec<Score>, required = false)]
    scores: Vec<Value>,
    /// The reason, for the audit
    #[schema(value_type = Reason)]
    reason: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManyBody {
    /// The ratings, each by its post and its user
    #[schema(min_items = 1, max_items = 100)]
    ratings: Vec<NamedJson>,
    /// The reason, for the audit
    #[schema(value_type = Reason)]
    reason: String,
}

/// A rating, by its post and its user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NamedRating)]
pub struct NamedJson {
    #[schema(value_type = PostId)]
    post_id: String,
    #[schema(value_type = UserId)]
    user_id: String,
}

/// The outcomes of many decisions.
#[derive(Serialize, ToSchema)]
#[schema(as = ManyDecided)]
pub struct ManyJson {
    /// In the order in which they were named
    decisions: Vec<OneJson>,
}

/// The outcome of one of many decisions.
#[derive(Serialize, ToSchema)]
#[schema(as = OneDecided)]
pub struct OneJson {
    post_id: PostId,
    user_id: UserId,
    /// The decision's id; null when it was refused at once
    id: Option<String>,
    /// `approved`, `rejected`, `waiting`, or `refused`
    state: &'static str,
    /// Why it was refused
    detail: Option<String>,
}

/// Approve a held rating
///
/// It counts as a new rating of its user, at the time of the approval.
#[utoipa::path(post, path = "/api/rating/approve/{post_id}/{user_id}", tag = "moderation",
    params(("post_id" = PostId, Path, description = "The post"), ("user_id" = UserId, Path, description = "Whose rating"), ReasonQuery),
    responses(
        (status = 200, description = "It counts", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingJson),
        (status = 409, description = "`conflict`: another decision came first", body = ProblemJson<'static>,
            content_type = "application/problem+json"),
    ))]
pub async fn approve(
    State(gate): State<Gate>,
    moderator: Moderator,
    RatingPath(post, user): RatingPath,
    Parameters(query): Parameters<ReasonQuery>,
) -> Result<Response, Problem> {
    one(&gate, moderator, (post, user), &query, Verdict::Approve).await
}

/// Reject a held rating
///
/// It is deleted. An earlier rating of the same user that counts still counts.
#[utoipa::path(post, path = "/api/rating/reject/{post_id}/{user_id}", tag = "moderation",
    params(("post_id" = PostId, Path, description = "The post"), ("user_id" = UserId, Path, description = "Whose rating"), ReasonQuery),
    responses(
        (status = 200, description = "It is deleted", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingJson),
        (status = 409, description = "`conflict`: another decision came first", body = ProblemJson<'static>,
            content_type = "application/problem+json"),
    ))]
pub async fn reject(
    State(gate): State<Gate>,
    moderator: Moderator,
    RatingPath(post, user): RatingPath,
    Parameters(query): Parameters<ReasonQuery>,
) -> Result<Response, Problem> {
    one(&gate, moderator, (post, user), &query, Verdict::Reject).await
}

/// Approve all held ratings of a post that match
#[utoipa::path(post, path = "/api/admin/posts/{id}/held/approve", tag = "moderation",
    params(("id" = PostId, Path, description = "The post")), request_body = MatchBody,
    responses(
        (status = 200, description = "They count", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingJson),
    ))]
pub async fn approve_matching(
    State(gate): State<Gate>,
    moderator: Moderator,
    PostPath(post): PostPath,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<MatchBody>,
) -> Result<Response, Problem> {
    matching(&gate, moderator, post, &body, Verdict::Approve).await
}

/// Reject all held ratings of a post that match
#[utoipa::path(post, path = "/api/admin/posts/{id}/held/reject", tag = "moderation",
    params(("id" = PostId, Path, description = "The post")), request_body = MatchBody,
    responses(
        (status = 200, description = "They are deleted", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingJson),
    ))]
pub async fn reject_matching(
    State(gate): State<Gate>,
    moderator: Moderator,
    PostPath(post): PostPath,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<MatchBody>,
) -> Result<Response, Problem> {
    matching(&gate, moderator, post, &body, Verdict::Reject).await
}

/// Approve many held ratings
#[utoipa::path(post, path = "/api/admin/held/approve", tag = "moderation", request_body = ManyBody,
    responses((status = 200, description = "The outcome of each", body = ManyJson)))]
pub async fn approve_many(
    State(gate): State<Gate>,
    moderator: Moderator,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<ManyBody>,
) -> Result<Json<ManyJson>, Problem> {
    many(&gate, moderator, &body, Verdict::Approve).await
}

/// Reject many held ratings
#[utoipa::path(post, path = "/api/admin/held/reject", tag = "moderation", request_body = ManyBody,
    responses((status = 200, description = "The outcome of each", body = ManyJson)))]
pub async fn reject_many(
    State(gate): State<Gate>,
    moderator: Moderator,
    Parameters(_): Parameters<NoParameters>,
    Body(body): Body<ManyBody>,
) -> Result<Json<ManyJson>, Problem> {
    many(&gate, moderator, &body, Verdict::Reject).await
}

async fn one(
    gate: &Gate,
    Moderator(by): Moderator,
    (post, user): Key,
    query: &ReasonQuery,
    verdict: Verdict,
) -> Result<Response, Problem> {
    let (deed, reason) = (verdict.ruling(Which::User(user)), query.reason_or(verdict.done())?);
    decide_one(gate, post, by, Decision { deed, reason }).await
}

async fn matching(
    gate: &Gate,
    Moderator(by): Moderator,
    post: PostId,
    body: &MatchBody,
    verdict: Verdict,
) -> Result<Response, Problem> {
    let from = body.from.as_deref().map(|text| time(text, "/from")).transpose()?;
    let to = body.to.as_deref().map(|text| time(text, "/to")).transpose()?;
    let window = Window::open(from, to, scores(&body.scores)?, now());
    let deed = verdict.ruling(Which::Window(window.map_err(|e| Problem::in_body(e, "/to"))?));
    decide_one(gate, post, by, Decision { deed, reason: reason(&body.reason)? }).await
}

async fn many(
    gate: &Gate,
    Moderator(by): Moderator,
    body: &ManyBody,
    verdict: Verdict,
) -> Result<Json<ManyJson>, Problem> {
    let reason = reason(&body.reason)?;
    if !(1..=MANY_MAX).contains(&body.ratings.len()) {
        let detail =
            format!("{} ratings are outside 1..={MANY_MAX}; name them in several calls", body.ratings.len());
        return Err(Problem::in_body(Invalid::new(Kind::InvalidBody, detail), "/ratings"));
    }
    let id = |(i, named): (usize, &NamedJson)| {
        let place = |name: &str| format!("/ratings/{i}/{name}");
        let post = PostId::parse(&named.post_id).map_err(|e| Problem::in_body(e, place("post_id")))?;
        let user = UserId::parse(&named.user_id).map_err(|e| Problem::in_body(e, place("user_id")))?;
        Ok((post, user))
    };
    let keys: Vec<Key> = body.ratings.iter().enumerate().map(id).collect::<Result<_, Problem>>()?;
    let (now, until) = (now(), Instant::now() + outcome_wait(gate));
    let mut decisions = Vec::with_capacity(keys.len());
    for (post_id, user_id) in keys {
        let decision =
            Decision { deed: verdict.ruling(Which::User(user_id.clone())), reason: reason.clone() };
        let mut one = OneJson { post_id, user_id, id: None, state: "refused", detail: None };
        if Instant::now() >= until {
            one.detail = Some("there was no time left for this one; send it again".into());
            decisions.push(one);
            continue;
        }
        let taken = gate.app().moderation().decide(&one.post_id, &by, decision, now).await;
        match taken {
            Ok(position) => {
                one.id = Some(position.to_string());
                let left = until.saturating_duration_since(Instant::now());
                // It is in the log. The audit will show its outcome, whatever fails here.
                let decided = wait(gate, one.post_id.clone(), position, now, left).await.ok().flatten();
                one.detail = decided.as_ref().and_then(|decided| decided.outcome.refused.clone());
                one.state = match (&decided, &one.detail) {
                    (None, _) => "waiting",
                    (Some(_), None) => verdict.done(),
                    (Some(_), Some(_)) => "refused",
                };
            }
            Err(
                error @ (Error::NotFound(_) | Error::Conflict(_) | Error::Busy(_) | Error::Unavailable(_)),
            ) => {
                one.detail = Some(error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        decisions.push(one);
    }
    Ok(Json(ManyJson { decisions }))
}
