//! Faults of the embedded set-up: the one service, and commands that run beside it.

use std::time::Duration;

use crate::round::Round;
use crate::site::{self, DECISION_PLACES, SUBMIT};
use crate::support::log::Rng;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Killed,
    KilledAtPlace,
    KilledInDecision,
    Stopped,
    StoppedInDecision,
    FlushKilled,
    FlushStopped,
}

/// Each as often as it shall come.
pub const ALL: &[Shape] = &[
    Shape::Killed,
    Shape::KilledAtPlace,
    Shape::KilledAtPlace,
    Shape::KilledAtPlace,
    Shape::KilledAtPlace,
    Shape::KilledInDecision,
    Shape::KilledInDecision,
    Shape::Stopped,
    Shape::StoppedInDecision,
    Shape::FlushKilled,
    Shape::FlushStopped,
];

/// Causes one fault after another until the round is over.
pub fn trouble(round: &Round<'_>, mut rng: Rng, shapes: &[Shape]) {
    while round.goes_on() {
        let shape = shapes[rng.below(shapes.len() as u64) as usize];
        one_fault(round, &mut rng, shape);
    }
}

fn one_fault(round: &Round<'_>, rng: &mut Rng, shape: Shape) {
    let pause = Duration::from_millis(50 + rng.below(900));
    match shape {
        Shape::Killed => {
            let has_met = round.is_busy(0);
            round.site.restart_service(0, "");
            round.note("service on a file killed", has_met, round.await_acknowledged());
        }
        Shape::KilledAtPlace => {
            let place = site::place(rng, SUBMIT);
            let most = if place == SUBMIT { 400 } else { 8 };
            let has_met = round.dies_at(0, place, 1 + rng.below(most));
            round.note("service on a file killed at a place", has_met, round.await_acknowledged());
        }
        Shape::KilledInDecision => {
            let place = DECISION_PLACES[rng.below(DECISION_PLACES.len() as u64) as usize];
            let has_met = round.dies_at(0, place, 1 + rng.below(3));
            round.note("service on a file killed inside a decision", has_met, round.await_acknowledged());
        }
        Shape::Stopped => {
            let has_met = round.is_busy(0);
            round.site.service(0).pause();
            std::thread::sleep(pause);
            round.site.service(0).resume();
            round.note("service on a file stopped and continued", has_met, round.await_acknowledged());
        }
        Shape::StoppedInDecision => {
            let place = DECISION_PLACES[rng.below(DECISION_PLACES.len() as u64) as usize];
            let has_met = round.stops_at(0, place, 1 + rng.below(3), pause);
            let name = "service on a file stopped inside a decision";
            round.note(name, has_met, round.await_acknowledged());
        }
        Shape::FlushKilled => {
            let mut flush = round.site.world.spawn_cli(&["flush"], b"");
            std::thread::sleep(Duration::from_millis(5 + rng.below(80)));
            let has_met = flush.is_running();
            flush.kill();
            round.note("flush killed beside the service", has_met, round.await_drained());
        }
        Shape::FlushStopped => {
            let mut flush = round.site.world.spawn_cli(&["flush"], b"");
            std::thread::sleep(Duration::from_millis(5 + rng.below(80)));
            let has_met = flush.is_running();
            if has_met {
                flush.pause();
                std::thread::sleep(pause);
                flush.resume();
            }
            round.note("flush stopped beside the service", has_met, round.await_drained());
        }
    }
}
