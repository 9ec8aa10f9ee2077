//! The audit: who decided what, when and why, with the figures before and after.

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::desk::Desk;
use super::frame::{Frame, Here, show};
use super::show::{self, in_query, post_path};
use super::viewer::Viewer;
use crate::api::{Answer, cursor, fields};
use crate::entry::{Ruling, Which, Window};
use crate::merge::Decided;
use crate::model::words::counted;
use crate::model::{PostId, Score, Time, UserId};
use crate::store::AuditKey;

/// Decisions on a page.
const LIMIT: usize = 50;

struct Row {
    at: Time,
    by: String,
    post: PostId,
    path: String,
    what: String,
    window: Option<(Time, Time)>,
    touched: String,
    reason: String,
    before: Option<f64>,
    after: Option<f64>,
    refused: Option<String>,
}

#[derive(Template)]
#[template(path = "audit.html", config = "src/pages/askama.toml")]
struct AuditPage {
    frame: Frame,
    post: String,
    by: String,
    rows: Vec<Row>,
    next: Option<String>,
    is_first: bool,
}

/// `/audit`
pub async fn audit(State(desk): State<Desk>, viewer: Viewer, uri: Uri) -> Answer {
    show(&desk, &viewer, &uri, page(&desk, &viewer, &uri)).await
}

async fn page(desk: &Desk, viewer: &Viewer, uri: &Uri) -> Answer<AuditPage> {
    let asked = fields(uri)?;
    let post = asked.get("post").map(|id| PostId::parse(id.trim())).transpose()?;
    let by = asked.get("by").map(|id| UserId::parse(id.trim())).transpose()?;
    let place = asked.get("cursor");
    let after: Option<AuditKey> = place.map(cursor::parse).transpose()?;
    let found = desk.app().moderation().audit_page(post.as_ref(), by.as_ref(), after, LIMIT).await?;
    let (post, by) =
        (post.map(|id| id.to_string()).unwrap_or_default(), by.map(|id| id.to_string()).unwrap_or_default());
    let address = |key: AuditKey| {
        let (post, by, cursor) = (in_query(&post), in_query(&by), in_query(&cursor::write(&key)));
        format!("/audit?post={post}&by={by}&cursor={cursor}")
    };
    Ok(AuditPage {
        frame: Frame::of(desk, viewer, Here::Audit, "Audit").await?,
        next: found.next.map(address),
        is_first: place.is_none(),
        rows: found.items.into_iter().map(row).collect(),
        post,
        by,
    })
}

fn row(decided: Decided) -> Row {
    let (what, window) = what(&decided.decision.deed);
    let outcome = decided.outcome;
    let all = outcome.touched + outcome.held;
    Row {
        at: decided.at,
        by: decided.by.to_string(),
        path: post_path(&decided.post),
        post: decided.post,
        what,
        window,
        touched: if all > 0 { counted(all, "rating", "ratings") } else { String::new() },
        reason: decided.decision.reason.as_str().to_owned(),
        before: outcome.before.average,
        after: outcome.after.average,
        refused: outcome.refused,
    }
}

/// A decision in words, and its window.
fn what(deed: &Ruling) -> (String, Option<(Time, Time)>) {
    let verb = deed.as_str();
    match deed {
        Ruling::Exclude(window) => (format!("exclude {}", scores(window)), Some((window.from, window.to))),
        Ruling::Approve(Which::Window(window)) | Ruling::Reject(Which::Window(window)) => {
            (format!("{verb} held {}", scores(window)), Some((window.from, window.to)))
        }
        Ruling::Approve(Which::User(user)) | Ruling::Reject(Which::User(user)) => {
            (format!("{verb} the rating of {user}"), None)
        }
        Ruling::Approve(Which::Seen(user, score)) | Ruling::Reject(Which::Seen(user, score)) => {
            (format!("{verb} the {score} of {user}"), None)
        }
        Ruling::Undo(id) => (format!("undo the exclusion {id}"), None),
        Ruling::Hold(hold) => {
            let hold = hold.map_or("as the settings say", |hold| hold.as_str());
            (format!("hold: {hold}"), None)
        }
        Ruling::Freeze | Ruling::Thaw => (verb.to_owned(), None),
    }
}

/// Which scores a window covers, in words.
pub fn scores(window: &Window) -> String {
    match &window.scores[..] {
        [] => "all scores".to_owned(),
        scores => {
            let scores: Vec<String> = scores.iter().map(Score::to_string).collect();
            format!("scores {}", scores.join(", "))
        }
    }
}
