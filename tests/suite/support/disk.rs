//! What a process really asks of its disk: strace listens to it, or makes its disk slow. From what it heard, the files are
//! built again as a power failure may leave them at any moment.
//!
//! The model is that of POSIX, read strictly. What was written is on the disk once an fsync of that file, begun after the
//! write had ended, has ended too; a name (created, renamed, removed) once its folder was synced so. Until then any part of
//! it may be there and any may not, in sectors of 512 bytes, in any order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::log::Rng;
use super::spawn::{self, REMEDY};
use super::{until, until_some};

const SECTOR_BYTES: usize = 512;
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
        Recording::read(&text, &folder, base)
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

/// A call: when it began, when it had ended, and when the first sync of it had; never, if the process was killed before.
struct Step {
    began: usize,
    ended: usize,
    synced: usize,
    act: Act,
}

const NEVER: usize = usize::MAX;

/// A file keeps its number through renames.
enum Act {
    Write { file: usize, at: usize, bytes: Vec<u8> },
    Truncate { file: usize, length: usize },
    Create { path: PathBuf, file: usize },
    Remove { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, file: usize },
    SyncFile(usize),
    SyncFolder(PathBuf),
    Say(Vec<u8>),
}

/// What a process did, in order.
pub struct Recording {
    folder: PathBuf,
    base: BTreeMap<PathBuf, Vec<u8>>,
    steps: Vec<Step>,
}

/// What becomes of what was not synced when the power failed.
#[derive(Debug, Clone, Copy)]
pub enum Unsynced {
    /// Nothing of it is there.
    Gone,
    /// All of it is there.
    Kept,
    /// Any sectors are, and any names.
    Torn(u64),
    /// As much as was written first: for a file that only grows, and a file system that writes data before lengths.
    Begun(u64),
}

impl Recording {
    fn read(text: &str, folder: &Path, base: BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let mut reader = Reader::new(folder, &base);
        let mut open: BTreeMap<&str, (usize, String)> = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let Some((pid, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                open.insert(pid, (number, begun.to_owned()));
            } else if rest.starts_with("<... ") {
                if let Some((began, begun)) = open.remove(pid) {
                    let end = rest.split_once("resumed>").map_or("", |(_, end)| end);
                    reader.take(began, number, &format!("{begun}{end}"));
                }
            } else {
                reader.take(number, number, rest);
            }
        }
        for (began, begun) in open.into_values() {
            reader.take(began, NEVER, &format!("{begun}) = 0"));
        }
        let mut steps = reader.steps;
        steps.sort_by_key(|step| (step.ended, step.began));
        for i in 0..steps.len() {
            let covers = |sync: &&Step| sync.began > steps[i].ended && sync.act.syncs(&steps[i].act);
            let synced = steps[i..].iter().find(covers).map_or(NEVER, |sync| sync.ended);
            steps[i].synced = synced;
        }
        Self { folder: folder.to_owned(), base, steps }
    }

    /// The moments at which something was said or a sync had ended: those at which most can be lost.
    pub fn moments(&self) -> Vec<usize> {
        let moment = |step: &Step| match step.act {
            Act::Say(_) => Some(step.began),
            Act::SyncFile(_) | Act::SyncFolder(_) => Some(step.ended),
            _ => None,
        };
        let mut moments: Vec<usize> = self.steps.iter().filter_map(moment).filter(|at| *at < NEVER).collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// All that had begun to be said at a moment.
    pub fn said(&self, moment: usize) -> impl Iterator<Item = &[u8]> {
        self.steps.iter().filter_map(move |step| match &step.act {
            Act::Say(bytes) if step.began <= moment => Some(&bytes[..]),
            _ => None,
        })
    }

    /// The number of syncs of files that ended.
    pub fn syncs(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.act, Act::SyncFile(_)) && step.ended < NEVER).count()
    }

    /// Builds into `to` what a power failure at `moment` may leave of the folder.
    pub fn leave(&self, moment: usize, unsynced: Unsynced, to: &Path) {
        let seed = match unsynced {
            Unsynced::Torn(seed) | Unsynced::Begun(seed) => seed,
            Unsynced::Gone | Unsynced::Kept => 0,
        };
        let mut random = Rng(seed ^ moment as u64);
        let mut files: Vec<Vec<u8>> = self.base.values().cloned().collect();
        let mut names: BTreeMap<&Path, usize> =
            self.base.keys().enumerate().map(|(file, path)| (path.as_path(), file)).collect();
        let mut has_stopped = false;
        for step in self.steps.iter().filter(|step| step.began <= moment) {
            let is_safe = step.synced <= moment;
            let mut keeps = || match unsynced {
                _ if is_safe => true,
                Unsynced::Gone => false,
                Unsynced::Kept => true,
                Unsynced::Torn(_) => random.below(2) == 0,
                Unsynced::Begun(_) => {
                    has_stopped |= random.below(8) == 0;
                    !has_stopped
                }
            };
            match &step.act {
                Act::Write { file, at, bytes } => {
                    for (i, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if keeps() {
                            write_at(of(&mut files, *file), at + i * SECTOR_BYTES, sector);
                        }
                    }
                }
                Act::Truncate { file, length } if keeps() => of(&mut files, *file).resize(*length, 0),
                Act::Create { path, file } if keeps() => {
                    names.insert(path, *file);
                }
                Act::Remove { path } if keeps() => {
                    names.remove(path.as_path());
                }
                Act::Rename { from, to, file } if keeps() => {
                    names.remove(from.as_path());
                    names.insert(to, *file);
                }
                _ => {}
            }
        }
        for (path, file) in names {
            let inside = path.strip_prefix(&self.folder).expect("a file of the folder");
            std::fs::create_dir_all(to.join(inside).parent().expect("a folder")).expect("a folder");
            std::fs::write(to.join(inside), of(&mut files, file)).expect("a file is written");
        }
    }
}

impl Act {
    /// Whether this makes what `other` changed last.
    fn syncs(&self, other: &Act) -> bool {
        match (self, other) {
            (Act::SyncFile(synced), Act::Write { file, .. } | Act::Truncate { file, .. }) => synced == file,
            (
                Act::SyncFolder(folder),
                Act::Create { path, .. } | Act::Remove { path } | Act::Rename { to: path, .. },
            ) => path.parent() == Some(folder),
            _ => false,
        }
    }
}

fn of(files: &mut Vec<Vec<u8>>, file: usize) -> &mut Vec<u8> {
    if files.len() <= file {
        files.resize(file + 1, Vec::new());
    }
    &mut files[file]
}

fn write_at(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Reads strace's lines, in the order in which the calls ended.
struct Reader<'a> {
    folder: &'a Path,
    /// The files by their present names, and how long each is: a plain write goes to its end.
    present: BTreeMap<PathBuf, usize>,
    lengths: Vec<usize>,
    steps: Vec<Step>,
}

impl<'a> Reader<'a> {
    fn new(folder: &'a Path, base: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let present = base.keys().cloned().enumerate().map(|(file, path)| (path, file)).collect();
        Self { folder, present, lengths: base.values().map(Vec::len).collect(), steps: Vec::new() }
    }

    fn take(&mut self, began: usize, ended: usize, call: &str) {
        let Some((name, rest)) = call.split_once('(') else { return };
        let Some((args, answer)) = rest.rsplit_once(") ") else { return };
        let answer = answer.trim_start().trim_start_matches("= ");
        if answer.starts_with('-') || answer.starts_with('?') {
            return;
        }
        let args: Vec<&str> = args.split(", ").map(str::trim).collect();
        for act in self.acts(name, &args) {
            self.steps.push(Step { began, ended, synced: NEVER, act });
        }
    }

    fn acts(&mut self, name: &str, args: &[&str]) -> Vec<Act> {
        let path =
            || args.iter().filter_map(|arg| quoted(arg)).map(|text| self.path(&text)).collect::<Vec<_>>();
        match name {
            "openat" => {
                let path = path().remove(0);
                let (creates, empties) = (
                    args.iter().any(|arg| arg.contains("O_CREAT")),
                    args.iter().any(|arg| arg.contains("O_TRUNC")),
                );
                if !self.is_ours(&path) {
                    return Vec::new();
                }
                match self.present.get(&path) {
                    Some(&file) if empties => {
                        self.lengths[file] = 0;
                        vec![Act::Truncate { file, length: 0 }]
                    }
                    None if creates => {
                        let file = self.lengths.len();
                        self.lengths.push(0);
                        self.present.insert(path.clone(), file);
                        vec![Act::Create { path, file }]
                    }
                    _ => Vec::new(),
                }
            }
            "rename" | "renameat2" => {
                let paths = path();
                let Some(file) = self.present.remove(&paths[0]) else { return Vec::new() };
                self.present.insert(paths[1].clone(), file);
                vec![Act::Rename { from: paths[0].clone(), to: paths[1].clone(), file }]
            }
            "unlink" => {
                let path = path().remove(0);
                let found = self.present.remove(&path);
                found.map(|_| Act::Remove { path }).into_iter().collect()
            }
            "fsync" | "fdatasync" => match of_descriptor(args[0]) {
                Some(path) if Path::new(&path).is_dir() => vec![Act::SyncFolder(path.into())],
                Some(path) => {
                    self.present.get(Path::new(&path)).map(|&file| Act::SyncFile(file)).into_iter().collect()
                }
                None => Vec::new(),
            },
            "ftruncate" => {
                let Some(file) = self.file(args[0]) else { return Vec::new() };
                // Numbers beside texts in hexadecimal are plain.
                let length = args[1].parse().expect("a length");
                self.lengths[file] = length;
                vec![Act::Truncate { file, length }]
            }
            _ => {
                let bytes: Vec<u8> = args.iter().filter_map(|arg| quoted(arg)).flatten().collect();
                if let Some(file) = self.file(args[0]) {
                    let at = if name == "pwrite64" {
                        args.last().and_then(|at| at.parse().ok()).expect("a place")
                    } else {
                        self.lengths[file]
                    };
                    self.lengths[file] = self.lengths[file].max(at + bytes.len());
                    return vec![Act::Write { file, at, bytes }];
                }
                let is_socket = of_descriptor(args[0])
                    .is_some_and(|of| of.starts_with("socket:") || of.starts_with("TCP"));
                if is_socket { vec![Act::Say(bytes)] } else { Vec::new() }
            }
        }
    }

    fn path(&self, text: &[u8]) -> PathBuf {
        // A server may stand in its folder.
        self.folder.join(String::from_utf8_lossy(text).as_ref())
    }

    fn is_ours(&self, path: &Path) -> bool {
        path.starts_with(self.folder) && is_data(path) && !path.is_dir()
    }

    fn file(&self, descriptor: &str) -> Option<usize> {
        self.present.get(Path::new(&of_descriptor(descriptor)?)).copied()
    }
}

/// The path behind `14<\x2f\x74>`.
fn of_descriptor(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('<')?;
    let bytes = from_hex(rest.strip_suffix('>')?)?;
    String::from_utf8(bytes).ok()
}

/// The bytes of `"\x61\x62"`, perhaps behind something else.
fn quoted(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once('"')?;
    let (text, rest) = rest.split_once('"')?;
    assert!(!rest.starts_with("..."), "strace has cut a text");
    from_hex(text)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    text.as_bytes().chunks(4).map(|chunk| byte(chunk.strip_prefix(b"\\x")?)).collect()
}

/// The pid of a Redis.
pub fn pid_of(redis: &super::redis::Redis) -> u32 {
    let info = redis.command(&["INFO", "server"]).texts().concat();
    let find = || info.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().parse().ok();
    until_some("redis to say its process", find)
}
