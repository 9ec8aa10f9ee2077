//! `damper simulate`: replays a file of ratings under one or several settings, and says what Damper would have done.
//! It opens no database and changes nothing.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::exported::BEGINNING;
use super::file::{FileArgs, Text, moment, peek};
use super::{DONE, FAILED, now, print_json, term};
use crate::config::Settings;
use crate::error::{Invalid, Kind, Result};
use crate::import::Lines;
use crate::model::{PostId, Score, Time};
use crate::simulate::{
    ACCOUNTS_MAX, AIMS, About, Bomb, Figures, OFFSETS, Outcome, PRESETS, Plan, RIVALS, Rating, Setting,
    Spool, report, simulate,
};
use crate::smoothing::Knobs;

/// Events shown in a terminal.
const EVENTS_SHOWN: usize = 5;
/// The aims that a terminal shows: a tenth within a day, and half a star within a day.
const AIMS_SHOWN: [usize; 2] = [1, 4];
/// The name of the operator's own settings, where they are no preset.
const OWN: &str = "as set";

#[derive(Args)]
pub struct SimulateArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Presets to replay under: gentle, standard, strict. A list of values, --set smoothing.NAME=A,B,C, replays every
    /// combination instead
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    preset: Vec<String>,
    /// An attack: ACCOUNTSxSCORE@TIME/SPAN, such as 500x0@2018-01-05T12:00/10m; with a shape behind it if you like,
    /// /blast, /hours or /drip
    #[arg(long, value_name = "ATTACK")]
    inject: Vec<String>,
    /// When a true change of opinion began; otherwise one is looked for in every post
    #[arg(long, value_name = "TIME", value_parser = moment)]
    change: Option<Time>,
    /// Write a report with charts into this file
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print the table of the methods as CSV
    #[arg(long)]
    csv: bool,
}

/// Everything, as JSON.
#[derive(Serialize)]
struct Simulated<'a> {
    file: String,
    lines: u64,
    refused: u64,
    scale: String,
    first: Time,
    last: Time,
    duration_ms: u64,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// Values of `--set`, by name.
type Pairs = Vec<(String, String)>;

/// Those that are lists of values, and those that are single settings.
pub fn split(set: Pairs) -> (Pairs, Pairs) {
    set.into_iter().partition(|(name, value)| name.starts_with("smoothing.") && value.contains(','))
}

/// Simulates. `lists` are the settings with several values.
pub fn run(settings: &Settings, args: &SimulateArgs, lists: &[(String, String)]) -> Result<u8> {
    let began = Instant::now();
    let now = now();
    let plan = plan(settings, args, lists)?;
    let (mut text, bar) = args.file.open("reading")?;
    if peek(&mut text)?.starts_with(BEGINNING) {
        let detail = "an export is not replayed: damper export --format csv writes the ratings, which are";
        return Err(Invalid::new(Kind::UnclearFile, detail).into());
    }
    let (options, only) = only_post(args, &mut text, now)?;
    let mut lines = Lines::new(text, options, now)?;
    let (mut spool, mut refused) = (Spool::new(), 0_u64);
    let (mut sum, mut count) = (0_u64, 0_u64);
    while let Some(line) = lines.next_line()? {
        match line {
            Err(_) => refused += 1,
            Ok(entry) => {
                let Some(score) = entry.action.score() else { continue };
                if only.as_ref().is_none_or(|only| entry.post == *only) {
                    (sum, count) = (sum + u64::from(score.get()), count + 1);
                    spool.add(&entry.post, &Rating { user: entry.user, score, at: entry.at })?;
                }
            }
        }
    }
    lines.check()?;
    bar.finish_and_clear();
    let Some((first, last)) = lines.survey.span.filter(|_| count > 0) else {
        let what = only.map_or("the file holds no rating that can be replayed".to_owned(), |post| {
            format!("there is no post {post} in the file")
        });
        return Err(Invalid::new(Kind::EmptyFile, what).into());
    };
    let plan = Plan { prior: sum as f64 / count as f64, ..plan };
    let bar = term::progress("replaying", term::ENTRIES, count);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let outcome = simulate(&spool, only.as_ref(), &plan, threads, &|done| bar.inc(done))?;
    bar.finish_and_clear();
    let file = args.file.name();
    if let Some(path) = &args.report {
        let about = About {
            file: path_name(&file),
            span: (first, last),
            attacks: plan.bombs.iter().map(Bomb::to_string).collect(),
            command: &command(args, lists),
        };
        std::fs::write(path, report(&outcome, &about)).map_err(|e| {
            Invalid::new(Kind::UnwritableFile, format!("cannot write {}: {e}", path.display()))
        })?;
    }
    let simulated = Simulated {
        file,
        lines: lines.survey.lines,
        refused,
        scale: super::look::scale_of(&lines),
        first,
        last,
        duration_ms: began.elapsed().as_millis() as u64,
        outcome: &outcome,
    };
    if args.json {
        print_json(&simulated)?;
    } else if args.csv {
        term::print(&table_csv(&outcome));
    } else {
        term::print(&shown(&simulated, args));
    }
    Ok(if refused == 0 { DONE } else { FAILED })
}

fn plan(settings: &Settings, args: &SimulateArgs, lists: &[(String, String)]) -> Result<Plan> {
    let config = &settings.config;
    let params = config.params()?;
    let alerts = params.alerts();
    let own = config.smoothing;
    let mut all = Setting::presets(&args.preset, alerts)?;
    if !lists.is_empty() {
        all.extend(Setting::combinations(&own, lists, alerts)?);
    } else if args.preset.is_empty() {
        all = Setting::presets(&PRESETS.map(str::to_owned), alerts)?;
        if own != Knobs::default() {
            all.push(Setting::new(OWN, own, alerts)?);
        }
    }
    let bombs = args.inject.iter().map(|text| Bomb::parse(text)).collect::<Result<_, _>>()?;
    Ok(Plan { settings: all, bombs, change: args.change, prior: f64::from(Score::MAX) / 2.0 })
}

/// What the flags say of the file. A post that is named is the one to look at, if the file says which post is which; else
/// it is the post of all ratings.
fn only_post(
    args: &SimulateArgs,
    text: &mut Text,
    now: Time,
) -> Result<(crate::import::Options, Option<PostId>)> {
    let options = args.file.options("damper simulate");
    let Some(post) = options.post.clone() else { return Ok((options, None)) };
    let without = crate::import::Options { post: None, ..options.clone() };
    let names_posts = Lines::new(peek(text)?, without.clone(), now).is_ok();
    Ok(if names_posts { (without, Some(post)) } else { (options, None) })
}

fn path_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// The command that makes the same again.
fn command(args: &SimulateArgs, lists: &[(String, String)]) -> String {
    let mut words = vec!["damper simulate".to_owned()];
    words.extend(lists.iter().map(|(name, values)| format!("--set {name}={values}")));
    if !args.preset.is_empty() {
        words.push(format!("--preset {}", args.preset.join(",")));
    }
    words.extend(args.inject.iter().map(|attack| format!("--inject {attack}")));
    args.file.options(&words.join(" ")).command_line()
}

fn shown(simulated: &Simulated<'_>, args: &SimulateArgs) -> String {
    let Simulated { outcome, first, last, refused, .. } = simulated;
    let day = |at: &Time| at.to_utc().format("%Y-%m-%d").to_string();
    let mut text = format!(
        "{}  {} of {}, {} to {}, under {} in {}\n",
        term::printable(path_name(&simulated.file)),
        term::counted(outcome.ratings, "rating", "ratings"),
        term::counted(outcome.posts, "post", "posts"),
        day(first),
        day(last),
        term::counted((outcome.methods.len() - RIVALS.len()) as u64, "setting", "settings"),
        term::span_ms(simulated.duration_ms),
    );
    if *refused > 0 {
        text += &format!(
            "{} not read: damper import --look says why\n",
            term::attention(&term::counted(*refused, "line is", "lines are"))
        );
    }
    text += "\n";
    text += &events(outcome);
    text += &methods(outcome);
    text += &budgets(outcome);
    let recommended = &outcome.recommended;
    text += &format!("\nrecommended  {}: {}\n", recommended.name, recommended.reason);
    for flag in &recommended.flags {
        text += &format!("  {flag}\n");
    }
    if let Some(path) = &args.report {
        text += &format!("\nreport  {}\n", path.display());
    }
    text
}

fn events(outcome: &Outcome) -> String {
    if outcome.events.is_empty() {
        return "no burst was found; --inject 500x0@TIME/10m invents an attack\n\n".to_owned();
    }
    let mut text = String::new();
    for event in outcome.events.iter().take(EVENTS_SHOWN) {
        let first = event.alert_after_minutes.iter().flatten().min();
        text += &format!(
            "{}  {}, {}: {} with mean {:.2} after {:.2}{}\n",
            if event.is_attack { "attack" } else { "burst " },
            event.post,
            event.from.to_utc().format("%Y-%m-%d %H:%M"),
            term::counted(event.ratings as u64, "rating", "ratings"),
            event.mean,
            event.before,
            first.map_or(String::new(), |minutes| match minutes {
                0 => "; an alert at once".to_owned(),
                minutes => format!("; first alert after {}", term::span_ms(minutes.unsigned_abs() * 60_000)),
            })
        );
    }
    let more = outcome.events_total.saturating_sub(EVENTS_SHOWN);
    if more > 0 {
        text += &format!("        and {} more\n", term::number(more as u64));
    }
    text + "\n"
}

fn methods(outcome: &Outcome) -> String {
    let [hour, day, week, month, quarter] = OFFSETS.map(|(_, name)| name);
    let row = |figures: &Figures| {
        let stars = |at: usize| signed(figures.shifts.get(at).copied().flatten());
        [
            figures.name.clone(),
            stars(0),
            stars(1),
            stars(2),
            stars(3),
            stars(4),
            signed(figures.peak),
            figures.lag_days.map_or("–".into(), |days| format!("{days:.1} d")),
            figures.calm_distance.map_or("–".into(), |stars| format!("{stars:.3}")),
            figures.surge_share.map_or("–".into(), |share| format!("{:.1} %", share * 100.0)),
            figures.alerts.map_or("–".into(), term::number),
        ]
    };
    let header = ["moved after", hour, day, week, month, quarter, "peak", "lag", "calm", "surge", "alerts"];
    term::table(header, term::CellAlignment::Right, outcome.methods.iter().map(row))
        + "moved: stars; lag: half of a true change shows later than in the raw mean; calm: distance from it away from bursts;\n\
           surge: honest ratings that took the surge lane\n"
}

fn budgets(outcome: &Outcome) -> String {
    if outcome.budgets.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    for aim in AIMS_SHOWN {
        let (stars, ..) = AIMS[aim];
        text += &format!("\naccounts to move a post by {stars} within a day\n");
        let mut rows = Vec::new();
        for budget in &outcome.budgets {
            let more = format!("> {}", term::number(ACCOUNTS_MAX));
            let said = |accounts: Option<u64>| accounts.map_or(more.clone(), term::number);
            let settings = budget.accounts.iter().zip(&outcome.methods[RIVALS.len()..]);
            let settings: Vec<String> = settings
                .map(|(accounts, figures)| format!("{} {}", figures.name, said(accounts[aim])))
                .collect();
            rows.push([
                format!("{} old", budget.age),
                format!("{} ratings", budget.size),
                said(budget.raw[aim]),
                settings.join("   "),
            ]);
        }
        text += &term::table(["age", "size", "raw mean", "Damper"], term::CellAlignment::Left, rows);
    }
    text
}

fn signed(stars: Option<f64>) -> String {
    stars.map_or("–".into(), |stars| format!("{stars:+.2}").replace('-', "−"))
}

/// The methods as a table for programs.
fn table_csv(outcome: &Outcome) -> String {
    let mut text = "method,moved_1h,moved_1d,moved_7d,moved_30d,moved_90d,peak,lag_days,calm_distance,surge_share,alerts\n".to_owned();
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
    for figures in &outcome.methods {
        let mut fields = vec![format!("\"{}\"", figures.name.replace('"', "\"\""))];
        fields.extend(figures.shifts.iter().map(|shift| number(*shift)));
        fields
            .extend([figures.peak, figures.lag_days, figures.calm_distance, figures.surge_share].map(number));
        fields.push(figures.alerts.map_or(String::new(), |alerts| alerts.to_string()));
        text += &format!("{}\n", fields.join(","));
    }
    text
}
