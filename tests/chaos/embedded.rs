//! Faults of the embedded set-up: the one service, and commands that run beside it.

use std::time::{Duration, Instant};

use crate::round::Round;
use crate::site::{self, SUBMIT};
use crate::support::log::Rng;

/// Causes one fault after another for `length`.
pub fn trouble(round: &Round<'_>, mut rng: Rng, length: Duration) {
    while round.began.elapsed() < length {
        one_fault(round, &mut rng);
    }
}

fn one_fault(round: &Round<'_>, rng: &mut Rng) {
    match rng.below(8) {
        0 => {
            let has_met = round.is_busy(0);
            round.site.restart_service(0, "");
            round.note("service on a file killed", has_met, round.await_acknowledged());
        }
        1..=5 => {
            let place = site::place(rng, SUBMIT);
            let most = if place == SUBMIT { 400 } else { 8 };
            round.site.restart_service(0, &format!("{place}=kill@{}", 1 + rng.below(most)));
            let began = Instant::now();
            let mut has_met = false;
            while !has_met && began.elapsed() < Duration::from_secs(4) {
                std::thread::sleep(Duration::from_millis(5));
                has_met = !round.site.services[0].lock().expect("the lock is not poisoned").is_running();
            }
            round.site.restart_service(0, "");
            round.note("service on a file killed at a place", has_met, round.await_acknowledged());
        }
        6 => {
            let has_met = round.is_busy(0);
            let service = round.site.services[0].lock().expect("the lock is not poisoned");
            service.pause();
            std::thread::sleep(Duration::from_millis(50 + rng.below(900)));
            service.resume();
            drop(service);
            round.note("service on a file stopped and continued", has_met, round.await_acknowledged());
        }
        _ => {
            let before = round.site.drained();
            let mut flush = round.site.world.spawn_cli(&["flush"], b"");
            std::thread::sleep(Duration::from_millis(5 + rng.below(80)));
            let has_met = flush.is_running() && round.site.drained() >= before;
            flush.kill();
            round.note("flush killed beside the service", has_met, round.await_drained());
        }
    }
}
