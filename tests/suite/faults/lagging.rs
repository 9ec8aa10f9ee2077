//! A real replica that lags takes over: lost is exactly what it had not received and no drain had merged; of that `lost`
//! counts what a look had seen. Nothing else is lost, and nothing counts twice.

use super::lost::{Ledger, look};
use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::proxy::{Fault, Proxy};
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::World;

fn host_and_port(address: &str) -> (&str, &str) {
    address.split_once(':').expect("an address")
}

/// Entries that a Redis holds.
fn held(redis: &Redis) -> i64 {
    redis.command(&["XLEN", "damper:{0}:ratings"]).int()
}

#[cfg(feature = "faults")]
#[test]
fn a_replica_that_lags_loses_what_it_had_not_received_and_nothing_else() {
    let primary = Redis::start();
    let replication = Proxy::start(&primary.address());
    let (through, clients) = (replication.address(), Proxy::start(&primary.address()));
    let (host, port) = host_and_port(&through);
    let replica = Redis::start_with(&["--appendfsync", "no", "--replicaof", host, port]);
    let world = World::on(primary, Postgres::shared()).with("shards", 1);
    let world = world.with("redis_url", format!("redis://{}", clients.address()));
    let service = world.start(Program::Api);
    let (api, mut ledger) = (service.http(), Ledger::default());
    api.create("p");
    ledger.rate(&api, 10, true);
    until("the replica to have received ten", || held(&replica) == 10);

    replication.set(Fault::BlackHole);
    ledger.rate(&api, 5, true);
    world.flush();
    ledger.rate(&api, 4, false);
    look(&world);
    ledger.rate(&api, 2, false);
    assert_eq!(
        (held(world.redis()), held(&replica)),
        (6, 10),
        "the replica has not heard of the drain either"
    );
    world.redis().kill();
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    clients.lead_to(&replica.address());
    ledger.rate(&api, 8, true);
    ledger.lost = 4;
    ledger.assert_after_drain(&world, "ten received, five merged without it, four seen, two not");

    // It goes on as a log that has lost nothing.
    ledger.rate(&api, 3, true);
    ledger.assert_after_drain(&world, "after the failover");
}
