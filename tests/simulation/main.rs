//! The simulated core: the real intake, drain and decisions on a log, a database and a cache in memory. A seed decides
//! every interleaving, crash, lost answer and outage.
//!
//! A failing seed prints the command that replays it. Seeds begin with `TEST_SEED`, which the scripts take from the commit,
//! so every commit tries others. `scripts/simulate` runs for any time. Besides correct runs, known mistakes are made in the
//! core, and the law that notices each is asserted.

mod cache;
mod chance;
mod export;
mod log;
mod moderator;
#[path = "../shared/naive.rs"]
mod naive;
mod oracle;
mod outcome;
mod plan;
mod process;
mod ranking;
#[path = "../shared/refold.rs"]
mod refold;
mod simulation;
mod store;
mod tables;
mod verdict;
mod walk;
mod world;

use std::str::FromStr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use damper::faults::{self, Mistake};
use outcome::{Counts, Outcome};
use simulation::run;

/// Drains per run. Changing it changes the meaning of a seed.
const TICKS_PER_RUN: u64 = 100;
/// Drains over all correct runs in an ordinary test run.
const TICKS: u64 = 10_000;
/// A mistake must be noticed within this many seeds.
const SEEDS_TO_NOTICE_MAX: u64 = 20;
/// Time between two progress lines of a long run.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Number of last events that a replay shows, unless `SIMULATION_LINES` is set.
const LINES_SHOWN: usize = 60;

/// Mistakes are global to the process, so one test runs at a time.
fn making(mistake: Option<Mistake>) -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    faults::make(mistake);
    turn
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; it takes a whole number")))
}

#[track_caller]
fn expect_correct(seed: u64, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!("seed {seed}: {violation}\nreplay it: scripts/simulate --seed {seed}");
    }
}

#[test]
fn correct_runs_keep_every_promise() {
    let _turn = making(None);
    for seed in 0..TICKS / TICKS_PER_RUN {
        expect_correct(seed, &run(seed, TICKS_PER_RUN, false));
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let _turn = making(None);
    for seed in 1_000..1_010 {
        let [first, second] = [true, true].map(|with_words| run(seed, TICKS_PER_RUN, with_words));
        let parts = first.words.iter().zip(&second.words).position(|(one, other)| one != other);
        let parts = parts.map(|at| (&first.words[at.saturating_sub(5)..=at], &second.words[at]));
        assert_eq!(parts, None, "seed {seed}");
        assert_eq!((first.digest, first.counts), (second.digest, second.counts), "seed {seed}");
    }
}

/// Runs seeds until the mistake is noticed.
#[track_caller]
fn expect_noticed(mistake: Mistake) {
    let _turn = making(Some(mistake));
    let noticed = (0..SEEDS_TO_NOTICE_MAX).find_map(|seed| run(seed, TICKS_PER_RUN, false).violation);
    faults::make(None);
    assert!(noticed.is_some(), "{mistake:?} goes unnoticed for {SEEDS_TO_NOTICE_MAX} seeds");
}

#[test]
fn a_log_trimmed_before_the_commit_is_noticed() {
    expect_noticed(Mistake::TrimBeforeCommit);
}

#[test]
fn a_checkpoint_outside_the_commit_is_noticed() {
    expect_noticed(Mistake::CheckpointOutside);
}

#[test]
fn poison_that_stops_the_drain_is_noticed() {
    expect_noticed(Mistake::PoisonStops);
}

#[test]
fn a_blind_cache_is_noticed() {
    expect_noticed(Mistake::BlindCache);
}

#[test]
#[ignore]
fn dbg_dump() {
    let _turn = making(None);
    let seed = variable("SIMULATION_SEED").unwrap();
    for n in 0..2 {
        let o = run(seed, TICKS_PER_RUN, true);
        std::fs::write(format!("/tmp/w/sim-dump.{n}"), o.words.join("\n")).unwrap();
    }
}

/// Runs one seed again and prints the events before the violation: `scripts/simulate --seed S`.
#[test]
fn replay() {
    let Some(seed) = variable("SIMULATION_SEED") else { return };
    let _turn = making(None);
    let outcome = run(seed, TICKS_PER_RUN, true);
    if outcome.violation.is_some() {
        let shown = variable("SIMULATION_LINES").unwrap_or(LINES_SHOWN);
        let skipped = outcome.words.len().saturating_sub(shown);
        outcome.words[skipped..].iter().for_each(|line| eprintln!("{line}"));
    }
    expect_correct(seed, &outcome);
    eprintln!("seed {seed} keeps every promise: {:?}, digest {:016x}", outcome.counts, outcome.digest);
}

/// Runs any number of drains: `scripts/simulate --ticks N`.
#[test]
fn long() {
    let Some(ticks) = variable::<u64>("SIMULATION_TICKS") else { return };
    let first: u64 = variable("SIMULATION_FIRST_SEED").unwrap_or_default();
    let _turn = making(None);
    let (began, mut reported) = (Instant::now(), Instant::now());
    let (mut all, mut seeds) = (Counts::default(), 0);
    while all.ticks < ticks {
        let outcome = run(first + seeds, TICKS_PER_RUN, false);
        expect_correct(first + seeds, &outcome);
        all += outcome.counts;
        seeds += 1;
        if reported.elapsed() >= PROGRESS_INTERVAL {
            reported = Instant::now();
            let per_second = all.ticks as f64 / began.elapsed().as_secs_f64();
            eprintln!("{} of {ticks} ticks, {per_second:.0}/s, next seed {}", all.ticks, first + seeds);
        }
    }
    let Counts { drains_ended, appends, acknowledged, crashes, failures, steps, .. } = all;
    println!(
        "{} ticks ({drains_ended} ended by themselves), {appends} appends, {acknowledged} acknowledged, {crashes} \
         crashes, {failures} failures, {steps} steps, {seeds} seeds from {first}, {:.1} s: no violation",
        all.ticks,
        began.elapsed().as_secs_f64()
    );
}
