//! A site under test: servers or one file, the programs, and between each program and its servers a proxy of its own. A
//! program that died is started again, as a supervisor would. With servers, one API and one worker are never killed.

use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use damper::model::Time;

use crate::support::http::Http;
use crate::support::log::Rng;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::spawn::free_port;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World};
use crate::tee;
use crate::writers::{APPEND_TIMEOUT, Addresses, POSTS, QUIET_POSTS, post};

/// Batch size: small, so that a drain has many steps at which it can be killed.
pub const BATCH_MAX: usize = 150;
/// APIs of a site of servers; the first is never killed.
pub const APIS: usize = 2;
/// Workers of a site of servers; the first is never killed.
pub const WORKERS: usize = 3;
/// The API and the worker that live through everything.
pub const STEADY: usize = 0;
/// Old ratings of each of the first two quiet posts, so that their averages have a long history and a narrow bound.
const OLD_RATINGS: i64 = 1_000;
pub const OLD_POSTS: usize = QUIET_POSTS / 2;

/// The place between an append and its answer.
pub const SUBMIT: &str = "submit.held";
/// Places inside every drain where it can be killed or stopped.
const PLACES: [&str; 9] = [
    "drain.read",
    "commit.loaded",
    "commit.swapped",
    "commit.upserted",
    "commit.written",
    "commit.done",
    "cache.read",
    "drain.refreshed",
    "drain.trimmed",
];
/// Places inside a decision: in the process that took it, and in every drain that merges it.
pub const DECISION_PLACES: [&str; 6] =
    ["decide.held", "bulk.begun", "bulk.paged", "bulk.walked", "commit.written", "decide.merged"];

/// One of the places inside a drain or `other`, which only one set-up has, or one inside a decision.
pub fn place(rng: &mut Rng, other: &'static str) -> &'static str {
    if rng.below(3) == 0 {
        return DECISION_PLACES[1 + rng.below(3) as usize];
    }
    PLACES.get(rng.below(PLACES.len() as u64 + 1) as usize).copied().unwrap_or(other)
}

/// How a site is built.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The mistake that its programs make once the history is there; empty for none.
    pub mistake: &'static str,
    pub batch_max: usize,
    /// Of a site of servers.
    pub shards: u16,
}

/// A world with its proxies and programs.
pub struct Site {
    pub world: World,
    pub addresses: Addresses,
    /// The admin listeners.
    pub admin_addresses: [String; 2],
    pub admin_token: String,
    /// Two services, or one.
    pub services: Vec<Mutex<Process>>,
    /// The worker that is never killed, if there are workers.
    worker: Option<Mutex<Process>>,
    /// The ways of APIs and then workers to their servers; none with one file.
    ways: Vec<Ways>,
    mistake: &'static str,
    /// Errors logged by services that have ended.
    errors: Mutex<Vec<String>>,
}

/// The proxies between a program and its servers.
pub struct Ways {
    pub redis: Proxy,
    pub postgres: Proxy,
    env: Vec<(String, String)>,
}

impl Ways {
    fn of(world: &World, postgres: &Postgres) -> Self {
        let (redis, to_postgres) =
            (Proxy::start(&world.redis().address()), Proxy::start(&postgres.address()));
        let database = world.database_url().replace(&postgres.address(), &to_postgres.address());
        let env = vec![
            ("DAMPER_REDIS_URL".to_owned(), format!("redis://{}", redis.address())),
            ("DAMPER_DATABASE_URL".to_owned(), database),
        ];
        Self { redis, postgres: to_postgres, env }
    }
}

impl Site {
    /// APIs and a worker on servers; more workers are started separately.
    pub fn servers(postgres: &Postgres, build: Build) -> Self {
        let redis = Redis::start_with(&["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]);
        let world = World::on(redis, postgres).with("shards", build.shards);
        let ways = (0..APIS + WORKERS).map(|_| Ways::of(&world, postgres)).collect();
        Self::new(world, ways, build)
    }

    /// One service on one file, whose buffer is copied row by row.
    pub fn embedded(build: Build) -> Self {
        let world = World::embedded();
        world.status();
        world.db().change(tee::TEE);
        Self::new(world, Vec::new(), build)
    }

    fn new(world: World, ways: Vec<Ways>, build: Build) -> Self {
        // The waits are those of config/default.toml, shorter than the suite's.
        let world = world
            .with("tick", EVERY_SECOND)
            .with("drain.batch_max", build.batch_max)
            .with("buffer.append_timeout_ms", APPEND_TIMEOUT.as_millis())
            .with("store.answer_timeout_ms", 800)
            .with("api.request_timeout_ms", 10_000);
        let count = if ways.is_empty() { 1 } else { APIS };
        let addresses = || {
            let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
            [0, 1].map(|i| format!("127.0.0.1:{}", ports[i % count]))
        };
        let mut site = Self {
            addresses: Arc::new(RwLock::new(addresses())),
            admin_addresses: addresses(),
            admin_token: String::new(),
            services: Vec::new(),
            worker: None,
            ways,
            mistake: "",
            errors: Mutex::default(),
            world,
        };
        // On a busy machine the database may be too slow for once.
        until("a token", || {
            let run = site.world.cli(&["admin-token"]);
            run.out.trim().clone_into(&mut site.admin_token);
            run.code == 0
        });
        site.services = (0..count).map(|number| Mutex::new(site.start_service(number, ""))).collect();
        let api = Http::new(&site.addresses.read().expect("the lock is not poisoned")[0]);
        until("the service to be ready", || api.try_get("/readyz").is_ok_and(|answer| answer.status == 200));
        for number in 0..POSTS {
            // One that was not answered in time may be there when it is sent again.
            let body = serde_json::json!({"id": post(number), "title": "A post"});
            let is_there = || [201, 409].contains(&api.post("/api/posts", &body).status);
            until("a post to be created", is_there);
        }
        site.import_history();
        if !build.mistake.is_empty() {
            // Not before: the mistake may lose some of the history, which a round takes as given.
            site.mistake = build.mistake;
            (0..count).for_each(|number| site.restart_service(number, ""));
        }
        if count > 1 {
            site.worker = Some(Mutex::new(site.start_worker(STEADY, "")));
            // One that meets a fault before it is up ends, as it should.
            let ticks = "select count(*) from drains where started_by = 'tick'";
            until("the worker to drain", || site.world.db().count(ticks) > 0);
        }
        site
    }

    fn import_history(&self) {
        let seconds = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs() as i64;
        let line = |i: i64| {
            let (number, at) = (i as usize % OLD_POSTS, seconds - (90 - i % 60) * 86_400);
            format!("{},old{i},{},{at}\n", post(number), i % 6)
        };
        let lines: String = (0..OLD_RATINGS * OLD_POSTS as i64).map(line).collect();
        self.import(&lines);
        // Before anyone looks: it is older than what they see then.
        self.insist(&["flush"], "");
        let api = self.service(STEADY).http();
        let count = |number| {
            api.try_get(&format!("/api/posts/{}", post(number)))
                .map(|shown| shown.json()["count"] == OLD_RATINGS)
        };
        until("the history to be shown", || (0..OLD_POSTS).all(|number| count(number).unwrap_or(false)));
    }

    /// Imports lines of `post,user,score,timestamp`; again, if a server was too slow or away, which is safe.
    pub fn import(&self, lines: &str) {
        self.insist(&["import", "-"], &format!("post,user,score,timestamp\n{lines}"));
    }

    fn insist(&self, args: &[&str], input: &str) {
        until("a command to succeed", || self.world.cli_with_input(args, input.as_bytes()).code == 0);
    }

    /// The ways of an API.
    pub fn ways_of_api(&self, number: usize) -> &Ways {
        &self.ways[number]
    }

    /// The ways of all programs: APIs, then workers.
    pub fn all_ways(&self) -> &[Ways] {
        &self.ways
    }

    /// The name of the program that has these ways.
    pub fn name_of(&self, way: usize) -> &'static str {
        if way < APIS { "an API" } else { "a worker" }
    }

    /// A service, started again or not.
    pub fn service(&self, number: usize) -> MutexGuard<'_, Process> {
        self.services[number].lock().expect("the lock is not poisoned")
    }

    /// The worker that lives through everything.
    pub fn steady_worker(&self) -> Option<MutexGuard<'_, Process>> {
        self.worker.as_ref().map(|worker| worker.lock().expect("the lock is not poisoned"))
    }

    /// Whether a service, since then, has been without Redis, or has found it again, by its own account.
    pub fn missed_redis(&self, number: usize, since: Time) -> bool {
        let log = self.services[number % self.services.len()].lock().expect("the lock is not poisoned").err();
        let mut is_away = false;
        let mut has_missed = false;
        for line in log.lines() {
            is_away = line.contains("redis is away") || is_away && !line.contains("redis is back");
            let at = line.split_whitespace().next().unwrap_or_default();
            let at = serde_json::from_value::<Time>(at.into());
            has_missed |= line.contains("redis is") && at.is_ok_and(|at| at >= since);
        }
        is_away || has_missed
    }

    /// The programs that live through everything and have ended, with what they said.
    pub fn dead(&self) -> Vec<String> {
        let Some(mut worker) = self.steady_worker() else { return Vec::new() };
        let mut api = self.service(STEADY);
        let dead = |program: &mut Process| (!program.is_running()).then(|| program.err());
        dead(&mut worker).into_iter().chain(dead(&mut api)).collect()
    }

    /// Kills a service and starts it again, armed to kill or stop itself.
    pub fn restart_service(&self, number: usize, armed: &str) {
        let mut service = self.service(number);
        service.kill();
        self.errors.lock().expect("the lock is not poisoned").extend(errors(&service));
        *service = self.start_service(number, armed);
    }

    /// Starts every service again that has ended.
    pub fn revive_services(&self) {
        for number in 0..self.services.len() {
            let is_running = self.service(number).is_running();
            if !is_running {
                self.restart_service(number, "");
            }
        }
    }

    /// All errors that the services logged.
    pub fn errors(&self) -> Vec<String> {
        let mut all = self.errors.lock().expect("the lock is not poisoned").clone();
        (0..self.services.len()).for_each(|number| all.extend(errors(&self.service(number))));
        all
    }

    fn start_service(&self, number: usize, armed: &str) -> Process {
        let program = if self.ways.is_empty() { Program::Damper } else { Program::Api };
        let mut env = self.env(number, armed);
        let address = self.addresses.read().expect("the lock is not poisoned")[number].clone();
        env.push(("DAMPER_LISTEN".into(), address));
        env.push(("DAMPER_ADMIN_LISTEN".into(), self.admin_addresses[number].clone()));
        let mut service = Process::spawn(program, &[], &env, self.world.path(), b"");
        // A service whose servers are down ends, and its supervisor starts it again; an armed one may stop on its way.
        until("the service to listen, to end, or to stop", || {
            !service.out().is_empty() || !service.is_running() || service.is_paused()
        });
        service
    }

    /// A worker that drains every second, armed to kill or stop itself.
    pub fn start_worker(&self, number: usize, armed: &str) -> Process {
        let env = self.env(APIS + number, armed);
        Process::spawn(Program::Worker, &[], &env, self.world.path(), b"")
    }

    fn env(&self, way: usize, armed: &str) -> Vec<(String, String)> {
        let mut env = self.world.env();
        env.extend(self.ways.get(way).into_iter().flat_map(|ways| ways.env.clone()));
        env.push(("FAULTS_AT".into(), armed.into()));
        env.push(("FAULTS_MISTAKE".into(), self.mistake.into()));
        env
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
