//! A real Redis server for one test, and direct commands that Damper would not send.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use super::spawn::{self, REMEDY};
use super::{PATIENCE, until_some};

/// A running server; killed when dropped.
pub struct Redis {
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
    server: Mutex<Child>,
}

/// A reply from Redis.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Nil,
    Int(i64),
    Text(Vec<u8>),
    List(Vec<Reply>),
    Error(String),
}

impl Redis {
    /// A server that writes every command to its append-only file, and waits for no disk: it may be killed, and only
    /// a crash of the machine would lose anything.
    pub fn start() -> Redis {
        Self::start_with(&["--appendfsync", "no"])
    }

    /// The same with custom settings: `["--appendfsync", "always"]`.
    pub fn start_with(settings: &[&str]) -> Redis {
        let dir = spawn::temp_dir("redis-");
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        // If another process takes the port at the same moment, the server ends. Then another port is tried.
        let (port, server) = until_some("redis to start", || {
            let port = spawn::free_port();
            launch(&dir, port, &settings).map(|server| (port, server))
        });
        Redis { dir, port, settings, server: Mutex::new(server) }
    }

    /// Its URL, without a password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Its `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let mut server = self.server();
        server.kill().expect("redis is killed");
        server.wait().expect("redis is gone");
    }

    fn server(&self) -> MutexGuard<'_, Child> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        spawn::signal(&self.server(), "STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        spawn::signal(&self.server(), "CONT");
    }

    /// The folder of its files.
    pub fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Starts the killed server again, on the same port and files.
    pub fn start_again(&self) {
        *self.server() = launch(&self.dir, self.port, &self.settings).expect("redis starts again");
    }

    /// Runs a command. An error fails the test.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.command_bytes(&words)
    }

    /// Every command that the server runs during `work`, as `MONITOR` shows it.
    pub fn monitor(&self, work: impl FnOnce()) -> Vec<String> {
        const END: &str = "the end of the work";
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("redis answers");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.write_all(b"MONITOR\r\n").expect("redis listens");
        let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
        assert_eq!(lines.next().as_deref(), Some("+OK"));
        work();
        self.command(&["ECHO", END]);
        lines.take_while(|line| !line.contains(END)).collect()
    }

    /// The same with bytes instead of text.
    #[track_caller]
    pub fn command_bytes(&self, words: &[&[u8]]) -> Reply {
        match ask(self.port, words).expect("redis answers") {
            Reply::Error(error) => panic!("redis refuses: {error}"),
            reply => reply,
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let mut server = self.server();
        server.kill().ok();
        server.wait().ok();
    }
}

impl Reply {
    /// The texts of a list reply.
    #[track_caller]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Reply::Text(text) => vec![String::from_utf8_lossy(text).into_owned()],
            Reply::List(list) => list.iter().flat_map(Reply::texts).collect(),
            other => panic!("{other:?} holds no texts"),
        }
    }

    /// The number of an integer reply.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(n) => *n,
            other => panic!("{other:?} is no number"),
        }
    }

    /// The bytes of a text reply.
    #[track_caller]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Reply::Text(bytes) => bytes,
            other => panic!("{other:?} is no text"),
        }
    }
}

/// Starts a server and waits for its first answer; `None` when it ended before.
fn launch(dir: &TempDir, port: u16, settings: &[String]) -> Option<Child> {
    let log = std::fs::File::create(dir.path().join("log")).expect("a log");
    let mut command = spawn::dying("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.arg("--dir").arg(dir.path()).args(settings);
    command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    let mut server =
        spawn::spawn(command).unwrap_or_else(|e| panic!("cannot start redis-server: {e}; {REMEDY}"));
    let is_up = until_some("redis to answer", || {
        if let Some(status) = server.try_wait().expect("a child") {
            assert_ne!(status.code(), Some(127), "there is no redis-server; {REMEDY}");
            return Some(false);
        }
        // A stranger's server on this port would answer too.
        let log = std::fs::read_to_string(dir.path().join("log")).expect("the log");
        if !log.contains("Ready to accept connections") {
            return None;
        }
        match ask(port, &[b"PING"]) {
            // A request for a password is an answer too: the server is up.
            Ok(Reply::Text(_)) => Some(true),
            Ok(Reply::Error(error)) if error.starts_with("NOAUTH") => Some(true),
            _ => None,
        }
    });
    is_up.then_some(server)
}

/// Sends one command over a new connection, in Redis' own protocol.
fn ask(port: u16, words: &[&[u8]]) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE.max(Duration::from_secs(1))))?;
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    stream.write_all(&request)?;
    read_reply(&mut BufReader::new(stream))
}

fn read_reply(input: &mut impl BufRead) -> std::io::Result<Reply> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let line = line.trim_end();
    let broken = || std::io::Error::other(format!("redis answered {line:?}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(broken)?;
    let number = || rest.parse::<i64>().map_err(|_| broken());
    Ok(match kind {
        "+" => Reply::Text(rest.into()),
        "-" => Reply::Error(rest.into()),
        ":" => Reply::Int(number()?),
        "$" | "*" if rest == "-1" => Reply::Nil,
        "$" => {
            let mut bytes = vec![0; number()? as usize + 2];
            input.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Reply::Text(bytes)
        }
        "*" => Reply::List((0..number()?).map(|_| read_reply(input)).collect::<Result<_, _>>()?),
        _ => return Err(broken()),
    })
}
