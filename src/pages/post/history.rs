//! The chart of a post's page, for a stretch of time that the address names, and the table with the same figures.

use super::selection::Selection;
use crate::api::{Answer, Fields};
use crate::app::moderation::alerts::Wave;
use crate::app::reading::PostView;
use crate::app::reading::slices::Slice;
use crate::chart::post::{PostChart, Shade, Size, Step};
use crate::merge::Exclusion;
use crate::model::{DAY_MS, HOUR_MS, MINUTE_MS, Time};
use crate::pages::audit::scores;
use crate::pages::desk::Desk;
use crate::pages::session::wrong_field;
use crate::smoothing::{Average, Params};

/// Steps of the chart.
const STEPS: usize = 96;
/// Steps of a phone's chart, and of the table.
const STEPS_NARROW: usize = 48;
/// How far the published mean is drawn ahead, and in how many steps.
const AHEAD_MS: i64 = 30 * DAY_MS;
const AHEAD_STEPS: i64 = 30;
const AHEAD_WORDS: &str = "next 30 days";
/// A shorter stretch shows nothing: a state is kept for each hour.
const SPAN_MS_MIN: i64 = HOUR_MS;

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Day,
    Week,
    Month,
    All,
    /// Between two moments.
    Zoom(Time, Time),
}

impl Range {
    /// Those that have a name.
    pub const NAMED: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::All];

    /// As an address names it.
    pub fn name(&self) -> String {
        match self {
            Self::Day => "24h".into(),
            Self::Week => "7d".into(),
            Self::Month => "30d".into(),
            Self::All => "all".into(),
            Self::Zoom(from, to) => format!("{}..{}", from.ms() / 1_000, to.ms() / 1_000),
        }
    }

    /// For people.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Day => "24 h",
            Self::Week => "7 d",
            Self::Month => "30 d",
            Self::All => "all",
            Self::Zoom(..) => "zoom",
        }
    }

    /// The range that the address names; without one, the shortest that shows the newest wave, or the last entry.
    pub fn of(asked: &Fields, view: &PostView, wave: Option<&Wave>, now: Time) -> Answer<Self> {
        let Some(name) = asked.get("range") else { return Ok(Self::fitting(view, wave, now)) };
        if let Some(range) = Self::NAMED.into_iter().find(|range| range.name() == name) {
            return Ok(range);
        }
        let moment = |text: &str| Some(Time::from_ms(text.parse::<u32>().ok().map(i64::from)? * 1_000));
        let zoom = name.split_once("..").and_then(|(from, to)| Some((moment(from)?, moment(to)?)));
        match zoom {
            Some((from, to)) if from < to => Ok(Self::Zoom(from, to)),
            _ => Err(wrong_field("range is 24h, 7d, 30d, all, or two Unix seconds with .. between")),
        }
    }

    fn fitting(view: &PostView, wave: Option<&Wave>, now: Time) -> Self {
        let shown = wave.map(|wave| wave.from).or(view.average.last);
        let age_ms = shown.map_or(0, |at| now.ms() - at.ms());
        // What is shown is not alone in its chart.
        match age_ms {
            age if age < 5 * DAY_MS => Self::Week,
            age if age < 23 * DAY_MS => Self::Month,
            _ => Self::All,
        }
    }

    /// From when to when; a stretch that ends now ends with the state that is published.
    fn span(&self, view: &PostView, now: Time) -> (Time, Time) {
        let to = now.max(view.as_of);
        let born = view.average.born.unwrap_or(to);
        let (from, to) = match self {
            Self::Day => (to.plus_ms(-DAY_MS), to),
            Self::Week => (to.plus_ms(-7 * DAY_MS), to),
            Self::Month => (to.plus_ms(-30 * DAY_MS), to),
            Self::All => (born.plus_ms(-MINUTE_MS), to),
            Self::Zoom(from, to) => (*from, *to),
        };
        (from.min(to.plus_ms(-SPAN_MS_MIN)), to)
    }

    fn ends_now(&self) -> bool {
        !matches!(self, Self::Zoom(..))
    }
}

/// The chart and its table.
pub struct History {
    pub range: Range,
    pub from: Time,
    pub to: Time,
    pub wide: String,
    pub narrow: String,
    /// The steps of the narrow chart, which are the rows of the table.
    steps: Vec<Step>,
    /// Where the published mean is in 30 days if nothing arrives.
    pub in_30_days: Option<f64>,
}

impl History {
    pub async fn of(
        desk: &Desk,
        view: &PostView,
        range: Range,
        exclusions: &[Exclusion],
        selection: &Selection,
        now: Time,
    ) -> Answer<Self> {
        let (from, to) = range.span(view, now);
        let (reader, params) = (desk.app().reader(), desk.app().params());
        let slices = reader.slices(&view.post.id, (from, to), STEPS).await?;
        let (ahead, ghost) = match range.ends_now() {
            true => (
                ahead(&view.average, view.as_of, params),
                selection.after().map(|it| ahead(it, view.as_of, params)),
            ),
            false => (Vec::new(), None),
        };
        let shades = exclusions.iter().filter(|it| !it.is_undone).map(shade).collect();
        let chart = PostChart {
            from,
            to,
            steps: slices.iter().map(step).collect(),
            ahead: ahead.clone(),
            ghost: ghost.unwrap_or_default(),
            ahead_words: AHEAD_WORDS,
            shades,
            selection: selection.window(),
        };
        let wide = chart.draw(Size::Wide);
        let steps = slices.chunks(STEPS / STEPS_NARROW).filter_map(joined).collect();
        let chart = PostChart { steps, ..chart };
        let narrow = chart.draw(Size::Narrow);
        let in_30_days = ahead.last().copied().flatten();
        Ok(Self { range, from, to, wide, narrow, steps: chart.steps, in_30_days })
    }

    /// The rows of the table, one for each step.
    pub fn rows(&self) -> &[Step] {
        &self.steps
    }
}

fn step(slice: &Slice) -> Step {
    Step {
        to: slice.to,
        raw: slice.published.raw_average,
        published: slice.published.average,
        by_score: slice.by_score,
        others: slice.arrivals.saturating_sub(slice.by_score.iter().sum()),
    }
}

/// Neighbours as one step.
fn joined(slices: &[Slice]) -> Option<Step> {
    let mut joined = step(slices.last()?);
    for slice in &slices[..slices.len() - 1] {
        let step = step(slice);
        joined.others += step.others;
        joined.by_score.iter_mut().zip(step.by_score).for_each(|(sum, count)| *sum += count);
    }
    Some(joined)
}

/// The published mean from `now` on, if nothing more arrives.
fn ahead(average: &Average, now: Time, params: &Params) -> Vec<Option<f64>> {
    let at = |step: i64| average.at(now.plus_ms(AHEAD_MS / AHEAD_STEPS * step), params).smoothed_mean(params);
    (0..=AHEAD_STEPS).map(at).collect()
}

fn shade(exclusion: &Exclusion) -> Shade {
    let Exclusion { window, by, reason, .. } = exclusion;
    let label = format!("{} excluded by {by}: {}", scores(window), reason.as_str());
    Shade { from: window.from, to: window.to, label }
}
