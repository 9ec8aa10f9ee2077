//! The documents say what is so: their links lead somewhere, their commands are run, their tables are the program's.
//!
//! `scripts/readme` runs the commands; `tables` compares settings, routes, commands, metrics and tables. The list of
//! problems is compared in `interface`, beside the problems' pages.

mod embed;
mod promises;
mod tables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(document: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(document)).unwrap_or_else(|e| panic!("{document}: {e}"))
}

/// Every document of the tree, by its path below the root.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path.strip_prefix(ROOT).expect("below the root").display().to_string());
            }
        }
    }
    assert!(found.len() > 10, "the documents were found: {found:?}");
    found.sort();
    found
}

/// A document's lines outside its blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The anchors of a document's headings, as GitHub and rustdoc make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

fn links(text: &str) -> Vec<&str> {
    let link = |line| str::split(line, "](").skip(1).filter_map(|rest| rest.split(')').next());
    prose(text).flat_map(link).collect()
}

#[test]
fn what_the_documents_link_to_is_there() {
    let mut count = 0;
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().expect("a folder");
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { PathBuf::from(&document) } else { folder.join(file) };
            assert!(Path::new(ROOT).join(&target).exists(), "{document} links to {link}");
            let is_there =
                anchor.is_empty() || anchors(&read(&target.display().to_string())).contains(anchor);
            assert!(is_there, "{document} links to {link}: there is no such heading");
            count += 1;
        }
    }
    assert!(count > 50, "links were found");
}

#[test]
fn a_reader_finds_every_document_from_the_readme() {
    let readme = read("README.md");
    let linked: BTreeSet<&str> = links(&readme).into_iter().collect();
    for document in documents().iter().filter(|document| *document != "README.md") {
        assert!(linked.contains(document.as_str()), "README.md does not link to {document}");
    }
}

#[test]
fn every_block_of_commands_is_run_and_checked_or_only_shown() {
    let mut run = 0;
    for document in documents() {
        let text = read(&document);
        let lines: Vec<&str> = text.lines().collect();
        let mut names = BTreeSet::new();
        for (i, line) in lines.iter().enumerate() {
            let name = line.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->"));
            if let Some(name) = name {
                assert!(names.insert(name) && !name.contains(' '), "{document} has two blocks {name}");
                assert_eq!(lines.get(i + 1), Some(&"```sh"), "{document}: no block behind {line}");
                let end = (i + 2..lines.len()).find(|end| lines[*end] == "```").expect("the block's end");
                let expected = lines.iter().skip(end + 2).take_while(|line| **line != "-->");
                let is_checked = lines.get(end + 1) == Some(&"<!-- expect") && expected.count() > 0;
                assert!(is_checked, "{document}: say behind {name} what it prints: <!-- expect … -->");
                run += 1;
            }
            let is_named = i > 0 && lines[i - 1].starts_with("<!-- run: ");
            assert!(
                *line != "```sh" || is_named,
                "{document}:{}: name the block, or show it as console",
                i + 1
            );
        }
        let is_run_by_the_script = document == "README.md" || document.starts_with("docs/");
        assert!(names.is_empty() || is_run_by_the_script, "scripts/readme does not run {document}");
    }
    assert!(run > 10, "blocks were found");
}
