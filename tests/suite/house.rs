//! The house stays as it was drawn: who may import whom, where the clock is read, and what no file may hold.
//!
//! The tests read the source as text, so a new file is held to the rules without being named here.

use std::path::{Path, PathBuf};

/// A source file: its path below `src/`, and its lines of code outside tests and comments.
struct Source {
    path: String,
    text: String,
    code: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 30, "the source was found");
    files.sort();
    files.into_iter().map(|file| Source::read(&root, &file)).collect()
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
    fn read(root: &Path, file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("a source file");
        let path = file.strip_prefix(root).expect("below src").display().to_string();
        // Unit tests come last in a file.
        let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        let code = code.filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect();
        Self { path, text, code }
    }

    /// The first part of the path: a folder, or a file's name.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn uses(&self, word: &str) -> bool {
        self.code.iter().any(|line| line.contains(word))
    }

    /// The rooms of the crate that this file names.
    fn rooms_used(&self) -> Vec<String> {
        let code = self.code.join("\n");
        let mut rooms = Vec::new();
        for rest in code.split("crate::").skip(1) {
            let names = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
                None => vec![rest],
            };
            for name in names {
                let name: String =
                    name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                // `crate::Error` and the like are the root's own names.
                if name.starts_with(char::is_lowercase) && name != self.room() {
                    rooms.push(name);
                }
            }
        }
        rooms
    }
}

/// Which rooms a room may import; a room that is not named here fails the test, so that it gets its place.
const MAY_IMPORT: [(&str, &[&str]); 43] = [
    ("error", &[]),
    ("faults", &[]),
    ("rating", &["error"]),
    ("entry", &["rating", "error"]),
    ("smoothing", &["rating", "error"]),
    ("ticks", &["rating", "error"]),
    ("user", &["rating", "error"]),
    ("json", &["rating", "error"]),
    ("import", &["json", "entry", "rating", "error"]),
    ("post", &["smoothing", "entry", "rating", "error"]),
    ("outcome", &["smoothing", "entry", "rating", "error"]),
    ("merge", &["outcome", "post", "smoothing", "entry", "rating", "error"]),
    ("sweep", &["merge", "outcome", "post", "smoothing", "entry", "rating", "error"]),
    ("config", &["smoothing", "ticks", "entry", "error"]),
    ("identity", &["config", "rating", "error"]),
    ("connect", &["config", "error"]),
    ("limits", &["connect", "config", "rating", "error"]),
    ("doctor", &["connect", "config", "rating", "error"]),
    ("buffer", &["connect", "entry", "rating", "error"]),
    ("cache", &["connect", "faults", "post", "rating", "error"]),
    (
        "store",
        &[
            "connect",
            "config",
            "faults",
            "sweep",
            "merge",
            "outcome",
            "post",
            "user",
            "smoothing",
            "entry",
            "rating",
            "error",
        ],
    ),
    ("frozen", &["rating", "error"]),
    ("eligibility", &["store", "entry", "rating", "error"]),
    ("loader", &["store", "cache", "faults", "rating", "error"]),
    (
        "app",
        &[
            "frozen",
            "eligibility",
            "loader",
            "limits",
            "faults",
            "buffer",
            "store",
            "cache",
            "connect",
            "config",
            "ticks",
            "post",
            "smoothing",
            "entry",
            "rating",
            "error",
        ],
    ),
    ("admin_token", &["app", "error"]),
    ("posts", &["app", "store", "post", "rating", "error"]),
    ("users", &["app", "user", "rating", "error"]),
    ("read", &["app", "store", "cache", "merge", "post", "smoothing", "entry", "rating", "error"]),
    ("changes", &["app", "store", "smoothing", "entry", "rating", "error"]),
    ("evidence", &["app", "store", "merge", "outcome", "smoothing", "rating", "error"]),
    ("webhook", &["app", "evidence", "store", "rating", "error"]),
    ("history", &["app", "merge", "smoothing", "rating", "error"]),
    ("status", &["app", "store", "config", "entry", "rating", "error"]),
    ("quarantine", &["app", "faults", "store", "entry", "rating", "error"]),
    ("drain", &["app", "loader", "status", "faults", "store", "sweep", "merge", "entry", "rating", "error"]),
    ("moderation", &["app", "drain", "store", "outcome", "post", "entry", "rating", "error"]),
    ("held", &["app", "merge", "entry", "rating", "error"]),
    ("preview", &["app", "sweep", "merge", "outcome", "entry", "rating", "error"]),
    ("forget", &["app", "quarantine", "drain", "store", "entry", "rating", "error"]),
    ("worker", &["app", "drain", "store", "rating", "error"]),
    (
        "api",
        &[
            "app",
            "changes",
            "evidence",
            "moderation",
            "merge",
            "eligibility",
            "outcome",
            "read",
            "history",
            "status",
            "drain",
            "import",
            "json",
            "store",
            "identity",
            "limits",
            "users",
            "user",
            "config",
            "post",
            "smoothing",
            "entry",
            "rating",
            "error",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "worker",
            "app",
            "read",
            "history",
            "status",
            "quarantine",
            "forget",
            "identity",
            "doctor",
            "drain",
            "store",
            "import",
            "connect",
            "config",
            "post",
            "smoothing",
            "entry",
            "rating",
            "error",
        ],
    ),
];

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let allowed = MAY_IMPORT.iter().find(|(room, _)| *room == source.room());
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{} has no place in the table", source.path));
        for room in source.rooms_used() {
            if !allowed.contains(&room.as_str()) {
                wrong.push(format!("{} imports {room}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_itself_goes_down_only() {
    for (i, (room, allowed)) in MAY_IMPORT.iter().enumerate() {
        for other in *allowed {
            let place = MAY_IMPORT.iter().position(|(room, _)| room == other);
            assert!(place.is_some_and(|place| place < i), "{room} may not import {other}");
        }
    }
}

#[test]
fn a_library_is_named_in_its_room_only() {
    let may_name = |library: &str, path: &str| match library {
        "axum" | "hyper" | "hyper_util" | "tower_http" | "utoipa_axum" => path.starts_with("api/"),
        "apalis" | "apalis_cron" => path == "worker.rs",
        "fred" => path.ends_with("/redis.rs"),
        "sqlx" => path.starts_with("store/") || path.starts_with("connect/") || path == "buffer/sqlite.rs",
        "clap" | "indicatif" | "comfy_table" => path.starts_with("cli/"),
        "csv" => path == "import/csv_line.rs",
        "jsonwebtoken" => path.starts_with("identity/"),
        "rustix" => path.starts_with("connect/sqlite_") || path == "api/door.rs",
        _ => unreachable!(),
    };
    let mut named = 0;
    for source in sources() {
        for library in [
            "axum",
            "hyper",
            "hyper_util",
            "jsonwebtoken",
            "tower_http",
            "utoipa_axum",
            "apalis",
            "apalis_cron",
            "fred",
            "sqlx",
            "clap",
            "indicatif",
            "comfy_table",
            "csv",
            "rustix",
        ] {
            let is_named = source.uses(&format!("{library}::")) || source.uses(&format!("use {library};"));
            assert!(!is_named || may_name(library, &source.path), "{} names {library}", source.path);
            named += usize::from(is_named);
        }
    }
    assert!(named > 20, "the libraries were found");
}

#[test]
fn the_wall_clock_is_read_at_the_edge_only() {
    let mut readers = 0;
    for source in sources() {
        let reads = ["Utc::now", "Local::now", "SystemTime::now", ".upcoming("]
            .iter()
            .any(|clock| source.uses(clock));
        assert!(
            !reads || ["api", "cli", "worker"].contains(&source.room()),
            "{} reads the clock",
            source.path
        );
        readers += usize::from(reads);
    }
    assert_eq!(readers, 3, "one place each");
}

#[test]
fn no_file_holds_what_the_house_forbids() {
    let forbidden =
        [".unwrap()", ".expect(", "unsafe ", "todo!(", "unimplemented!(", "dbg!(", "println!(", "panic!("];
    for source in sources() {
        for word in forbidden {
            let line =
                source.code.iter().find(|line| line.contains(word) && !line.contains(&format!("e{word}")));
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
    for source in sources().iter().filter(|source| ["smoothing", "merge"].contains(&source.room())) {
        for word in ["async", "await", "std::io", "std::fs", "tracing::", "Instant", "tokio"] {
            assert!(!source.uses(word), "{} holds {word}", source.path);
        }
    }
}

#[test]
fn what_the_documents_link_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/SMOOTHING.md",
        "docs/OPERATIONS.md",
        "docs/RELIABILITY.md",
    ] {
        let text = std::fs::read_to_string(root.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let folder = root.join(name).parent().expect("a folder").to_path_buf();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.starts_with("http") && !link.starts_with('#') {
                let file = link.split('#').next().unwrap_or_default();
                assert!(folder.join(file).exists(), "{name} links to {link}");
                links += 1;
            }
        }
    }
    assert!(links > 5, "links were found");
}

#[test]
fn the_map_of_the_source_names_every_room() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md"))
        .expect("a map");
    for source in sources() {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let room = format!("{}/", source.room());
        assert!(map.contains(name) || map.contains(&room), "ARCHITECTURE.md does not name {}", source.path);
    }
}
