//! Faults of the server set-up: workers, services, Redis, Postgres, and the network between them.

use std::time::{Duration, Instant};

use crate::round::Round;
use crate::site::{self, Proxies, SUBMIT};
use crate::support::log::Rng;
use crate::support::proxy::{Fault, Proxy};

const WORKERS: usize = 2;

/// Causes one fault after another for `length`.
pub fn trouble(round: &Round<'_>, mut rng: Rng, length: Duration) {
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let rng = Rng(rng.next());
            scope.spawn(move || workers_die(round, rng));
        }
        while round.began.elapsed() < length {
            one_fault(round, &mut rng);
        }
        round.calm.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

/// Starts a worker again and again, each time armed to be killed or stopped inside a drain.
fn workers_die(round: &Round<'_>, mut rng: Rng) {
    while !round.is_calm() {
        let place = site::place(&mut rng, "commit.brought");
        let pass = 1 + rng.below(8);
        let is_stop = rng.below(10) == 0;
        let is_armed = rng.below(4) != 0;
        let signal = if is_stop { "stop" } else { "kill" };
        let armed = if is_armed { format!("{place}={signal}@{pass}") } else { String::new() };
        let mut worker = round.site.start_worker(&armed);
        let patience = Duration::from_millis(1_500 + rng.below(1_500));
        let began = Instant::now();
        while began.elapsed() < patience && worker.is_running() && !worker.is_paused() && !round.is_calm() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if worker.was_killed() {
            round.note("worker killed at a place inside a drain", true, None);
        } else if worker.is_paused() {
            std::thread::sleep(Duration::from_millis(200 + rng.below(7_000)));
            worker.resume();
            round.note("worker stopped inside a drain, continued later", true, None);
            std::thread::sleep(Duration::from_millis(500));
        } else if worker.is_running() && !round.is_calm() {
            let has_met = round.site.await_drain(Duration::from_millis(500));
            worker.kill();
            round.note("worker killed", has_met, None);
        }
    }
}

fn one_fault(round: &Round<'_>, rng: &mut Rng) {
    let pause = Duration::from_millis(50 + rng.below(900));
    match rng.below(18) {
        0 | 1 => kill_service(round, rng, ""),
        2 | 3 => kill_service(round, rng, SUBMIT),
        4 | 5 => {
            let has_met = round.is_busy(0) || round.is_busy(1);
            round.site.world.redis().kill();
            std::thread::sleep(pause);
            round.site.world.redis().start_again();
            let recovered = round.await_acknowledged();
            round.note("redis killed and restarted", has_met, recovered);
        }
        6 => {
            let has_met = round.is_busy(0) || round.is_busy(1);
            round.site.world.redis().pause();
            std::thread::sleep(pause);
            round.site.world.redis().resume();
            let recovered = round.await_acknowledged();
            round.note("redis stopped and continued", has_met, recovered);
        }
        7 => {
            let has_met = round.site.await_drain(Duration::from_secs(2));
            let ended = round.site.world.try_count(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where datname = current_database() and application_name = 'damper-drain'",
            );
            let recovered = round.await_drained();
            round.note("postgres backends of a drain killed", has_met && ended.is_some(), recovered);
        }
        8 => {
            let has_met = round.site.await_drain(Duration::from_secs(2));
            round.postgres.stop_immediately();
            std::thread::sleep(pause);
            round.postgres.start_again();
            let recovered = round.await_drained();
            round.note("postgres killed (immediate) and restarted", has_met, recovered);
        }
        9 => {
            let has_met = round.site.await_drain(Duration::from_secs(2));
            round.postgres.pause();
            std::thread::sleep(pause);
            round.postgres.resume();
            let recovered = round.await_drained();
            round.note("postgres stopped and continued", has_met, recovered);
        }
        10..=12 => cut_redis(round, rng, pause),
        13..=15 => cut_postgres(round, rng, pause),
        16 => {
            let redis = round.site.world.redis();
            redis.command(&["SCRIPT", "FLUSH"]);
            for part in 0..64 {
                let part = format!("damper:cache:{part}");
                redis.command(&["DEL", &part]);
                redis.command(&["SET", &part, "not a post"]);
            }
            let recovered = round.await_acknowledged();
            round.note("scripts flushed, cache corrupted", true, recovered);
        }
        _ => {
            let mut flush = round.site.world.spawn_cli(&["flush"], b"");
            let has_met = round.site.await_drain(Duration::from_secs(2));
            std::thread::sleep(Duration::from_millis(rng.below(60)));
            let has_met = has_met && flush.is_running();
            flush.kill();
            round.note("flush killed beside the workers", has_met, round.await_drained());
        }
    }
}

fn kill_service(round: &Round<'_>, rng: &mut Rng, place: &'static str) {
    let number = rng.below(2) as usize;
    if place.is_empty() {
        let has_met = round.is_busy(number);
        round.site.restart_service(number, "");
        let recovered = round.await_acknowledged();
        return round.note("API killed", has_met, recovered);
    }
    // Armed by one restart, it kills itself after a hundred or so acknowledgements.
    round.site.restart_service(number, &format!("{place}=kill@{}", 1 + rng.below(300)));
    let began = Instant::now();
    let is_gone = || !round.site.services[number].lock().expect("the lock is not poisoned").is_running();
    while !is_gone() && began.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let has_met = is_gone();
    round.site.restart_service(number, "");
    round.note("API killed between append and reply", has_met, round.await_acknowledged());
}

fn proxies<'a>(round: &'a Round<'_>) -> &'a Proxies {
    round.site.proxies.as_ref().expect("servers have proxies")
}

fn cut_redis(round: &Round<'_>, rng: &mut Rng, pause: Duration) {
    let proxy = &proxies(round).redis;
    let (name, fault) = match rng.below(5) {
        0 => ("redis unreachable", Fault::Refuse),
        1 => ("redis behind a black hole", Fault::BlackHole),
        2 => ("redis' replies lost", Fault::OneWay),
        3 => ("redis slow", Fault::Delay(Duration::from_millis(1 + rng.below(30)))),
        _ => ("redis cut after some bytes", Fault::CutAfter(rng.below(200) as usize)),
    };
    let hits = strike(proxy, fault, pause);
    let recovered = round.await_acknowledged();
    round.note(name, hits > 0, recovered);
}

fn cut_postgres(round: &Round<'_>, rng: &mut Rng, pause: Duration) {
    let proxy = &proxies(round).postgres;
    let (name, fault) = match rng.below(6) {
        0 => ("postgres unreachable", Fault::Refuse),
        1 => ("postgres behind a black hole", Fault::BlackHole),
        2 => ("postgres' replies lost", Fault::OneWay),
        3 => ("postgres slow", Fault::Delay(Duration::from_millis(1 + rng.below(20)))),
        4 => ("postgres cut after some bytes", Fault::CutAfter(rng.below(2_000) as usize)),
        _ => ("postgres cut when COMMIT passes", Fault::CutAtCommit),
    };
    let hits = strike(proxy, fault, pause);
    let recovered = round.await_drained();
    round.note(name, hits > 0, recovered);
}

/// Sets a fault until it has struck, or for a while. Returns how often it met traffic.
fn strike(proxy: &Proxy, fault: Fault, pause: Duration) -> u64 {
    proxy.set(fault);
    let began = Instant::now();
    let strikes_once = matches!(fault, Fault::CutAfter(_) | Fault::CutAtCommit);
    let is_over = || {
        if strikes_once {
            proxy.is_done() || began.elapsed() > Duration::from_secs(3)
        } else {
            began.elapsed() > pause
        }
    };
    while !is_over() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let hits = proxy.hits();
    proxy.set(Fault::None);
    hits
}
