//! The audit: who decided what, when and why, and the outcome.

use serde_json::json;

use super::OfPost;
use crate::api::routes::prelude::*;
use crate::entry::{Decision, Reason, Ruling, Which};
use crate::merge::{Decided, Outcome};
use crate::store::AuditKey;

/// A row of the audit.
#[derive(Serialize, ToSchema)]
pub struct Audited {
    id: String,
    post_id: PostId,
    decided_at: Time,
    decided_by: UserId,
    /// `hold`, `freeze`, `thaw`, `exclude`, `undo`, `approve`, `reject`
    deed: &'static str,
    /// What it was about: a window, the id of the exclusion that was undone, a user, a policy
    #[schema(value_type = Option<Object>)]
    of: Value,
    reason: Reason,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize, ToSchema)]
pub struct Audit {
    /// The newest first
    decisions: Vec<Audited>,
    next_cursor: Option<String>,
}

impl From<Decided> for Audited {
    fn from(decided: Decided) -> Self {
        let Decided { position, post: post_id, at: decided_at, by: decided_by, decision, outcome } = decided;
        let Decision { deed, reason } = decision;
        let of = match &deed {
            Ruling::Exclude(window)
            | Ruling::Approve(Which::Window(window))
            | Ruling::Reject(Which::Window(window)) => json!(window),
            Ruling::Undo(id) => json!({"exclusion_id": id.to_string()}),
            Ruling::Approve(Which::User(user)) | Ruling::Reject(Which::User(user)) => {
                json!({"user_id": user})
            }
            Ruling::Approve(Which::Seen(user, score)) | Ruling::Reject(Which::Seen(user, score)) => {
                json!({"user_id": user, "score": score})
            }
            Ruling::Hold(hold) => json!({"hold": hold}),
            Ruling::Freeze | Ruling::Thaw => Value::Null,
        };
        let (id, deed) = (position.to_string(), deed.as_str());
        Self { id, post_id, decided_at, decided_by, deed, of, reason, outcome }
    }
}

/// List decisions: who decided what, when and why, and the outcome
#[utoipa::path(get, path = "/api/admin/audit", tag = "moderation", params(PageQuery, OfPost), responses(
    (status = 200, description = "The newest first", body = Audit),
))]
pub async fn audit(State(app): Shared, _: Moderator, paged: Paged<OfPost, AuditKey>) -> Answer {
    let post = paged.filter.post()?;
    let page = app.moderation().audit_page(post.as_ref(), None, paged.after, paged.limit).await?;
    let decisions = page.items.into_iter().map(Audited::from).collect();
    Ok(paged.answer(page.next.as_ref(), |next_cursor| Audit { decisions, next_cursor }))
}
