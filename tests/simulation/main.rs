//! The simulated core: the real intake, drain and decisions on a log, a database and a cache in memory. A seed decides
//! every interleaving, crash, lost answer and outage.
//!
//! A failing seed prints the command that replays it. Seeds begin with `SIMULATION_SEED`, which
//! `scripts/test` takes from the commit, so every commit tries others. `scripts/simulate` runs for any time. Besides correct runs, known mistakes are made in the
//! core, and the law that notices each is asserted.

mod cache;
mod chance;
mod ending;
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

use std::io::Write;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use damper::faults::{self, Mistake};
use outcome::{Counts, Law, Outcome};
use simulation::run;

/// Drains per run. Changing it changes the meaning of a seed.
const TICKS_PER_RUN: u64 = 100;
/// An ordinary test run takes fresh seeds for this long, and runs at least so many drains, however slow the machine is.
const FRESH: Duration = Duration::from_secs(40);
const TICKS_MIN: u64 = 2_000;
/// The first seed where none is given.
const FIRST_SEED: u64 = 1;
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

fn first_seed() -> u64 {
    variable("SIMULATION_SEED").unwrap_or(FIRST_SEED)
}

/// Says something that no harness swallows.
fn say(words: &str) {
    writeln!(std::io::stderr(), "{words}").expect("standard error takes a line");
}

#[track_caller]
fn expect_correct(seed: u64, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!("seed {seed}: {violation}\nreplay it: scripts/simulate --seed {seed}");
    }
}

/// Runs seeds from `first` on all cores until it was enough; a violation ends it.
#[track_caller]
fn run_many(first: u64, is_enough: impl Fn(&Counts, Duration) -> bool + Sync) {
    let began = Instant::now();
    let (next, all) = (AtomicU64::new(first), Mutex::new((Counts::default(), began, None)));
    let locked = || all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let work = || {
        loop {
            {
                let (counts, _, violation) = &*locked();
                if violation.is_some() || is_enough(counts, began.elapsed()) {
                    return;
                }
            }
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let outcome = run(seed, TICKS_PER_RUN, false);
            let (counts, said, violation) = &mut *locked();
            *counts += outcome.counts;
            if outcome.violation.is_some() {
                violation.get_or_insert((seed, outcome));
            }
            if said.elapsed() >= PROGRESS_INTERVAL {
                *said = Instant::now();
                let per_second = counts.ticks as f64 / began.elapsed().as_secs_f64();
                eprintln!("{} ticks, {per_second:.0}/s, next seed {}", counts.ticks, seed + 1);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let (counts, _, violation) = &*locked();
    if let Some((seed, outcome)) = violation {
        expect_correct(*seed, outcome);
    }
    let (seeds, seconds) = (next.load(Ordering::Relaxed) - first, began.elapsed().as_secs_f64());
    say(&format!("simulation: {seeds} seeds from {first}, {seconds:.1} s, no violation: {counts:?}"));
}

#[test]
fn correct_runs_keep_every_promise() {
    let _turn = making(None);
    run_many(first_seed(), |counts, passed| counts.ticks >= TICKS_MIN && passed >= FRESH);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let _turn = making(None);
    for seed in (0..5).map(|n| first_seed() + n) {
        let [first, second] = [false, true].map(|with_words| run(seed, TICKS_PER_RUN, with_words));
        let figures = [&first, &second].map(|outcome| (outcome.digest, outcome.counts));
        assert_eq!(figures[0], figures[1], "seed {seed}");
    }
}

/// Runs seeds until that law notices the mistake. Until then only `others` may, which it breaks as well.
#[track_caller]
fn expect_noticed(mistake: Mistake, law: Law, others: &[Law]) {
    let _turn = making(Some(mistake));
    let mut violations =
        (0..SEEDS_TO_NOTICE_MAX).filter_map(|seed| run(seed, TICKS_PER_RUN, false).violation);
    let unlike = violations.find(|violation| !others.contains(&violation.law));
    faults::make(None);
    match unlike {
        Some(noticed) => assert_eq!(noticed.law, law, "{mistake:?} is noticed: {noticed}"),
        None => panic!("{law:?} does not notice {mistake:?} in {SEEDS_TO_NOTICE_MAX} seeds"),
    }
}

#[test]
fn a_log_trimmed_before_the_commit_is_noticed() {
    expect_noticed(Mistake::TrimBeforeCommit, Law::Balance, &[]);
}

#[test]
fn a_checkpoint_that_moves_before_the_data_is_noticed() {
    // A decision leaves no trace, data comes so late that newer data is there, or a reader looks in between.
    let others = [Law::Errors, Law::Versions, Law::Quarantine, Law::OwnRating, Law::History];
    expect_noticed(Mistake::CheckpointApart, Law::Averages, &others);
}

#[test]
fn poison_that_stops_the_drain_is_noticed() {
    expect_noticed(Mistake::PoisonStops, Law::Errors, &[]);
}

#[test]
fn a_blind_cache_is_noticed() {
    expect_noticed(Mistake::BlindCache, Law::Cache, &[]);
}

#[test]
fn a_release_that_counts_beside_another_rating_is_noticed() {
    expect_noticed(Mistake::ReleaseBeside, Law::Averages, &[]);
}

#[test]
fn an_undo_that_restores_what_another_exclusion_covers_is_noticed() {
    // A held rating is in no average.
    expect_noticed(Mistake::UndoBlind, Law::Averages, &[Law::Standings]);
}

#[test]
fn a_decision_that_forgets_its_first_steps_is_noticed() {
    expect_noticed(Mistake::StepsForgotten, Law::Averages, &[Law::Standings]);
}

#[test]
fn a_state_that_is_taken_over_twice_is_noticed() {
    expect_noticed(Mistake::AdoptTwice, Law::Averages, &[]);
}

/// Runs one seed again and prints the events before the violation: `scripts/simulate --seed S`.
#[test]
#[ignore = "scripts/simulate runs it"]
fn replay() {
    let _turn = making(None);
    let seed = first_seed();
    let outcome = run(seed, TICKS_PER_RUN, true);
    if outcome.violation.is_some() {
        let shown = variable("SIMULATION_LINES").unwrap_or(LINES_SHOWN);
        let skipped = outcome.words.len().saturating_sub(shown);
        outcome.words[skipped..].iter().for_each(|line| eprintln!("{line}"));
    }
    expect_correct(seed, &outcome);
    say(&format!("seed {seed} keeps every promise: {:?}, digest {:016x}", outcome.counts, outcome.digest));
}

/// Runs any number of drains: `scripts/simulate --ticks N`.
#[test]
#[ignore = "scripts/simulate runs it"]
fn long() {
    let _turn = making(None);
    let ticks: u64 = variable("SIMULATION_TICKS").expect("SIMULATION_TICKS says how many drains");
    run_many(first_seed(), |counts, _| counts.ticks >= ticks);
}
