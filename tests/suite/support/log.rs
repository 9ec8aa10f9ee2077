//! Synthetic logs: an honest stream and a review bomb, the same for the same seed, and their expected
//! results.

use std::collections::BTreeMap;

use damper::entry::{Action, Entry};
use damper::model::post::Post;
use damper::model::{PostId, Score, Time, UserId};
use damper::smoothing::{Average, Effect, Params, Row, UserState, When};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The start of the synthetic logs: 14 November 2023.
pub const START: Time = Time::from_ms(1_700_000_000_123);
/// Their posts; the second is bombed.
pub const POSTS: [&str; 7] = ["honest", "bombed", "quiet", "a|b+c=d", "user@example.org", "0", "~"];

/// Pseudo-random numbers (splitmix64, Steele et al. 2014).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end` − 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A rating; without a score, a withdrawal.
pub fn entry(post: &str, user: &str, score: Option<i64>, at: Time) -> Entry {
    let action = score.map_or(Action::Withdraw, |score| Action::Rate(Score::parse(score).expect("a score")));
    Entry::new(post_id(post), UserId::parse(user).expect("a user id"), at, action)
}

/// A post's id.
pub fn post_id(id: &str) -> PostId {
    PostId::parse(id).expect("a post id")
}

/// Posts with these ids.
pub fn posts(ids: &[&str]) -> Vec<Post> {
    ids.iter().map(|id| Post::named_by_id(post_id(id), START)).collect()
}

/// `count` entries over two months: honest ratings with edits and withdrawals, and in the second month a bomb
/// of zeros within three hours. Some entries have an earlier time than the entry before.
pub fn synthetic(seed: u64, count: u64) -> Vec<Entry> {
    let mut rng = Rng(seed);
    let bomb = count / 4;
    let mut log: Vec<Entry> = (0..count - bomb).map(|_| honest(&mut rng, count)).collect();
    log.extend((0..bomb).map(|i| {
        let at = START.plus_ms(40 * DAY_MS + rng.below(3 * HOUR_MS as u64) as i64);
        entry("bombed", &format!("bomber{i}"), Some(0), at)
    }));
    log.sort_by_key(|entry| entry.at);
    for i in (1..log.len()).step_by(17) {
        log.swap(i - 1, i);
    }
    log
}

fn honest(rng: &mut Rng, users: u64) -> Entry {
    let post = POSTS[rng.below(POSTS.len() as u64) as usize];
    let user = format!("user{}", rng.below(users / 5 + 1));
    // Every score occurs, and most are good. One entry in twenty is a withdrawal.
    let score = match rng.below(20) {
        0 => None,
        1..=6 => Some(rng.below(6) as i64),
        _ => Some(3 + rng.below(3) as i64),
    };
    entry(post, &user, score, START.plus_ms(rng.below(60 * DAY_MS as u64) as i64))
}

/// The ratings that count after `log`: for each post and user the latest one.
pub fn latest(log: &[Entry]) -> BTreeMap<(String, String), i64> {
    let mut ratings = BTreeMap::new();
    for entry in log {
        let key = (entry.post.to_string(), entry.user.to_string());
        match entry.action.score() {
            Some(score) => ratings.insert(key, i64::from(score.get())),
            None => ratings.remove(&key),
        };
    }
    ratings
}

/// The result of folding a log in one piece with the pure arithmetic.
#[derive(Default)]
pub struct Folded {
    pub averages: BTreeMap<PostId, Average>,
    pub rows: BTreeMap<(PostId, UserId), Row>,
    /// Ratings that changed something, by post.
    pub arrivals: BTreeMap<PostId, u64>,
    users: BTreeMap<(PostId, UserId), UserState>,
}

impl Folded {
    /// Folds `log`.
    pub fn of(log: &[Entry], params: &Params) -> Self {
        let mut folded = Self::default();
        for entry in log {
            folded.apply(entry, params);
        }
        folded
    }

    fn apply(&mut self, entry: &Entry, params: &Params) {
        let average = self.averages.entry(entry.post.clone()).or_default();
        let key = (entry.post.clone(), entry.user.clone());
        let user = self.users.entry(key.clone()).or_default();
        let when = When { at: entry.at, is_stated: entry.terms.is_stated };
        match entry.action {
            Action::Rate(score) => {
                let is_change = user.rate(average, score, when, params) == Effect::Change;
                *self.arrivals.entry(entry.post.clone()).or_default() += u64::from(is_change);
            }
            Action::Withdraw => drop(user.withdraw(average, when, params)),
            Action::Decide(_) | Action::Release(_) | Action::Adopt(_) => {
                panic!("logs of ratings have no decisions")
            }
        }
        match user.rated {
            Some(rated) => drop(self.rows.insert(key, rated.row)),
            None => drop(self.rows.remove(&key)),
        }
    }
}

/// Every figure of an average as bits, so that equality is exact.
pub fn bits(average: &Average) -> Vec<u64> {
    let mut bits = Vec::new();
    for lane in [&average.calm, &average.surge] {
        bits.extend([lane.count, lane.sum]);
        bits.extend([lane.clock, lane.vested, lane.settled_count, lane.settled_sum].map(f64::to_bits));
    }
    bits.push(average.intensity.to_bits());
    bits.extend([average.born, average.last].map(|time| time.map_or(u64::MAX, |time| time.ms() as u64)));
    bits.extend(average.histogram);
    bits
}

/// A row's figures as bits.
pub fn row_bits(row: &Row) -> (Score, &'static str, [u64; 3]) {
    let floats = [row.vest_clock, row.unvested_sum, row.unvested_count];
    (row.score, row.lane.as_str(), floats.map(f64::to_bits))
}
