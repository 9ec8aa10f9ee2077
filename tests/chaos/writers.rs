//! Writers: simulated users who rate, edit and withdraw without end, and record every answer.
//!
//! Each (post, user) belongs to one writer, who has one open request at a time. So the order of a pair's
//! writes is known, and so are the possible end states: the last acknowledged write, or a later one without
//! an answer. After a broken connection a writer waits as long as an append may still take effect
//! (docs/RELIABILITY.md).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use damper::model::Time;
use ureq::Agent;

use crate::support::log::Rng;

/// Number of posts rated.
pub const POSTS: usize = 12;
/// Users per writer.
const USERS: u64 = 500;
/// An append without an answer takes effect within this time or never (`buffer.append_timeout_ms`).
pub const APPEND_TIMEOUT: Duration = Duration::from_millis(500);
/// Long enough that a service stopped for a while does not look dead.
const PATIENCE: Duration = Duration::from_secs(20);

/// A post's id.
pub fn post(number: usize) -> String {
    format!("post{number}")
}

/// The pair's post (its number) and user.
pub type Pair = (usize, String);

/// The writer's knowledge of a pair.
#[derive(Debug, Default)]
pub struct Known {
    /// The last acknowledged wish; the inner `None` is a withdrawal.
    pub acknowledged: Option<Option<i64>>,
    /// Wishes after that whose fate is unknown.
    pub unknown: Vec<Option<i64>>,
}

/// The knowledge of all writers.
#[derive(Default)]
pub struct Record {
    pub pairs: HashMap<Pair, Known>,
    /// Acknowledged entries, each as often as it was acknowledged.
    pub acknowledged: HashMap<(Pair, Option<i64>, i64), u32>,
}

/// Figures that all threads watch.
#[derive(Default)]
pub struct Watch {
    pub stop: AtomicBool,
    pub acknowledged: AtomicU64,
    /// Answered 503.
    pub refused: AtomicU64,
    /// Not answered.
    pub unanswered: AtomicU64,
    /// When each service last acknowledged something, in ms since the start.
    pub last_acknowledged_ms: [AtomicU64; 2],
    /// Answers that should never occur.
    pub wrong: Mutex<Vec<String>>,
    /// Open requests, by service.
    pub in_flight: [AtomicUsize; 2],
}

/// Addresses of the services; the second may equal the first.
pub type Addresses = Arc<RwLock<[String; 2]>>;

/// One writer at work until it is stopped.
pub fn write(number: usize, seed: u64, began: Instant, addresses: &Addresses, watch: &Watch) -> Record {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .max_idle_age(Duration::from_secs(60))
        .build()
        .into();
    let mut rng = Rng(seed ^ (number as u64) << 32);
    let mut record = Record::default();
    while !watch.stop.load(Ordering::Relaxed) {
        let pair = (rng.below(POSTS as u64) as usize, format!("w{number}u{}", rng.below(USERS)));
        let wish = (rng.below(12) != 0).then(|| rng.below(6) as i64);
        let service = rng.below(2) as usize;
        let address = addresses.read().expect("the lock is not poisoned")[service].clone();
        let known = record.pairs.entry(pair.clone()).or_default();
        watch.in_flight[service].fetch_add(1, Ordering::SeqCst);
        let answer = ask(&agent, &address, &pair, wish);
        watch.in_flight[service].fetch_sub(1, Ordering::SeqCst);
        match answer {
            Ok((202, text)) => {
                *known = Known { acknowledged: Some(wish), unknown: Vec::new() };
                *record.acknowledged.entry((pair, wish, accepted_at(&text))).or_default() += 1;
                watch.acknowledged.fetch_add(1, Ordering::Relaxed);
                let now_ms = began.elapsed().as_millis() as u64;
                watch.last_acknowledged_ms[service].store(now_ms, Ordering::Relaxed);
            }
            Ok((503, _)) => {
                known.unknown.push(wish);
                watch.refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok((status, text)) => {
                known.unknown.push(wish);
                let text = format!("{pair:?} {wish:?} was answered {status}: {text}");
                watch.wrong.lock().expect("the lock is not poisoned").push(text);
            }
            Err(_) => {
                known.unknown.push(wish);
                watch.unanswered.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(APPEND_TIMEOUT);
            }
        }
    }
    record
}

fn ask(agent: &Agent, address: &str, pair: &Pair, wish: Option<i64>) -> Result<(u16, String), ureq::Error> {
    let (post, user) = (post(pair.0), &pair.1);
    let mut response = match wish {
        Some(score) => agent
            .post(format!("http://{address}/api/posts/{post}/rate"))
            .content_type("application/json")
            .send(format!(r#"{{"user_id":"{user}","score":{score}}}"#))?,
        None => agent.delete(format!("http://{address}/api/posts/{post}/rate?user_id={user}")).call()?,
    };
    let status = response.status().as_u16();
    Ok((status, response.body_mut().read_to_string()?))
}

fn accepted_at(text: &str) -> i64 {
    let body: serde_json::Value = serde_json::from_str(text).expect("an answer is JSON");
    let at: Time = serde_json::from_value(body["accepted_at"].clone()).expect("an answer has its time");
    at.ms()
}

impl Record {
    /// Merges two writers' records. No pair is in both.
    pub fn join(mut self, other: Self) -> Self {
        self.pairs.extend(other.pairs);
        self.acknowledged.extend(other.acknowledged);
        self
    }
}
