//! The window that is selected in a post's chart: what arrived in it, and what excluding it would do.
//!
//! It stands in the address, as the fields of a form: so it works without a script, and can be sent to a colleague.

use std::time::Duration;

use crate::api::{Answer, Fields, preview};
use crate::app::moderation::Preview;
use crate::app::moderation::alerts::{Step, Wave};
use crate::chart::spark;
use crate::entry::Window;
use crate::model::words::number;
use crate::model::{DAY_MS, HOUR_MS, PostId, Score, Time};
use crate::pages::desk::Desk;
use crate::pages::session::wrong_field;
use crate::pages::show::{in_query, percent, post_path};
use crate::pages::viewer::Viewer;
use crate::smoothing::Average;
use crate::store::Arrivals;

/// A page does not wait longer for a preview: it reads every rating of the post.
const PREVIEW_WITHIN: Duration = Duration::from_secs(4);
/// What arrives is counted by hours in a stretch of at most so many days.
const HOURS_DAYS_MAX: i64 = 300;

/// What is selected.
#[derive(Default)]
pub struct Selection {
    /// As fields take them: `2026-11-21T12:00`, in UTC; empty when nothing is selected.
    pub from: String,
    pub to: String,
    /// Which scores, by score.
    pub scores: [bool; Score::COUNT],
    window: Option<Window>,
    preview: Option<Preview>,
    arrivals: Option<Arrivals>,
    /// Why there is no preview.
    pub wrong: Option<String>,
}

/// A row of what arrived: score, its share as a drawing, how many, percent.
pub type ScoreRow = (usize, String, String, String);

impl Selection {
    /// What the address selects. What is wrong with it is said in its place on the page.
    pub async fn of(desk: &Desk, viewer: &Viewer, post: &PostId, asked: &Fields, now: Time) -> Self {
        let (from, to) = (asked.get("from").unwrap_or_default(), asked.get("to").unwrap_or_default());
        let mut selection =
            Self { from: from.into(), to: to.into(), scores: [true; Score::COUNT], ..Self::default() };
        if from.is_empty() && to.is_empty() {
            return selection;
        }
        match window(asked, now) {
            Ok(window) => {
                if !window.scores.is_empty() {
                    selection.scores = [false; Score::COUNT];
                    window.scores.iter().for_each(|score| selection.scores[score.index()] = true);
                }
                (selection.from, selection.to) = (field(window.from), field(window.to));
                selection.window = Some(window.clone());
                let looking = look(desk, viewer, post, window, now);
                let late = || {
                    let why = "the post has too many ratings for a preview on a page; an exclusion is merged all the same, \
                               and can be undone";
                    Err(wrong_field(why))
                };
                match tokio::time::timeout(PREVIEW_WITHIN, looking).await.unwrap_or_else(|_| late()) {
                    Ok((arrivals, preview)) => {
                        (selection.arrivals, selection.preview) = (Some(arrivals), Some(preview));
                    }
                    Err(problem) => selection.wrong = Some(problem.detail().to_owned()),
                }
            }
            Err(problem) => selection.wrong = Some(problem.detail().to_owned()),
        }
        selection
    }

    /// From when to when.
    pub fn window(&self) -> Option<(Time, Time)> {
        self.window.as_ref().map(|window| (window.from, window.to))
    }

    pub fn preview(&self) -> Option<&Preview> {
        self.preview.as_ref()
    }

    /// The average that would be left.
    pub fn after(&self) -> Option<&Average> {
        self.preview.as_ref().map(|preview| &preview.after)
    }

    /// The window as an address names a stretch of time.
    pub fn zoom(&self) -> Option<String> {
        self.window().map(|(from, to)| format!("{}..{}", from.ms() / 1_000, to.ms() / 1_000))
    }

    /// What arrived, by score, the greatest first.
    pub fn by_score(&self) -> Vec<ScoreRow> {
        let Some(arrivals) = &self.arrivals else { return Vec::new() };
        let (most, all) = (arrivals.by_score.iter().copied().max().unwrap_or(0), arrivals.ratings());
        let row = |(score, count): (usize, &u64)| {
            let bar = spark::share(*count as f64 / most.max(1) as f64, &format!("s{score}"));
            (score, bar, number(*count), percent(*count, all))
        };
        arrivals.by_score.iter().enumerate().rev().map(row).collect()
    }

    /// Who rated: the share of users who had never rated before, and of young accounts.
    pub fn evidence(&self) -> Vec<(&'static str, String)> {
        let Some(arrivals) = &self.arrivals else { return Vec::new() };
        let young = match arrivals.known_accounts {
            0 => "no account is known here".into(),
            known => percent(arrivals.young_accounts, known),
        };
        vec![
            ("had never rated before", percent(arrivals.first_ratings, arrivals.ratings())),
            ("accounts younger than a week", young),
        ]
    }
}

/// What arrived in a window, and what excluding it would do.
async fn look(
    desk: &Desk,
    viewer: &Viewer,
    post: &PostId,
    window: Window,
    now: Time,
) -> Answer<(Arrivals, Preview)> {
    let (from, to) = (window.from, window.to);
    let preview = preview(&desk.gate, post, &viewer.user, window, now).await?;
    let step = if to.ms() - from.ms() <= HOURS_DAYS_MAX * DAY_MS { Step::Hour } else { Step::Day };
    let steps = desk.app().moderation().arrivals(post, (from, to), step, now).await?;
    let mut all = Arrivals::default();
    for step in steps {
        all.by_score.iter_mut().zip(step.by_score).for_each(|(sum, count)| *sum += count);
        all.first_ratings += step.first_ratings;
        all.known_accounts += step.known_accounts;
        all.young_accounts += step.young_accounts;
    }
    Ok((all, preview))
}

/// The window that fields name: `from`, `to`, and the scores that are ticked.
pub fn window(asked: &Fields, now: Time) -> Answer<Window> {
    let moment = |name: &str| {
        let text =
            asked.get(name).ok_or_else(|| wrong_field(format!("{name} is missing; both ends are needed")))?;
        time(text).ok_or_else(|| wrong_field(format!("{text:?} is not a time like 2026-11-21T12:00 in UTC")))
    };
    let (from, to) = (moment("from")?, moment("to")?);
    let scores = scores(asked)?;
    // A minute that has begun has not ended: now is the end that is meant.
    let to = if to > now && to.ms() - now.ms() < HOUR_MS { now } else { to };
    Ok(Window::new(from, to, scores, now)?)
}

/// The scores that are ticked.
pub fn scores(fields: &Fields) -> Answer<Vec<Score>> {
    let score = |text: &str| {
        let value = text.parse().map_err(|_| wrong_field("a score is a number from 0 to 5"))?;
        Ok(Score::parse(value)?)
    };
    fields.all("score").map(score).collect()
}

/// A moment as a field for date and time sends it, or as programs write it.
pub fn time(text: &str) -> Option<Time> {
    let text = text.trim();
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc().into());
    }
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f"];
    let naive = forms.iter().find_map(|form| chrono::NaiveDateTime::parse_from_str(text, form).ok());
    naive.map(|at| at.and_utc().into())
}

/// A moment as such a field takes it.
pub fn field(at: Time) -> String {
    at.to_utc().format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The newest wave, as one click selects it.
pub struct Suggestion {
    pub from: Time,
    pub to: Time,
    pub arrivals: u64,
    pub address: String,
}

impl Suggestion {
    pub fn of(post: &PostId, wave: &Wave) -> Self {
        let (path, from, to) = (post_path(post), in_query(&field(wave.from)), in_query(&field(wave.to)));
        let address = format!("{path}?from={from}&to={to}#selection");
        Self { from: wave.from, to: wave.to, arrivals: wave.arrivals, address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_fields_and_programs_write_it() {
        let noon = Time::from_ms(1_412_424_000_000);
        for text in
            ["2014-10-04T12:00", "2014-10-04T12:00:00", "2014-10-04T12:00:00Z", "2014-10-04T14:00:00+02:00"]
        {
            assert_eq!(time(text), Some(noon), "{text}");
        }
        assert_eq!(time(&field(noon)), Some(noon));
        assert_eq!((time(""), time("yesterday")), (None, None));
    }
}
