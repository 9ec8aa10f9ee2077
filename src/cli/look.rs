//! `damper import --look`: how a file would be read, what is odd about it, and the command to run. It changes nothing.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::json;

use super::exported::BEGINNING;
use super::file::{FileArgs, peek};
use super::{DONE, FAILED, JsonArg, now, term};
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::import::{BadLine, Lines, ROLES};
use crate::model::{DAY_MS, PostId, Score, Time, UserId};

/// Lines shown.
const LINES_SHOWN: usize = 3;
/// A user with more of the ratings than one in this many is odd, if there are enough of them.
const BUSY_USER: u64 = 10;
const BUSY_RATINGS_MIN: u64 = 50;

#[derive(Serialize)]
struct Look {
    file: String,
    /// What people call such a file.
    known: Option<&'static str>,
    form: String,
    /// Where post, user, score and time are found.
    columns: BTreeMap<&'static str, Option<String>>,
    scale: String,
    times: String,
    lines: u64,
    ratings: u64,
    unrated: u64,
    refused: u64,
    posts: u64,
    users: u64,
    first: Option<Time>,
    last: Option<Time>,
    histogram: [u64; Score::COUNT],
    first_lines: Vec<Shown>,
    not_read: Vec<String>,
    odd: Vec<String>,
    command: String,
}

#[derive(Serialize)]
struct Shown {
    line: u64,
    post: PostId,
    user: UserId,
    score: Option<Score>,
    at: Time,
}

/// Looks at a file. Exit code 1 means that it is refused as it is.
pub fn look(file: &FileArgs, command: &str, output: &JsonArg) -> Result<u8> {
    let (mut text, bar) = file.open("reading")?;
    if peek(&mut text)?.starts_with(BEGINNING) {
        bar.finish_and_clear();
        let run = file.options(command).command_line();
        let found = json!({"file": file.name(), "form": "an export", "command": run});
        return output.print(&found, || {
            format!(
                "{}  what damper export wrote; it says itself what is in it\n\nrun\n  {run}\n",
                term::printable(&file.name())
            )
        });
    }
    let mut lines = file.lines(text, command, now())?;
    let mut first_lines = Vec::new();
    let mut bad: Vec<BadLine> = Vec::new();
    let (mut ratings, mut refused) = (0, 0);
    let mut by_user: HashMap<UserId, u64> = HashMap::new();
    while let Some(line) = lines.next_line()? {
        match line {
            Ok(Entry { post, user, at, action, .. }) => {
                ratings += 1;
                *by_user.entry(user.clone()).or_default() += 1;
                if first_lines.len() < LINES_SHOWN {
                    first_lines.push(Shown { line: lines.number(), post, user, score: action.score(), at });
                }
            }
            Err(line) => {
                refused += 1;
                if bad.len() < LINES_SHOWN {
                    bad.push(line);
                }
            }
        }
    }
    bar.finish_and_clear();
    let unclear = lines.check().err();
    let (posts, users) = lines.counts();
    let (format, survey) = (lines.format(), &lines.survey);
    let rules = format.rules();
    let look = Look {
        file: file.name(),
        known: format.known,
        form: format.form(),
        columns: ROLES.into_iter().zip(format.sources.clone()).collect(),
        scale: scale_of(&lines),
        times: rules.clock.to_string(),
        lines: survey.lines,
        ratings,
        unrated: survey.unrated,
        refused,
        posts,
        users,
        first: survey.span.map(|(first, _)| first),
        last: survey.span.map(|(_, last)| last),
        histogram: survey.histogram,
        first_lines,
        not_read: format.ignored.clone(),
        odd: odd(&lines, ratings, refused, &bad, &by_user),
        command: file.options(command).command_line(),
    };
    output.print(&look, || shown(&look, unclear.is_some()))?;
    match unclear {
        None => Ok(DONE),
        Some(unclear) => Err(Error::Invalid(unclear)),
    }
    .or_else(|error| {
        super::log::say(&format!("damper: {error}"));
        Ok(FAILED)
    })
}

/// What becomes of scores, for people.
pub fn scale_of<R: std::io::BufRead>(lines: &Lines<R>) -> String {
    let rules = lines.format().rules();
    match &rules.scale {
        Some(scale) => format!("{scale} onto 0..5, linear, half up: {}", scale.table()),
        None if rules.has_half_stars => "0.5..5 in halves, rounded up".to_owned(),
        None => "0..5, as they are".to_owned(),
    }
}

fn odd<R: std::io::BufRead>(
    lines: &Lines<R>,
    ratings: u64,
    refused: u64,
    bad: &[BadLine],
    by_user: &HashMap<UserId, u64>,
) -> Vec<String> {
    let (survey, rules) = (&lines.survey, lines.format().rules());
    let mut odd = Vec::new();
    if refused > 0 {
        let shown =
            bad.first().map(|bad| format!(", the first is line {}: {}", term::number(bad.line), bad.reason));
        odd.push(format!(
            "{} refused{}",
            term::counted(refused, "line is", "lines are"),
            shown.unwrap_or_default()
        ));
    }
    let used = |scores: std::ops::RangeInclusive<usize>| survey.histogram[scores].iter().sum::<u64>();
    if rules.scale.is_none() && !rules.has_half_stars && ratings > 0 && used(0..=0) == 0 {
        odd.push("no score is 0: if the scale is 1 to 5, --scale 1..5 makes its lowest a 0".to_owned());
    }
    if rules.scale.is_none() && ratings >= BUSY_RATINGS_MIN && used(2..=5) == 0 {
        odd.push("no score is above 1: for thumbs say --scale 0..1".to_owned());
    }
    if survey.midnights * 2 > ratings && survey.midnights > 1 {
        odd.push(
            "most times are midnights: a day's ratings arrive at one moment, and may look like a surge"
                .to_owned(),
        );
    }
    if let Some((first, last)) = survey.span
        && last.ms() - first.ms() < DAY_MS
        && ratings >= BUSY_RATINGS_MIN
    {
        odd.push("all ratings lie within a day: most of them will look like a surge".to_owned());
    }
    let busiest = by_user.iter().max_by_key(|(user, ratings)| (**ratings, std::cmp::Reverse(*user)));
    if let Some((user, own)) =
        busiest.filter(|(_, own)| **own >= BUSY_RATINGS_MIN && **own * BUSY_USER > ratings)
        && lines.counts().1 > 1
    {
        odd.push(format!(
            "user {user} has {} of the ratings: if these are guests, they count as one user",
            term::number(*own)
        ));
    }
    if survey.unsorted > 0 {
        odd.push(format!(
            "{} older than the one before: they are sorted in memory (not with --sorted)",
            term::counted(survey.unsorted, "rating is", "ratings are")
        ));
    }
    odd
}

fn shown(look: &Look, is_refused: bool) -> String {
    let kind = look.known.map_or(String::new(), |known| format!("{known}: "));
    let mut text = format!("{}  {kind}{}\n\n", term::printable(&look.file), look.form);
    let about = [
        ("post", term::counted(look.posts, "post", "posts")),
        ("user", term::counted(look.users, "user", "users")),
        ("score", look.scale.clone()),
        (
            "time",
            format!(
                "{}{}",
                look.times,
                look.first
                    .zip(look.last)
                    .map_or(String::new(), |(first, last)| { format!(" ({} to {})", day(first), day(last)) })
            ),
        ),
    ];
    let width =
        look.columns.values().flatten().map(|column| column.chars().count()).max().unwrap_or(0).max(7);
    for (role, about) in about {
        let column = look.columns.get(role).cloned().flatten().unwrap_or_else(|| "(given)".to_owned());
        text += &format!("  {role:<6} {:<width$}  {about}\n", term::printable(&column));
    }
    text += &format!(
        "  {} of {}",
        term::counted(look.ratings, "rating", "ratings"),
        term::counted(look.lines, "line", "lines")
    );
    if look.unrated > 0 {
        text += &format!(", {} without a rating", term::number(look.unrated));
    }
    text += "\n";
    if !look.not_read.is_empty() {
        text += &format!("  not read: {}\n", term::printable(&look.not_read.join(", ")));
    }
    if !look.first_lines.is_empty() {
        text += "\nfirst lines\n";
        for Shown { line, post, user, score, at } in &look.first_lines {
            let does = score.map_or("withdraws".to_owned(), |score| format!("gives {score}"));
            text += &format!("  line {:<5} {user} {does} to {post}, {at}\n", term::number(*line));
        }
        let most = look.histogram.iter().max().copied().unwrap_or(1).max(1);
        for (score, count) in look.histogram.iter().enumerate().rev() {
            let bar = term::bar(*count as f64 / most as f64, 24);
            text += &format!("  {score} {bar:<24} {:>9}\n", term::number(*count));
        }
    }
    if !look.odd.is_empty() {
        text += "\nodd\n";
        for odd in &look.odd {
            text += &format!("  {}\n", term::printable(odd));
        }
    }
    if !is_refused {
        text += &format!("\nrun\n  {}\n", look.command);
    }
    text
}

fn day(at: Time) -> String {
    at.to_utc().format("%Y-%m-%d").to_string()
}
