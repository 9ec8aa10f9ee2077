//! `damper show POST`: one post at a glance.

use clap::Args;
use serde::Serialize;

use super::{JsonArg, now, open, term};
use crate::app::reading::history::Point;
use crate::config::Settings;
use crate::error::Result;
use crate::model::{PostId, Score, Time};
use crate::smoothing::Published;

/// Width of a sparkline.
const STEPS: usize = 48;
/// Width of a histogram's longest bar.
const BAR_CELLS: usize = 32;

#[derive(Args)]
pub struct ShowArgs {
    /// The post's id
    post: String,
    #[command(flatten)]
    output: JsonArg,
}

/// What is shown of a post.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a PostId,
    title: &'a str,
    #[serde(flatten)]
    published: Published,
    sum: u64,
    under_review: u64,
    frozen: bool,
    histogram: [u64; Score::COUNT],
    as_of: Time,
    next_tick: Time,
    history: Vec<Point>,
}

/// Shows a post. Exit code 1 means there is no such post.
pub async fn show(settings: Settings, args: &ShowArgs) -> Result<u8> {
    let id = PostId::parse(&args.post)?;
    let app = open(settings).await?;
    let view = app.reader().post(&id, None, now()).await?;
    let shown = Shown {
        id: &id,
        title: &view.post.title,
        published: Published::of(&view.average, app.params()),
        sum: view.average.sum(),
        under_review: view.standing.under_review(),
        frozen: view.standing.is_frozen,
        histogram: view.average.histogram,
        as_of: view.as_of,
        next_tick: view.next_tick,
        history: app.reader().history(&id, STEPS, now()).await?,
    };
    args.output.print(&shown, || screen(&shown))
}

fn screen(shown: &Shown<'_>) -> String {
    let Shown { id, published, under_review, .. } = shown;
    let mut text = format!(
        "{} ({id})   as of {} UTC, next {}\n",
        term::printable(shown.title),
        term::clock(shown.as_of),
        term::clock(shown.next_tick)
    );
    let flags = [
        (published.crowded, "crowded".to_owned()),
        (published.early && published.count > 0, "early".to_owned()),
        (*under_review > 0, format!("{} under review", term::number(*under_review))),
        (shown.frozen, "frozen".to_owned()),
    ];
    let flags: Vec<_> = flags.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
    text += &format!(
        "  published  {}      raw  {}      {}, {} phasing in   {}\n",
        term::mean(published.average),
        term::mean(published.raw_average),
        term::counted(published.count, "rating", "ratings"),
        term::number(published.phasing_in),
        term::attention(&flags.join(", "))
    );
    text += &histogram(&shown.histogram);
    text += &lines(&shown.history);
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn histogram(counts: &[u64; Score::COUNT]) -> String {
    let (most, all) = (counts.iter().copied().max().unwrap_or(0), counts.iter().sum::<u64>());
    if all == 0 {
        return String::new();
    }
    let width = term::number(most).len();
    let row = |(score, count): (usize, &u64)| {
        let bar = term::bar(*count as f64 / most as f64, BAR_CELLS);
        let percent = *count as f64 * 100.0 / all as f64;
        format!("  {score} {bar:<BAR_CELLS$}  {:>width$}  {percent:>3.0} %\n", term::number(*count))
    };
    counts.iter().enumerate().rev().map(row).collect()
}

fn lines(history: &[Point]) -> String {
    let (Some(first), Some(last)) = (history.first(), history.last()) else { return String::new() };
    let means =
        || history.iter().flat_map(|point| [point.published.raw_average, point.published.average]).flatten();
    // Both lines share one scale, so that they can be compared.
    let (low, high) = (means().fold(f64::MAX, f64::min), means().fold(f64::MIN, f64::max));
    let line = |name: &str, of: fn(&Point) -> Option<f64>| {
        let drawn = term::sparkline(history.iter().map(of), low, high);
        let begin = history.iter().find_map(of);
        format!("  {name:<10} {drawn}  {} → {}\n", term::mean(begin), term::mean(of(last)))
    };
    let most = history.iter().map(|point| point.arrivals).max().unwrap_or(0);
    let arrivals = history.iter().map(|point| Some(point.arrivals as f64).filter(|n| *n > 0.0));
    let arrivals = term::sparkline(arrivals, 0.0, most as f64);
    let day = |time: Time| time.to_utc().format("%-d %b %Y").to_string();
    format!(
        "{}{}  {:<10} {arrivals}  {} … {}\n",
        line("raw", |point| point.published.raw_average),
        line("published", |point| point.published.average),
        "arrivals",
        day(first.at),
        day(last.at)
    )
}
