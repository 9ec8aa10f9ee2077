//! A moderator beside the writers: holds and frees posts, freezes and thaws them, approves and rejects, excludes windows and
//! undoes that, and remembers every answer.
//!
//! A decision whose answer was lost may or may not have happened. So it is sent again as docs/HTTP.md says: what is repeated
//! changes nothing a second time, only an exclusion is looked for in the list before.

use std::sync::atomic::Ordering;
use std::time::Duration;

use damper::model::Time;
use serde_json::{Value, json};
use ureq::Agent;

use crate::attempt::{Attempt, Call};
use crate::law::Law;
use crate::support::log::Rng;
use crate::support::world::World;
use crate::watch::Watch;
use crate::writers::APPEND_TIMEOUT;

/// Tries of one decision until it has an answer.
const TRIES_MAX: u32 = 8;
/// The pause between two decisions, at most.
const PAUSE_MS: u64 = 120;
/// Ratings of one import.
const LATE: u64 = 10;
/// How far back an exclusion may reach.
const WINDOW_MS: u64 = 8_000;

/// The moderator's work.
pub struct Moderator<'a> {
    number: usize,
    world: &'a World,
    watch: &'a Watch,
    /// The posts that are moderated.
    posts: Vec<String>,
    /// The admin listeners.
    addresses: [String; 2],
    token: &'a str,
    agent: Agent,
    rng: Rng,
    attempts: Vec<Attempt>,
    imports: u64,
}

/// What came of a try.
enum Answer {
    /// It is decided, or was before.
    Done(Value),
    /// It is not possible.
    Refused,
    /// It may have happened.
    Unknown,
}

impl<'a> Moderator<'a> {
    pub fn new(
        number: usize,
        world: &'a World,
        watch: &'a Watch,
        posts: Vec<String>,
        addresses: [String; 2],
        token: &'a str,
        rng: Rng,
    ) -> Self {
        let agent = crate::writers::agent();
        Self { number, world, watch, posts, addresses, token, agent, rng, attempts: Vec::new(), imports: 0 }
    }

    /// Decides until it is stopped.
    pub fn work(mut self) -> Vec<Attempt> {
        while !self.watch.is_over() {
            std::thread::sleep(Duration::from_millis(self.rng.below(PAUSE_MS)));
            if !self.watch.rests() {
                let post = self.posts[self.rng.below(self.posts.len() as u64) as usize].clone();
                self.decide_on(&post);
            }
        }
        self.attempts
    }

    fn decide_on(&mut self, post: &str) {
        match self.rng.below(16) {
            0..=2 => self.set_hold(post),
            3 => self.freeze(post),
            4..=6 => self.judge_one(post),
            7 => self.judge_many(post),
            8 => self.judge_matching(post),
            9..=11 => self.exclude(post),
            12..=14 => self.undo(post),
            _ => self.import_late(post),
        }
    }

    fn set_hold(&mut self, post: &str) {
        let hold = [json!("always"), json!("always"), json!("surge"), json!("off"), Value::Null];
        let hold = hold[self.rng.below(5) as usize].clone();
        // Both decisions of one call stand, or neither.
        let both = self.rng.below(3) == 0;
        let body = if both { json!({"hold": hold, "frozen": false}) } else { json!({"hold": hold}) };
        let path = format!("/api/admin/posts/{post}/policy");
        self.insist(|reason| {
            Call::with("PUT", &path, with_reason(&body, reason)).deciding(1 + u64::from(both))
        });
    }

    fn freeze(&mut self, post: &str) {
        for frozen in [true, false] {
            let (path, body) = (format!("/api/admin/posts/{post}/policy"), json!({"frozen": frozen}));
            self.insist(|reason| Call::with("PUT", &path, with_reason(&body, reason)));
        }
    }

    /// The held ratings of a post: user and score.
    fn held(&mut self, post: &str) -> Vec<(String, i64)> {
        let Some(page) = self.look(&format!("/api/admin/held?post_id={post}&limit=20")) else {
            return Vec::new();
        };
        let one = |held: &Value| Some((held["user_id"].as_str()?.to_owned(), held["score"].as_i64()?));
        page["ratings"].as_array().into_iter().flatten().filter_map(one).collect()
    }

    fn judge_one(&mut self, post: &str) {
        let (held, verdict) = (self.held(post), self.verdict());
        let Some((user, score)) = held.get(self.rng.below(20) as usize % held.len().max(1)) else { return };
        let seen = if self.rng.below(2) == 0 { format!("&score={score}") } else { String::new() };
        let path = format!("/api/rating/{verdict}/{post}/{user}");
        self.insist(|reason| Call::to("POST", format!("{path}?reason={reason}{seen}")));
    }

    fn judge_many(&mut self, post: &str) {
        let (held, verdict) = (self.held(post), self.verdict());
        if held.is_empty() {
            return;
        }
        let named: Vec<Value> = held
            .iter()
            .take(6)
            .map(|(user, score)| json!({"post_id": post, "user_id": user, "score": score}))
            .collect();
        let reason = self.reason();
        let body = json!({"ratings": named, "reason": reason});
        let path = format!("/api/admin/held/{verdict}");
        let call = Call::with("POST", &path, body).deciding(named.len() as u64);
        let answer = self.send(&call);
        let (ids, least) = match &answer {
            Ok((200, text)) => {
                let text: Value = serde_json::from_str(text).unwrap_or_default();
                let ids = text["decisions"].as_array().into_iter().flatten();
                let ids: Vec<String> = ids.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
                (ids.clone(), ids.len() as u64)
            }
            _ => (Vec::new(), 0),
        };
        self.note_status(&call, &answer);
        self.attempts.push(Attempt { reason, ids, least, most: call.decisions, is_whole: false });
    }

    fn judge_matching(&mut self, post: &str) {
        let verdict = self.verdict();
        let scores = [json!([]), json!([0, 1]), json!([3, 4, 5])][self.rng.below(3) as usize].clone();
        let path = format!("/api/admin/posts/{post}/held/{verdict}");
        self.insist(|reason| Call::with("POST", &path, json!({"scores": scores, "reason": reason})));
    }

    /// An exclusion that was not answered is looked for in the list before it is sent again.
    fn exclude(&mut self, post: &str) {
        let to = now_ms() - self.rng.below(1_000) as i64;
        let from = to - 100 - self.rng.below(WINDOW_MS) as i64;
        let scores = [json!([]), json!([0]), json!([0, 1, 2])][self.rng.below(3) as usize].clone();
        let path = format!("/api/admin/posts/{post}/exclusions");
        let mut sent: Vec<String> = Vec::new();
        for _ in 0..TRIES_MAX {
            let reason = self.reason();
            let (from, to) = (Time::from_ms(from), Time::from_ms(to));
            let body = json!({"from": from, "to": to, "scores": scores, "reason": reason});
            let call = Call::with("POST", &path, body);
            sent.push(reason.clone());
            if !matches!(self.attempt(reason, &call), Answer::Unknown) || self.watch.is_over() {
                return;
            }
            std::thread::sleep(APPEND_TIMEOUT);
            let Some(list) = self.look(&path) else { continue };
            let mut listed = list["exclusions"].as_array().into_iter().flatten();
            if listed.any(|one| sent.iter().any(|reason| one["reason"] == **reason)) {
                return;
            }
        }
    }

    fn undo(&mut self, post: &str) {
        let path = format!("/api/admin/posts/{post}/exclusions");
        let Some(list) = self.look(&path) else { return };
        let active = list["exclusions"].as_array().into_iter().flatten();
        let active: Vec<&str> =
            active.filter(|one| one["state"] == "active").filter_map(|one| one["id"].as_str()).collect();
        let Some(id) = active.get(self.rng.below(20) as usize % active.len().max(1)) else { return };
        self.insist(|reason| Call::to("DELETE", format!("{path}/{id}?reason={reason}")));
    }

    /// Ratings that were sent late, by the command line. Where the post holds, the next tick releases them.
    fn import_late(&mut self, post: &str) {
        self.imports += 1;
        let first = self.imports * LATE;
        let at = now_ms() / 1_000 - 30 * 86_400;
        let lines: String = (0..LATE)
            .map(|i| {
                let (user, score, at) = ((first + i) % 200, self.rng.below(6), at + i as i64);
                format!("{post},late{user}m{},{score},{at}\n", self.number)
            })
            .collect();
        let text = format!("post,user,score,timestamp\n{lines}");
        // While a server is away it ends with an error, and a part of it may be there.
        self.world.cli_with_input(&["import", "-"], text.as_bytes());
    }

    fn verdict(&mut self) -> &'static str {
        ["approve", "reject"][self.rng.below(2) as usize]
    }

    /// Sends a decision until it is known to be taken, or refused.
    fn insist(&mut self, call: impl Fn(&str) -> Call) {
        for _ in 0..TRIES_MAX {
            let reason = self.reason();
            let call = call(&reason);
            if !matches!(self.attempt(reason, &call), Answer::Unknown) || self.watch.is_over() {
                return;
            }
            std::thread::sleep(APPEND_TIMEOUT);
        }
    }

    fn reason(&self) -> String {
        format!("m{}try{}", self.number, self.attempts.len())
    }

    /// Sends a decision once, and records how often it may be in the log then.
    fn attempt(&mut self, reason: String, call: &Call) -> Answer {
        let answer = self.send(call);
        self.note_status(call, &answer);
        let decisions = call.decisions;
        let (answer, ids, least, most) = match answer {
            Ok((200 | 202, text)) => {
                let body: Value = serde_json::from_str(&text).unwrap_or_default();
                let ids = body["id"].as_str().map(str::to_owned).into_iter().collect();
                (Answer::Done(body), ids, decisions, decisions)
            }
            // Refused before it was taken, or when it was merged.
            Ok((404, _)) => (Answer::Refused, Vec::new(), 0, 0),
            Ok((409, _)) => (Answer::Refused, Vec::new(), 0, decisions),
            _ => (Answer::Unknown, Vec::new(), 0, decisions),
        };
        if let Answer::Done(body) = &answer {
            self.watch.decided.fetch_add(u64::from(body["state"] != "waiting"), Ordering::Relaxed);
        }
        self.attempts.push(Attempt { reason, ids, least, most, is_whole: true });
        answer
    }

    fn note_status(&self, call: &Call, answer: &Result<(u16, String), ureq::Error>) {
        if let Ok((status, text)) = answer
            && ![200, 202, 404, 409, 503].contains(status)
        {
            let seen = format!("{} {} was answered {status}: {text}", call.method, call.path);
            self.watch.note(Law::Answered, seen);
        }
    }

    /// The answer to a question; `None` while there is none.
    fn look(&mut self, path: &str) -> Option<Value> {
        let call = Call::to("GET", path.to_owned()).deciding(0);
        let answer = self.send(&call);
        self.note_status(&call, &answer);
        let (status, text) = answer.ok()?;
        (status == 200).then(|| serde_json::from_str(&text).ok())?
    }

    fn send(&mut self, call: &Call) -> Result<(u16, String), ureq::Error> {
        let address = &self.addresses[self.rng.below(2) as usize];
        let url = format!("http://{address}{}", call.path);
        let request = ureq::http::Request::builder()
            .method(call.method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.token));
        self.watch.deciding.fetch_add(1, Ordering::SeqCst);
        let answer = match &call.body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        self.watch.deciding.fetch_sub(1, Ordering::SeqCst);
        let mut answer = answer?;
        let status = answer.status().as_u16();
        Ok((status, answer.body_mut().read_to_string()?))
    }
}

fn with_reason(body: &Value, reason: &str) -> Value {
    let mut body = body.clone();
    body["reason"] = json!(reason);
    body
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is after 1970").as_millis() as i64
}
