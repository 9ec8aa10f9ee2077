//! One test's Damper: a private set-up, the programs and the library on it, and the invariants to check.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use damper::App;
use damper::config::{Config, Settings};
use damper::database::Database;
use damper::database::sqlite::SqliteFile;
use damper::store::{STAGED, Store};
use serde_json::Value;
use tempfile::TempDir;

use super::db::Db;
use super::http::Http;
use super::postgres::Postgres;
use super::process::{Process, Program, Run};
use super::redis::Redis;
use super::{signer, spawn, until};

/// Once a year: only the test drains.
pub const NO_TICK: &str = "0 0 0 1 1 *";
/// The worker drains by itself.
pub const EVERY_SECOND: &str = "* * * * * *";

/// A private set-up.
pub struct World {
    dir: TempDir,
    servers: Option<Servers>,
    settings: BTreeMap<String, String>,
}

struct Servers {
    redis: Redis,
    database_url: String,
}

/// A database has hundreds of files. It is dropped, so that they do not fill the disk for the next test.
impl Drop for Servers {
    fn drop(&mut self) {
        Postgres::drop_database(&self.database_url);
    }
}

impl World {
    /// One SQLite file.
    pub fn embedded() -> Self {
        let dir = spawn::temp_dir("embedded-");
        let data = dir.path().join("test.db").display().to_string();
        Self::new(dir, None).with("data", data)
    }

    /// A private Redis, and a private database on the Postgres that tests share.
    pub fn servers() -> Self {
        Self::on(Redis::start(), Postgres::shared())
    }

    /// A world on the given servers.
    pub fn on(redis: Redis, postgres: &Postgres) -> Self {
        let (redis_url, database_url) = (redis.url(), postgres.new_database());
        let servers = Servers { redis, database_url: database_url.clone() };
        Self::new(spawn::temp_dir("servers-"), Some(servers))
            .with("redis_url", redis_url)
            .with("database_url", database_url)
    }

    fn new(dir: TempDir, servers: Option<Servers>) -> Self {
        signer::install();
        Self { dir, servers, settings: BTreeMap::new() }
            .with("listen", "127.0.0.1:0")
            .with("admin_listen", "127.0.0.1:0")
            .with("tick", NO_TICK)
            // Tests are faster than people.
            .with("limits.ratings_per_minute_per_user", 0)
            .with("limits.ratings_per_minute_per_address", 0)
            .with("catalogue.posts_per_day_per_user", 0)
            // And a machine that is busy with other tests is slower than a server.
            .with("buffer.append_timeout_ms", 2_000)
            .with("store.answer_timeout_ms", 2_000)
            .with("api.request_timeout_ms", 20_000)
    }

    /// The same with a setting by its dotted name: `drain.batch_max`.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// The settings as variables of an environment.
    pub fn env(&self) -> Vec<(String, String)> {
        self.settings.iter().map(|(name, value)| (variable(name), value.clone())).collect()
    }

    /// The database's URL, without any proxy.
    #[track_caller]
    pub fn database_url(&self) -> String {
        self.servers.as_ref().expect("a world of servers").database_url.clone()
    }

    /// The settings as the library takes them.
    pub fn config(&self) -> Config {
        let mut settings = self.settings.clone();
        for url in ["database_url", "redis_url"] {
            settings.entry(url.to_owned()).or_default();
        }
        let settings: Vec<_> = settings.into_iter().collect();
        Settings::load(None, &settings).expect("the world's settings are right").config
    }

    /// The library, opened on this world.
    pub async fn app(&self) -> Arc<App> {
        App::open(self.config()).await.expect("damper opens")
    }

    /// The library's store alone.
    pub async fn store(&self) -> Arc<Store> {
        let (database, config) = (self.database().await, self.config());
        let shards = if self.is_embedded() { 1 } else { config.shards };
        Arc::new(Store::open(database, shards).await.expect("the store opens"))
    }

    /// The library's database alone.
    pub async fn database(&self) -> Database {
        let Config { data, store, database_url, .. } = self.config();
        if self.is_embedded() {
            let file = SqliteFile::open(&data, &store).await.expect("the file opens");
            return Database::sqlite(Arc::new(file), &store);
        }
        Database::postgres(&database_url, &store, 2, &STAGED).await.expect("the database opens")
    }

    /// Starts a long-running program, and waits until it is ready.
    #[track_caller]
    pub fn start(&self, program: Program) -> Process {
        Process::spawn(program, &[], &self.env(), self.path(), b"").await_ready()
    }

    /// Starts the API: `damper-api`, which in the embedded set-up is a part of `damper`.
    #[track_caller]
    pub fn start_api(&self) -> Process {
        self.start(if self.is_embedded() { Program::Damper } else { Program::Api })
    }

    /// Runs a `damper` command to its end.
    #[track_caller]
    pub fn cli(&self, args: &[&str]) -> Run {
        self.cli_with_input(args, b"")
    }

    /// The same with input.
    #[track_caller]
    pub fn cli_with_input(&self, args: &[&str], input: &[u8]) -> Run {
        self.spawn_cli(args, input).finish()
    }

    /// Starts a command without waiting.
    pub fn spawn_cli(&self, args: &[&str], input: &[u8]) -> Process {
        Process::spawn(Program::Damper, args, &self.env(), self.path(), input)
    }

    /// Starts a program that fails at certain places: `commit.loaded=kill@3`, as the source's `faults.rs` has it. That needs
    /// the feature `faults`, with which scripts/test builds.
    #[track_caller]
    pub fn start_armed(&self, program: Program, args: &[&str], faults: &str) -> Process {
        let env = [self.env(), vec![("FAULTS_AT".to_owned(), faults.to_owned())]].concat();
        Process::spawn(program, args, &env, self.path(), b"")
    }

    /// Starts a program and waits until it has stopped itself (SIGSTOP) at the `pass`th pass of a place.
    #[track_caller]
    pub fn stopped_at(&self, program: Program, args: &[&str], place: &str, pass: u64) -> Process {
        let mut stopped = self.start_armed(program, args, &format!("{place}=stop@{pass}"));
        until(&format!("a program to stop at {place}"), || {
            assert!(stopped.is_running(), "it ended before {place}: {}", stopped.err());
            stopped.is_paused()
        });
        stopped
    }

    /// A flush that is killed at the `pass`th pass of a place.
    #[track_caller]
    pub fn flush_killed_at(&self, place: &str, pass: u64) {
        let mut killed = self.start_armed(Program::Damper, &["flush"], &format!("{place}=kill@{pass}"));
        until(&format!("a flush to be killed at {place}"), || !killed.is_running());
        assert!(killed.was_killed(), "the flush ended before {place}: {}", killed.err());
    }

    /// `damper flush --json`, which must succeed.
    #[track_caller]
    pub fn flush(&self) -> Value {
        self.cli(&["flush", "--json"]).expect(0).json()
    }

    /// `damper status --json`, which must succeed: the balance must hold.
    #[track_caller]
    pub fn status(&self) -> Value {
        let status = self.cli(&["status", "--json"]).expect(0).json();
        assert_eq!(status["balanced"], true, "{status}");
        status
    }

    /// Writes a file into the world's directory and returns its path.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file is written");
        path.display().to_string()
    }

    /// Imports `lines` of `post,user,score,timestamp`, all of which must be valid.
    #[track_caller]
    pub fn import(&self, lines: &str) {
        let text = format!("post,user,score,timestamp\n{lines}");
        self.cli_with_input(&["import", "-"], text.as_bytes()).expect(0);
    }

    /// The world's directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it is the embedded set-up.
    pub fn is_embedded(&self) -> bool {
        self.servers.is_none()
    }

    /// The world's Redis.
    #[track_caller]
    pub fn redis(&self) -> &Redis {
        &self.servers.as_ref().expect("a world of servers").redis
    }

    /// The world's database.
    pub fn db(&self) -> Db {
        match &self.servers {
            None => Db::Sqlite(self.settings["data"].clone().into()),
            Some(servers) => Db::Postgres(servers.database_url.clone()),
        }
    }

    /// The only whole number of a query; `None` while the database does not answer.
    pub fn try_count(&self, sql: &str) -> Option<i64> {
        self.db().try_count(sql)
    }

    /// Entries that the checkpoints have passed.
    pub fn drained(&self) -> i64 {
        self.db().count("select cast(sum(applied + quarantined) as bigint) from checkpoints")
    }

    /// Checks that counts are exact: the rows are `expected`, the averages equal a count in plain SQL,
    /// `damper verify` agrees, and every accepted entry is accounted for.
    #[track_caller]
    pub fn assert_exact(&self, expected: &BTreeMap<(String, String), i64>) {
        let rows: Vec<(String, String, i64)> = self
            .db()
            .all("select post_id, user_id, cast(score as bigint) from ratings where status = 'counted'");
        let rows: BTreeMap<_, _> =
            rows.into_iter().map(|(post, user, score)| ((post, user), score)).collect();
        assert_eq!(&rows, expected);
        self.assert_consistent();
    }

    /// Checks that the averages equal a count in plain SQL, and that the balance holds.
    #[track_caller]
    pub fn assert_consistent(&self) {
        let counted = "select post_id, count(*), cast(sum(score) as bigint) from ratings
                       where status = 'counted' group by post_id order by post_id";
        let stored = "select post_id, count, sum from averages where count > 0 order by post_id";
        let counted: Vec<(String, i64, i64)> = self.db().all(counted);
        assert_eq!(self.db().all::<(String, i64, i64)>(stored), counted);
        // The counts under review equal the rows.
        let miscounted = "select count(*) from posts p where
            held <> (select count(*) from held h where h.post_id = p.id and h.status = 'held')
            or excluded <> (select count(*) from held h where h.post_id = p.id and h.status = 'excluded')
                + (select count(*) from ratings r where r.post_id = p.id and r.status = 'excluded')";
        assert_eq!(self.db().count(miscounted), 0);
        self.cli(&["verify"]).expect(0);
        self.status();
    }
}

/// The environment variable of a setting.
pub fn variable(setting: &str) -> String {
    format!("DAMPER_{}", setting.replace('.', "__").to_uppercase())
}

/// Creates posts through the API.
pub fn create_all(api: &Http, posts: &[&str]) {
    for post in posts {
        api.create(post);
    }
}
