//! Readers, who look all the time while faults come and go, and who rate now and then.
//!
//! What they hold the services to: a post's version never goes back, an acknowledged rating of one's own is never out of
//! sight, and published figures stay within the bound of docs/SMOOTHING.md from one look to the next.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use damper::entry::Position;
use damper::model::Time;
use serde_json::Value;

use crate::law::Law;
use crate::moderator::now_ms;
use crate::site::{OLD_POSTS, Site};
use crate::support::log::Rng;
use crate::writers::{POSTS, QUIET_POSTS, Record, Writer, post};

/// How often a reader rates.
const RATES_EVERY: Duration = Duration::from_millis(400);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(8);
/// Users whose ratings a reader follows.
const USERS: u64 = 3;
/// A state is as old as its last entry, which is not shown, and so long before the look at most.
const LAG_MS: i64 = 60_000;
/// A service that has logged within this time that Redis is away, or back, may not have asked it.
const LOGGED_MS: i64 = 2_000;
/// Of 5 stars: what rounding may do.
const ROUNDING: f64 = 1e-9;
const DAY_MS: f64 = 86_400_000.0;

/// What a reader remembers of a post at a service.
#[derive(Default)]
struct Seen {
    version: Position,
    explained: Option<Explained>,
}

/// What an explanation says of a post at a moment.
#[derive(Clone)]
struct Explained {
    as_of: Time,
    born: Time,
    average: f64,
    /// x of both lanes, K, w0, and the days in which the settled weight may double.
    room: f64,
    settled: f64,
    seed: f64,
    doubling_days: f64,
}

/// Looks until it is stopped: at the versions and figures of one service, and at its own ratings at every one. Where that
/// service never is killed (`lives`), its versions may not go back.
pub fn read(mut reader: Writer<'_>, site: &Site, service: usize, lives: bool, mut rng: Rng) -> Record {
    let mut seen: HashMap<usize, Seen> = HashMap::new();
    let mut rated_at = Instant::now();
    while !reader.watch.is_over() {
        if rated_at.elapsed() >= RATES_EVERY {
            rated_at = Instant::now();
            let pair = own_pair(&reader, &mut rng);
            reader.write(pair, Some(rng.below(6) as i64), rng.below(2) as usize);
        }
        let number = rng.below(POSTS as u64) as usize;
        let seen = seen.entry(number).or_default();
        if lives {
            look_at_version(&reader, service, number, seen);
        }
        if number < OLD_POSTS {
            look_at_figures(&reader, service, number, seen);
        }
        let pair = own_pair(&reader, &mut rng);
        look_at_own(&reader, site, rng.below(2) as usize, &pair);
        std::thread::sleep(PAUSE);
    }
    reader.record
}

/// One of the ratings of its own. They are of quiet posts: no moderator rejects them.
fn own_pair(reader: &Writer<'_>, rng: &mut Rng) -> (usize, String) {
    (rng.below(QUIET_POSTS as u64) as usize, format!("{}u{}", reader.name, rng.below(USERS)))
}

/// The answer, if it is a 200: its `ETag` and its body.
fn get(reader: &Writer<'_>, service: usize, path: &str) -> Option<(String, Value)> {
    let address = reader.addresses.read().expect("the lock is not poisoned")[service].clone();
    let mut answer = reader.agent.get(format!("http://{address}{path}")).call().ok()?;
    let status = answer.status().as_u16();
    let etag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
    let text = answer.body_mut().read_to_string().ok()?;
    if status != 200 && status != 503 {
        reader.watch.note(Law::Answered, format!("GET {path} was answered {status}: {text}"));
    }
    reader.watch.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    (status == 200).then(|| serde_json::from_str(&text).ok()).flatten().map(|body| (etag, body))
}

fn look_at_version(reader: &Writer<'_>, service: usize, number: usize, seen: &mut Seen) {
    let Some((etag, _)) = get(reader, service, &format!("/api/posts/{}", post(number))) else { return };
    let version = etag.trim_start_matches("W/\"").split('.').next().and_then(Position::parse);
    let Some(version) = version else {
        return reader.watch.note(Law::Answered, format!("no version in the tag {etag:?}"));
    };
    if version < seen.version {
        let text = format!("post{number} went back from version {} to {version}", seen.version);
        reader.watch.note(Law::Cache, text);
    }
    seen.version = version;
}

/// Law 2 of docs/SMOOTHING.md, for whatever was rated between two looks.
fn look_at_figures(reader: &Writer<'_>, service: usize, number: usize, seen: &mut Seen) {
    let Some((_, body)) = get(reader, service, &format!("/api/posts/{}/explain", post(number))) else {
        return;
    };
    let Some(now) = Explained::of(&body) else { return };
    if let Some(before) = seen.explained.take().filter(|before| before.as_of <= now.as_of) {
        let bound = before.bound(now.as_of);
        let moved = (now.average - before.average).abs();
        if moved > bound {
            let text = format!(
                "post{number} moved by {moved} from {} at {} to {} at {}, the bound is {bound}",
                before.average, before.as_of, now.average, now.as_of
            );
            reader.watch.note(Law::Bound, text);
        }
    }
    seen.explained = Some(now);
}

impl Explained {
    /// Nothing while no rating counts.
    fn of(body: &Value) -> Option<Self> {
        let time = |name: &str| serde_json::from_value::<Time>(body[name].clone()).ok();
        let knob = |name: &str| body["parameters"][name].as_f64();
        let vested = body["calm"]["vested"].as_f64()? + body["surge"]["vested"].as_f64()?;
        Some(Self {
            as_of: time("as_of")?,
            born: time("born_at")?,
            average: body["average"].as_f64()?,
            room: knob("grace_mass")? + vested,
            settled: body["settled_count"].as_f64()?,
            seed: knob("seed_weight")?,
            doubling_days: knob("max_doubling_days")?,
        })
    }

    /// By how much the mean may have moved at `later`. By 5(u + w0)/(C + w0) from the state's last entry to then, and as far
    /// from it to this look.
    fn bound(&self, later: Time) -> f64 {
        let days = |at: Time| (at.ms() - self.born.ms()) as f64 / DAY_MS;
        let (age, end) = (days(self.as_of.plus_ms(-LAG_MS)), days(later));
        let grown = self.doubling_days / std::f64::consts::LN_2;
        let young = end.min(grown) / age.min(grown);
        let old = (end.max(grown) - age.max(grown)) / self.doubling_days;
        let growth = young * old.exp2() * ((end - age) / self.doubling_days).exp2();
        2.0 * 5.0 * (self.room * (growth - 1.0) + self.seed) / (self.settled + self.seed) + ROUNDING
    }
}

/// While Redis is there, and has been for long enough to be found, the own rating is what was acknowledged last. A service
/// that does not find it shows what is merged, and logs that.
fn look_at_own(reader: &Writer<'_>, site: &Site, service: usize, pair: &(usize, String)) {
    let Some(known) = reader.record.pairs.get(pair) else { return };
    let (asked, asked_ms) = (Time::from_ms(now_ms()), reader.watch.now_ms());
    let path = format!("/api/posts/{}?user_id={}", post(pair.0), pair.1);
    let Some((_, body)) = get(reader, service, &path) else { return };
    let shown = body["my_rating"]["score"].as_i64();
    if known.may_be(shown) || !reader.watch.has_redis(asked_ms) {
        return;
    }
    // What it logs comes through a pipe.
    std::thread::sleep(Duration::from_millis(50));
    if !site.missed_redis(service, asked.plus_ms(-LOGGED_MS)) {
        let text = format!("{pair:?} sees {} at service {service}, known is {known:?}", body["my_rating"]);
        reader.watch.note(Law::Own, text);
    }
}
