//! The audit: who decided what, when and why, and the outcome.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::OfPost;
use crate::api::Shared;
use crate::api::gate::Moderator;
use crate::api::pages::{PageQuery, Paged};
use crate::api::problem::Problem;
use crate::entry::{Ruling, Which};
use crate::error::Result;
use crate::merge::Decided;
use crate::model::{PostId, Time, UserId};
use crate::smoothing::Published;
use crate::store::AuditKey;

/// A row of the audit.
#[derive(Serialize, ToSchema)]
#[schema(as = Audited)]
pub struct AuditedJson {
    id: String,
    post_id: PostId,
    decided_at: Time,
    decided_by: UserId,
    /// `hold`, `freeze`, `thaw`, `exclude`, `undo`, `approve`, `reject`
    deed: &'static str,
    /// What it was about: a window, the id of the exclusion that was undone, a user, a policy
    #[schema(value_type = Option<Object>)]
    of: Option<Value>,
    reason: String,
    before: Published,
    after: Published,
    /// Ratings that it excluded or restored, or held ones that it approved or rejected
    touched: u64,
    /// Held ratings that it excluded or restored besides
    held: u64,
    /// Why it had no effect, if it had none
    refused: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Audit)]
pub struct AuditJson {
    /// The newest first
    decisions: Vec<AuditedJson>,
    next_cursor: Option<String>,
}

impl From<Decided> for AuditedJson {
    fn from(Decided { position, post, at, by, decision, outcome }: Decided) -> Self {
        let of = match &decision.deed {
            Ruling::Exclude(window) => serde_json::to_value(window).ok(),
            Ruling::Undo(id) => Some(json!({"exclusion_id": id.to_string()})),
            Ruling::Approve(Which::User(user)) | Ruling::Reject(Which::User(user)) => {
                Some(json!({"user_id": user}))
            }
            Ruling::Approve(Which::Window(window)) | Ruling::Reject(Which::Window(window)) => {
                serde_json::to_value(window).ok()
            }
            Ruling::Hold(hold) => Some(json!({"hold": hold})),
            Ruling::Freeze | Ruling::Thaw => None,
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
            held: outcome.held,
            refused: outcome.refused,
        }
    }
}

/// List decisions: who decided what, when and why, and the outcome
#[utoipa::path(get, path = "/api/admin/audit", tag = "moderation", params(PageQuery, OfPost), responses(
    (status = 200, description = "The newest first", body = AuditJson,
        headers(("Link" = String, description = "The next page (rel=next)"))),
))]
pub async fn audit(
    State(app): Shared,
    _: Moderator,
    paged: Paged<OfPost, AuditKey>,
) -> Result<Response, Problem> {
    let post = paged.filter.post()?;
    let page = app.moderation().audit_page(post.as_ref(), paged.after, paged.limit).await?;
    let decisions = page.items.into_iter().map(AuditedJson::from).collect();
    Ok(paged.answer(page.next.as_ref(), |next_cursor| AuditJson { decisions, next_cursor }))
}
