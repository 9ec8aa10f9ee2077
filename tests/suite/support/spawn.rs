//! Child processes that die with the test process, the directory for their files, and ports for them.
//!
//! The kernel kills a child when the *thread* that spawned it ends, so one thread that never ends spawns them
//! all. A janitor shell waits for the end of the test process and then removes the files, however it ended.

use std::ffi::OsStr;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

type Order = (Command, Sender<io::Result<Child>>);

/// A command whose process is killed when the test process ends, whatever ends it.
pub fn dying(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The same, but as user postgres if we are root: Postgres refuses to run as root.
pub fn dying_as_postgres(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Whether the test process may become another user.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id -u");
    id.stdout == b"0\n"
}

/// Spawns `command` from the thread that never ends.
pub fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in taken {
                answer.send(command.spawn()).ok();
            }
        });
        Mutex::new(orders)
    });
    let (answer, answered) = channel();
    spawner.lock().unwrap_or_else(|e| e.into_inner()).send((command, answer)).expect("the spawner runs");
    answered.recv().expect("the spawner answers")
}

/// A private directory for one test, removed with it.
pub fn temp_dir(name: &str) -> TempDir {
    tempfile::Builder::new().prefix(name).tempdir_in(root()).expect("a directory for a test")
}

/// The directory for this test process' files.
fn root() -> &'static Path {
    static ROOT: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (root, _janitor) = ROOT.get_or_init(|| {
        let root = tempfile::Builder::new().prefix("damper-suite-").tempdir().expect("a directory").keep();
        run(Command::new("chmod").arg("755").arg(&root));
        let janitor = janitor(&root);
        (root, janitor)
    });
    root
}

/// Waits for the end of its standard input, which we hold, then cleans up. Servers may still write for a
/// moment.
fn janitor(root: &Path) -> Child {
    let script = "trap '' INT TERM HUP; cat > /dev/null
                  for i in 1 2 3 4 5; do rm -rf \"$0\" && break; sleep 1; done";
    Command::new("sh")
        .args(["-c", script])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh")
}

/// Runs a command, which must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}; {REMEDY}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The path of a program that the machine has.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Sends a child a signal by its name: `STOP`.
pub fn signal(child: &Child, name: &str) {
    run(Command::new("kill").args(["-s", name, &child.id().to_string()]));
}

/// The remedy when a program that tests need is missing. Tests are not skipped for that.
pub const REMEDY: &str =
    "scripts/test installs what the tests need (redis-server, postgresql, strace, faketime, util-linux)";

/// A free port, below those that the kernel gives to outgoing connections, so that a restarted server finds it free again.
/// It is this process' own until its end: another run of these tests on this machine is not given it, not even while a
/// server of ours is down. No server of ours takes the UDP port of that number, so that is the lock.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static OURS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % COUNT;
        if let Ok(lock) = UdpSocket::bind(("127.0.0.1", port))
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            OURS.lock().unwrap_or_else(|e| e.into_inner()).push(lock);
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
}
