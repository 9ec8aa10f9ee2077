//! The house stays as it was drawn: floors that imports only go down, no circles, libraries in their rooms, and what no
//! file may hold.
//!
//! The tests read the source as text. Files and folders are found in the tree, so a new one is held to the rules at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rooms of `src/`, from the cellar up. A room imports from lower floors only, never from its own. A room is a folder, a
/// file of the root, or a part of `app/`.
const FLOORS: [&[&str]; 17] = [
    &["error", "faults", "tasks"],
    &["model"],
    &["entry", "smoothing", "chart"],
    &["merge", "config"],
    &["redis", "database", "identity", "import"],
    &["limits", "buffer", "cache", "store", "simulate"],
    &["app/context", "app/floors"],
    &["app/reading"],
    &["app/intake", "app/drain"],
    &["app/decisions"],
    &["app/core"],
    &["app/catalogue", "app/moderation", "app/upkeep"],
    &["app"],
    &["worker", "api"],
    &["pages"],
    &["cli"],
    &["lib"],
];

/// Libraries that are named in their rooms only: (library, where).
const HOMES: [(&str, &[&str]); 18] = [
    ("askama", &["pages/"]),
    ("axum", &["api/", "pages/"]),
    ("hyper", &["api/"]),
    ("hyper_util", &["api/"]),
    ("tower_http", &["api/"]),
    ("utoipa_axum", &["api/"]),
    ("apalis", &["worker.rs"]),
    ("apalis_cron", &["worker.rs"]),
    ("fred", &["redis/", "buffer/redis", "cache/redis", "limits/redis"]),
    ("sqlx", &["database/", "buffer/sqlite.rs"]),
    ("clap", &["cli/"]),
    ("indicatif", &["cli/"]),
    ("comfy_table", &["cli/"]),
    ("csv", &["import/"]),
    ("flate2", &["import/"]),
    ("jsonwebtoken", &["identity/"]),
    ("ruzstd", &["import/"]),
    ("rustix", &["database/sqlite/", "api/door.rs"]),
];

/// A source file: its path below `src/`, its text, and its lines of code outside tests and comments.
struct Source {
    path: String,
    text: String,
    code: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    files.sort();
    files.into_iter().map(|file| Source::read(&src, &file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    fn read(src: &Path, file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("a source file");
        let path = file.strip_prefix(src).expect("below src").display().to_string();
        // Unit tests come last in a file.
        let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        let code = code.filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect();
        Self { path, text, code }
    }

    /// The file's module as a path: `app/drain` for `app/drain/mod.rs`, `app/drain/look` for `app/drain/look.rs`.
    fn module(&self) -> &str {
        let path = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        path.strip_suffix("/mod").unwrap_or(path)
    }

    fn room(&self) -> String {
        room_of(self.module())
    }

    fn uses(&self, word: &str) -> bool {
        self.code.iter().any(|line| line.contains(word))
    }

    /// Everything of the crate that the file names, as paths of modules and items: `store/checkpoints/Checkpoint`.
    fn names(&self) -> Vec<String> {
        let code = self.code.join("\n");
        let mut names = Vec::new();
        for (prefix, base) in [("crate::", String::new()), ("super::", parent(self.module()))] {
            for (at, _) in code.match_indices(prefix) {
                // `super::super::` is counted once, from its last part.
                if !code[..at].ends_with("::") && !code[at + prefix.len()..].starts_with("super::") {
                    expand(&base, &code[at + prefix.len()..], &mut names);
                }
            }
        }
        names
    }
}

/// The room of a module: its folder, or within `app/` the part of it.
fn room_of(module: &str) -> String {
    let mut parts = module.split('/');
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("app", Some(part)) => format!("app/{part}"),
        (first, _) => first.to_owned(),
    }
}

fn parent(module: &str) -> String {
    module.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned())
}

/// Takes one path of a `use` or an expression apart: `a::{b::C, d}` names `a/b/C` and `a/d`.
fn expand(base: &str, text: &str, names: &mut Vec<String>) {
    let joined = |word: &str| if base.is_empty() { word.to_owned() } else { format!("{base}/{word}") };
    if let Some(list) = text.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' | ',' if depth == 0 => {
                    expand(base, list[start..i].trim(), names);
                    start = i + 1;
                    if c == '}' {
                        return;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if word.is_empty() || word == "self" {
        return names.push(base.to_owned());
    }
    match text[word.len()..].strip_prefix("::") {
        Some(rest) => expand(&joined(&word), rest, names),
        None => names.push(joined(&word)),
    }
}

/// Which files import which, without what a file and the folder that it lies in say of each other.
fn imports(sources: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let modules: BTreeSet<&str> = sources.iter().map(Source::module).collect();
    let file_of = |name: &str| {
        let mut name = name;
        loop {
            if let Some(module) = modules.get(name) {
                return Some(*module);
            }
            name = name.rsplit_once('/')?.0;
        }
    };
    let is_within =
        |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        let own = source.module();
        let named = source.names();
        let files = named.iter().filter_map(|name| file_of(name));
        let others = files.filter(|other| *other != own && !is_within(own, other) && !is_within(other, own));
        imports.entry(own).or_default().extend(others);
    }
    imports
}

#[test]
fn every_room_has_a_floor() {
    let found: BTreeSet<String> = sources().iter().map(Source::room).collect();
    let drawn: BTreeSet<String> =
        FLOORS.iter().flat_map(|floor| floor.iter().map(|room| room.to_string())).collect();
    assert_eq!(found, drawn);
}

#[test]
fn imports_go_down_only() {
    let sources = sources();
    let floor = |module: &str| {
        let room = room_of(module);
        FLOORS.iter().position(|rooms| rooms.contains(&room.as_str())).unwrap_or_else(|| panic!("{room}"))
    };
    let (mut arrows, mut wrong) = (0, Vec::new());
    for (file, others) in imports(&sources) {
        for other in others.into_iter().filter(|other| room_of(other) != room_of(file) && file != "lib") {
            arrows += 1;
            // What `app` itself offers is above its parts.
            if floor(other) >= floor(file) {
                wrong.push(format!("{file} imports {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(arrows > 100, "imports were found");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let mut rest = imports(&sources);
    // Files that import nothing that is left are taken away until nothing changes; what stays is in a circle, or above one.
    loop {
        let free: Vec<&str> =
            rest.iter().filter(|(_, others)| others.is_empty()).map(|(file, _)| *file).collect();
        if free.is_empty() {
            break;
        }
        for file in &free {
            rest.remove(file);
        }
        rest.values_mut().for_each(|others| others.retain(|other| !free.contains(other)));
    }
    assert!(rest.is_empty(), "{rest:#?}");
}

#[test]
fn the_root_is_small_and_files_are_short() {
    let sources = sources();
    let roots = sources.iter().filter(|source| !source.path.contains('/')).count();
    assert!(roots <= 6, "{roots} files in src/");
    for source in &sources {
        let lines = source.text.lines().count();
        assert!(lines <= 450, "{} has {lines} lines; does it have one duty?", source.path);
    }
}

#[test]
fn a_library_is_named_in_its_room_only() {
    let mut homes: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources() {
        for (library, rooms) in HOMES {
            let is_named = source.uses(&format!("{library}::")) || source.uses(&format!("use {library};"));
            let is_home = rooms.iter().any(|room| source.path.starts_with(room));
            assert!(!is_named || is_home, "{} names {library}", source.path);
            *homes.entry(library).or_default() += usize::from(is_named);
        }
    }
    let unused: Vec<_> = homes.iter().filter(|(_, files)| **files == 0).collect();
    assert!(unused.is_empty(), "named nowhere: {unused:?}");
}

#[test]
fn the_wall_clock_is_read_at_the_edge_only() {
    let mut readers = 0;
    for source in sources() {
        let clocks = ["Utc::now", "Local::now", "SystemTime::now", ".upcoming("];
        let reads = clocks.iter().any(|clock| source.uses(clock));
        let is_edge = ["api", "cli", "worker"].contains(&source.room().as_str());
        assert!(!reads || is_edge, "{} reads the clock", source.path);
        readers += usize::from(reads);
    }
    assert_eq!(readers, 3, "one place each");
}

#[test]
fn no_file_holds_what_the_house_forbids() {
    let forbidden =
        [".unwrap()", ".expect(", "unsafe ", "todo!(", "unimplemented!(", "dbg!(", " println!(", "panic!("];
    for source in sources() {
        for word in forbidden {
            let line = source.code.iter().find(|line| line.contains(word));
            assert_eq!(line, None, "{} holds {word}", source.path);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in sources() {
        let opening = source.text.lines().next().unwrap_or_default();
        assert!(opening.starts_with("//! ") || opening.starts_with("#![doc"), "{}: {opening}", source.path);
    }
}

#[test]
fn smoothing_and_merge_are_pure() {
    let pure = |source: &&Source| ["smoothing", "merge"].contains(&source.room().as_str());
    for source in sources().iter().filter(pure) {
        for word in ["async", "await", "std::io", "std::fs", "tracing::", "Instant", "tokio"] {
            assert!(!source.uses(word), "{} holds {word}", source.path);
        }
    }
}

#[test]
fn the_map_of_the_source_names_every_room() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a map");
    for source in sources() {
        let room = source.room();
        let names = [format!("`{room}/`"), format!("`{room}.rs`"), format!("`{room}`")];
        let is_named = room == "lib" || names.iter().any(|name| map.contains(name));
        assert!(is_named, "ARCHITECTURE.md does not name {room}");
    }
}
