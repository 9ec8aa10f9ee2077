//! Reads strace's notes: which files were changed, named and synced, and what was said to others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::is_data;
use super::recording::{Act, NEVER, Recording, Step};

/// The recording of a folder in which `base` lay when strace was attached.
pub fn read(text: &str, folder: &Path, base: BTreeMap<PathBuf, Vec<u8>>) -> Recording {
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
    Recording::new(folder, base, steps)
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
