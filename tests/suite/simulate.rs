//! `damper simulate`: a history with a bomb, replayed; the figures, the report and what is refused.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::{Process, Program, Run};
use crate::support::spawn;

const START: i64 = 1_500_000_000;
const HOUR: i64 = 3_600;

/// Two posts: one with a bomb after a hundred days, one without.
fn history() -> String {
    let mut text = "post,user,score,timestamp\n".to_owned();
    for i in 0..600_i64 {
        let _ = writeln!(text, "film,u{i},{},{}", 3 + i * 7 % 3, START + i * 6 * HOUR);
        let _ = writeln!(text, "calm,u{i},{},{}", 2 + i * 5 % 4, START + i * 6 * HOUR + 60);
    }
    for i in 0..400_i64 {
        let _ = writeln!(text, "film,b{i},0,{}", START + 100 * 24 * HOUR + i * 30);
    }
    text
}

fn run(dir: &Path, args: &[&str]) -> Run {
    Process::spawn(Program::Damper, &[&["simulate"], args].concat(), &[], dir, b"").finish()
}

fn figure(outcome: &Value, method: &str) -> Value {
    let methods = outcome["methods"].as_array().expect("methods");
    methods
        .iter()
        .find(|found| found["name"] == method)
        .unwrap_or_else(|| panic!("{method} in {outcome}"))
        .clone()
}

#[test]
fn a_bomb_is_found_and_held_back_and_the_strictest_holds_most() {
    let dir = spawn::temp_dir("simulate-");
    std::fs::write(dir.path().join("r.csv"), history()).expect("a file is written");
    let outcome = run(dir.path(), &["r.csv", "--json", "--report", "report.html"]).expect(0).json();
    assert_eq!((&outcome["posts"], &outcome["ratings"]), (&json!(2), &json!(1_600)));
    let events = outcome["events"].as_array().expect("events");
    assert_eq!(
        (events.len(), &events[0]["post"], &events[0]["is_attack"]),
        (1, &json!("film"), &json!(false))
    );
    let moved =
        |method: &str, at: usize| figure(&outcome, method)["shifts"][at].as_f64().expect("stars").abs();
    assert!(moved("raw mean", 1) > 1.5, "{outcome}");
    for offset in [1, 2] {
        let of = ["raw mean", "gentle", "standard", "strict"].map(|method| moved(method, offset));
        assert!(of.is_sorted_by(|more, less| more > less), "{of:?}");
    }
    assert!(moved("standard", 1) < 0.2);
    assert!(figure(&outcome, "standard")["alerts"].as_u64().is_some_and(|alerts| alerts >= 1));
    assert!(events[0]["alert_after_minutes"][1].as_i64().is_some_and(|minutes| minutes < 60), "{events:?}");
    let budgets = outcome["budgets"].as_array().expect("budgets");
    assert!(!budgets.is_empty());
    for budget in budgets {
        let (raw, strict) = (budget["raw"][1].as_u64(), budget["accounts"][2][1].as_u64());
        assert!(strict.unwrap_or(u64::MAX) >= raw.expect("few"), "{budget}");
    }
    assert!(outcome["recommended"]["reason"].as_str().is_some_and(|reason| reason.contains("burst")));
    let report = std::fs::read_to_string(dir.path().join("report.html")).expect("a report");
    for part in [
        "<svg",
        "prefers-color-scheme: dark",
        "@media print",
        "The attack budget",
        "film",
        "default-src 'none'",
    ] {
        assert!(report.contains(part), "{part}");
    }
    for request in ["http://", "https://", "<script", "<link", "<img", "url(", "@import"] {
        assert!(!report.contains(request), "{request}");
    }
    assert!(!report.contains("NaN") && !report.contains("{{"), "every place is filled");
    let files = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(files, 2, "no data file");
}

#[test]
fn attacks_lists_and_single_posts_are_replayed() {
    let dir = spawn::temp_dir("simulate-");
    std::fs::write(dir.path().join("r.csv"), history()).expect("a file is written");
    let args = [
        "r.csv",
        "--json",
        "--post",
        "calm",
        "--set",
        "smoothing.max_doubling_days=7,56",
        "--inject",
        "300x0@2017-09-01T12:00/10m",
        "--inject",
        "100x5@2017-11-01/drip",
    ];
    let outcome = run(dir.path(), &args).expect(0).json();
    assert_eq!(outcome["posts"], 1);
    let attacks: Vec<&Value> = outcome["events"].as_array().expect("events").iter().collect();
    assert_eq!(attacks.iter().filter(|event| event["is_attack"] == true).count(), 2, "{attacks:?}");
    let names: Vec<&Value> =
        outcome["methods"].as_array().expect("methods").iter().map(|method| &method["name"]).collect();
    assert_eq!((names[6], names[7]), (&json!("max_doubling_days 7"), &json!("max_doubling_days 56")));
    for event in &attacks {
        assert!(event["shifts"].as_array().map(Vec::len) == Some(8), "{event}");
    }
    let blast = attacks.iter().position(|event| event["mean"] == 0.0).expect("the zeros");
    let day = |method: usize| attacks[blast]["shifts"][method][1].as_f64().expect("stars").abs();
    assert!(day(7) < day(6) && day(6) < day(0), "{}", attacks[blast]);
    // A file of one post: there the option names it.
    std::fs::write(dir.path().join("one.csv"), "user,score,at\na,5,1500000000\nb,1,1500000100\n")
        .expect("a file");
    let one =
        run(dir.path(), &["one.csv", "--json", "--post", "mine", "--preset", "strict"]).expect(0).json();
    assert_eq!(
        (&one["posts"], &one["ratings"], one["methods"].as_array().map(Vec::len)),
        (&json!(1), &json!(2), Some(7))
    );
    let csv = run(dir.path(), &["r.csv", "--csv"]).expect(0).out;
    assert_eq!((csv.lines().count(), csv.starts_with("method,moved_1h,")), (10, true), "{csv}");
    let text = run(dir.path(), &["r.csv"]).expect(0).out;
    for part in ["burst   film", "moved after", "accounts to move a post by 0.1 within a day", "recommended"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let dir = spawn::temp_dir("simulate-");
    std::fs::write(dir.path().join("r.csv"), history()).expect("a file is written");
    for (args, why) in [
        (&["r.csv", "--preset", "bold"][..], "gentle, standard, strict"),
        (&["r.csv", "--inject", "many"], "500x0@2018-01-05T12:00/10m"),
        (&["r.csv", "--inject", "5x0@1999-01-01"], "before the first rating"),
        (&["r.csv", "--post", "none"], "there is no post none"),
        (&["r.csv", "--set", "smoothing.surge_factor=0,2"], "outside"),
        (&["r.csv", "--set", "smoothing.colour=1,2"], "smoothing.colour"),
        (&["none.csv"], "none.csv"),
    ] {
        let refused = run(dir.path(), args).expect(1);
        assert!(refused.err.contains(why), "{args:?}: {}", refused.err);
    }
}
