//! The programs under test, where no build reaches them.
//!
//! A `cargo build` in another terminal puts its own programs where cargo put those of the tests, most likely ones
//! without the places at which tests kill them. So `scripts/test` copies them when they are built, and says where in
//! `TEST_PROGRAMS`; without it a test process makes copies of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::spawn;

/// What only a program with the feature `faults` holds: the variable that arms it.
const MARK: &[u8] = b"FAULTS_AT";

/// A program and the path that cargo gave it.
const BUILT: [(&str, &str); 3] = [
    ("damper", env!("CARGO_BIN_EXE_damper")),
    ("damper-api", env!("CARGO_BIN_EXE_damper-api")),
    ("damper-worker", env!("CARGO_BIN_EXE_damper-worker")),
];

/// The path of a copy of `damper`, `damper-api` or `damper-worker`.
pub fn path(name: &str) -> PathBuf {
    static COPIES: [OnceLock<PathBuf>; BUILT.len()] = [const { OnceLock::new() }; BUILT.len()];
    if let Some(folder) = std::env::var_os("TEST_PROGRAMS") {
        return Path::new(&folder).join(name);
    }
    let number = BUILT.iter().position(|(known, _)| *known == name).expect("a program of ours");
    COPIES[number].get_or_init(|| copy(Path::new(BUILT[number].1))).clone()
}

fn copy(built: &Path) -> PathBuf {
    let folder = spawn::temp_dir("program-").keep();
    let copy = folder.join(built.file_name().expect("a program has a name"));
    // Not by ourselves: a child that is spawned meanwhile would hold the copy open for writing, and a program that is
    // open for writing cannot be started.
    spawn::run(Command::new("cp").arg(built).arg(&copy));
    let bytes = std::fs::read(&copy).expect("the copy is read");
    let is_armed = bytes.windows(MARK.len()).any(|window| window == MARK);
    assert_eq!(
        is_armed,
        cfg!(feature = "faults"),
        "{} is of another build than the tests: build again, or run scripts/test, which keeps it apart",
        built.display()
    );
    copy
}
