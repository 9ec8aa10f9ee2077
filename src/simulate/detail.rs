//! The course of one post, for a picture.

use serde::Serialize;

use super::spool::History;
use super::study::{Studied, Tally};
use crate::model::{DAY_MS, MINUTE_MS, PostId, Time};

/// Moments of a drawn course.
const POINTS: i64 = 320;
/// How much is drawn before and after an event.
const BEFORE_MS: i64 = 21 * DAY_MS;
const AFTER_MS: i64 = 75 * DAY_MS;
/// Bars of arrivals.
const BARS: i64 = 96;
/// The course of one post, for a picture.
#[derive(Debug, Serialize)]
pub struct Detail {
    /// The post.
    pub post: PostId,
    /// The moments.
    pub moments: Vec<Time>,
    /// By method.
    pub courses: Vec<Vec<Option<f64>>>,
    /// Ratings by time: the end of a bar, honest ones, those of attacks.
    pub arrivals: Vec<(Time, u64, u64)>,
    /// The beginning of the event that is drawn.
    pub event: Option<Time>,
}

/// Draws a post around its largest event, or all of it.
pub fn detail(history: &History, studied: &Studied<'_>, tally: &Tally) -> Detail {
    let courses = studied.attacked.as_ref().unwrap_or(&studied.clean);
    let event = tally.events.iter().find(|event| event.post == history.post).map(|event| event.from);
    let born = studied.ratings.first().map_or(Time::default(), |first| first.at);
    let end = studied.ratings.last().map_or(Time::default(), |last| last.at);
    let (from, to) = match event {
        Some(at) => (at.plus_ms(-BEFORE_MS).max(born), at.plus_ms(AFTER_MS)),
        None => (born, end),
    };
    let step = ((to.ms() - from.ms()) / POINTS).max(1);
    let mut moments: Vec<Time> = (0..=POINTS).map(|i| from.plus_ms(step * i)).collect();
    // The first hours of an event are steep.
    let steep = event.into_iter().flat_map(|at| (0..24).map(move |i| at.plus_ms(i * 10 * MINUTE_MS)));
    moments.extend(steep);
    moments.sort_unstable();
    moments.dedup();
    let course = |method: usize| moments.iter().map(|moment| courses.at(method, *moment)).collect();
    let courses = (0..courses.count()).map(course).collect();
    let bar = ((to.ms() - from.ms()) / BARS).max(1);
    let mut arrivals: Vec<(Time, u64, u64)> =
        (0..BARS).map(|i| (from.plus_ms(bar * (i + 1)), 0, 0)).collect();
    for rating in &studied.ratings {
        let place = (rating.at.ms() - from.ms()).div_euclid(bar);
        if let Some(bar) = usize::try_from(place).ok().and_then(|place| arrivals.get_mut(place)) {
            let is_attack = rating.user.as_str().starts_with("attack-") && studied.attacked.is_some();
            *(if is_attack { &mut bar.2 } else { &mut bar.1 }) += 1;
        }
    }
    Detail { post: history.post.clone(), moments, courses, arrivals, event }
}
