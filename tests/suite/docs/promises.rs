//! Every promise of docs/RELIABILITY.md names a test that exists.
//!
//! A promise is a law, a row of a table, an item of a list or a paragraph; what ends with a colon only leads to one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::tables::{quoted, rows, section};
use super::{ROOT, read};

const DOCUMENT: &str = "docs/RELIABILITY.md";
/// The sections that promise something. The others describe.
const PROMISING: [&str; 3] = ["## The laws", "## What a 202 is worth", "## When something fails"];
/// Macros that make tests of the functions that they name.
const MAKERS: [&str; 4] = ["in_both_setups!(", "on_every_cache!(", "on_every_buffer!(", "when_asked_for!("];

/// The promises of a section, each as one text.
fn promises(section: &str) -> Vec<String> {
    let mut blocks: Vec<String> = vec![String::new()];
    for line in section.lines() {
        let is_numbered = line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(". ");
        // Of a table's head the line below it stays, which is no promise either.
        if line.starts_with("|---") {
            blocks.pop();
        } else if line.starts_with("- ") || line.starts_with('|') || is_numbered {
            blocks.push(line.to_owned());
        } else if line.is_empty() || line.starts_with('#') {
            blocks.push(String::new());
        } else {
            let block = blocks.last_mut().expect("there is one at first");
            block.push_str(line.trim_start());
            block.push(' ');
        }
    }
    blocks.retain(|block| !block.is_empty() && !block.trim_end().ends_with(':'));
    blocks
}

/// The paths of all tests: `faults::slow::a_slow_question_fails_alone_and_is_ended`, without the set-ups in which one runs.
fn tests() -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![PathBuf::from(ROOT).join("tests")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let module = module(&path);
                found.extend(names(&text).into_iter().map(|name| format!("{module}::{name}")));
            }
        }
    }
    found
}

/// A file's path as a test's name has it: `tests/suite/faults/slow.rs` is `faults::slow`.
fn module(path: &Path) -> String {
    let path = path.strip_prefix(Path::new(ROOT).join("tests")).expect("below tests").with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "suite" && part != "main").collect::<Vec<_>>().join("::")
}

/// The names of the tests in a source file.
fn names(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else if let Some((before, rest)) = line.split_once("fn ")
            && is_test
        {
            assert!(["", "async "].contains(&before), "{line}");
            names.extend(rest.split('(').next().map(str::to_owned));
            is_test = false;
        }
    }
    for call in MAKERS.into_iter().flat_map(|maker| text.split(maker).skip(1)) {
        let listed = call.split(')').next().unwrap_or_default().split(|c: char| !is_word(c));
        names.extend(listed.filter(|name| text.contains(&format!("fn {name}("))).map(str::to_owned));
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn every_promise_names_tests_that_exist() {
    let (text, tests) = (read(DOCUMENT), tests());
    assert!(tests.len() > 500, "{} tests were found", tests.len());
    let promises: Vec<String> =
        PROMISING.into_iter().flat_map(|heading| promises(section(&text, heading))).collect();
    assert!(promises.len() > 30, "promises were found: {promises:#?}");
    for promise in promises {
        let named: Vec<&str> = quoted(&promise).into_iter().filter(|name| name.contains("::")).collect();
        assert!(!named.is_empty(), "{DOCUMENT} names no test for this promise: {promise}");
    }
    for name in quoted(&text).into_iter().filter(|name| name.contains("::")) {
        assert!(tests.contains(name), "{DOCUMENT} names {name}, which is no test");
    }
}

#[test]
fn every_mistake_is_listed_with_what_catches_it() {
    let (document, source) = (read(DOCUMENT), read("src/faults.rs"));
    let list = source.split("pub enum Mistake {").nth(1).and_then(|rest| rest.split('}').next());
    let variants = list.expect("the mistakes").lines().filter_map(|line| line.trim().strip_suffix(','));
    let mistakes: BTreeSet<String> = variants.map(kebab).collect();
    let rows = rows(section(&document, "## What is tested"));
    let listed: BTreeSet<String> =
        rows.iter().filter_map(|row| quoted(&row[0]).first().map(|name| (*name).to_owned())).collect();
    assert_eq!(listed, mistakes);
    for row in rows {
        assert!(row.len() == 3 && row[2].contains("::"), "{DOCUMENT} names no test for {row:?}");
    }
}

/// `TrimBeforeCommit` as `FAULTS_MISTAKE` has it: `trim-before-commit`.
fn kebab(variant: &str) -> String {
    let lower = |(i, c): (usize, char)| {
        let dash = (i > 0 && c.is_ascii_uppercase()).then_some('-');
        dash.into_iter().chain(std::iter::once(c.to_ascii_lowercase()))
    };
    variant.char_indices().flat_map(lower).collect()
}
