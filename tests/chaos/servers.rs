//! Faults of the server set-up: workers, services, Redis and Postgres; `network.rs` has those in between.

use std::time::{Duration, Instant};

use crate::network;
use crate::round::Round;
use crate::site::{self, DECISION_PLACES, STEADY, SUBMIT, WORKERS};
use crate::support::log::Rng;
use crate::support::redis::Reply;

/// The API that is killed; the other one lives.
const MORTAL: usize = 1;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    ApiKilled,
    ApiKilledBeforeReply,
    ApiKilledInDecision,
    ApiStopped,
    ApiStoppedInDecision,
    ApiStoppedBeforeCache,
    WorkerStopped,
    RedisKilled,
    RedisStopped,
    BackendsKilled,
    PostgresKilled,
    PostgresStopped,
    BothStopped,
    RedisCut,
    PostgresCut,
    DecisionCut,
    Partition,
    DoublePartition,
    Forgotten,
    OldCache,
    FlushKilled,
    FlushStopped,
}

/// Each as often as it shall come.
pub const ALL: &[Shape] = &[
    Shape::ApiKilled,
    Shape::ApiKilled,
    Shape::ApiKilledBeforeReply,
    Shape::ApiKilledBeforeReply,
    Shape::ApiKilledInDecision,
    Shape::ApiKilledInDecision,
    Shape::ApiKilledInDecision,
    Shape::ApiStopped,
    Shape::ApiStoppedInDecision,
    Shape::ApiStoppedBeforeCache,
    Shape::WorkerStopped,
    Shape::RedisKilled,
    Shape::RedisKilled,
    Shape::RedisStopped,
    Shape::BackendsKilled,
    Shape::PostgresKilled,
    Shape::PostgresStopped,
    Shape::BothStopped,
    Shape::RedisCut,
    Shape::RedisCut,
    Shape::PostgresCut,
    Shape::PostgresCut,
    Shape::DecisionCut,
    Shape::DecisionCut,
    Shape::Partition,
    Shape::Partition,
    Shape::DoublePartition,
    Shape::Forgotten,
    Shape::OldCache,
    Shape::FlushKilled,
    Shape::FlushStopped,
];

/// Causes one fault after another until the round is over.
pub fn trouble(round: &Round<'_>, mut rng: Rng, shapes: &[Shape]) {
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let rng = Rng(rng.next());
            if number != STEADY {
                scope.spawn(move || workers_die(round, number, rng));
            }
        }
        while round.goes_on() {
            let shape = shapes[rng.below(shapes.len() as u64) as usize];
            one_fault(round, &mut rng, shape);
        }
        round.calm.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

/// Starts a worker again and again, each time armed to be killed or stopped inside a drain.
pub fn workers_die(round: &Round<'_>, number: usize, mut rng: Rng) {
    while !round.is_calm() {
        let place = site::place(&mut rng, "commit.brought");
        let pass = if place.starts_with("bulk") { 1 } else { 1 + rng.below(3) };
        let is_stop = rng.below(10) == 0;
        let is_armed = rng.below(4) != 0;
        let signal = if is_stop { "stop" } else { "kill" };
        let armed = if is_armed { format!("{place}={signal}@{pass}") } else { String::new() };
        let mut worker = round.site.start_worker(number, &armed);
        let patience = Duration::from_millis(1_000 + rng.below(1_200));
        let began = Instant::now();
        while began.elapsed() < patience && worker.is_running() && !worker.is_paused() && !round.is_calm() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let is_inside_decision = place.starts_with("bulk");
        if worker.was_killed() {
            let name = match is_inside_decision {
                true => "worker killed at a place inside a decision",
                false => "worker killed at a place inside a drain",
            };
            round.note(name, true, None);
        } else if worker.is_paused() {
            std::thread::sleep(Duration::from_millis(200 + rng.below(7_000)));
            worker.resume();
            let name = match is_inside_decision {
                true => "worker stopped inside a decision, continued later",
                false => "worker stopped inside a drain, continued later",
            };
            round.note(name, true, None);
            std::thread::sleep(Duration::from_millis(500));
        } else if worker.is_running() && !round.is_calm() {
            let has_met = round.site.await_drain(Duration::from_millis(500));
            worker.kill();
            round.note("worker killed", has_met, None);
        }
    }
}

fn one_fault(round: &Round<'_>, rng: &mut Rng, shape: Shape) {
    let pause = Duration::from_millis(50 + rng.below(900));
    let (site, redis) = (round.site, round.site.world.redis());
    match shape {
        Shape::ApiKilled => {
            let has_met = round.is_busy(MORTAL);
            site.restart_service(MORTAL, "");
            round.note("API killed", has_met, round.await_acknowledged());
        }
        Shape::ApiKilledBeforeReply => {
            let has_met = round.dies_at(MORTAL, SUBMIT, 1 + rng.below(300));
            round.note("API killed between append and reply", has_met, round.await_acknowledged());
        }
        Shape::ApiKilledInDecision => {
            let place = DECISION_PLACES[rng.below(DECISION_PLACES.len() as u64) as usize];
            let has_met = round.dies_at(MORTAL, place, 1 + rng.below(3));
            round.note("API killed inside a decision", has_met, round.await_acknowledged());
        }
        Shape::ApiStopped => {
            let number = rng.below(2) as usize;
            let has_met = round.is_busy(number);
            round.watch.without_redis(|| {
                site.service(number).pause();
                std::thread::sleep(pause);
                site.service(number).resume();
            });
            round.note("API stopped and continued", has_met, round.await_acknowledged());
        }
        Shape::ApiStoppedInDecision => {
            // The workers' next tick takes the decision meanwhile: two are at it.
            let place = DECISION_PLACES[rng.below(DECISION_PLACES.len() as u64) as usize];
            let has_met = round.stops_at(MORTAL, place, 1 + rng.below(3), pause * 2);
            let recovered = round.await_acknowledged();
            round.note("API stopped inside a decision, two at it", has_met, recovered);
        }
        Shape::ApiStoppedBeforeCache => {
            // What it has read is old when it comes to the cache.
            let has_met = round.stops_at(MORTAL, "cache.read", 1 + rng.below(10), pause * 2);
            let recovered = round.await_acknowledged();
            round.note("API stopped between store and cache", has_met, recovered);
        }
        Shape::WorkerStopped => {
            let Some(worker) = site.steady_worker() else { return };
            let has_met = site.await_drain(Duration::from_secs(2));
            worker.pause();
            std::thread::sleep(pause);
            worker.resume();
            drop(worker);
            round.note("worker stopped and continued", has_met, round.await_drained());
        }
        Shape::RedisKilled => {
            let has_met = round.is_any_busy();
            round.watch.without_redis(|| {
                redis.kill();
                std::thread::sleep(pause);
                redis.start_again();
            });
            round.note("redis killed and restarted", has_met, round.await_acknowledged());
        }
        Shape::RedisStopped => {
            let has_met = round.is_any_busy();
            round.watch.without_redis(|| {
                redis.pause();
                std::thread::sleep(pause);
                redis.resume();
            });
            round.note("redis stopped and continued", has_met, round.await_acknowledged());
        }
        Shape::BackendsKilled => {
            let has_met = site.await_drain(Duration::from_secs(2));
            let ended = site.world.try_count(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where datname = current_database() and application_name = 'damper-drain'",
            );
            let recovered = round.await_drained();
            round.note("postgres backends of a drain killed", has_met && ended.is_some(), recovered);
        }
        Shape::PostgresKilled => {
            let has_met = site.await_drain(Duration::from_secs(2));
            round.postgres.stop_immediately();
            std::thread::sleep(pause);
            round.postgres.start_again();
            round.note("postgres killed (immediate) and restarted", has_met, round.await_drained());
        }
        Shape::PostgresStopped => {
            let has_met = site.await_drain(Duration::from_secs(2));
            round.postgres.pause();
            std::thread::sleep(pause);
            round.postgres.resume();
            round.note("postgres stopped and continued", has_met, round.await_drained());
        }
        Shape::BothStopped => {
            let has_met = site.await_drain(Duration::from_secs(2));
            round.watch.without_redis(|| {
                round.postgres.pause();
                redis.pause();
                std::thread::sleep(pause);
                redis.resume();
                round.postgres.resume();
            });
            let recovered = round.await_acknowledged().and(round.await_drained());
            round.note("redis and postgres stopped and continued", has_met, recovered);
        }
        Shape::RedisCut => network::cut_redis(round, rng, pause),
        Shape::PostgresCut => network::cut_postgres(round, rng, pause),
        Shape::DecisionCut => network::cut_decision(round),
        Shape::Partition => network::part(round, rng, pause, false),
        Shape::DoublePartition => network::part(round, rng, pause, true),
        Shape::Forgotten => {
            redis.command(&["SCRIPT", "FLUSH"]);
            for part in 0..64 {
                let part = format!("damper:cache:{part}");
                redis.command(&["DEL", &part]);
                redis.command(&["SET", &part, "not a post"]);
            }
            round.note("scripts flushed, cache corrupted", true, round.await_acknowledged());
        }
        Shape::OldCache => old_cache(round, pause),
        Shape::FlushKilled => {
            let mut flush = site.world.spawn_cli(&["flush"], b"");
            let has_met = site.await_drain(Duration::from_secs(2));
            std::thread::sleep(Duration::from_millis(rng.below(60)));
            let has_met = has_met && flush.is_running();
            flush.kill();
            round.note("flush killed beside the workers", has_met, round.await_drained());
        }
        Shape::FlushStopped => {
            let mut flush = site.world.spawn_cli(&["flush"], b"");
            let has_met = site.await_drain(Duration::from_secs(2)) && flush.is_running();
            if has_met {
                flush.pause();
                std::thread::sleep(pause);
                flush.resume();
            }
            round.note("flush stopped beside the workers", has_met, round.await_drained());
        }
    }
}

/// Redis comes back with an older cache, while there is no database to ask.
fn old_cache(round: &Round<'_>, pause: Duration) {
    let redis = round.site.world.redis();
    let is_hash = |part: &String| redis.command(&["TYPE", part]).texts() == ["hash"];
    let parts = (0..64).map(|part| format!("damper:cache:{part}")).filter(is_hash);
    let old: Vec<_> = parts.map(|part| (redis.command(&["HGETALL", &part]), part)).collect();
    let recovered = round.await_drained();
    // By now every process has seen what was merged.
    std::thread::sleep(Duration::from_millis(1_200));
    round.postgres.pause();
    for (entries, part) in &old {
        let Reply::List(entries) = entries else { continue };
        let words = entries.iter().map(Reply::bytes);
        redis
            .command_bytes(&[b"HSET" as &[u8], part.as_bytes()].into_iter().chain(words).collect::<Vec<_>>());
    }
    std::thread::sleep(Duration::from_millis(1_500) + pause);
    round.postgres.resume();
    let recovered = recovered.and(round.await_drained());
    round.note("redis back with an older cache, postgres stopped", !old.is_empty(), recovered);
}
