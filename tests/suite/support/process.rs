//! The real programs: started with a given environment, awaited, stopped, or killed.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use super::http::Http;
use super::{programs, spawn, until_some};

/// One of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The service and its command line.
    Damper,
    /// The API alone.
    Api,
    /// The worker alone.
    Worker,
}

impl Program {
    fn path(self) -> PathBuf {
        programs::path(match self {
            Program::Damper => "damper",
            Program::Api => "damper-api",
            Program::Worker => "damper-worker",
        })
    }
}

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    out: Output,
    err: Output,
}

/// The result of a command.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Process {
    /// Starts `program` in `dir`, with `env` as its only `DAMPER_*` variables.
    pub fn spawn(
        program: Program,
        args: &[&str],
        env: &[(String, String)],
        dir: &Path,
        input: &[u8],
    ) -> Self {
        Self::spawn_to(Stdio::piped(), program, args, env, dir, input)
    }

    /// The same with standard error somewhere else.
    pub fn spawn_to(
        err: Stdio,
        program: Program,
        args: &[&str],
        env: &[(String, String)],
        dir: &Path,
        input: &[u8],
    ) -> Self {
        let mut command = spawn::dying(program.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DAMPER_") {
                command.env_remove(name);
            }
        }
        command.args(args).envs(env.iter().cloned()).current_dir(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(err);
        let mut child = spawn::spawn(command).expect("the program starts");
        let (out, err) = (Output::of(child.stdout.take()), Output::of(child.stderr.take()));
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        // A program that does not read its input closes it.
        std::thread::spawn(move || stdin.write_all(&input).ok());
        Self { child, out, err }
    }

    /// Waits until the program has printed its addresses and reports ready. It may have no address.
    #[track_caller]
    pub fn await_ready(mut self) -> Self {
        until_some("the program to say where it listens", || {
            self.assert_running();
            self.out().lines().next().map(drop)
        });
        let listener = self.address("api").or(self.address("admin"));
        if let Some(address) = listener {
            let http = Http::new(&address);
            until_some("the program to be ready", || {
                self.assert_running();
                http.try_get("/readyz").ok().filter(|answer| answer.status == 200).map(drop)
            });
        }
        self
    }

    /// The public listener.
    #[track_caller]
    pub fn http(&self) -> Http {
        Http::new(&self.address("api").expect("a public listener"))
    }

    /// The admin listener, or the worker's.
    #[track_caller]
    pub fn admin(&self) -> Http {
        Http::new(&self.address("admin").expect("an admin listener"))
    }

    /// The address behind `name` on the start screen.
    pub fn address(&self, name: &str) -> Option<String> {
        let screen = self.out();
        let line = screen.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
        let url = line.split_whitespace().next()?;
        url.strip_prefix("http://").map(str::to_owned)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("the program is killed");
        self.child.wait().expect("the program is gone");
    }

    /// SIGTERM; returns without waiting.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// SIGSTOP: it stands still until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        spawn::signal(&self.child, name);
    }

    /// Whether a signal has stopped it.
    pub fn is_paused(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // The state follows the program's name, which is in brackets.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    /// Waits until the program ends by itself.
    #[track_caller]
    pub fn finish(mut self) -> Run {
        let status: ExitStatus =
            until_some("the program to end", || self.child.try_wait().expect("a child of ours"));
        let (out, err) = (self.out.all(), self.err.all());
        // Output into a pipe is for machines and files, so it has no escape codes.
        assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "escape codes in {out:?} or {err:?}");
        Run { code: status.code().unwrap_or(-1), out, err }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Whether SIGKILL ended it.
    pub fn was_killed(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child of ours");
        ended.is_some_and(|status| status.signal() == Some(9))
    }

    #[track_caller]
    fn assert_running(&mut self) {
        assert!(self.is_running(), "the program ended: {}", self.err.all());
    }

    /// Standard output so far.
    pub fn out(&self) -> String {
        self.out.so_far()
    }

    /// Standard error so far.
    pub fn err(&self) -> String {
        self.err.so_far()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- standard error of a program of the failed test\n{}", self.err.so_far());
        }
    }
}

impl Run {
    /// The JSON that it printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Expects this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }
}

/// The output of a process so far, collected by a thread.
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let Some(mut pipe) = pipe else { return Self { text, reader: None } };
        let gathered = text.clone();
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                gathered.lock().expect("the lock is not poisoned").extend_from_slice(&chunk[..count]);
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("the lock is not poisoned")).into_owned()
    }

    /// The whole output; only for a process that has ended.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        self.so_far()
    }
}
