//! What docs/EMBED.md says of the widget against the widget: words, parts, custom properties, events.

use std::collections::{BTreeMap, BTreeSet};

use super::read;
use super::tables::{quoted, rows};

fn widget() -> String {
    read("src/pages/assets/widget.js")
}

/// What stands between two texts, each time.
fn between<'a>(text: &'a str, begin: &str, end: char) -> BTreeSet<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

#[test]
fn the_words_are_those_of_the_widget() {
    let script = widget();
    let words =
        script.split("const WORDS = {").nth(1).and_then(|rest| rest.split("};").next()).expect("words");
    let pair = |line: &str| {
        let (name, text) = line.trim().strip_suffix("',")?.split_once(": '")?;
        Some((format!("word-{}", name.trim_matches('\'')), text.to_owned()))
    };
    let expected: BTreeMap<String, String> = words.lines().filter_map(pair).collect();
    assert!(expected.len() > 15, "words were found: {expected:?}");
    let rows = rows(&read("docs/EMBED.md"));
    let described =
        rows.iter().filter(|row| row.len() == 2 && row[0].starts_with("`word-") && row[0] != "`word-…`");
    let described: BTreeMap<String, String> =
        described.map(|row| (quoted(&row[0])[0].to_owned(), row[1].clone())).collect();
    assert_eq!(described, expected);
}

#[test]
fn parts_properties_and_events_are_those_of_the_widget() {
    let (script, text) = (widget(), read("docs/EMBED.md"));
    let parts = text.split("`::part(…)`: ").nth(1).and_then(|rest| rest.split(". ").next()).expect("parts");
    let parts: BTreeSet<&str> = quoted(parts).into_iter().collect();
    let mut drawn = between(&script, "part: '", '\'');
    drawn.extend(["stars", "star", "zero"]);
    assert_eq!(parts, drawn);
    let named = |prefix: &str| -> BTreeSet<String> {
        let rows = rows(&text);
        let names = rows.iter().filter_map(|row| quoted(&row[0]).first().map(|name| (*name).to_owned()));
        names.filter(|name| name.starts_with(prefix)).collect()
    };
    let colours = between(&script, "var(--damper-", ',').into_iter().map(|name| format!("--damper-{name}"));
    assert_eq!(named("--damper-"), colours.collect());
    let events = between(&script, "#emit('", '\'').into_iter().map(str::to_owned);
    assert_eq!(named("damper-"), events.collect());
}
