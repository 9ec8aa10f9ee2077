//! Random logs and knobs for the laws, and a post that folds them and keeps its users as a database would.

use std::collections::BTreeMap;

use damper::model::{Score, Time};
use damper::smoothing::{Average, Effect, Knobs, Lane, LaneName, Params, Row, UserState, When};
use proptest::prelude::*;

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// The birth of the random posts.
pub const START: Time = Time::from_ms(1_700_000_000_123);

/// An average and what is kept of its users.
#[derive(Debug, Clone)]
pub struct Post {
    pub params: Params,
    pub average: Average,
    pub users: BTreeMap<u16, UserState>,
}

impl Post {
    pub fn new(params: Params) -> Self {
        Self { params, average: Average::default(), users: BTreeMap::new() }
    }

    /// Folds one entry. An entry that finds nothing to act on does nothing. Returns whether anything changed.
    pub fn apply(&mut self, entry: &Entry) -> bool {
        let Entry { at, is_stated, user, op } = *entry;
        let (average, params, when) = (&mut self.average, &self.params, When { at, is_stated });
        let state = self.users.entry(user).or_default();
        match op {
            Op::Rate(score) => state.rate(average, score, when, params) == Effect::Change,
            Op::Hold(score) => state.hold(average, score, when, params) == Effect::Change,
            Op::Withdraw => state.withdraw(average, when, params),
            Op::Exclude => state.exclude(average, at, params),
            Op::Restore => state.restore(average, at, params),
            Op::Release => state.release(average, at, params),
            Op::Reject => state.reject(at),
        }
    }

    pub fn fold(params: Params, log: &[Entry]) -> Self {
        let mut post = Self::new(params);
        for entry in log {
            post.apply(entry);
        }
        post
    }

    /// The rows that count.
    pub fn counted(&self) -> impl Iterator<Item = &Row> {
        let rated = self.users.values().filter_map(|user| user.rated.as_ref());
        rated.filter(|rated| !rated.is_excluded).map(|rated| &rated.row)
    }

    /// The row of a user, if it counts.
    pub fn row(&self, user: u16) -> Option<&Row> {
        let rated = self.users.get(&user)?.rated.as_ref()?;
        (!rated.is_excluded).then_some(&rated.row)
    }

    /// x = n0 + V of both lanes.
    pub fn room(&self, average: &Average) -> f64 {
        self.params.knobs().grace_mass + vested(average)
    }

    /// The published value at a time.
    pub fn mean_at(&self, at: Time) -> Option<f64> {
        self.average.at(at, &self.params).smoothed_mean(&self.params)
    }

    /// 1 − w of a user's row, as of `average`; 0 without one.
    pub fn vested_of(&self, user: u16, average: &Average) -> f64 {
        self.row(user).map_or(0.0, |row| 1.0 - (row.vest_clock - lane_of(average, row.lane).clock).exp())
    }
}

/// V of both lanes.
pub fn vested(average: &Average) -> f64 {
    average.calm.vested + average.surge.vested
}

/// K of both lanes.
pub fn settled_count(average: &Average) -> f64 {
    average.calm.settled_count + average.surge.settled_count
}

/// L of both lanes.
pub fn settled_sum(average: &Average) -> f64 {
    average.calm.settled_sum + average.surge.settled_sum
}

pub fn lane_of(average: &Average, lane: LaneName) -> &Lane {
    match lane {
        LaneName::Calm => &average.calm,
        LaneName::Surge => &average.surge,
    }
}

/// One entry of a random log.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub at: Time,
    pub is_stated: bool,
    pub user: u16,
    pub op: Op,
}

/// The kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    Rate(Score),
    Hold(Score),
    Withdraw,
    Exclude,
    Restore,
    Release,
    Reject,
}

impl Op {
    /// Whether a user does it; a moderator does the others.
    pub fn is_wish(self) -> bool {
        matches!(self, Op::Rate(_) | Op::Hold(_) | Op::Withdraw)
    }
}

/// An op by neighbouring users, each a moment after the other: bombs and their removal.
#[derive(Debug, Clone, Copy)]
struct Step {
    after_ms: i64,
    first: Entry,
    times: u16,
    every_ms: i64,
}

pub fn score() -> impl Strategy<Value = Score> {
    (0..=5_i64).prop_map(|value| Score::parse(value).unwrap())
}

/// A span of time between entries: moments, hours, weeks, and sometimes backwards.
fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => Just(0),
        3 => 0..1_000_i64,
        4 => 0..HOUR_MS,
        5 => 0..2 * DAY_MS,
        3 => 0..40 * DAY_MS,
        2 => -2 * DAY_MS..0,
    ]
}

/// The number of repetitions, and the time between them.
fn repetition() -> impl Strategy<Value = (u16, i64)> {
    prop_oneof![3 => Just((1, 0)), 1 => (2..10_u16, 0..4 * HOUR_MS), 1 => (2..150_u16, 0..2_000_i64)]
}

fn step(op: impl Strategy<Value = Op>) -> impl Strategy<Value = Step> {
    let user = prop_oneof![3 => 0..6_u16, 2 => 0..40_u16, 3 => 0..2_000_u16];
    let is_stated = prop::bool::weighted(0.2);
    (pause(), op, user, is_stated, repetition()).prop_map(
        |(after_ms, op, user, is_stated, (times, every_ms))| {
            let first = Entry { at: START, is_stated: is_stated && op.is_wish(), user, op };
            Step { after_ms, first, times, every_ms }
        },
    )
}

fn rating() -> impl Strategy<Value = Op> {
    score().prop_map(Op::Rate)
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => rating(),
        3 => score().prop_map(Op::Hold),
        3 => Just(Op::Withdraw),
        2 => Just(Op::Exclude),
        2 => Just(Op::Restore),
        2 => Just(Op::Release),
        1 => Just(Op::Reject),
    ]
}

/// The steps one after the other, beginning at `start`.
fn expand(start: Time, steps: &[Step]) -> Vec<Entry> {
    let mut now = start;
    let mut log = Vec::new();
    for step in steps {
        now = now.plus_ms(step.after_ms);
        for i in 0..step.times {
            log.push(Entry { at: now, user: step.first.user + i, ..step.first });
            now = now.plus_ms(step.every_ms);
        }
    }
    log
}

/// A log of every kind of entry.
pub fn log() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(step(any_op()), 1..25).prop_map(|steps| expand(START, &steps))
}

/// A log of ratings, edits, holds and releases only, from `START` on. The caller moves it to another time.
pub fn arrivals() -> impl Strategy<Value = Vec<Entry>> {
    let op = prop_oneof![6 => rating(), 1 => score().prop_map(Op::Hold), 1 => Just(Op::Release)];
    prop::collection::vec(step(op), 1..8).prop_map(|steps| expand(START, &steps))
}

/// The same log, shifted by a time.
pub fn moved(log: &[Entry], by_ms: i64) -> Vec<Entry> {
    log.iter().map(|entry| Entry { at: entry.at.plus_ms(by_ms), ..*entry }).collect()
}

/// A number from the range, log-uniform: small ones are as likely as large ones.
fn log_uniform(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (0.0..=1.0_f64).prop_map(move |u| (low.ln() + u * (high.ln() - low.ln())).exp().clamp(low, high))
}

/// The defaults, plausible knobs, and any valid knobs.
pub fn params() -> impl Strategy<Value = Params> {
    let chosen = (
        log_uniform(2.0, 200.0),
        log_uniform(2.0, 100.0),
        log_uniform(1.0, 100.0),
        log_uniform(0.01, 1.0),
        log_uniform(0.1, 48.0),
        log_uniform(1.0, 10.0),
        log_uniform(1.0, 30.0),
    );
    let any = (
        log_uniform(0.1, 1e4),
        log_uniform(0.1, 1e4),
        log_uniform(0.1, 1e6),
        log_uniform(1e-6, 10.0),
        log_uniform(0.01, 1e3),
        log_uniform(1.0, 1e3),
        log_uniform(1.0, 1e6),
    );
    let knobs = prop_oneof![
        2 => Just(Knobs::default()),
        2 => chosen.prop_map(knobs),
        1 => any.prop_map(knobs),
    ];
    knobs.prop_map(|knobs| Params::new(&knobs).unwrap())
}

/// In the order of the table in docs/SMOOTHING.md.
fn knobs((h, doubling, n0, w0, tau, k, c): (f64, f64, f64, f64, f64, f64, f64)) -> Knobs {
    Knobs {
        vest_half_life_hours: h,
        max_doubling_days: doubling,
        grace_mass: n0,
        seed_weight: w0,
        surge_half_life_hours: tau,
        surge_factor: k,
        surge_floor: c,
    }
}
