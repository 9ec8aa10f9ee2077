//! Chaos proves itself: each law of a round is seen broken by a mistake that was made for it, through a whole round. The
//! shapes of each are those that bring its mistake to light soon.

use std::sync::Mutex;
use std::time::Duration;

use crate::embedded::Shape as OnFile;
use crate::law::Law;
use crate::round::{self, Plan, Setup};
use crate::servers::Shape as OnServers;
use crate::support::postgres::Postgres;

/// The faults of one of these rounds last so long.
const SHORT: Duration = Duration::from_secs(6);
/// Decisions of a round whose mistake is about them.
const DECISIONS: u64 = 30;
/// Rounds for a mistake that a short one may miss.
const TRIES_MAX: u64 = 3;

#[test]
fn an_acknowledgement_before_the_append_breaks_law_1() {
    breaks("acknowledge-early", Law::Acknowledged, Setup::Embedded(&[OnFile::Killed]), 500);
}

#[test]
fn an_approval_that_counts_twice_breaks_law_2() {
    breaks("release-twice", Law::Recount, Setup::Embedded(&[OnFile::Stopped]), 500);
}

#[test]
fn an_append_that_is_replayed_late_breaks_law_3() {
    breaks("replay-late", Law::LatestWins, Setup::Servers(&[OnServers::RedisStopped]), 2);
}

#[test]
fn a_log_trimmed_before_the_commit_breaks_law_4() {
    breaks("trim-before-commit", Law::Balance, Setup::Embedded(&[OnFile::KilledAtPlace]), 500);
}

#[test]
fn an_exclusion_that_is_half_undone_breaks_law_5() {
    breaks("exclusion-half-undone", Law::Fold, Setup::Embedded(&[OnFile::Stopped]), 500);
}

#[test]
fn a_cache_that_takes_older_states_breaks_law_6() {
    breaks("blind-cache", Law::Cache, Setup::Servers(&[OnServers::OldCache]), 500);
}

#[test]
fn a_drain_that_never_resumes_breaks_law_7() {
    breaks("drain-gives-up", Law::Settles, Setup::Servers(&[OnServers::PostgresKilled]), 500);
}

fn breaks(mistake: &'static str, law: Law, setup: Setup, users: u64) {
    // One after the other: they stop the server.
    static POSTGRES: Mutex<Option<Postgres>> = Mutex::new(None);
    let mut postgres = POSTGRES.lock().unwrap_or_else(|e| e.into_inner());
    let postgres = postgres.get_or_insert_with(Postgres::start);
    let decisions_min = if law == Law::Recount || law == Law::Fold { DECISIONS } else { 0 };
    let plan = Plan { setup, length: SHORT, users, moderated: 1, decisions_min, mistake };
    let mut seen = Vec::new();
    for seed in 0..TRIES_MAX {
        let findings = round::run(plan, postgres, seed).findings;
        if findings.laws().contains(&law) {
            return;
        }
        eprintln!("{mistake}: {} decisions, {:?}", findings.decisions, findings.broken);
        seen.push((findings.decisions, findings.broken));
    }
    panic!("{mistake} broke {seen:?}, never {law}");
}
