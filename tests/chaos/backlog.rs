//! A great backlog: tens of thousands of entries wait in one shard, and are drained in batches that go into Postgres by COPY,
//! while drains are killed and cut in the middle of one. Decisions over as many ratings are merged in steps.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::law::Law;
use crate::network::strike;
use crate::round::Round;
use crate::round::await_short;
use crate::site::{APIS, WORKERS};
use crate::support::log::Rng;
use crate::support::proxy::Fault;

/// Entries of a batch.
pub const BATCH_MAX: usize = 20_000;
/// Entries that wait before the drains begin.
pub const WAITING: i64 = 50_000;
/// The posts that they are about.
pub const POSTS: [&str; 4] = ["bulk0", "bulk1", "bulk2", "bulk3"];
/// Workers that are alone with a full backlog, and die in its first batch.
const ALONE: usize = 3;
/// The backlog is drained in this time, whatever strikes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Fewer than this are no backlog: writers go on.
const FEW: i64 = 5_000;

const PLACES: [&str; 9] = [
    "drain.read",
    "commit.loaded",
    "commit.brought",
    "commit.swapped",
    "commit.upserted",
    "commit.written",
    "bulk.paged",
    "bulk.written",
    "bulk.stepped",
];

/// Lets a backlog grow, drains it under faults, and begins anew, until the round is over.
pub fn trouble(round: &Round<'_>, mut rng: Rng) {
    let mut turn = 0;
    while round.goes_on() {
        turn += 1;
        let Some(worker) = round.site.steady_worker() else { return };
        // A worker that stands still drains nothing, and goes on later.
        worker.pause();
        round.watch.rest(true);
        fill(round, turn);
        round.note("backlog of 50,000 behind a stopped worker", waiting(round) >= WAITING, None);
        (0..ALONE).for_each(|_| kill_worker(round, &mut rng));
        worker.resume();
        drop(worker);
        round.watch.rest(false);
        drain_under_faults(round, &mut rng);
    }
    round.calm.store(true, std::sync::atomic::Ordering::SeqCst);
}

fn fill(round: &Round<'_>, turn: i64) {
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs() as i64;
    let line = |i: i64| {
        let post = POSTS[i as usize % POSTS.len()];
        format!("{post},bulk{i},{},{}\n", (i + turn) % 6, now - i % 5)
    };
    while waiting(round) < WAITING {
        round.site.import(&(0..WAITING).map(line).collect::<String>());
    }
}

/// Entries that wait, as the log and the checkpoints say.
fn waiting(round: &Round<'_>) -> i64 {
    let status = round.site.world.cli(&["status", "--json"]);
    if status.code == 0 { status.json()["waiting"].as_i64().unwrap_or(0) } else { 0 }
}

fn drain_under_faults(round: &Round<'_>, rng: &mut Rng) {
    let began = Instant::now();
    while waiting(round) > FEW {
        if began.elapsed() > PATIENCE {
            return round
                .watch
                .note(Law::Settles, format!("a backlog of {WAITING} was not drained within {PATIENCE:?}"));
        }
        one_fault(round, rng);
    }
}

/// Starts a worker that dies at a place inside a great batch.
fn kill_worker(round: &Round<'_>, rng: &mut Rng) {
    let place = PLACES[rng.below(PLACES.len() as u64) as usize];
    let number = 1 + rng.below(WORKERS as u64 - 1) as usize;
    let worker = RefCell::new(round.site.start_worker(number, &format!("{place}=kill@1")));
    let has_met = await_short(|| worker.borrow_mut().was_killed());
    round.note("worker killed at a place inside a great batch", has_met, None);
}

fn one_fault(round: &Round<'_>, rng: &mut Rng) {
    match rng.below(5) {
        0..=2 => kill_worker(round, rng),
        3 => {
            let cut = Fault::CutAfter(rng.below(60_000) as usize);
            let ways = round.site.all_ways().iter().skip(APIS);
            let proxies: Vec<_> = ways.map(|ways| (&ways.postgres, cut)).collect();
            let is_draining = round.site.await_drain(Duration::from_secs(2));
            let has_met = strike(&proxies, Duration::ZERO);
            let recovered = round.await_drained();
            round.note("postgres cut in the middle of a COPY", is_draining && has_met, recovered);
        }
        _ => {
            let has_met = round.site.await_drain(Duration::from_secs(2));
            let ended = round.site.world.try_count(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where datname = current_database() and application_name = 'damper-drain'",
            );
            let recovered = round.await_drained();
            round.note("postgres backends of a great batch killed", has_met && ended.is_some(), recovered);
        }
    }
}
