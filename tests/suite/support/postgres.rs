//! Real Postgres servers: one shared by all tests of a process, with a database for each, and others for
//! tests that stop theirs or check its settings.
//!
//! The shared server does not wait for the disk (`fsync=off`), and its databases are copies of one that was
//! migrated once. So a test that stops a server, or that is about a first start, must not use it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use super::spawn::{self, REMEDY};
use super::{until, until_some, wait};

/// The database that those of the shared server are copies of.
const MIGRATED: &str = "migrated";

/// A running server.
pub struct Postgres {
    dir: TempDir,
    port: u16,
    settings: &'static [&'static str],
    /// What a new database is a copy of.
    template: &'static str,
    server: Mutex<Child>,
}

impl Postgres {
    /// The server that tests share. The first user starts it.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| {
            let mut postgres = Postgres::start_with(&["fsync=off"]);
            postgres.migrate();
            postgres.template = MIGRATED;
            postgres
        })
    }

    /// A second shared server, with durable settings; new databases are empty.
    pub fn shared_durable() -> &'static Postgres {
        static DURABLE: OnceLock<Postgres> = OnceLock::new();
        DURABLE.get_or_init(Postgres::start)
    }

    /// A private server; new databases are empty.
    pub fn start() -> Postgres {
        Self::start_with(&[])
    }

    /// The same with settings: `["fsync=off"]`.
    pub fn start_with(settings: &'static [&'static str]) -> Postgres {
        let dir = spawn::temp_dir("postgres-");
        if spawn::is_root() {
            spawn::run(Command::new("chown").arg("postgres:").arg(dir.path()));
        }
        let mut initdb = spawn::dying_as_postgres(program("initdb"));
        initdb.arg("-D").arg(dir.path().join("data"));
        spawn::run(initdb.args(["-U", "damper", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]));
        // If another process takes the port at the same moment, another one is tried.
        let (port, server) = until_some("postgres to start", || {
            let port = spawn::free_port();
            launch(&dir, port, settings).map(|server| (port, server))
        });
        let postgres = Postgres { dir, port, settings, template: "template1", server: Mutex::new(server) };
        postgres.await_answer();
        postgres
    }

    /// Stops the server at once, as a crash would: `pg_ctl stop -m immediate`.
    pub fn stop_immediately(&self) {
        let mut stop = spawn::dying_as_postgres(program("pg_ctl"));
        spawn::run(stop.arg("-D").arg(self.dir.path().join("data")).args(["stop", "-m", "immediate"]));
        self.server.lock().expect("the lock is not poisoned").wait().expect("the server ends");
    }

    /// SIGSTOP to the server and every backend.
    pub fn pause(&self) {
        self.signal_all("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal_all("CONT");
    }

    fn signal_all(&self, name: &str) {
        let server = self.server.lock().expect("the lock is not poisoned").id().to_string();
        let children = Command::new("pgrep").args(["-P", &server]).output().expect("pgrep");
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        // A backend may have ended meanwhile.
        let _ = Command::new("kill").args(["-s", name, &server]).args(children.split_whitespace()).output();
    }

    /// Starts the stopped server again, on the same port and data.
    pub fn start_again(&self) {
        let server = launch(&self.dir, self.port, self.settings).expect("its port is free");
        *self.server.lock().expect("the lock is not poisoned") = server;
        self.await_answer();
    }

    /// The URL of a new database.
    pub fn new_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.create_database(&name);
        self.url(&name)
    }

    fn create_database(&self, name: &str) {
        let create = AssertSqlSafe(format!("create database {name} template {}", self.template));
        wait(async {
            let mut connection =
                PgConnection::connect(&self.url("postgres")).await.expect("postgres answers");
            sqlx::query(create).execute(&mut connection).await.expect("a database");
        });
    }

    /// Creates the database that others are copied from: all tables, and no installation.
    fn migrate(&self) {
        self.create_database(MIGRATED);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
        wait(async {
            let mut connection = PgConnection::connect(&self.url(MIGRATED)).await.expect("postgres answers");
            let migrator = Migrator::new(folder).await.expect("the migrations are read");
            migrator.run_direct(None, &mut connection, false).await.expect("the migrations run");
            // A database with open connections cannot be copied.
            connection.close().await.expect("the connection ends");
        });
    }

    /// Drops a database, even with open connections; a stopped server keeps its own.
    pub fn drop_database(url: &str) {
        let (server, name) = url.rsplit_once('/').expect("a URL of ours");
        wait(async {
            if let Ok(mut connection) = PgConnection::connect(&format!("{server}/postgres")).await {
                let drop = AssertSqlSafe(format!("drop database {name} with (force)"));
                sqlx::query(drop).execute(&mut connection).await.ok();
            }
        });
    }

    /// The server's `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://damper@{}/{database}", self.address())
    }

    fn await_answer(&self) {
        until("postgres to answer", || {
            let ended = self.server.lock().expect("the lock is not poisoned").try_wait().expect("a child");
            assert!(ended.is_none(), "postgres ended: {}", log(&self.dir));
            wait(PgConnection::connect(&self.url("postgres"))).is_ok()
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let server = self.server.get_mut().unwrap_or_else(|e| e.into_inner());
        server.kill().ok();
        server.wait().ok();
    }
}

/// What the server has said since its start.
fn log(dir: &TempDir) -> String {
    std::fs::read_to_string(dir.path().join("log")).expect("a log")
}

/// Starts a server and waits until it says that it is ready: a stranger's server on this port would answer, too. `None`
/// when the port is taken.
fn launch(dir: &TempDir, port: u16, settings: &[&str]) -> Option<Child> {
    let file = std::fs::File::create(dir.path().join("log")).expect("a log");
    let mut command = spawn::dying_as_postgres(program("postgres"));
    command.arg("-D").arg(dir.path().join("data")).arg("-k").arg(dir.path());
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let mut server = spawn::spawn(command).unwrap_or_else(|e| panic!("cannot start postgres: {e}; {REMEDY}"));
    let is_up = until_some("postgres to be ready", || {
        let ended = server.try_wait().expect("a child");
        let said = log(dir);
        if ended.is_some() {
            assert!(said.contains("Address already in use"), "postgres ended: {said}");
            return Some(false);
        }
        said.contains("ready to accept connections").then_some(true)
    });
    is_up.then_some(server)
}

/// The newest installed version's program, or the one on the path.
pub fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file()).max();
    let on_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
    };
    newest.or_else(on_path).unwrap_or_else(|| panic!("there is no program {name}; {REMEDY}"))
}
