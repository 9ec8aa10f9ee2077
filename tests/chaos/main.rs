//! Damper under faults: real servers and real programs are killed, and every law is checked against the
//! record.
//!
//! By default this is the CI part: rounds on all set-ups until there were enough kills and acknowledgements.
//! `scripts/chaos` runs it for longer and prints the certificate. The faults come from CHAOS_SEED, which CI takes from the
//! commit, so that every commit meets other ones.

mod attempt;
mod backlog;
mod embedded;
mod fold;
mod law;
mod mistakes;
mod moderator;
#[path = "../shared/naive.rs"]
mod naive;
mod network;
mod oracle;
mod proofs;
mod readers;
mod report;
mod round;
mod servers;
mod site;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, unused_macros, unused_imports)]
mod support;
mod tee;
mod watch;
mod writers;

use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use report::Report;
use round::{Plan, Setup};
use support::log::Rng;
use support::postgres::Postgres;

/// The minimum for a CI run.
const KILLS_MIN: u64 = 200;
const ACKNOWLEDGED_MIN: u64 = 60_000;
const DECISIONS_MIN: u64 = 500;
/// More turns than CI ever needs. A run that is not done by then fails.
const TURNS_MAX: u64 = 10;
/// Files of a turn, beside its site of servers.
const FILES: usize = 3;
const ROUND: Duration = Duration::from_secs(40);
/// One turn in so many is a great backlog instead of the mixture on servers.
const BACKLOG_EVERY: u64 = 3;

const SERVERS: Setup = Setup::Servers(servers::ALL);
const EMBEDDED: Setup = Setup::Embedded(embedded::ALL);

#[test]
fn nothing_is_lost_and_nothing_counts_twice() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = variable("CHAOS_SEED").unwrap_or(1);
    let minutes = variable("CHAOS_MINUTES");
    println!("seed {seed}; {}", repeated(minutes, seed));
    let postgres = Postgres::start();
    let (began, mut total) = (Instant::now(), Report::default());
    let is_enough = |total: &Report| {
        total.kills() >= KILLS_MIN
            && total.acknowledged >= ACKNOWLEDGED_MIN
            && total.findings.decisions >= DECISIONS_MIN
    };
    let is_done = |turn: u64, total: &Report| match minutes {
        Some(minutes) => began.elapsed() >= Duration::from_secs(60 * minutes),
        None => turn >= BACKLOG_EVERY && is_enough(total) || turn >= TURNS_MAX,
    };
    for turn in 0.. {
        if is_done(turn, &total) {
            break;
        }
        // Side by side: none of them uses both cores, and they share nothing.
        let run = &|setup, seed| round::run(Plan::of(setup, ROUND), &postgres, seed);
        let mut seeds = Rng(seed.wrapping_add(turn));
        let is_backlog = turn % BACKLOG_EVERY == BACKLOG_EVERY - 1;
        let reports = std::thread::scope(|scope| {
            let embedded = [0; FILES].map(|_| seeds.next());
            let embedded = embedded.map(|seed| scope.spawn(move || run(EMBEDDED, seed)));
            let servers = run(if is_backlog { Setup::Backlog } else { SERVERS }, seeds.next());
            let ended = |round: ScopedJoinHandle<'_, _>| {
                round.join().unwrap_or_else(|e| std::panic::resume_unwind(e))
            };
            embedded.map(ended).into_iter().chain([servers]).collect::<Vec<Report>>()
        });
        reports.into_iter().for_each(|report| total.add(report));
        total.seconds = began.elapsed().as_secs();
        eprintln!(
            "{} rounds: {} s, {} faults ({} kills), {} acknowledged, {} decisions, {} lost, {} doubled",
            total.rounds,
            total.seconds,
            total.faults(),
            total.kills(),
            total.acknowledged,
            total.findings.decisions,
            total.findings.lost,
            total.findings.doubled
        );
        assert!(total.is_clean(), "{}", total.page(seed, &repeated(minutes, seed)));
    }
    println!("{}", total.page(seed, &repeated(minutes, seed)));
    if minutes.is_none() {
        assert!(is_enough(&total), "not enough kills, acknowledgements or decisions");
    }
}

/// The command that runs the same faults again.
fn repeated(minutes: Option<u64>, seed: u64) -> String {
    match minutes {
        Some(minutes) => format!("scripts/chaos --minutes {minutes} --seed {seed}"),
        None => format!("scripts/chaos --seed {seed}"),
    }
}
