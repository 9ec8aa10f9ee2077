//! A site under test: servers or one file, the proxies in between, and the programs. A program that died is
//! started again, as a supervisor would.

use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use crate::oracle;
use crate::support::log::Rng;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::spawn::free_port;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World};
use crate::writers::{APPEND_TIMEOUT, Addresses, POSTS, post};

/// Batch size: small, so that a drain has many steps at which it can be killed.
const BATCH_MAX: usize = 150;

/// The place between an append and its answer.
pub const SUBMIT: &str = "submit.held";
/// Places inside every drain where it can be killed or stopped.
const PLACES: [&str; 8] = [
    "drain.read",
    "commit.loaded",
    "commit.swapped",
    "commit.upserted",
    "commit.written",
    "commit.done",
    "drain.refreshed",
    "drain.trimmed",
];

/// One of the places inside a drain, or `other`, which only one set-up has.
pub fn place(rng: &mut Rng, other: &'static str) -> &'static str {
    PLACES.get(rng.below(PLACES.len() as u64 + 1) as usize).copied().unwrap_or(other)
}

/// A world with its proxies and programs.
pub struct Site {
    pub world: World,
    pub addresses: Addresses,
    pub proxies: Option<Proxies>,
    /// Two services, or one.
    pub services: Vec<Mutex<Process>>,
    /// Errors logged by services that have ended.
    errors: Mutex<Vec<String>>,
}

/// The proxies between the programs and their servers.
pub struct Proxies {
    pub redis: Proxy,
    pub postgres: Proxy,
}

impl Site {
    /// Two APIs on servers; workers are started separately.
    pub fn servers(postgres: &Postgres) -> Self {
        let redis = Redis::start_with(&["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]);
        let proxies =
            Proxies { redis: Proxy::start(&redis.address()), postgres: Proxy::start(&postgres.address()) };
        let world = World::on(redis, postgres).with("shards", 4);
        let database = world.env().into_iter().find(|(name, _)| name == "DAMPER_DATABASE_URL");
        let (_, database) = database.expect("a world of servers has a database");
        let through = database.replace(&postgres.address(), &proxies.postgres.address());
        let world = world
            .with("redis_url", format!("redis://{}", proxies.redis.address()))
            .with("database_url", through);
        Self::new(world, Some(proxies), 2)
    }

    /// One service on one file, whose buffer is copied row by row.
    pub fn embedded() -> Self {
        let world = World::embedded();
        world.status();
        world.db().change(oracle::TEE);
        Self::new(world.with("tick", EVERY_SECOND), None, 1)
    }

    fn new(world: World, proxies: Option<Proxies>, count: usize) -> Self {
        // The waits are those of config/default.toml, shorter than the suite's.
        let world = world
            .with("drain.batch_max", BATCH_MAX)
            .with("buffer.append_timeout_ms", APPEND_TIMEOUT.as_millis())
            .with("store.answer_timeout_ms", 800)
            .with("api.request_timeout_ms", 10_000);
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let address = |i: usize| format!("127.0.0.1:{}", ports[i % count]);
        let addresses: Addresses = Arc::new(RwLock::new([address(0), address(1)]));
        let services = (0..count).map(|i| Mutex::new(start_service(&world, &address(i), ""))).collect();
        let site = Self { world, addresses, proxies, services, errors: Mutex::default() };
        let api = site.services[0].lock().expect("the lock is not poisoned").http();
        (0..POSTS).for_each(|number| drop(api.create(&post(number))));
        site
    }

    /// Kills a service and starts it again, armed to kill itself.
    pub fn restart_service(&self, number: usize, armed: &str) {
        let mut service = self.services[number].lock().expect("the lock is not poisoned");
        service.kill();
        self.errors.lock().expect("the lock is not poisoned").extend(errors(&service));
        let address = self.addresses.read().expect("the lock is not poisoned")[number].clone();
        *service = start_service(&self.world, &address, armed);
    }

    /// Starts every service that has ended.
    pub fn revive_services(&self) {
        for (number, service) in self.services.iter().enumerate() {
            if !service.lock().expect("the lock is not poisoned").is_running() {
                self.restart_service(number, "");
            }
        }
    }

    /// All errors that the services logged.
    pub fn errors(&self) -> Vec<String> {
        let mut all = self.errors.lock().expect("the lock is not poisoned").clone();
        all.extend(
            self.services
                .iter()
                .flat_map(|service| errors(&service.lock().expect("the lock is not poisoned"))),
        );
        all
    }

    /// A worker that drains every second, armed to kill itself.
    pub fn start_worker(&self, armed: &str) -> Process {
        let mut env = self.world.env();
        env.push(("DAMPER_TICK".into(), EVERY_SECOND.into()));
        env.push(("FAULTS_AT".into(), armed.into()));
        Process::spawn(Program::Worker, &[], &env, self.world.path(), b"")
    }

    /// Whether a drain has a transaction open.
    pub fn is_draining(&self) -> bool {
        let busy = "select count(*) from pg_stat_activity where datname = current_database()
                    and application_name = 'damper-drain' and state <> 'idle'";
        self.world.try_count(busy).is_some_and(|count| count > 0)
    }

    /// Waits until a drain has a transaction open; `false` if none did for a while.
    pub fn await_drain(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.is_draining() {
                return true;
            }
        }
        false
    }

    /// Number of merged or quarantined entries; `None` while the database does not answer.
    pub fn drained(&self) -> Option<i64> {
        self.world.try_count("select cast(sum(applied + quarantined) as bigint) from checkpoints")
    }
}

fn errors(service: &Process) -> Vec<String> {
    service.err().lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect()
}

fn start_service(world: &World, address: &str, armed: &str) -> Process {
    let program = if world.is_embedded() { Program::Damper } else { Program::Api };
    let mut env = world.env();
    env.push(("DAMPER_LISTEN".into(), address.into()));
    env.push(("FAULTS_AT".into(), armed.into()));
    let mut service = Process::spawn(program, &[], &env, world.path(), b"");
    // A service whose servers are down ends. Its supervisor starts it again.
    until("the service to listen, or to end", || !service.out().is_empty() || !service.is_running());
    service
}
