//! The golden vectors of `golden.json`: each case is a log of entries and reads, with the expected results of
//! the reads.
//!
//! They were computed twice, independently: by the closed form, and by integrating the differential equation
//! rating by rating. `null` means a read without a mean.

use damper::model::{Score, Time};
use damper::smoothing::{Knobs, Params};
use serde_json::{Map, Value};

use crate::log::{Entry, Op, Post};

/// The precision of the vectors.
const TOLERANCE: f64 = 1e-9;
/// The number of cases: a truncated file must not pass.
const CASES: usize = 51;

#[test]
fn every_golden_vector_is_met() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert_eq!(cases.len(), CASES);
    let misses: Vec<String> = cases.iter().flat_map(misses).collect();
    assert!(misses.is_empty(), "{} reads differ:\n{}", misses.len(), misses.join("\n"));
}

/// Runs one case. Returns a line of text for each read that differs.
fn misses(case: &Value) -> Vec<String> {
    let name = case["name"].as_str().unwrap();
    let params = Params::new(&knobs(case["params"].as_object().unwrap())).unwrap();
    let mut post = Post::new(params);
    let mut reads = Vec::new();
    for op in case["ops"].as_array().unwrap() {
        let integer = |index: usize| op[index].as_i64().unwrap();
        let at = Time::from_ms((op[1].as_f64().unwrap() * 1e3).round() as i64);
        let kind = op[0].as_str().unwrap();
        if kind == "read" {
            reads.push(post.average.at(at, &params).smoothed_mean(&params));
            continue;
        }
        let score = || Score::parse(integer(4)).unwrap();
        let op_of = || match kind {
            "rate" => Op::Rate(score()),
            "hold" => Op::Hold(score()),
            "remove" => Op::Withdraw,
            "exclude" => Op::Exclude,
            "restore" => Op::Restore,
            "release" => Op::Release,
            "reject" => Op::Reject,
            other => panic!("{name}: no such op: {other}"),
        };
        let is_stated = op.as_array().unwrap().last().unwrap() == "stated";
        for user in integer(2)..integer(2) + integer(3) {
            post.apply(&Entry { at, is_stated, user: user.try_into().unwrap(), op: op_of() });
        }
    }
    let expected: Vec<Option<f64>> = case["expected"].as_array().unwrap().iter().map(Value::as_f64).collect();
    assert_eq!(reads.len(), expected.len(), "{name}: reads and expectations");
    let near = |read: &Option<f64>, expected: &Option<f64>| match (read, expected) {
        (Some(read), Some(expected)) => (read - expected).abs() <= TOLERANCE,
        (read, expected) => read == expected,
    };
    reads
        .iter()
        .zip(&expected)
        .enumerate()
        .filter(|(_, (read, expected))| !near(read, expected))
        .map(|(i, (read, expected))| format!("{name}: read {i} is {read:?}, expected {expected:?}"))
        .collect()
}

/// The defaults with a case's overrides. Overrides of times are in seconds.
fn knobs(overrides: &Map<String, Value>) -> Knobs {
    let mut knobs = Knobs::default();
    for (name, value) in overrides {
        let value = value.as_f64().unwrap();
        match name.as_str() {
            "h" => knobs.vest_half_life_hours = value / 3_600.0,
            "H" => knobs.max_doubling_days = value / 86_400.0,
            "tau" => knobs.surge_half_life_hours = value / 3_600.0,
            "n0" => knobs.grace_mass = value,
            "w0" => knobs.seed_weight = value,
            "k" => knobs.surge_factor = value,
            "c" => knobs.surge_floor = value,
            other => panic!("no such parameter: {other}"),
        }
    }
    knobs
}
