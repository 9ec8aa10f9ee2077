//! What a process did to its files, and what a power failure at any moment may leave of them.
//!
//! The model is that of POSIX, read strictly. What was written is on the disk once an fsync of that file, begun after the
//! write had ended, has ended too; a name (created, renamed, removed) once its folder was synced so. Until then any part of
//! it may be there and any may not, in sectors of 512 bytes, in any order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::log::Rng;

const SECTOR_BYTES: usize = 512;

/// A call: when it began, when it had ended, and when the first sync of it had; never, if the process was killed before.
pub(super) struct Step {
    pub began: usize,
    pub ended: usize,
    pub synced: usize,
    pub act: Act,
}

pub(super) const NEVER: usize = usize::MAX;

/// A file keeps its number through renames.
pub(super) enum Act {
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
    /// Of steps in the order in which they ended.
    pub(super) fn new(folder: &Path, base: BTreeMap<PathBuf, Vec<u8>>, mut steps: Vec<Step>) -> Self {
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
