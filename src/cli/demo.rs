//! `damper demo`: a review bomb on a temporary file, weeks in seconds. Every rating goes through the doors that the API and
//! the worker use; only the clock is an argument.

mod chart;
mod story;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::try_join_all;
use serde::Serialize;

use super::serve::{self, Parts};
use super::{DONE, JsonArg, now, term};
use crate::app::App;
use crate::app::drain::DrainOrder;
use crate::config::{Config, Settings};
use crate::entry::{Action, Window};
use crate::error::{Error, Result};
use crate::model::{DAY_MS, MINUTE_MS, PostId, Score, Time, UserId};
use crate::smoothing::Published;
use crate::store::Trigger;
use chart::Chart;
use story::{BatchRule, Rating, Story};

/// A frame of the live chart stays at least so long, so that an eye can follow.
const FRAME: Duration = Duration::from_millis(25);
/// The chart begins so long before the bomb.
const SHOWN_MS: i64 = 20 * DAY_MS;
/// Lines for a file or a program are this far apart in the story.
const LINE_MS: i64 = 5 * DAY_MS;
/// Scores of the bomb, which an exclusion would take out.
const HOSTILE_MAX: i64 = 1;

#[derive(Args)]
pub struct DemoArgs {
    /// Go on as a service on the result, with the bomb still to be excluded, until ^C
    #[arg(long)]
    pub serve: bool,
    /// Another story of the same kind
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: JsonArg,
}

/// The means at one moment.
#[derive(Debug, Clone, Copy, Serialize)]
struct Means {
    published: Option<f64>,
    raw: Option<f64>,
    batch_rule: Option<f64>,
}

/// What the story came to.
#[derive(Serialize)]
struct Told {
    post_id: PostId,
    /// Entries that went through the log.
    ratings: usize,
    /// The bomb's window, and the ratings in it that an exclusion would take out.
    bomb_from: Time,
    bomb_to: Time,
    bomb_ratings: u64,
    before: Means,
    /// The lowest each went.
    deepest: Means,
    day_after: Means,
    week_after: Means,
    /// Right after an exclusion of the bomb, a week late.
    excluded: Means,
    seconds: f64,
}

/// Runs the story, and serves its result if that is asked for.
pub async fn demo(mut settings: Settings, args: &DemoArgs) -> Result<u8> {
    let folder = Folder::make()?;
    settings.config = config(&settings.config, folder.0.join("demo.db"))?;
    // Whatever ends it, the file goes.
    let stop = serve::stop_on_signal()?;
    let app = App::open(settings.config.clone()).await?;
    let told = tokio::select! {
        told = tell(&app, args) => told?,
        () = stop.cancelled() => return Err(Error::Refused("the demo was stopped".into())),
    };
    app.close().await;
    args.output.print(&told, || summary(&told, args.serve))?;
    if !args.serve {
        return Ok(DONE);
    }
    drop(app);
    serve::serve_with(settings, Parts::Both, what_to_do).await
}

/// Embedded in a new file, without keys, and with the defaults of all that could change the story. What a demo is run for
/// stays as it is set: the smoothing, and where to listen.
fn config(own: &Config, data: PathBuf) -> Result<Config> {
    let own = own.clone();
    Ok(Config {
        data,
        listen: own.listen,
        admin_listen: own.admin_listen,
        admin_hosts: own.admin_hosts,
        smoothing: own.smoothing,
        api: own.api,
        log: own.log,
        ..Settings::defaults()?.config
    })
}

/// Takes the story in, merges it step by step, and shows what is published.
async fn tell(app: &App, args: &DemoArgs) -> Result<Told> {
    let began = Instant::now();
    let story = Story::tell(args.seed, app.ticks().around(now()).last)?;
    for post in &story.posts {
        app.catalogue().create_post(post.clone()).await?;
    }
    let mut screen = Screen::new(&story, args.output.json);
    let (bombed, mut seen) = (&story.posts[0].id, HashMap::new());
    let (mut rule, mut tick) = (BatchRule::new(), story.begin);
    let (mut rest, mut deepest) = (&story.ratings[..], None);
    for at in story.drains() {
        let step = &rest[..rest.partition_point(|rating| rating.at < at)];
        rest = &rest[step.len()..];
        submit(app, step).await?;
        app.drainer().flush(at, &DrainOrder::quiet(Trigger::Flush)).await?;
        let arrived: Vec<&Rating> = step.iter().filter(|rating| rating.post == *bombed).collect();
        for rating in &arrived {
            if rating.at >= tick {
                rule.tick();
                tick = app.ticks().around(rating.at).next;
            }
            rule.take(rating.score);
        }
        // The next tick comes before anything else.
        rule.tick();
        let published = figures(app, bombed, at).await?;
        let means =
            Means { published: published.average, raw: published.raw_average, batch_rule: rule.value };
        if at > story.bomb.0 {
            deepest = Some(deepest.map_or(means, |deepest| lower(deepest, means)));
        }
        seen.insert(at, means);
        screen.show(at, &published, arrived.len() as u64).await;
    }
    screen.end();
    let at =
        |time: Time| seen.get(&time).copied().ok_or_else(|| Error::Internal(format!("no drain at {time}")));
    let hostile = (0..=HOSTILE_MAX).map(Score::parse).collect::<Result<_, _>>()?;
    let window = Window::new(story.bomb.0, story.bomb.1, hostile, story.end)?;
    let by = UserId::parse("demo")?;
    let preview = app.moderation().preview(bombed, &by, window, story.end).await?;
    let (bomb_ratings, after) = (preview.users, preview.outcome.after);
    let before = at(story.bomb.0)?;
    Ok(Told {
        post_id: bombed.clone(),
        ratings: story.ratings.len(),
        bomb_from: story.bomb.0,
        bomb_to: story.bomb.1,
        bomb_ratings,
        before,
        deepest: deepest.unwrap_or(before),
        day_after: at(story.bomb.1.plus_ms(DAY_MS))?,
        week_after: at(story.end)?,
        // The rule keeps no ratings that could be taken out.
        excluded: Means { published: after.average, raw: after.raw_average, batch_rule: None },
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// Takes ratings in, many at once, as the API does; each at its own time.
async fn submit(app: &App, ratings: &[Rating]) -> Result<()> {
    const AT_ONCE: usize = 500;
    for some in ratings.chunks(AT_ONCE) {
        let taken = some.iter().map(|Rating { at, post, user, score }| {
            app.intake().submit(post, user, Action::Rate(*score), *at)
        });
        try_join_all(taken).await?;
    }
    Ok(())
}

/// What readers see at that moment.
async fn figures(app: &App, post: &PostId, at: Time) -> Result<Published> {
    let view = app.reader().post(post, None, at).await?;
    Ok(Published::of(&view.average, app.params()))
}

/// The lower of each.
fn lower(one: Means, other: Means) -> Means {
    let low = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Means {
        published: low(one.published, other.published),
        raw: low(one.raw, other.raw),
        batch_rule: low(one.batch_rule, other.batch_rule),
    }
}

/// What is shown while the story goes on: a live chart in a terminal, a line now and then elsewhere, nothing beside JSON.
struct Screen<'a> {
    story: &'a Story,
    chart: Chart,
    kind: Kind,
    /// Lines of the frame that stands there.
    drawn: usize,
    frames: tokio::time::Interval,
    next_line: Time,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Live,
    Plain,
    None,
}

impl<'a> Screen<'a> {
    fn new(story: &'a Story, is_json: bool) -> Self {
        let (out, has_color) = (std::io::stdout(), term::has_color(&std::io::stdout()));
        let kind = match is_json {
            true => Kind::None,
            false if out.is_terminal() && has_color => Kind::Live,
            false => Kind::Plain,
        };
        if kind != Kind::None {
            let title = &story.posts[0].title;
            term::print(&format!(
                "{title}: two months of ordinary ratings, then a review bomb, then a week\n\n"
            ));
        }
        let chart = Chart::new(story.bomb.0.plus_ms(-SHOWN_MS), story.end, has_color);
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self { story, chart, kind, drawn: 0, frames, next_line: story.begin.plus_ms(LINE_MS) }
    }

    async fn show(&mut self, at: Time, published: &Published, arrivals: u64) {
        self.chart.add(at, published.raw_average, published.average, arrivals);
        match self.kind {
            Kind::None => {}
            Kind::Live => {
                if at > self.story.bomb.0.plus_ms(-SHOWN_MS) {
                    self.frames.tick().await;
                }
                self.draw(&format!("  {}", line(self.story, at, published)));
            }
            Kind::Plain => {
                let is_told = [self.story.bomb.0, self.story.bomb.1, self.story.end].contains(&at);
                if at >= self.next_line || is_told {
                    term::print(&format!("{}\n", line(self.story, at, published)));
                    self.next_line = at.plus_ms(LINE_MS);
                }
            }
        }
    }

    /// Draws over the frame before.
    fn draw(&mut self, caption: &str) {
        let mut lines = self.chart.lines((self.story.bomb.0, "the bomb"));
        lines.extend([String::new(), caption.to_owned()]);
        let up = if self.drawn == 0 { String::new() } else { format!("\x1b[{}A", self.drawn) };
        let frame: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
        self.drawn = lines.len();
        term::print(&format!("{up}{frame}"));
    }

    fn end(&mut self) {
        match self.kind {
            Kind::Live => {
                let raw = if term::has_color(&std::io::stdout()) { "\x1b[2m┄┄\x1b[0m" } else { "┄┄" };
                let lines = self.chart.lines((self.story.bomb.0, "the bomb"));
                self.drawn = self.drawn.max(lines.len());
                self.draw(&format!(
                    "  \x1b[1;36m━━\x1b[0m published   {raw} raw mean   bars: ratings that arrived"
                ));
                term::print("\n");
            }
            Kind::Plain => term::print("\n"),
            Kind::None => {}
        }
    }
}

/// One moment in words: `day 61, 03:00   published 4.02   raw 2.41 …`.
fn line(story: &Story, at: Time, published: &Published) -> String {
    let minutes = (at.ms() - story.begin.ms()) / MINUTE_MS;
    format!(
        "day {:>2}, {:02}:{:02}   published {}   raw {}   {:>5} ratings, {:>5} phasing in",
        minutes / 1_440,
        minutes / 60 % 24,
        minutes % 60,
        term::mean(published.average),
        term::mean(published.raw_average),
        term::number(published.count),
        term::number(published.phasing_in),
    )
}

fn summary(told: &Told, serves: bool) -> String {
    let row = |name: &str, means: &Means| {
        [name.to_owned(), term::mean(means.published), term::mean(means.raw), term::mean(means.batch_rule)]
    };
    let table = term::table(
        ["", "published", "raw mean", "0.9 old + 0.1 batch"],
        term::CellAlignment::Right,
        [
            row("before the bomb", &told.before),
            row("at the deepest", &told.deepest),
            row("a day after it", &told.day_after),
            row("a week after it", &told.week_after),
            row("the bomb excluded", &told.excluded),
        ],
    );
    let next = match serves {
        true => "",
        false => "\nTo exclude it yourself, in the browser: damper demo --serve\n",
    };
    format!(
        "{table}\n{} in {:.1} s; an exclusion takes out {} of the bomb's window.\n\
         The last column is a rule that many sites use at each tick; it keeps no ratings to take out.\n{next}",
        term::counted(told.ratings as u64, "rating", "ratings"),
        told.seconds,
        term::number(told.bomb_ratings),
    )
}

/// What the start screen of `--serve` says instead of how to begin.
fn what_to_do(_: &Config, api: &std::net::SocketAddr, admin: &std::net::SocketAddr) -> String {
    format!(
        "
look
  http://{admin}   sign in with the token; the bombed post is the first that needs a look
  http://{api}/demo   what a visitor sees

  The file is temporary: it goes when this ends, by ^C.

"
    )
}

/// A folder of our own for temporary files; removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let parent = std::env::temp_dir();
        let path = parent.join(format!("damper-demo-{}", uuid::Uuid::new_v4().simple()));
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|e| {
            let parent = parent.display();
            Error::Config(format!("cannot make a folder in {parent}: {e}; TMPDIR names another place"))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
