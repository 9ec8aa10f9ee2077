//! What a process really asks of its disk: strace listens to it, or makes its disk slow.

mod notes;
mod recording;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub use recording::{Recording, Unsynced};

use super::spawn::{self, REMEDY};
use super::{until, until_some};

/// The calls that change files, make them last, or tell others.
const CALLS: &str =
    "openat,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,ftruncate,rename,renameat2,unlink";

/// strace, attached to a process; it lets go when dropped.
pub struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        // On a request strace lets its process go on; killed, it would too, but its notes would lack their end.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        self.0.wait().ok();
    }
}

/// Attaches strace to every thread of a process.
fn attach(pid: u32, args: &[&str]) -> Tracer {
    let mut command = spawn::dying("strace");
    command.args(["-f", "-q"]).args(args).args(["-p", &pid.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut tracer =
        Tracer(spawn::spawn(command).unwrap_or_else(|e| panic!("cannot run strace: {e}; {REMEDY}")));
    until("strace to be attached", || {
        let ended = tracer.0.try_wait().expect("a child");
        assert!(ended.is_none(), "strace ended ({ended:?}): may it trace processes here? {REMEDY}");
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs").flatten();
        threads.into_iter().all(|thread| {
            let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        })
    });
    tracer
}

/// Makes every fsync of a process take `ms` longer: a slow disk.
pub fn slow_down(pid: u32, ms: u32) -> Tracer {
    let delay = format!("inject=fsync,fdatasync:delay_exit={}", ms * 1_000);
    attach(pid, &["-e", "trace=fsync,fdatasync", "-e", &delay, "-o", "/dev/null"])
}

/// Listens to what a process does to the files of a folder.
pub struct Recorder {
    tracer: Tracer,
    notes: PathBuf,
    folder: PathBuf,
    base: BTreeMap<PathBuf, Vec<u8>>,
}

impl Recorder {
    /// Begins to listen. What is in the folder's files now counts as being on the disk.
    pub fn begin(pid: u32, folder: &Path, notes: PathBuf) -> Self {
        let signal = |name| spawn::run(Command::new("kill").args(["-s", name, &pid.to_string()]));
        signal("STOP");
        until("the process to stand still", || is_still(pid));
        let mut base = BTreeMap::new();
        read_files(folder, &mut base);
        let to = notes.display().to_string();
        let tracer =
            attach(pid, &["-y", "-xx", "-s", "100000000", "-e", &format!("trace={CALLS}"), "-o", &to]);
        signal("CONT");
        Self { tracer, notes, folder: folder.to_owned(), base }
    }

    /// Ends; the process must be gone by then.
    pub fn end(self) -> Recording {
        let Self { tracer, notes, folder, base } = self;
        drop(tracer);
        let text = std::fs::read_to_string(&notes).expect("strace has taken notes");
        notes::read(&text, &folder, base)
    }
}

/// Whether every thread of a process is stopped.
fn is_still(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs").flatten();
    threads.into_iter().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with('T'))
    })
}

fn read_files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_files(&path, found);
        } else if is_data(&path) {
            found.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
}

/// Not an index in shared memory, which is built anew, nor a lock, nor a log for people.
fn is_data(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !["-shm", ".lock", ".turn", ".serve", "log", "notes"].iter().any(|end| name.ends_with(end))
}
/// The pid of a Redis.
pub fn pid_of(redis: &super::redis::Redis) -> u32 {
    let info = redis.command(&["INFO", "server"]).texts().concat();
    let find = || info.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().parse().ok();
    until_some("redis to say its process", find)
}
