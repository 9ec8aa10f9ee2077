//! Connections that lead nowhere, or to a Redis that is no primary any more: they are noticed by themselves, and replaced.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::network::Distant;
use super::rate;
use crate::support::http::Http;
use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::world::{EVERY_SECOND, World};
use crate::support::{until, until_some, within};

/// Less than a drain's call may take, and more than any other's. A machine that is busy with other tests is slow.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);

/// Rates as new users until one is acknowledged; no request may wait for long.
fn rate_until_taken(api: &Http, name: &str) -> (String, i64) {
    let mut attempts = 0;
    until_some("ratings to be taken", || {
        attempts += 1;
        let (user, asked) = (format!("{name}{attempts}"), Instant::now());
        let answer = rate(api, "p", &user, 3);
        assert!(asked.elapsed() < ANSWERED_WITHIN, "{user} waited {:?}", asked.elapsed());
        (answer.status == 202).then_some((user, 3))
    })
}

#[test]
fn connections_that_vanish_under_a_request_cost_one_time_out() {
    let distant = Distant::new();
    let distant = Distant { world: distant.world.with("buffer.append_timeout_ms", 500), ..distant };
    let (_service, api) = distant.service();
    distant.redis.vanish();
    let vanished = Instant::now();
    rate_until_taken(&api, "during");
    assert!(vanished.elapsed() < ANSWERED_WITHIN, "it took {:?}", vanished.elapsed());
    within(ANSWERED_WITHIN, "the service to be ready again", || {
        (api.get("/readyz").status == 200).then_some(())
    });
    distant.world.flush();
    distant.world.assert_consistent();
}

#[test]
fn connections_that_vanish_while_nothing_is_asked_are_replaced_before_the_next_request() {
    let distant = Distant::new();
    let (service, api) = distant.service();
    distant.redis.vanish();
    until("the loss to be noticed and repaired", || service.err().contains("redis is back"));
    rate_until_taken(&api, "after");
}

#[test]
fn after_a_failover_ratings_are_taken_and_drained_without_a_restart() {
    let old = Redis::start();
    let (host, port) = (old.address(), old.address());
    let (host, port) = (host.split(':').next().unwrap(), port.split(':').next_back().unwrap());
    let new = Redis::start_with(&["--appendfsync", "no", "--replicaof", host, port]);
    let follows = |replica: &Redis| {
        let info = replica.command(&["INFO", "replication"]);
        String::from_utf8_lossy(info.bytes()).contains("master_link_status:up")
    };
    until("the replica to follow", || follows(&new));
    let proxy = Proxy::start(&old.address());
    let world = World::on(old, Postgres::shared()).with("shards", 2).with("tick", EVERY_SECOND);
    let world = world.with("redis_url", format!("redis://{}", proxy.address()));
    let (service, worker) = (world.start(Program::Api), world.start(Program::Worker));
    let api = service.http();
    api.create("p");
    let mut taken = vec![rate_until_taken(&api, "before")];
    until("the worker to drain", || world.drained() == 1);

    // The connections to the old primary stay.
    new.command(&["REPLICAOF", "NO", "ONE"]);
    let (host, port) = (new.address(), new.address());
    let (host, port) = (host.split(':').next().unwrap(), port.split(':').next_back().unwrap());
    world.redis().command(&["REPLICAOF", host, port]);
    until("the old primary to follow", || follows(world.redis()));
    rate(&api, "p", "readonly", 1).problem(503, "unavailable");
    // For a while there is no other one: it is asked again and again.
    until("the refusals to be noticed", || {
        [&service, &worker].iter().all(|process| process.err().contains("redis is not the primary"))
    });
    proxy.lead_to(&new.address());
    taken.push(rate_until_taken(&api, "after"));
    until("the worker to drain the new primary", || world.drained() as usize == taken.len());
    for process in [&service, &worker] {
        until("its return to be logged", || process.err().contains("redis is back"));
    }
    let taken: BTreeMap<_, _> =
        taken.into_iter().map(|(user, score)| (("p".to_owned(), user), score)).collect();
    world.assert_exact(&taken);
}
