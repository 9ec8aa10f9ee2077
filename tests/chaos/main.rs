//! Damper under faults: real servers and real programs are killed, and every law is checked against the
//! record.
//!
//! By default this is the CI part: rounds on both set-ups until there were enough kills and acknowledgements.
//! `scripts/chaos` runs it for longer and prints the certificate.

mod embedded;
mod mistakes;
#[path = "../shared/naive.rs"]
mod naive;
mod oracle;
mod report;
mod round;
mod servers;
mod site;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, unused_macros, unused_imports)]
mod support;
mod writers;

use std::time::{Duration, Instant};

use report::Report;
use round::Setup;
use support::postgres::Postgres;

/// The minimum for a CI run.
const KILLS_MIN: u64 = 200;
const ACKNOWLEDGED_MIN: u64 = 100_000;
/// More rounds than CI ever needs. A run that is not done by then fails.
const ROUNDS_MAX: u64 = 20;
const ROUND: Duration = Duration::from_secs(45);

#[test]
fn nothing_is_lost_and_nothing_counts_twice() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = variable("CHAOS_SEED").unwrap_or(1);
    let minutes = variable("CHAOS_MINUTES");
    let postgres = Postgres::start();
    let (began, mut total) = (Instant::now(), Report::default());
    let is_done = |total: &Report| match minutes {
        Some(minutes) => began.elapsed() >= Duration::from_secs(60 * minutes),
        None => {
            let is_enough = total.kills() >= KILLS_MIN && total.acknowledged >= ACKNOWLEDGED_MIN;
            is_enough || total.rounds >= ROUNDS_MAX
        }
    };
    for turn in 0.. {
        if is_done(&total) {
            break;
        }
        // Side by side: neither set-up uses both cores, and they share nothing.
        let run = |setup| round::run(setup, &postgres, seed.wrapping_add(turn), ROUND);
        let reports = std::thread::scope(|scope| {
            let embedded = scope.spawn(|| run(Setup::Embedded));
            [run(Setup::Servers), embedded.join().unwrap_or_else(|e| std::panic::resume_unwind(e))]
        });
        reports.into_iter().for_each(|report| total.add(report));
        total.seconds = began.elapsed().as_secs();
        eprintln!(
            "{} rounds: {} s, {} faults ({} kills), {} acknowledged, {} lost, {} doubled",
            total.rounds,
            total.seconds,
            total.faults(),
            total.kills(),
            total.acknowledged,
            total.findings.lost,
            total.findings.doubled
        );
        assert!(
            total.is_clean(),
            "{}",
            total.page(seed, &format!("CHAOS_SEED={} begins with these rounds", seed.wrapping_add(turn)))
        );
    }
    let command = match minutes {
        Some(minutes) => format!("scripts/chaos --minutes {minutes} --seed {seed}"),
        None => "scripts/test".to_owned(),
    };
    println!("{}", total.page(seed, &command));
    if minutes.is_none() {
        assert!(total.kills() >= KILLS_MIN, "only {} kills", total.kills());
        assert!(total.acknowledged >= ACKNOWLEDGED_MIN, "only {} acknowledgements", total.acknowledged);
    }
}
