//! The first page: what waits, what the last drain did, whether the balance holds, and which posts need a look.

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::desk::{Desk, Pulse};
use super::frame::{Frame, Here, show};
use super::session::Posted;
use super::show::{self, ago, post_path};
use super::viewer::Viewer;
use crate::api::{Answer, Problem, flush_now, now};
use crate::app::moderation::alerts::Alert;
use crate::app::reading::PostView;
use crate::chart::spark;
use crate::config::Setup;
use crate::model::words::{counted, number, span_ms};
use crate::model::{DAY_MS, HOUR_MS, PostId, Time};
use crate::smoothing::Published;
use crate::store::DrainRun;

/// Posts that are shown as needing a look, of each kind.
const ROWS_MAX: usize = 10;
/// Held ratings among which the posts with the oldest are looked for.
const HELD_LOOKED_AT: usize = 200;
/// Steps of a post's sparkline.
const SPARK_STEPS: usize = 28;
/// How far back it goes.
const SPARK_MS: i64 = 14 * DAY_MS;
/// Drains that are drawn.
const DRAINS_DRAWN: usize = 96;

/// Room for so many of them at least.
const DRAINS_SLOTS_MIN: usize = 48;

/// A post that needs a look.
struct Row {
    path: String,
    title: String,
    spark: String,
    flags: Vec<String>,
    published: Published,
    since: Time,
}

/// A part of Damper, and whether it answers.
struct Part {
    name: &'static str,
    is_well: bool,
}

#[derive(Template)]
#[template(path = "overview.html", config = "src/pages/askama.toml")]
struct OverviewPage {
    frame: Frame,
    now: Time,
    pulse: Pulse,
    last_drain: Option<DrainRun>,
    next_tick: Time,
    rows: Vec<Row>,
    more_alerts: bool,
    merged: String,
    merged_count: u64,
    drains: String,
    drains_count: usize,
    failed_count: usize,
    parts: Vec<Part>,
    is_empty: bool,
    api: String,
}

impl OverviewPage {
    fn posts_word(&self) -> String {
        counted(self.rows.len() as u64, "post", "posts")
    }
}

/// `/`
pub async fn overview(State(desk): State<Desk>, viewer: Viewer, uri: Uri) -> Answer {
    show(&desk, &viewer, &uri, page(&desk, &viewer)).await
}

async fn page(desk: &Desk, viewer: &Viewer) -> Answer<OverviewPage> {
    let (app, now) = (desk.app(), now());
    let frame = Frame::of(desk, viewer, Here::Overview, "Overview").await?;
    let pulse = desk.pulse().await;
    let alerts = app.moderation().alerts(None, ROWS_MAX, now).await?;
    let more_alerts = alerts.next.is_some();
    let mut rows = Vec::new();
    for alert in alerts.items {
        let spark = sparkline(desk, &alert.post_id, &alert.title, now).await?;
        rows.push(Row::of_alert(alert, spark));
    }
    for (view, oldest) in held_posts(desk, now).await? {
        let flag = format!("held {}, oldest {}", number(view.standing.held), ago(oldest, now));
        let path = post_path(&view.post.id);
        if let Some(row) = rows.iter_mut().find(|row| row.path == path) {
            row.flags.push(flag);
            continue;
        }
        let spark = sparkline(desk, &view.post.id, &view.post.title, now).await?;
        let published = Published::of(&view.average, app.params());
        rows.push(Row { path, title: view.post.title, spark, flags: vec![flag], published, since: oldest });
    }
    let day_ago = now.plus_ms(-DAY_MS);
    let (merged, merged_count) = merged(&app.upkeep().merged_by_hour(day_ago).await?, now);
    let runs = app.upkeep().drains(DRAINS_DRAWN).await?;
    let last_drain = runs.first().cloned();
    let runs: Vec<DrainRun> = runs.into_iter().filter(|run| run.started_at >= day_ago).rev().collect();
    let failed_count = runs.iter().filter(|run| run.error.is_some()).count();
    let is_empty = rows.is_empty()
        && last_drain.is_none()
        && pulse.balance.is_some_and(|(_, balance, _)| balance.accepted == 0);
    Ok(OverviewPage {
        frame,
        now,
        last_drain,
        next_tick: app.ticks().around(now).next,
        rows,
        more_alerts,
        merged,
        merged_count,
        drains: drains(&runs),
        drains_count: runs.len(),
        failed_count,
        parts: parts(desk, &pulse),
        is_empty,
        pulse,
        api: app.config().listen.to_string(),
    })
}

impl Row {
    fn of_alert(alert: Alert, spark: String) -> Self {
        let mut flags = Vec::new();
        if alert.surge {
            flags.push("surge".to_owned());
        }
        if alert.published.crowded {
            flags.push("crowded".to_owned());
        }
        if alert.frozen {
            flags.push("frozen".to_owned());
        }
        let Alert { post_id, title, published, since, .. } = alert;
        Self { path: post_path(&post_id), title, spark, flags, published, since }
    }
}

async fn sparkline(desk: &Desk, post: &PostId, title: &str, now: Time) -> Answer<String> {
    let span = (now.plus_ms(-SPARK_MS), now);
    let slices = desk.app().reader().slices(post, span, SPARK_STEPS).await?;
    let published: Vec<_> = slices.iter().map(|slice| slice.published.average).collect();
    let raw: Vec<_> = slices.iter().map(|slice| slice.published.raw_average).collect();
    let words = format!("Published and raw average of {title} in the last 14 days");
    Ok(spark::lines(&published, &raw, &words))
}

/// The posts with the oldest held ratings, and since when.
async fn held_posts(desk: &Desk, now: Time) -> Answer<Vec<(PostView, Time)>> {
    let held = desk.app().moderation().oldest_held(None, None, HELD_LOOKED_AT).await?;
    let mut oldest: Vec<(PostId, Time)> = Vec::new();
    for ((post, _), held) in held.items {
        if oldest.len() < ROWS_MAX && oldest.iter().all(|(other, _)| *other != post) {
            oldest.push((post, held.rated_at));
        }
    }
    let ids: Vec<PostId> = oldest.iter().map(|(post, _)| post.clone()).collect();
    let views = desk.app().reader().posts(&ids, None, now).await?;
    let since = |view: &PostView| oldest.iter().find(|(post, _)| *post == view.post.id).map(|(_, at)| *at);
    Ok(views.into_iter().filter_map(|view| since(&view).map(|at| (view, at))).collect())
}

/// What drains merged in each of the last 24 hours, drawn, and in all.
fn merged(by_hour: &[(Time, u64)], now: Time) -> (String, u64) {
    let this_hour = now.ms().div_euclid(HOUR_MS);
    let mut hours = [0; 24];
    for (hour, merged) in by_hour {
        let back = usize::try_from(this_hour - hour.ms().div_euclid(HOUR_MS)).unwrap_or(0);
        if let Some(bar) = hours.get_mut(23 - back.min(23)).filter(|_| back < 24) {
            *bar += merged;
        }
    }
    let all = hours.iter().sum();
    let title = format!("{} merged in the last 24 hours, a bar an hour", counted(all, "entry", "entries"));
    (spark::bars(&hours.map(|merged| merged as f64), |_| false, (240.0, 40.0), &title), all)
}

fn drains(runs: &[DrainRun]) -> String {
    // A few drains are no wall.
    let missing = DRAINS_SLOTS_MIN.saturating_sub(runs.len());
    let seconds = runs.iter().map(|run| run.duration_ms as f64 / 1_000.0);
    let seconds: Vec<f64> = std::iter::repeat_n(0.0, missing).chain(seconds).collect();
    let longest = runs.iter().map(|run| run.duration_ms).max().unwrap_or(0);
    let title = format!("A bar for each drain, the longest took {}", span_ms(longest));
    spark::bars(&seconds, |i| i >= missing && runs[i - missing].error.is_some(), (240.0, 40.0), &title)
}

/// What Damper stands on. An error names the part that it is about.
fn parts(desk: &Desk, pulse: &Pulse) -> Vec<Part> {
    let why = pulse.away.as_ref().map(|away| away.why.to_lowercase());
    let names: &[&str] = match desk.app().config().setup() {
        Setup::Embedded => &["data file"],
        Setup::Servers => &["Redis", "Postgres"],
    };
    let is_named = |name: &str| why.as_ref().is_some_and(|why| why.contains(&name.to_lowercase()));
    let none_named = !names.iter().any(|name| is_named(name));
    let part = |name: &&'static str| Part { name, is_well: why.is_none() || !is_named(name) && !none_named };
    names.iter().map(part).collect()
}

/// `POST /flush`, for admins.
pub async fn flush(State(desk): State<Desk>, posted: Posted) -> Answer {
    posted.viewer.check_admin()?;
    let flushed = flush_now(&desk.gate).await;
    desk.look_again().await;
    let outcome = match flushed {
        Ok(Some(drained)) => Ok(format!(
            "Merged {} into {} in {}; {} waiting.",
            counted(drained.applied, "entry", "entries"),
            counted(drained.posts, "post", "posts"),
            span_ms(drained.duration_ms),
            number(drained.waiting)
        )),
        Ok(None) => Ok("The flush takes longer and goes on; the last drain will show its outcome.".into()),
        Err(error) => Err(Problem::from(error)),
    };
    Ok(posted.done(&desk, "/", outcome))
}
