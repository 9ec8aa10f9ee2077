//! A post's page: its figures, its chart, what is selected in it and what excluding that would do, its exclusions, its held
//! ratings, its policy, and why its number is what it is. `acts` takes what is decided here.

pub mod acts;
mod explain;
mod history;
mod selection;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use self::history::{History, Range};
use self::selection::{Selection, Suggestion};
use super::audit;
use super::desk::Desk;
use super::frame::{Frame, Here, show};
use super::posts::flags;
use super::show::{self, percent, post_path};
use super::verdicts::{self, HeldRow};
use super::viewer::Viewer;
use crate::api::{Answer, PostPath, fields, now};
use crate::app::reading::PostView;
use crate::chart::spark;
use crate::entry::{Hold, Window};
use crate::merge::Exclusion;
use crate::model::words::number;
use crate::model::{PostId, Time};
use crate::smoothing::Published;

/// Held ratings on the page; the others follow when these are decided.
const HELD_SHOWN: usize = 20;
/// Exclusions on the page, the newest first; the audit has all.
const EXCLUSIONS_SHOWN: usize = 30;

#[derive(Template)]
#[template(path = "post.html", config = "src/pages/askama.toml")]
struct PostPage {
    frame: Frame,
    now: Time,
    path: String,
    view: PostView,
    published: Published,
    flags: Vec<String>,
    history: History,
    selection: Selection,
    suggestion: Option<Suggestion>,
    exclusions: Vec<Exclusion>,
    more_exclusions: usize,
    held: Vec<HeldRow>,
    default_hold: Hold,
    explanation: Vec<String>,
    api: String,
}

impl PostPage {
    /// A row of the histogram for each score, the greatest first: score, share as a drawing, count, percent.
    fn histogram(&self) -> Vec<(usize, String, String, String)> {
        let counts = self.view.average.histogram;
        let (most, all) = (counts.iter().copied().max().unwrap_or(0), counts.iter().sum());
        let row = |(score, count): (usize, &u64)| {
            let bar = spark::share(*count as f64 / most.max(1) as f64, &format!("s{score}"));
            (score, bar, number(*count), percent(*count, all))
        };
        counts.iter().enumerate().rev().map(row).collect()
    }

    fn scores(&self, window: &Window) -> String {
        audit::scores(window)
    }

    fn ranges(&self) -> [Range; 4] {
        Range::NAMED
    }

    fn hold_is(&self, name: &str) -> bool {
        self.view.standing.hold.map_or("default", Hold::as_str) == name
    }
}

/// `/posts/{id}`
pub async fn post(State(desk): State<Desk>, viewer: Viewer, PostPath(id): PostPath, uri: Uri) -> Answer {
    show(&desk, &viewer, &uri, page(&desk, &viewer, &id, &uri)).await
}

async fn page(desk: &Desk, viewer: &Viewer, id: &PostId, uri: &Uri) -> Answer<PostPage> {
    let (app, asked, now) = (desk.app(), fields(uri)?, now());
    let view = app.reader().post(id, None, now).await?;
    let published = Published::of(&view.average, app.params());
    let wave = app.moderation().wave(id, now).await?;
    // A busy week of a calm post is no reason to exclude it.
    let is_busy = published.crowded || view.average.is_surging(app.params());
    let selection = Selection::of(desk, viewer, id, &asked, now).await;
    let exclusions = app.moderation().exclusions(id).await?;
    let range = Range::of(&asked, &view, wave.as_ref(), now)?;
    let history = History::of(desk, &view, range, &exclusions, &selection, now).await?;
    let all = exclusions.len();
    let (held, _) = verdicts::rows(desk, Some(id), None, HELD_SHOWN).await?;
    Ok(PostPage {
        frame: Frame::of(desk, viewer, Here::Posts, &view.post.title).await?,
        now,
        path: post_path(id),
        flags: flags(desk, &view, &published),
        explanation: explain::words(&view, app.params(), now),
        api: app.config().listen.to_string(),
        suggestion: wave.filter(|_| is_busy).map(|wave| Suggestion::of(id, &wave)),
        exclusions: exclusions.into_iter().rev().take(EXCLUSIONS_SHOWN).collect(),
        more_exclusions: all.saturating_sub(EXCLUSIONS_SHOWN),
        held,
        default_hold: app.config().moderation.hold,
        published,
        history,
        selection,
        view,
    })
}
