//! Random input: every body and every query gets a correct answer, nothing panics, and nothing is stored
//! without a 202 or 201.
//!
//! Thousands of cases here; `RANDOM_CASES=1000000` asks for more of each kind.

use std::cell::Cell;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use serde_json::{Map, Value, json};
use ureq::Agent;
use ureq::http::Request;

use crate::support::process::Process;
use crate::support::world::World;

const CASES: u32 = 3_000;

/// A client that reuses its connection: a million connections would run out of ports.
struct Caller {
    agent: Agent,
    base: String,
}

impl Caller {
    fn of(service: &Process) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The service closes a connection that sends nothing for ten seconds, as on a busy machine.
            .max_idle_age(Duration::from_secs(5))
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)));
        Self { agent: config.build().into(), base: format!("http://{}", service.http().address()) }
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/json").body(body).expect("a request");
        let mut response = self.agent.run(request).expect("an answer");
        let status = response.status().as_u16();
        (status, response.body_mut().read_to_string().expect("a text"))
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut response = self.agent.get(format!("{}{path}", self.base)).call().expect("an answer");
        let status = response.status().as_u16();
        (status, response.body_mut().read_to_string().expect("a text"))
    }
}

fn run<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let cases = std::env::var("RANDOM_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let failure_persistence = Some(Box::new(FileFailurePersistence::Off) as _);
    let mut runner = TestRunner::new(Config { cases, failure_persistence, ..Config::default() });
    runner.run(&strategy, test).unwrap_or_else(|e| panic!("{e}"));
}

/// Texts that often cause bugs: of any kind, from the alphabet of ids, and well-known ones.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,20}",
        any::<String>(),
        "[A-Za-z0-9._~:@+=|-]{0,70}",
        Just(String::new()),
        Just(".".into()),
        Just("..".into()),
        Just("a\0b".into()),
        Just("a\r\nb".into()),
        Just("{0}".into()),
        Just("'; drop table ratings; --".into()),
        Just("\u{202e}\u{feff}".into()),
        Just("x".repeat(30_000)),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..=5i64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
}

/// An object with some of these fields and some others, each with a right value or any value.
fn object(fields: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let name = prop_oneof![8 => (0..fields.len()).prop_map(move |i| fields[i].to_owned()), 1 => text()];
    let fitting = prop_oneof![3 => "[a-z]{1,5}".prop_map(Value::from), 3 => (0..=5i64).prop_map(Value::from), 2 => value()];
    vec((name, fitting), 0..4).prop_map(|fields| Value::Object(Map::from_iter(fields)))
}

/// A body: JSON of the right shape or of any shape, perhaps damaged; or not JSON at all.
fn body(fields: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let json =
        prop_oneof![4 => object(fields), 1 => value()].prop_map(|value| value.to_string().into_bytes());
    let damaged = (json.clone(), any::<prop::sample::Index>(), any::<u8>(), 0..3u8).prop_map(
        |(mut bytes, at, byte, how)| {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
            bytes
        },
    );
    let deep = (1..2_000usize, any::<bool>()).prop_map(|(depth, is_object)| {
        if is_object { "{\"a\":".repeat(depth) } else { "[".repeat(depth) }.into_bytes()
    });
    prop_oneof![6 => json, 3 => damaged, 1 => vec(any::<u8>(), 0..200), 1 => deep]
}

fn is_id(value: &Value) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._~:@+=|-".contains(c);
    value.as_str().is_some_and(|id| {
        (1..=64).contains(&id.chars().count()) && id.chars().all(allowed) && id != "." && id != ".."
    })
}

/// Whether a body is a rating, checked independently of the service.
fn is_rating(body: &[u8]) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return false };
    let is_score = |score: &Value| score.as_u64().is_some_and(|score| score <= 5);
    fields.len() == 2 && fields.get("user_id").is_some_and(is_id) && fields.get("score").is_some_and(is_score)
}

fn is_post(body: &[u8]) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return false };
    let text = |value: &Value, max| {
        value.as_str().is_some_and(|text| text.chars().count() <= max && !text.contains('\0'))
    };
    let is_good = |(name, value): (&String, &Value)| match name.as_str() {
        "id" | "created_by" => value.is_null() || is_id(value),
        "content" => value.is_null() || text(value, 20_000),
        "title" => text(value, 300) && value.as_str().is_some_and(|title| !title.trim().is_empty()),
        _ => false,
    };
    fields.contains_key("title") && fields.iter().all(is_good)
}

fn check(status: u16, answer: &str, allowed: &[u16]) -> Result<(), TestCaseError> {
    prop_assert!(allowed.contains(&status), "{status}: {answer}");
    if status >= 400 {
        let problem: Value =
            serde_json::from_str(answer).map_err(|e| TestCaseError::fail(format!("{e}: {answer}")))?;
        prop_assert_eq!(&problem["status"], status);
    }
    Ok(())
}

fn assert_well(service: &Process) {
    for word in ["panicked", "answered 500", "ERROR"] {
        assert!(!service.err().contains(word), "{}", service.err());
    }
}

#[test]
fn a_body_is_accepted_if_and_only_if_it_is_a_rating() {
    let world = World::embedded();
    let service = world.start_api();
    service.http().create("p");
    let (caller, taken) = (Caller::of(&service), Cell::new(0));
    run(body(&["user_id", "score"]), |body| {
        let (status, answer) = caller.send("POST", "/api/posts/p/rate", &body);
        check(status, &answer, &[202, 400, 413, 422])?;
        // The service refuses a duplicate field; serde_json alone would take the last.
        prop_assert!(status != 202 || is_rating(&body), "{}", String::from_utf8_lossy(&body));
        prop_assert!(status == 202 || !is_rating(&body) || answer.contains("duplicate"), "{answer}");
        taken.set(taken.get() + u64::from(status == 202));
        Ok(())
    });
    assert!(taken.get() > 0, "some are good");
    let status = world.status();
    assert_eq!((&status["accepted"], &status["quarantined"]), (&json!(taken.get()), &json!(0)));
    world.flush();
    assert_eq!(world.status()["quarantined"], 0, "every accepted body can be merged");
    world.assert_consistent();
    assert_well(&service);
}

/// Whether a line is a rating or a withdrawal, checked independently of the service.
fn is_rating_line(line: &[u8]) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_slice(line) else { return false };
    // Of floats, those that are whole.
    let is_whole = |score: f64| (0.0..=5.0).contains(&score) && score.fract() == 0.0;
    let is_score = |score: &Value| score.is_null() || score.as_f64().is_some_and(is_whole);
    let ids = [fields.get("post_id"), fields.get("user_id")];
    fields.len() == 3
        && ids.iter().all(|id| id.is_some_and(is_id))
        && fields.get("score").is_some_and(is_score)
}

#[test]
fn lines_are_accepted_if_and_only_if_they_are_ratings() {
    let world = World::embedded().with("catalogue.mode", "open");
    let service = world.start_api();
    let (caller, taken) = (Caller::of(&service), Cell::new(0));
    run(vec(body(&["post_id", "user_id", "score"]), 0..8), |bodies| {
        let text = bodies.join(&b'\n');
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let good = lines.clone().filter(|line| is_rating_line(line)).count();
        let (status, answer) = caller.send("POST", "/api/ratings", &text);
        if status == 415 {
            // Its first bytes are those of a packed text, which no line of JSON has.
            prop_assert!(!text.starts_with(b"{\""), "{}", answer);
            return Ok(());
        }
        prop_assert_eq!(status, 200, "{}", answer);
        let totals: Value =
            answer.lines().last().and_then(|last| serde_json::from_str(last).ok()).expect("totals");
        let (accepted, refused) = (totals["accepted"].as_u64(), totals["refused"].as_u64());
        let accepted = accepted.expect("a number") as usize;
        // The service refuses a duplicate field; serde_json alone would take the last.
        let duplicate = answer.lines().filter(|line| line.contains("duplicate field")).count();
        prop_assert!((accepted..=accepted + duplicate).contains(&good), "{good}: {answer}");
        prop_assert_eq!(Some((lines.count() - accepted) as u64), refused);
        prop_assert_eq!(answer.lines().count() as u64 - 1, refused.expect("a number"));
        taken.set(taken.get() + accepted);
        Ok(())
    });
    assert!(taken.get() > 0, "some are good");
    world.flush();
    let status = world.status();
    assert_eq!((&status["accepted"], &status["quarantined"]), (&json!(taken.get()), &json!(0)));
    world.assert_consistent();
    assert_well(&service);
}

#[test]
fn a_body_creates_a_post_if_and_only_if_it_is_one() {
    let world = World::embedded();
    let service = world.start_api();
    let (caller, made) = (Caller::of(&service), Cell::new(0));
    run(body(&["id", "title", "content", "created_by"]), |body| {
        let (status, answer) = caller.send("POST", "/api/posts", &body);
        check(status, &answer, &[201, 400, 409, 413, 422])?;
        prop_assert!(status != 201 || is_post(&body), "{}", String::from_utf8_lossy(&body));
        let is_refused_rightly = status != 422 || !is_post(&body) || answer.contains("duplicate");
        prop_assert!(is_refused_rightly, "{answer}");
        made.set(made.get() + u64::from(status == 201));
        Ok(())
    });
    assert!(made.get() > 0, "some are good");
    assert_eq!(world.status()["posts"], made.get());
    assert_well(&service);
}

#[test]
fn every_path_and_query_gets_an_answer() {
    let world = World::embedded();
    let service = world.start_api();
    service.http().create("p");
    let caller = Caller::of(&service);
    let path = prop_oneof![
        Just("/api/posts".to_owned()),
        Just("/api/posts/p".into()),
        Just("/api/posts/p/history".into()),
        Just("/problems/not-found".into()),
        text().prop_map(|id| format!("/api/posts/{}", escape(&id))),
        text().prop_map(|id| format!("/{}", escape(&id))),
    ];
    let names = ["user_id", "limit", "cursor", "sort", "points"];
    let name = prop_oneof![8 => (0..names.len()).prop_map(move |i| names[i].to_owned()), 1 => text()];
    let fitting = prop_oneof!["[0-9]{1,4}", "(new|top)", "[0-9a-f]{0,60}", "[a-z]{1,6}", text()];
    let query = vec((name, fitting), 0..3);
    run((path, query), |(path, query)| {
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        // The connection limits refuse a longer request head.
        let path: String = format!("{path}?{}", pairs.join("&")).chars().take(20_000).collect();
        let path = path.trim_end_matches(['%']).to_owned();
        let (status, answer) = caller.get(&path);
        prop_assert!([200, 400, 404, 422].contains(&status), "{status} for {path}: {answer}");
        Ok(())
    });
    assert_eq!(world.status()["accepted"], 0);
    assert_well(&service);
}

/// Percent-encodes everything but letters and digits.
fn escape(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
