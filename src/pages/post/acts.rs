//! What is decided on a post's page: exclude, undo, hold, freeze, and verdicts on held ratings that match.

use axum::extract::State;

use super::selection::{scores, time, window};
use crate::api::{Answer, PostPath, decide, now};
use crate::entry::{Decision, Hold, Position, Ruling, Which, Window};
use crate::error::Error;
use crate::merge::{Decided, Outcome};
use crate::model::PostId;
use crate::model::words::{counted, mean};
use crate::pages::desk::Desk;
use crate::pages::session::{Posted, wrong_field};
use crate::pages::show::post_path;
use crate::pages::verdicts::verdict;

/// What is said of a decision that is not merged yet.
const WAITING: &str = "It is decided, and will be merged; the audit lists it then.";

/// `POST /posts/{id}/exclude`
pub async fn exclude(State(desk): State<Desk>, PostPath(post): PostPath, posted: Posted) -> Answer {
    let deciding = async || {
        let deed = Ruling::Exclude(window(&posted.fields, now())?);
        decided(&desk, &post, &posted, vec![deed], "excluded").await
    };
    let outcome = deciding().await;
    Ok(posted.done(&desk, &post_path(&post), outcome))
}

/// `POST /posts/{id}/undo`
pub async fn undo(State(desk): State<Desk>, PostPath(post): PostPath, posted: Posted) -> Answer {
    let deciding = async || {
        let named = posted.fields.get("exclusion").unwrap_or_default();
        let missing = || Error::NotFound(format!("{post} has no exclusion {named}"));
        let deed = Ruling::Undo(Position::parse(named).ok_or_else(missing)?);
        decided(&desk, &post, &posted, vec![deed], "restored").await
    };
    let outcome = deciding().await;
    Ok(posted.done(&desk, &post_path(&post), outcome))
}

/// `POST /posts/{id}/policy`: which ratings are held, and whether it is frozen; only what changes is decided.
pub async fn policy(State(desk): State<Desk>, PostPath(post): PostPath, posted: Posted) -> Answer {
    let deciding = async || {
        let standing = desk.app().moderation().stored(&post).await?.standing;
        let hold = match posted.fields.get("hold") {
            Some("default") => None,
            Some(name) => {
                Some(Hold::parse(name).ok_or_else(|| wrong_field("hold is default, off, surge or always"))?)
            }
            None => standing.hold,
        };
        let frozen = match posted.fields.get("frozen") {
            Some("yes") => true,
            Some("no") => false,
            _ => standing.is_frozen,
        };
        let mut deeds = Vec::new();
        if hold != standing.hold {
            deeds.push(Ruling::Hold(hold));
        }
        if frozen != standing.is_frozen {
            deeds.push(if frozen { Ruling::Freeze } else { Ruling::Thaw });
        }
        if deeds.is_empty() {
            return Err(wrong_field("the policy is like this already; nothing was decided"));
        }
        decided(&desk, &post, &posted, deeds, "").await
    };
    let outcome = deciding().await;
    Ok(posted.done(&desk, &post_path(&post), outcome))
}

/// `POST /posts/{id}/held`: a verdict on all held ratings that match.
pub async fn held(State(desk): State<Desk>, PostPath(post): PostPath, posted: Posted) -> Answer {
    let deciding = async || {
        let verdict = verdict(&posted)?;
        let deed = (verdict.ruling)(Which::Window(matching(&posted)?));
        decided(&desk, &post, &posted, vec![deed], verdict.done).await
    };
    let outcome = deciding().await;
    Ok(posted.done(&desk, &post_path(&post), outcome))
}

/// The window of held ratings that a form names; without ends and scores, all.
fn matching(posted: &Posted) -> Answer<Window> {
    let fields = &posted.fields;
    let moment = |name: &str| match fields.get(name) {
        Some(text) => time(text).map(Some).ok_or_else(|| wrong_field(format!("{text:?} is not a time"))),
        None => Ok(None),
    };
    let scores = scores(fields)?;
    if scores.is_empty() {
        return Err(wrong_field("no score is ticked; tick those that you decide on"));
    }
    Ok(Window::open(moment("from")?, moment("to")?, scores, now())?)
}

/// Takes decisions on the post, and says what came of them.
async fn decided(
    desk: &Desk,
    post: &PostId,
    posted: &Posted,
    deeds: Vec<Ruling>,
    done: &str,
) -> Answer<String> {
    let reason = posted.reason()?;
    let decisions = deeds.into_iter().map(|deed| Decision { deed, reason: reason.clone() }).collect();
    let (_, decided) = decide(&desk.gate, post, posted.viewer.user.clone(), decisions).await?;
    let Some(Decided { outcome, .. }) = decided else { return Ok(WAITING.into()) };
    let Outcome { touched, held, before, after, .. } = outcome;
    let what = match done {
        "" => "Done".to_owned(),
        done if held > 0 => {
            format!("{} and {} held {done}", counted(touched, "rating", "ratings"), held)
        }
        done => format!("{} {done}", counted(touched, "rating", "ratings")),
    };
    Ok(format!("{what}; published {} → {}.", mean(before.average), mean(after.average)))
}
