//! Writers: simulated users who rate, edit and withdraw without end, and record every answer.
//!
//! Each (post, user) belongs to one writer, who has one open request at a time. So the order of a pair's
//! writes is known, and so are the possible end states: the last acknowledged write, or a later one without
//! an answer. After a broken connection a writer waits as long as an append may still take effect
//! (docs/RELIABILITY.md).

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use damper::model::Time;
use ureq::Agent;

use crate::law::Law;
use crate::support::log::Rng;
use crate::watch::Watch;

/// Number of posts rated.
pub const POSTS: usize = 12;
/// Of these, the first are quiet: no moderator decides on them, and nothing is withdrawn. So their published figures stay
/// within the bound of docs/SMOOTHING.md, and their end state is known without the log.
pub const QUIET_POSTS: usize = 4;
/// An append without an answer takes effect within this time or never (`buffer.append_timeout_ms`).
pub const APPEND_TIMEOUT: Duration = Duration::from_millis(500);
/// Long enough that a service stopped for a while does not look dead.
const PATIENCE: Duration = Duration::from_secs(20);

/// A post's id.
pub fn post(number: usize) -> String {
    format!("post{number}")
}

/// Whether moderators leave the post alone.
pub fn is_quiet(number: usize) -> bool {
    number < QUIET_POSTS
}

/// Whether a user of that name belongs to a writer or reader, and not to an import.
pub fn users_name(user: &str) -> bool {
    user.starts_with('w')
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

impl Known {
    /// Whether this may be the pair's score; `None` is no rating.
    pub fn may_be(&self, score: Option<i64>) -> bool {
        self.acknowledged.unwrap_or_default() == score || self.unknown.contains(&score)
    }
}

/// The knowledge of all writers.
#[derive(Default)]
pub struct Record {
    pub pairs: HashMap<Pair, Known>,
    /// Acknowledged entries, each as often as it was acknowledged.
    pub acknowledged: HashMap<(Pair, Option<i64>, i64), u32>,
}

/// Addresses of the services; the second may equal the first.
pub type Addresses = Arc<RwLock<[String; 2]>>;

/// A client that waits long enough.
pub fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .max_idle_age(Duration::from_secs(60));
    config.build().into()
}

/// Someone who rates.
pub struct Writer<'a> {
    pub name: String,
    /// How many users it has.
    pub users: u64,
    pub began: Instant,
    pub addresses: &'a Addresses,
    pub watch: &'a Watch,
    pub agent: Agent,
    pub record: Record,
}

impl Writer<'_> {
    /// Works until it is stopped.
    pub fn work(mut self, mut rng: Rng) -> Record {
        while !self.watch.is_over() {
            let number = rng.below(POSTS as u64) as usize;
            let pair = (number, format!("{}u{}", self.name, rng.below(self.users)));
            let wish = (is_quiet(number) || rng.below(12) != 0).then(|| rng.below(6) as i64);
            self.write(pair, wish, rng.below(2) as usize);
        }
        self.record
    }

    /// Sends one wish to a service, and records what is known then. Returns whether it was acknowledged.
    pub fn write(&mut self, pair: Pair, wish: Option<i64>, service: usize) -> bool {
        let watch = self.watch;
        let address = self.addresses.read().expect("the lock is not poisoned")[service].clone();
        let known = self.record.pairs.entry(pair.clone()).or_default();
        watch.in_flight[service].fetch_add(1, Ordering::SeqCst);
        let answer = ask(&self.agent, &address, &pair, wish);
        watch.in_flight[service].fetch_sub(1, Ordering::SeqCst);
        match answer {
            Ok((202, text)) => {
                *known = Known { acknowledged: Some(wish), unknown: Vec::new() };
                *self.record.acknowledged.entry((pair, wish, accepted_at(&text))).or_default() += 1;
                watch.acknowledged.fetch_add(1, Ordering::Relaxed);
                let now_ms = self.began.elapsed().as_millis() as u64;
                watch.last_acknowledged_ms[service].store(now_ms, Ordering::Relaxed);
                return true;
            }
            // Frozen: it never takes effect.
            Ok((423, _)) if !is_quiet(pair.0) => {
                watch.frozen.fetch_add(1, Ordering::Relaxed);
            }
            Ok((503, _)) => {
                known.unknown.push(wish);
                watch.refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok((status, text)) => {
                known.unknown.push(wish);
                watch.note(Law::Answered, format!("{pair:?} {wish:?} was answered {status}: {text}"));
            }
            Err(_) => {
                known.unknown.push(wish);
                watch.unanswered.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(APPEND_TIMEOUT);
            }
        }
        false
    }
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
