//! Faults between programs and their servers: of all programs at once, or of one alone, which is then parted from what the
//! others still reach.

use std::time::{Duration, Instant};

use crate::round::Round;
use crate::site::APIS;
use crate::support::log::Rng;
use crate::support::proxy::{Fault, Proxy};

/// A fault that strikes once is waited for so long.
const STRIKE: Duration = Duration::from_secs(3);

/// Redis, for all.
pub fn cut_redis(round: &Round<'_>, rng: &mut Rng, pause: Duration) {
    let (name, fault) = match rng.below(5) {
        0 => ("redis unreachable", Fault::Refuse),
        1 => ("redis behind a black hole", Fault::BlackHole),
        2 => ("redis' replies lost", Fault::OneWay),
        3 => ("redis slow", Fault::Delay(Duration::from_millis(1 + rng.below(30)))),
        _ => ("redis cut after some bytes", Fault::CutAfter(rng.below(200) as usize)),
    };
    let proxies: Vec<_> = round.site.all_ways().iter().map(|ways| (&ways.redis, fault)).collect();
    let has_met = round.watch.without_redis(|| strike(&proxies, pause));
    round.note(name, has_met, round.await_acknowledged());
}

/// Postgres, for all.
pub fn cut_postgres(round: &Round<'_>, rng: &mut Rng, pause: Duration) {
    let (name, fault) = match rng.below(6) {
        0 => ("postgres unreachable", Fault::Refuse),
        1 => ("postgres behind a black hole", Fault::BlackHole),
        2 => ("postgres' replies lost", Fault::OneWay),
        3 => ("postgres slow", Fault::Delay(Duration::from_millis(1 + rng.below(20)))),
        4 => ("postgres cut after some bytes", Fault::CutAfter(rng.below(2_000) as usize)),
        _ => ("postgres cut when COMMIT passes", Fault::CutAtCommit),
    };
    let proxies: Vec<_> = round.site.all_ways().iter().map(|ways| (&ways.postgres, fault)).collect();
    let has_met = strike(&proxies, pause);
    round.note(name, has_met, round.await_drained());
}

/// The APIs commit nothing but what moderators decide: the reply to such a COMMIT is lost.
pub fn cut_decision(round: &Round<'_>) {
    let is_asked = round.await_decision(Duration::from_secs(2));
    let proxies: Vec<_> =
        (0..APIS).map(|api| (&round.site.ways_of_api(api).postgres, Fault::CutAtCommit)).collect();
    let has_met = strike(&proxies, STRIKE);
    round.note("postgres cut when a decision's COMMIT passes", is_asked && has_met, round.await_drained());
}

/// One program alone is parted from Redis, from Postgres, or from both in different ways.
pub fn part(round: &Round<'_>, rng: &mut Rng, pause: Duration, is_double: bool) {
    let way = rng.below(round.site.all_ways().len() as u64) as usize;
    let ways = &round.site.all_ways()[way];
    let mut fault = || match rng.below(4) {
        0 => Fault::Refuse,
        1 => Fault::BlackHole,
        2 => Fault::OneWay,
        _ => Fault::Delay(Duration::from_millis(5 + rng.below(60))),
    };
    let (first, second) = (fault(), fault());
    let mut proxies = vec![(&ways.redis, first), (&ways.postgres, second)];
    let name = match (is_double, round.site.name_of(way)) {
        (true, "an API") => "an API parted from redis and postgres",
        (true, _) => "a worker parted from redis and postgres",
        (false, "an API") => "an API parted from one server",
        (false, _) => "a worker parted from one server",
    };
    if !is_double {
        proxies.remove(rng.below(2) as usize);
    }
    let has_met = round.watch.without_redis(|| strike(&proxies, pause));
    round.note(name, has_met, round.await_acknowledged().and(round.await_drained()));
}

/// Sets faults until one that strikes once has struck, or for a while. Returns whether one met traffic.
pub fn strike(faults: &[(&Proxy, Fault)], pause: Duration) -> bool {
    faults.iter().for_each(|(proxy, fault)| proxy.set(*fault));
    let began = Instant::now();
    let strikes_once =
        faults.iter().all(|(_, fault)| matches!(fault, Fault::CutAfter(_) | Fault::CutAtCommit));
    let is_over = || match strikes_once {
        true => faults.iter().any(|(proxy, _)| proxy.is_done()) || began.elapsed() > STRIKE,
        false => began.elapsed() > pause,
    };
    while !is_over() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let has_met = faults.iter().any(|(proxy, _)| proxy.hits() > 0);
    faults.iter().for_each(|(proxy, _)| proxy.set(Fault::None));
    has_met
}
