//! Held ratings: the list of all that wait, the oldest first, and the verdicts on one, on many, on all that match.

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::desk::Desk;
use super::frame::{Frame, Here, show};
use super::session::{Posted, wrong_field};
use super::show::{self, in_query, post_path};
use super::viewer::Viewer;
use crate::api::held::{APPROVE, REJECT, Verdict, decide_many};
use crate::api::{Answer, cursor, fields, now};
use crate::model::words::{counted, number};
use crate::model::{PostId, Score, Time, UserId};
use crate::store::HeldKey;

/// Held ratings on a page.
const LIMIT: usize = 50;

/// A held rating in a list.
pub struct HeldRow {
    pub post: PostId,
    pub path: String,
    pub user: UserId,
    pub score: Score,
    pub rated_at: Time,
    /// When it counts if nobody decides; nothing for never.
    pub counts_at: Option<Time>,
}

impl HeldRow {
    /// What a form sends to name it, and the score that was seen.
    pub fn pick(&self) -> String {
        format!("{} {} {}", self.post, self.user, self.score)
    }
}

#[derive(Template)]
#[template(path = "held.html", config = "src/pages/askama.toml")]
struct HeldPage {
    frame: Frame,
    now: Time,
    rows: Vec<HeldRow>,
    next: Option<String>,
    is_first: bool,
    release_hours: u64,
    back: String,
}

/// `/held`
pub async fn held(State(desk): State<Desk>, viewer: Viewer, uri: Uri) -> Answer {
    show(&desk, &viewer, &uri, page(&desk, &viewer, &uri)).await
}

async fn page(desk: &Desk, viewer: &Viewer, uri: &Uri) -> Answer<HeldPage> {
    let place = fields(uri)?.get("cursor").map(str::to_owned);
    let after: Option<HeldKey> = place.as_deref().map(cursor::parse).transpose()?;
    let (rows, next) = rows(desk, None, after.as_ref(), LIMIT).await?;
    Ok(HeldPage {
        frame: Frame::of(desk, viewer, Here::Held, "Held ratings").await?,
        now: now(),
        rows,
        next: next.map(|cursor| format!("/held?cursor={}", in_query(&cursor))),
        is_first: place.is_none(),
        release_hours: u64::from(desk.app().config().moderation.hold_release_hours),
        back: uri.path_and_query().map_or("/held", |path| path.as_str()).to_owned(),
    })
}

/// Held ratings after `after`, the oldest first, and where the next page begins.
pub async fn rows(
    desk: &Desk,
    post: Option<&PostId>,
    after: Option<&HeldKey>,
    limit: usize,
) -> Answer<(Vec<HeldRow>, Option<String>)> {
    let moderation = desk.app().moderation();
    let page = moderation.oldest_held(post, after, limit).await?;
    let row = |((post, user), held): ((PostId, UserId), crate::merge::HeldRating)| HeldRow {
        path: post_path(&post),
        post,
        user,
        score: held.score,
        rated_at: held.rated_at,
        counts_at: moderation.released_at(held.rated_at),
    };
    Ok((page.items.into_iter().map(row).collect(), page.next.map(|key| cursor::write(&key))))
}

/// The verdict that a form names.
pub fn verdict(posted: &Posted) -> Answer<&'static Verdict> {
    match posted.fields.get("verdict") {
        Some("approve") => Ok(&APPROVE),
        Some("reject") => Ok(&REJECT),
        _ => Err(wrong_field("the verdict is approve or reject")),
    }
}

/// `POST /held`: a verdict on the ratings that were picked.
pub async fn decide(State(desk): State<Desk>, posted: Posted) -> Answer {
    let back = posted.fields.get("back").filter(|path| is_list(path)).unwrap_or("/held").to_owned();
    let outcome = decided(&desk, &posted).await;
    Ok(posted.done(&desk, &back, outcome))
}

/// Whether a form may lead back there.
fn is_list(path: &str) -> bool {
    path.starts_with("/held") || path.starts_with("/posts/")
}

async fn decided(desk: &Desk, posted: &Posted) -> Answer<String> {
    let (verdict, reason) = (verdict(posted)?, posted.reason()?);
    let named = posted.fields.all("pick").map(pick).collect::<Answer<Vec<_>>>()?;
    if named.is_empty() {
        return Err(wrong_field("nothing is selected; tick the ratings that you decide on"));
    }
    if named.len() > LIMIT {
        return Err(wrong_field(format!("{} are more than {LIMIT} at once", named.len())));
    }
    let decisions = decide_many(&desk.gate, &posted.viewer.user, verdict, named, reason).await?;
    let count = |state: &str| decisions.iter().filter(|one| one.state == state).count() as u64;
    let mut words = vec![format!("{} {}", counted(count(verdict.done), "rating", "ratings"), verdict.done)];
    for (state, meaning) in [
        ("waiting", "decided and waiting to be merged"),
        ("changed", "changed since you saw the score, and still held"),
        ("refused", "refused"),
    ] {
        let count = count(state);
        if count > 0 {
            words.push(format!("{} {meaning}", number(count)));
        }
    }
    let why = decisions.iter().find(|one| one.state == "refused").and_then(|one| one.detail.clone());
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    Ok(format!("{}{why}.", words.join(", ")))
}

/// A rating as a form names it: post, user, score.
fn pick(text: &str) -> Answer<(PostId, UserId, Option<Score>)> {
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (post, user) = (PostId::parse(word())?, UserId::parse(word())?);
    let score = word().parse().map_err(|_| wrong_field("a selected rating has no score"))?;
    Ok((post, user, Some(Score::parse(score)?)))
}
