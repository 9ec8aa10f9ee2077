//! Random logs and knobs for the laws, and a post that folds them and stores its rows as a database would.

use std::collections::BTreeMap;

use damper::model::{Score, Time};
use damper::smoothing::{Average, Knobs, Lane, LaneName, Params, Row};
use proptest::prelude::*;

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// The birth of the random posts.
pub const START: Time = Time::from_ms(1_700_000_000_123);

/// An average and the rows it was made of, by user.
#[derive(Debug, Clone)]
pub struct Post {
    pub params: Params,
    pub average: Average,
    pub counted: BTreeMap<u16, Row>,
    pub excluded: BTreeMap<u16, Row>,
}

impl Post {
    pub fn new(params: Params) -> Self {
        Self { params, average: Average::default(), counted: BTreeMap::new(), excluded: BTreeMap::new() }
    }

    pub fn rate(&mut self, user: u16, score: Score, at: Time) {
        let row = self.average.rate(self.counted.get(&user), score, at, &self.params);
        self.counted.insert(user, row);
        self.excluded.remove(&user);
    }

    pub fn withdraw(&mut self, user: u16, at: Time) {
        if let Some(row) = self.counted.remove(&user) {
            self.average.withdraw(&row, at, &self.params);
        }
    }

    pub fn exclude(&mut self, user: u16, at: Time) {
        if let Some(row) = self.counted.remove(&user) {
            self.excluded.insert(user, self.average.exclude(&row, at, &self.params));
        }
    }

    pub fn restore(&mut self, user: u16, at: Time) {
        if let Some(row) = self.excluded.remove(&user) {
            self.counted.insert(user, self.average.restore(&row, at, &self.params));
        }
    }

    /// Folds one entry. An entry that finds no row to act on does nothing.
    pub fn apply(&mut self, entry: &Entry) {
        match entry.op {
            Op::Rate { user, score } => self.rate(user, score, entry.at),
            Op::Withdraw(pick) => {
                if let Some(user) = nth(&self.counted, pick) {
                    self.withdraw(user, entry.at);
                }
            }
            Op::Exclude(pick) => {
                if let Some(user) = nth(&self.counted, pick) {
                    self.exclude(user, entry.at);
                }
            }
            Op::Restore(pick) => {
                if let Some(user) = nth(&self.excluded, pick) {
                    self.restore(user, entry.at);
                }
            }
            Op::Arrive => self.average.arrive(entry.at, &self.params),
        }
    }

    pub fn fold(params: Params, log: &[Entry]) -> Self {
        let mut post = Self::new(params);
        log.iter().for_each(|entry| post.apply(entry));
        post
    }

    /// x = n0 + V of both lanes.
    pub fn room(&self, average: &Average) -> f64 {
        self.params.knobs().grace_mass + vested(average)
    }

    /// The published value at a time.
    pub fn mean_at(&self, at: Time) -> Option<f64> {
        self.average.at(at, &self.params).smoothed_mean(&self.params)
    }

    /// Σ(1 − w) of these users' rows, as of `average`.
    pub fn vested_of(&self, users: &[u16], average: &Average) -> f64 {
        users
            .iter()
            .map(|user| {
                let row = &self.counted[user];
                let clock = lane_of(average, row).clock;
                1.0 - (row.vest_clock - clock).exp()
            })
            .sum()
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

fn lane_of<'a>(average: &'a Average, row: &Row) -> &'a Lane {
    match row.lane {
        LaneName::Calm => &average.calm,
        LaneName::Surge => &average.surge,
    }
}

/// The user of the row picked by a random number.
pub fn nth(rows: &BTreeMap<u16, Row>, pick: u16) -> Option<u16> {
    rows.keys().nth(usize::from(pick) % rows.len().max(1)).copied()
}

/// One entry of a random log.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub at: Time,
    pub op: Op,
}

/// The kinds of entries. The numbers pick one of the existing rows.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    Rate { user: u16, score: Score },
    Withdraw(u16),
    Exclude(u16),
    Restore(u16),
    Arrive,
}

/// An op and its number of repetitions, each a moment after the other: bombs and their removal.
#[derive(Debug, Clone, Copy)]
struct Step {
    after_ms: i64,
    op: Op,
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
    (pause(), op, repetition()).prop_map(|(after_ms, op, (times, every_ms))| Step {
        after_ms,
        op,
        times,
        every_ms,
    })
}

fn rating() -> impl Strategy<Value = Op> {
    let user = prop_oneof![1 => 0..20_u16, 3 => 0..2_000_u16];
    (user, score()).prop_map(|(user, score)| Op::Rate { user, score })
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => rating(),
        2 => any::<u16>().prop_map(Op::Withdraw),
        2 => any::<u16>().prop_map(Op::Exclude),
        2 => any::<u16>().prop_map(Op::Restore),
        1 => Just(Op::Arrive),
    ]
}

/// The steps one after the other, beginning at `start`. A step's ratings come from neighbouring users.
fn expand(start: Time, steps: &[Step]) -> Vec<Entry> {
    let mut now = start;
    let mut log = Vec::new();
    for step in steps {
        now = now.plus_ms(step.after_ms);
        for i in 0..step.times {
            let op = match step.op {
                Op::Rate { user, score } => Op::Rate { user: user + i, score },
                other => other,
            };
            log.push(Entry { at: now, op });
            now = now.plus_ms(step.every_ms);
        }
    }
    log
}

/// A log of every kind of entry.
pub fn log() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(step(any_op()), 1..25).prop_map(|steps| expand(START, &steps))
}

/// A log of ratings and edits only, from `START` on. The caller moves it to another time.
pub fn ratings() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(step(rating()), 1..8).prop_map(|steps| expand(START, &steps))
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
