//! One post: replayed with and without the invented attacks, and what is seen of every method.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use super::bomb::Bomb;
use super::budget::{AGES, SAMPLES, SIZES, size_of};
use super::events::{Burst, bursts, change};
use super::method::{Courses, RIVALS};
use super::replay::{Log, Replayed};
use super::settings::Setting;
use super::spool::{History, Rating};
use crate::error::Result;
use crate::model::{DAY_MS, HOUR_MS, MINUTE_MS, PostId, Time};
use crate::smoothing::{AlertLevel, Average};

/// After the beginning of a burst or an attack, in tables: an hour, a day, a week, a month, a quarter.
pub const OFFSETS: [(i64, &str); 5] = [
    (HOUR_MS, "1 hour"),
    (DAY_MS, "1 day"),
    (7 * DAY_MS, "7 days"),
    (30 * DAY_MS, "30 days"),
    (90 * DAY_MS, "90 days"),
];
/// Where the peak is looked for, in minutes.
const MOMENTS_MIN: [i64; 24] = [
    5, 10, 15, 30, 60, 120, 240, 480, 720, 1_440, 2_160, 2_880, 4_320, 7_200, 10_080, 14_400, 20_160, 30_240,
    43_200, 57_600, 72_000, 86_400, 108_000, 129_600,
];
/// How far the lag of a change is followed, and in which steps.
const LAG_MS_MAX: i64 = 400 * DAY_MS;
const LAG_STEP_MS: i64 = 6 * HOUR_MS;
/// What the exact mean has become so long after a change is what it changed to.
const CHANGED_MS: i64 = 180 * DAY_MS;
/// A change of the exact mean below this is not followed, in stars.
const CHANGE_MIN: f64 = 0.05;
/// Moments of a calm post that are compared with the exact mean, from the third day on.
const CALM_MOMENTS: i64 = 40;
const CALM_FROM_MS: i64 = 3 * DAY_MS;
const CALM_AFTER_MS: i64 = 30 * DAY_MS;

/// A post with so many ratings is replayed under all settings at once, and drawn while it is at hand.
pub const LARGE: usize = 20_000;

/// What a history is replayed with.
pub struct Plan {
    /// The settings.
    pub settings: Vec<Setting>,
    /// Invented attacks, on every post that is born before.
    pub bombs: Vec<Bomb>,
    /// When a true change began, if that is given.
    pub change: Option<Time>,
    /// The mean of all ratings.
    pub prior: f64,
}

/// A burst or an attack, and what it did.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// The post.
    pub post: PostId,
    /// Its beginning.
    pub from: Time,
    /// Its ratings.
    pub ratings: usize,
    /// Their mean.
    pub mean: f64,
    /// The exact mean before.
    pub before: f64,
    /// Whether it was invented.
    pub is_attack: bool,
    /// By method: how far it moved the published mean, in stars, at each of [`OFFSETS`].
    pub shifts: Vec<[Option<f64>; OFFSETS.len()]>,
    /// By method: the largest move.
    pub peaks: Vec<f64>,
    /// By setting: minutes until an alert was raised.
    pub alert_after_minutes: Vec<Option<i64>>,
}

/// An alert that would have been raised.
#[derive(Debug, Clone, Serialize)]
pub struct Alert {
    /// The post.
    pub post: PostId,
    /// When.
    pub at: Time,
    /// How far the mean was about to move, in stars.
    pub shift: f64,
}

/// A post at an age, under every setting.
#[derive(Clone)]
pub struct Sample {
    /// The order in which samples are taken: by chance, but always the same.
    order: u64,
    /// The moment.
    pub at: Time,
    /// Its state under each setting.
    pub states: Vec<Average>,
}

/// What is seen of posts. Several are added up.
#[derive(Default)]
pub struct Tally {
    /// Posts and ratings.
    pub posts: u64,
    /// Ratings.
    pub ratings: u64,
    /// Bursts and attacks, the largest.
    pub events: Vec<Event>,
    /// By method: days behind the exact mean of each change.
    pub lags: Vec<Vec<f64>>,
    /// The changes: post and moment.
    pub changes: Vec<(PostId, Time)>,
    /// By method: the sum of squares of the distance from the exact mean in calm times, and how many there are.
    pub calm: Vec<(f64, u64)>,
    /// By setting: honest ratings, and those that took the surge lane.
    pub honest: Vec<(u64, u64)>,
    /// By setting: alerts, counted, and the largest.
    pub alerts: Vec<(u64, Vec<Alert>)>,
    /// By age, then size.
    pub samples: Vec<Vec<Vec<Sample>>>,
    /// The post with the most ratings.
    pub largest: Option<(u64, PostId)>,
}

/// Events and alerts that are kept one by one.
const KEPT_MAX: usize = 200;

impl Tally {
    /// Nothing yet, for so many settings.
    pub fn new(settings: usize) -> Self {
        Self {
            lags: vec![Vec::new(); RIVALS.len() + settings],
            calm: vec![(0.0, 0); RIVALS.len() + settings],
            honest: vec![(0, 0); settings],
            alerts: vec![(0, Vec::new()); settings],
            samples: vec![vec![Vec::new(); SIZES.len()]; AGES.len()],
            ..Self::default()
        }
    }

    /// Adds what was seen of others.
    pub fn add(&mut self, other: Tally) {
        self.posts += other.posts;
        self.ratings += other.ratings;
        self.events.extend(other.events);
        self.changes.extend(other.changes);
        self.lags.iter_mut().zip(other.lags).for_each(|(own, others)| own.extend(others));
        for (own, (sum, count)) in self.calm.iter_mut().zip(other.calm) {
            *own = (own.0 + sum, own.1 + count);
        }
        for (own, (all, surge)) in self.honest.iter_mut().zip(other.honest) {
            *own = (own.0 + all, own.1 + surge);
        }
        for (own, (count, alerts)) in self.alerts.iter_mut().zip(other.alerts) {
            own.0 += count;
            own.1.extend(alerts);
        }
        for (own, others) in self.samples.iter_mut().flatten().zip(other.samples.into_iter().flatten()) {
            own.extend(others);
        }
        self.largest = std::mem::take(&mut self.largest).max(other.largest);
        self.trim();
    }

    /// The post to draw: that of the largest event, or the largest.
    pub fn shown_post(&self) -> Option<&PostId> {
        let of_event = self.events.first().map(|event| &event.post);
        of_event.or(self.largest.as_ref().map(|(_, post)| post))
    }

    /// Keeps the largest, so that memory does not grow with the file.
    fn trim(&mut self) {
        self.events.sort_by(|a, b| {
            (b.is_attack, b.ratings, &a.post, a.from).cmp(&(a.is_attack, a.ratings, &b.post, b.from))
        });
        self.events.truncate(KEPT_MAX);
        for (_, alerts) in &mut self.alerts {
            alerts.sort_by(|a, b| b.shift.total_cmp(&a.shift).then_with(|| a.post.cmp(&b.post)));
            alerts.truncate(KEPT_MAX);
        }
        for samples in self.samples.iter_mut().flatten() {
            samples.sort_by_key(|sample| sample.order);
            samples.truncate(SAMPLES);
        }
        self.changes.sort();
        self.changes.truncate(KEPT_MAX);
    }
}

/// A post's courses: as it was, and under attack.
pub struct Studied<'a> {
    /// Without the attacks.
    pub clean: Courses<'a>,
    /// With them, if there are any.
    pub attacked: Option<Courses<'a>>,
    /// All ratings, those of attacks too.
    pub ratings: Vec<Rating>,
    /// The bursts of its own.
    pub bursts: Vec<Burst>,
}

/// Replays a post under every setting.
pub fn replay<'a>(history: &History, plan: &'a Plan) -> Result<Studied<'a>> {
    let own = &history.ratings;
    let bursts = bursts(own);
    let bombs = || {
        plan.bombs
            .iter()
            .enumerate()
            .filter(|(_, bomb)| own.first().is_some_and(|first| first.at < bomb.from))
    };
    let begins = bursts.iter().map(|burst| burst.from).chain(bombs().map(|(_, bomb)| bomb.from));
    let mut cuts: Vec<Time> =
        begins.flat_map(|from| MOMENTS_MIN.iter().map(move |min| from.plus_ms(min * MINUTE_MS))).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let courses = |ratings: &[Rating], is_honest: &(dyn Fn(&Rating) -> bool + Sync)| {
        let log = Log::new(&history.post, ratings);
        if ratings.len() >= LARGE {
            let replayed = by_setting(plan, |setting| log.replay(&cuts, &setting.params, is_honest, ratings));
            return Courses::new(&plan.settings, replayed, ratings, plan.prior);
        }
        let replayed =
            plan.settings.iter().map(|setting| log.replay(&cuts, &setting.params, is_honest, ratings));
        Courses::new(&plan.settings, replayed.collect(), ratings, plan.prior)
    };
    let clean = courses(own, &|_| true);
    let mut ratings = own.clone();
    for (number, bomb) in bombs() {
        ratings.extend(bomb.ratings(number)?);
    }
    let attacked = (ratings.len() > own.len()).then(|| {
        ratings.sort_by(|a, b| (a.at, &a.user).cmp(&(b.at, &b.user)));
        let honest: HashSet<_> = own.iter().map(|rating| rating.user.clone()).collect();
        courses(&ratings, &|rating: &Rating| honest.contains(&rating.user))
    });
    Ok(Studied { clean, attacked, ratings, bursts })
}

/// What `replay` makes of every setting, each on a thread of its own: others would wait for the one of a large post.
fn by_setting(plan: &Plan, replay: impl Fn(&Setting) -> Replayed + Sync) -> Vec<Replayed> {
    let replay = &replay;
    std::thread::scope(|scope| {
        let all: Vec<_> = plan.settings.iter().map(|setting| scope.spawn(move || replay(setting))).collect();
        // A thread that panicked has said why; the others' results do not fit without its own.
        all.into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// What is seen of a post, and its courses.
pub fn study<'a>(history: &History, plan: &'a Plan) -> Result<(Tally, Studied<'a>)> {
    let mut tally = Tally::new(plan.settings.len());
    let studied = replay(history, plan)?;
    let own = &history.ratings;
    (tally.posts, tally.ratings) = (1, own.len() as u64);
    tally.largest = Some((own.len() as u64, history.post.clone()));
    let courses = studied.attacked.as_ref().unwrap_or(&studied.clean);
    for (setting, replayed) in courses.replayed.iter().enumerate() {
        tally.honest[setting] = replayed.honest;
        tally.alerts[setting] = alerts(&history.post, replayed, &plan.settings[setting]);
    }
    for burst in &studied.bursts {
        let reference = |method: usize, _: Time| studied.clean.at(method, burst.from.plus_ms(-1));
        let event = event(&history.post, burst, false, &studied.clean, &reference, &tally);
        tally.events.push(event);
    }
    if let Some(attacked) = &studied.attacked {
        for bomb in plan.bombs.iter().filter(|bomb| own.first().is_some_and(|first| first.at < bomb.from)) {
            let burst = Burst {
                from: bomb.from,
                ratings: bomb.accounts as usize,
                mean: bomb.score.get().into(),
                before: studied.clean.raw(bomb.from).unwrap_or_default(),
            };
            let reference = |method: usize, moment: Time| studied.clean.at(method, moment);
            let event = event(&history.post, &burst, true, attacked, &reference, &tally);
            tally.events.push(event);
        }
    }
    lags(history, plan, &studied, &mut tally);
    calm(own, &studied, &mut tally);
    samples(history, plan, &studied.clean, &mut tally);
    tally.trim();
    Ok((tally, studied))
}

fn event(
    post: &PostId,
    burst: &Burst,
    is_attack: bool,
    courses: &Courses<'_>,
    reference: &dyn Fn(usize, Time) -> Option<f64>,
    tally: &Tally,
) -> Event {
    let shift = |method: usize, moment: Time| {
        let (is, was) = (courses.at(method, moment)?, reference(method, moment)?);
        Some(is - was)
    };
    let methods = 0..courses.count();
    let shifts = methods.clone().map(|method| OFFSETS.map(|(ms, _)| shift(method, burst.from.plus_ms(ms))));
    let peak = |method: usize| {
        let moments = MOMENTS_MIN.iter().filter_map(|min| shift(method, burst.from.plus_ms(min * MINUTE_MS)));
        moments.fold(0.0, |peak: f64, shift| if shift.abs() > peak.abs() { shift } else { peak })
    };
    let alerted = |(_, alerts): &(u64, Vec<Alert>)| {
        let after = alerts.iter().map(|alert| alert.at.ms() - burst.from.ms());
        // The first few of a burst may have raised it already.
        after.filter(|ms| (-DAY_MS..7 * DAY_MS).contains(ms)).min().map(|ms| ms.max(0) / MINUTE_MS)
    };
    Event {
        post: post.clone(),
        from: burst.from,
        ratings: burst.ratings,
        mean: burst.mean,
        before: burst.before,
        is_attack,
        shifts: shifts.collect(),
        peaks: methods.map(peak).collect(),
        alert_after_minutes: tally.alerts.iter().map(alerted).collect(),
    }
}

/// The alerts of a course. It is looked at after every hour with ratings, and at the cuts.
fn alerts(post: &PostId, replayed: &Replayed, setting: &Setting) -> (u64, Vec<Alert>) {
    let (mut is_on, mut found) = (false, Vec::new());
    for state in &replayed.states {
        match state.alert_level(&setting.params) {
            AlertLevel::Raised(shift) if !is_on => {
                is_on = true;
                found.push(Alert { post: post.clone(), at: state.last.unwrap_or_default(), shift });
            }
            AlertLevel::Over => is_on = false,
            AlertLevel::Raised(_) | AlertLevel::Fading(_) => {}
        }
    }
    (found.len() as u64, found)
}

fn lags(history: &History, plan: &Plan, studied: &Studied<'_>, tally: &mut Tally) {
    let courses = &studied.clean;
    let found = plan.change.or_else(|| change(&history.ratings, &studied.bursts));
    let Some((from, end)) = found.zip(courses.replayed.first().and_then(Replayed::end)) else { return };
    let target = from.plus_ms(CHANGED_MS).min(end);
    let Some((before, after)) = courses.raw(from).zip(courses.raw(target)) else { return };
    if (after - before).abs() < CHANGE_MIN {
        return;
    }
    let half = (before + after) / 2.0;
    let crossing = |method: usize| {
        let moments = (0..=LAG_MS_MAX / LAG_STEP_MS).map(|step| step * LAG_STEP_MS);
        let has_crossed = |ms: &i64| {
            courses
                .at(method, from.plus_ms(*ms))
                .is_some_and(|mean| if after > before { mean >= half } else { mean <= half })
        };
        moments.into_iter().find(has_crossed).unwrap_or(LAG_MS_MAX)
    };
    let exact = crossing(0);
    for (method, lags) in tally.lags.iter_mut().enumerate() {
        lags.push((crossing(method) - exact) as f64 / DAY_MS as f64);
    }
    tally.changes.push((history.post.clone(), from));
}

fn calm(own: &[Rating], studied: &Studied<'_>, tally: &mut Tally) {
    let Some((first, last)) = own.first().zip(own.last()) else { return };
    let (from, span) = (first.at.plus_ms(CALM_FROM_MS), last.at.ms() - first.at.ms() - CALM_FROM_MS);
    if span <= 0 {
        return;
    }
    for i in 0..CALM_MOMENTS {
        let moment = from.plus_ms(span / CALM_MOMENTS * i);
        let after_burst = |burst: &Burst| (0..CALM_AFTER_MS).contains(&(moment.ms() - burst.from.ms()));
        if studied.bursts.iter().any(after_burst) {
            continue;
        }
        let Some(exact) = studied.clean.raw(moment) else { continue };
        for (method, (sum, count)) in tally.calm.iter_mut().enumerate() {
            if let Some(mean) = studied.clean.at(method, moment) {
                *sum += (mean - exact).powi(2);
                *count += 1;
            }
        }
    }
}

fn samples(history: &History, plan: &Plan, courses: &Courses<'_>, tally: &mut Tally) {
    let Some((first, last)) = history.ratings.first().zip(history.ratings.last()) else { return };
    for (age, (ms, _)) in AGES.iter().enumerate() {
        let at = first.at.plus_ms(*ms);
        if at > last.at {
            continue;
        }
        let states = courses.replayed.iter().zip(&plan.settings);
        let states: Option<Vec<Average>> =
            states.map(|(replayed, setting)| replayed.at(at, &setting.params)).collect();
        let Some(states) = states else { continue };
        let Some(size) = states.first().and_then(|state| size_of(state.count())) else { continue };
        let mut hasher = DefaultHasher::new();
        history.post.hash(&mut hasher);
        tally.samples[age][size].push(Sample { order: hasher.finish(), at, states });
    }
}
