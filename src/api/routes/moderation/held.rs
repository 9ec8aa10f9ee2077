//! Held ratings: the list of them, and verdicts on one, on all that match, or on many by name.
//!
//! Each call that decides exists twice, with the verdict as a word of its path. It is written once here, and `routes` makes
//! two of it.

use std::time::Instant;

use axum::Extension;
use utoipa::openapi::Paths;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    DecidedJson, Effect, OfPost, WaitingDecision, decide_one, outcome_wait, reason, reason_or, scores,
    time_in_body, wait,
};
use crate::api::extract::RatingPath;
use crate::api::routes::prelude::*;
use crate::entry::{Decision, Reason, Ruling, Which, Window};
use crate::merge::{HeldRating, Key, Outcome};
use crate::model::json;

/// Ratings that one call may name.
const MANY_MAX: usize = 100;

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
pub struct HeldRatings {
    /// In the order of posts and users
    ratings: Vec<HeldJson>,
    next_cursor: Option<String>,
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
    ratings: Vec<NamedRating>,
    /// The reason, for the audit
    #[schema(value_type = Reason)]
    reason: String,
}

/// A rating, by its post and its user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedRating {
    #[schema(value_type = PostId)]
    post_id: String,
    #[schema(value_type = UserId)]
    user_id: String,
    /// The score that the moderator saw: another one that is held meanwhile is answered `changed`, and stays held
    #[schema(value_type = Option<Score>)]
    score: Option<Value>,
}

/// The outcomes of many decisions.
#[derive(Serialize, ToSchema)]
pub struct ManyDecided {
    /// In the order in which they were named
    decisions: Vec<OneDecided>,
}

/// The outcome of one of many decisions.
#[derive(Serialize, ToSchema)]
pub struct OneDecided {
    post_id: PostId,
    user_id: UserId,
    /// The decision's id; null when it was refused at once
    id: Option<String>,
    /// `approved`, `rejected`, `waiting`, `changed`, or `refused`
    pub(crate) state: &'static str,
    /// Why it was refused, or what is held now
    pub(crate) detail: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerdictQuery {
    /// The reason, for the audit
    #[param(value_type = Option<Reason>)]
    reason: Option<String>,
    /// The score that the moderator saw: another one that is held meanwhile is answered 409, and stays held
    #[param(value_type = Option<Score>)]
    score: Option<String>,
}

/// What a moderator decides about held ratings.
pub(crate) struct Verdict {
    /// Its word in a path, and in a title.
    word: &'static str,
    title: &'static str,
    /// The state of a rating afterwards; the reason, too, when none is given.
    pub(crate) done: &'static str,
    pub(crate) ruling: fn(Which) -> Ruling,
    /// Of so many ratings.
    effect: fn(u64) -> Effect,
}

pub(crate) static APPROVE: Verdict = Verdict {
    word: "approve",
    title: "Approve",
    done: "approved",
    ruling: Ruling::Approve,
    effect: |approved| Effect::Approved { approved },
};
pub(crate) static REJECT: Verdict = Verdict {
    word: "reject",
    title: "Reject",
    done: "rejected",
    ruling: Ruling::Reject,
    effect: |rejected| Effect::Rejected { rejected },
};

/// The rating of a user, as the moderator saw it.
fn which(user: UserId, seen: Option<Score>) -> Which {
    match seen {
        Some(score) => Which::Seen(user, score),
        None => Which::User(user),
    }
}

/// The calls that decide, each with both verdicts.
pub fn routes() -> OpenApiRouter<Gate> {
    let mut router = OpenApiRouter::new();
    for (schemas, paths, handler) in [routes!(one), routes!(matching), routes!(many)] {
        for verdict in [&APPROVE, &REJECT] {
            let mut own = Paths::new();
            for (path, mut item) in paths.paths.clone() {
                if let Some(operation) = item.post.as_mut() {
                    for text in [&mut operation.operation_id, &mut operation.summary].into_iter().flatten() {
                        *text = text.replace("{verdict}", verdict.word).replace("{Verdict}", verdict.title);
                    }
                }
                own.paths.insert(path.replace("{verdict}", verdict.word), item);
            }
            router = router.routes((schemas.clone(), own, handler.clone().layer(Extension(verdict))));
        }
    }
    router
}

/// List held ratings
///
/// Those that no moderator has decided on, of all posts or of one. A rating that an exclusion covers is not listed.
#[utoipa::path(get, path = "/api/admin/held", tag = "moderation", params(PageQuery, OfPost), responses(
    (status = 200, description = "In the order of posts and users", body = HeldRatings),
))]
pub async fn held(State(app): Shared, _: Moderator, paged: Paged<OfPost, Key>) -> Answer {
    let post = paged.filter.post()?;
    let page = app.moderation().held_page(post.as_ref(), paged.after.as_ref(), paged.limit).await?;
    let json = |((post_id, user_id), held): (Key, HeldRating)| {
        let HeldRating { score, rated_at, .. } = held;
        HeldJson { post_id, user_id, score, rated_at, releases_at: app.moderation().released_at(rated_at) }
    };
    let ratings = page.items.into_iter().map(json).collect();
    Ok(paged.answer(page.next.as_ref(), |next_cursor| HeldRatings { ratings, next_cursor }))
}

/// {Verdict} a held rating
///
/// Approved, it counts from then on, with its own time and in the lane that it took when it was held. Rejected, it is deleted; an earlier
/// rating of the same user that counts still counts.
#[utoipa::path(post, path = "/api/rating/{verdict}/{post_id}/{user_id}", tag = "moderation",
    operation_id = "{verdict}", params(RatingPath, VerdictQuery), responses(
        (status = 200, description = "It counts, or is deleted", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingDecision),
        (status = 409, description = "`conflict`: another decision came first, or another score is held"),
    ))]
async fn one(
    State(gate): State<Gate>,
    moderator: Moderator,
    RatingPath(post, user): RatingPath,
    Parameters(query): Parameters<VerdictQuery>,
    Extension(verdict): Extension<&'static Verdict>,
) -> Answer {
    // What is not JSON is not a score either, and is refused as a text.
    let seen = query.score.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
    let seen = seen.as_ref().map(json::score).transpose().map_err(|e| Problem::in_parameter(e, "score"))?;
    let reason = reason_or(query.reason.as_deref(), verdict.done)?;
    let deed = (verdict.ruling)(which(user, seen));
    decide_one(&gate, &post, moderator, Decision { deed, reason }, |touched, _| (verdict.effect)(touched))
        .await
}

/// {Verdict} all held ratings of a post that match
#[utoipa::path(post, path = "/api/admin/posts/{id}/held/{verdict}", tag = "moderation",
    operation_id = "{verdict}_matching", params(PostPath), request_body = MatchBody, responses(
        (status = 200, description = "They count, or are deleted", body = DecidedJson),
        (status = 202, description = "Accepted, and not merged yet", body = WaitingDecision),
    ))]
async fn matching(
    State(gate): State<Gate>,
    moderator: Moderator,
    PostPath(post): PostPath,
    _: NoParameters,
    Extension(verdict): Extension<&'static Verdict>,
    Body(body): Body<MatchBody>,
) -> Answer {
    let from = body.from.as_deref().map(|text| time_in_body(text, "/from")).transpose()?;
    let to = body.to.as_deref().map(|text| time_in_body(text, "/to")).transpose()?;
    let window = Window::open(from, to, scores(&body.scores)?, now());
    let window = window.map_err(|e| Problem::in_body(e, "/to"))?;
    let (deed, reason) = ((verdict.ruling)(Which::Window(window)), reason(&body.reason)?);
    decide_one(&gate, &post, moderator, Decision { deed, reason }, |touched, _| (verdict.effect)(touched))
        .await
}

/// {Verdict} many held ratings
#[utoipa::path(post, path = "/api/admin/held/{verdict}", tag = "moderation", operation_id = "{verdict}_many",
    request_body = ManyBody, responses((status = 200, description = "The outcome of each", body = ManyDecided)))]
async fn many(
    State(gate): State<Gate>,
    Moderator(by): Moderator,
    _: NoParameters,
    Extension(verdict): Extension<&'static Verdict>,
    Body(body): Body<ManyBody>,
) -> Answer<Json<ManyDecided>> {
    let reason = reason(&body.reason)?;
    if !(1..=MANY_MAX).contains(&body.ratings.len()) {
        let detail =
            format!("{} ratings are outside 1..={MANY_MAX}; name them in several calls", body.ratings.len());
        return Err(Problem::in_body(Invalid::new(Kind::InvalidBody, detail), "/ratings"));
    }
    let key = |(i, named): (usize, &NamedRating)| {
        let place = |name: &str| format!("/ratings/{i}/{name}");
        let post = PostId::parse(&named.post_id).map_err(|e| Problem::in_body(e, place("post_id")))?;
        let user = UserId::parse(&named.user_id).map_err(|e| Problem::in_body(e, place("user_id")))?;
        let seen = named.score.as_ref().map(json::score).transpose();
        Ok((post, user, seen.map_err(|e| Problem::in_body(e, place("score")))?))
    };
    let named: Vec<(PostId, UserId, Option<Score>)> =
        body.ratings.iter().enumerate().map(key).collect::<Answer<_>>()?;
    let decisions = decide_many(&gate, &by, verdict, named, reason).await?;
    Ok(Json(ManyDecided { decisions }))
}

/// Decides on ratings one after the other, for as long as a moderator waits; returns the outcome of each.
pub(crate) async fn decide_many(
    gate: &Gate,
    by: &UserId,
    verdict: &'static Verdict,
    named: Vec<(PostId, UserId, Option<Score>)>,
    reason: Reason,
) -> Answer<Vec<OneDecided>> {
    let (now, until) = (now(), Instant::now() + outcome_wait(gate));
    let mut decisions = Vec::with_capacity(named.len());
    for (post_id, user_id, seen) in named {
        let deed = (verdict.ruling)(which(user_id.clone(), seen));
        let decision = Decision { deed, reason: reason.clone() };
        let mut one = OneDecided { post_id, user_id, id: None, state: "refused", detail: None };
        if Instant::now() >= until {
            one.detail = Some("there was no time left for this one; send it again".into());
            decisions.push(one);
            continue;
        }
        match gate.app().moderation().decisions().decide(&one.post_id, by, decision, now).await {
            Ok(position) => {
                one.id = Some(position.to_string());
                let left = until.saturating_duration_since(Instant::now());
                // It is in the log. The audit will show its outcome, whatever fails here.
                let decided = wait(gate, one.post_id.clone(), position, now, left).await.ok().flatten();
                (one.state, one.detail) = match decided.map(|decided| decided.outcome) {
                    None => ("waiting", None),
                    Some(Outcome { changed_to: Some(_), refused, .. }) => ("changed", refused),
                    Some(Outcome { refused: Some(why), .. }) => ("refused", Some(why)),
                    Some(_) => (verdict.done, None),
                };
            }
            Err(error) if error.is_transient() => one.detail = Some(error.to_string()),
            Err(error @ (Error::NotFound(_) | Error::Conflict(_))) => one.detail = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        decisions.push(one);
    }
    Ok(decisions)
}
