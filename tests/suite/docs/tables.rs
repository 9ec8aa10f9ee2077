//! The tables of the documents against the program: what one has the other has, with the same values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use damper::config::Settings;
use serde_json::Value;

use super::{ROOT, documents, prose, read};
use crate::support::http::Http;
use crate::support::process::{Process, Program};
use crate::support::spawn;
use crate::support::world::World;

/// The rows of a document's tables, cell by cell, without their heads.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = prose(text).collect();
    let is_row = |line: &&str| line.starts_with('|');
    let is_head = |i: usize| lines.get(i + 1).is_some_and(|next| next.starts_with("|---"));
    let wanted = lines.iter().enumerate().filter(|(i, line)| is_row(line) && !is_head(*i));
    wanted.map(|(_, line)| cells(line)).filter(|row| !row[0].starts_with("---")).collect()
}

fn cells(line: &str) -> Vec<String> {
    // A bar inside a cell is escaped.
    let line = line.trim().trim_matches('|').replace("\\|", "\0");
    line.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

/// What stands in backticks.
pub fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What stands below a heading, up to the next one of the same rank or a higher one.
pub fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let begin = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no {heading}"));
    let rest = &text[begin + heading.len() + 2..];
    let rank = heading.split(' ').next().unwrap_or_default().len();
    let ends = (1..=rank).filter_map(|rank| rest.find(&format!("\n{} ", "#".repeat(rank))));
    &rest[..ends.min().unwrap_or(rest.len())]
}

/// The settings that a document's tables describe: name, default, range.
fn described_settings() -> Vec<(String, String, String)> {
    let is_setting = |row: &Vec<String>| row.len() == 4 && quoted(&row[0]).len() == 1;
    let rows = rows(&read("docs/SETTINGS.md")).into_iter().filter(is_setting);
    rows.map(|row| (quoted(&row[0])[0].to_owned(), row[1].clone(), row[2].clone())).collect()
}

#[test]
fn the_settings_are_those_of_the_program() {
    let defaults = Settings::load(None, &[]).expect("the defaults are right").effective();
    let shown = |value: &str| match value {
        "" | "[]" => "none".to_owned(),
        value => format!("`{value}`"),
    };
    let expected: BTreeMap<_, _> =
        defaults.iter().map(|(name, value, _)| (name.clone(), shown(value))).collect();
    let described: BTreeMap<_, _> =
        described_settings().into_iter().map(|(name, default, _)| (name, default)).collect();
    assert_eq!(described, expected);
}

/// Why this value is refused, if it is. Two settings that limit others are out of the way.
fn refusal(name: &str, value: &str) -> Option<String> {
    let mut flags: Vec<(String, String)> =
        [("buffer.append_timeout_ms", "10"), ("api.request_timeout_ms", "600000")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    flags.push((name.to_owned(), value.to_owned()));
    Settings::load(None, &flags).err().map(|error| error.to_string())
}

#[test]
fn the_ranges_of_settings_are_those_of_the_program() {
    let (mut numbers, mut words) = (0, 0);
    for (name, _, range) in described_settings() {
        let number = |text: &str| text.replace(',', "").parse::<f64>().ok();
        if let Some((low, high)) =
            range.split_once(" to ").and_then(|(low, high)| Some((number(low)?, number(high)?)))
        {
            for inside in [low, high] {
                assert_eq!(refusal(&name, &inside.to_string()), None, "{name} {inside}");
            }
            let below = (low > 0.0).then(|| if low < 1.0 { low / 2.0 } else { low - 1.0 });
            for outside in below.into_iter().chain([high + 1.0]) {
                let said = refusal(&name, &outside.to_string()).unwrap_or_default();
                assert!(said.contains(&format!(" is outside {low}..={high}")), "{name} {outside}: {said}");
            }
            numbers += 1;
        } else if !quoted(&range).is_empty() && range.split(", ").count() == quoted(&range).len() {
            for word in quoted(&range) {
                assert_eq!(refusal(&name, word), None, "{name} {word}");
            }
            assert!(refusal(&name, "something").is_some(), "{name}");
            words += 1;
        }
    }
    assert!(numbers > 30 && words > 3, "{numbers} and {words} were found");
}

/// The operations in a text's tables: method and path, as in "`GET /livez`".
fn described_routes(text: &str) -> BTreeSet<String> {
    let rows = rows(text);
    let calls = rows.iter().filter_map(|row| quoted(&row[0]).first().map(|call| (*call).to_owned()));
    calls.filter(|call| call.contains(" /")).collect()
}

/// The operations that a listener describes itself.
fn operations(listener: &Http) -> BTreeSet<String> {
    let api = listener.get("/openapi.json").expect(200);
    let paths = api["paths"].as_object().expect("paths").iter();
    let methods = |item: &Value| item.as_object().expect("operations").keys().cloned().collect::<Vec<_>>();
    let calls = paths.flat_map(|(path, item)| methods(item).into_iter().map(move |method| (method, path)));
    calls.map(|(method, path)| format!("{} {path}", method.to_uppercase())).collect()
}

#[test]
fn the_routes_are_those_of_both_listeners() {
    let world = World::embedded();
    let service = world.start_api();
    let text = read("docs/HTTP.md");
    let text = |heading| described_routes(section(&text, heading));
    // What no description shows; the suite's table of routes says who may call it.
    let plain = ["GET /openapi.json", "GET /problems", "GET /problems/{name}"].map(str::to_owned);
    let pages = ["GET /", "GET /demo", "GET /docs/", "GET /widget.js"].map(str::to_owned);
    let operators = ["GET /docs/", "GET /docs/public.json"].map(str::to_owned);
    let probes = ["GET /livez", "GET /readyz"].map(str::to_owned);
    let public: BTreeSet<_> = operations(&service.http()).into_iter().chain(plain).chain(pages).collect();
    // A post may be named batch; that is no route of its own for people.
    let own_name = ["GET /api/posts/batch", "PATCH /api/posts/batch"].map(str::to_owned);
    assert_eq!(text("## The public listener"), &public - &own_name.into());
    let admin: BTreeSet<_> = operations(&service.admin()).into_iter().chain(operators).collect();
    assert_eq!(text("## The admin listener"), &admin - &probes.into());
}

/// What `damper … --help` says of a command: the commands below it, its own flags, and those of every command.
#[derive(Default)]
struct Help {
    commands: Vec<String>,
    flags: BTreeSet<String>,
    settings: BTreeSet<String>,
}

impl Help {
    fn of(command: &[&str]) -> Self {
        let dir = spawn::temp_dir("help-");
        let args = [command, &["--help"]].concat();
        let text = Process::spawn(Program::Damper, &args, &[], dir.path(), b"").finish().expect(0).out;
        let (mut part, mut help) = (String::new(), Self::default());
        for line in text.lines() {
            if line.ends_with(':') && !line.starts_with(' ') {
                part = line.trim_end_matches(':').to_owned();
            }
            let words = || line.split_whitespace();
            let flag =
                words().find(|word| word.starts_with("--")).filter(|_| line.trim_start().starts_with('-'));
            match (part.as_str(), flag) {
                ("Commands", _) if line.starts_with("  ") && !line.starts_with("   ") => {
                    help.commands.extend(words().next().filter(|word| *word != "help").map(str::to_owned));
                }
                ("Options", Some(flag)) => drop(help.flags.insert(flag.to_owned())),
                ("Settings", Some(flag)) => drop(help.settings.insert(flag.to_owned())),
                _ => {}
            }
        }
        for flag in ["--help", "--version"] {
            help.flags.remove(flag);
        }
        if help.flags.remove("--config") {
            help.settings.insert("--config".to_owned());
        }
        help
    }
}

/// The flags that a text names.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c != '-' && !c.is_ascii_alphanumeric());
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

#[test]
fn the_commands_and_their_flags_are_those_of_the_program() {
    let text = read("docs/COMMANDS.md");
    let mut expected = BTreeMap::new();
    let all = Help::of(&[]);
    for command in &all.commands {
        let help = Help::of(&[command]);
        for below in &help.commands {
            expected.insert(format!("{command} {below}"), Help::of(&[command, below]).flags);
        }
        if help.commands.is_empty() {
            expected.insert(command.clone(), help.flags);
        }
    }
    // Of all commands it is said once that they take it.
    for (command, flags) in &mut expected {
        assert_eq!(flags.remove("--json"), !["serve", "export"].contains(&command.as_str()), "{command}");
    }
    let mut described = BTreeMap::new();
    for row in rows(&text).iter().filter(|row| row[0].starts_with("`damper")) {
        let call = *quoted(&row[0]).last().expect("a command");
        let words = call
            .split(' ')
            .skip(1)
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        described.insert(words.collect::<Vec<_>>().join(" "), flags(&row[2]));
    }
    assert_eq!(described, expected);
    let of_all: BTreeSet<String> =
        rows(section(&text, "## Flags of every program")).iter().flat_map(|row| flags(&row[0])).collect();
    assert_eq!(of_all, all.settings);
}

#[test]
fn the_metrics_are_those_that_a_service_shows() {
    let world = World::embedded();
    let service = world.start_api();
    let token = crate::identity::admin_token::told(&service).expect("a token");
    service.admin().with_token(&token).send("POST", "/api/admin/flush", &[], None).expect(200);
    let text = service.admin().get("/metrics").text;
    let shown: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let document = read("docs/OPERATIONS.md");
    let rows = rows(section(&document, "### Metrics"));
    let name = |row: &'_ Vec<String>| quoted(&row[0])[0].split('{').next().unwrap_or_default().to_owned();
    let described: BTreeMap<String, String> = rows.iter().map(|row| (name(row), row[1].clone())).collect();
    let shown: BTreeMap<String, String> =
        shown.into_iter().map(|(name, kind)| (name.into(), kind.into())).collect();
    assert_eq!(described, shown);
}

#[test]
fn the_tables_are_those_of_the_migrations() {
    let mut made = BTreeSet::new();
    let mut version = 0;
    for entry in std::fs::read_dir(Path::new(ROOT).join("migrations/sqlite")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        version = version.max(name[..4].parse::<u32>().expect("a number"));
        let text = std::fs::read_to_string(path).expect("a migration");
        let tables = text.lines().filter_map(|line| line.strip_prefix("create table ")?.split(' ').next());
        made.extend(tables.map(str::to_owned));
    }
    let document = read("docs/OPERATIONS.md");
    let rows = rows(section(&document, "## What is stored"));
    let names = rows.iter().flat_map(|row| quoted(&row[0])).filter(|name| !name.contains(':'));
    // The library's own.
    let described: BTreeSet<_> =
        names.filter(|name| *name != "_sqlx_migrations").map(str::to_owned).collect();
    assert_eq!(described, made);
    assert!(document.contains(&format!("This version's schema is {version}.")), "of migration {version}");
}

#[test]
fn the_problems_in_examples_have_the_titles_of_the_list() {
    let rows = rows(&read("docs/PROBLEMS.md"));
    let titles: BTreeMap<&str, &str> = rows.iter().map(|row| (quoted(&row[1])[0], row[2].as_str())).collect();
    let mut examples = 0;
    for document in documents() {
        for line in read(&document).lines().filter(|line| line.contains("\"title\"")) {
            let Some((_, rest)) = line.split_once("\"/problems/") else { continue };
            let texts: Vec<&str> = rest.split('"').collect();
            // NAME", "title": "TITLE", …
            assert_eq!(titles.get(texts[0]), Some(&texts[4]), "{document}: {line}");
            examples += 1;
        }
    }
    assert!(examples > 1, "examples were found");
}
