//! Everything that a seed fixes at the start: how rough the run is, the settings, the posts and users.
//!
//! Seeds differ a lot on purpose: a calm run with large batches goes deep, a rough one with small batches
//! goes wide.

use damper::config::{CatalogueMode, Config, Settings};
use damper::entry::Hold;
use damper::model::post::Post;
use damper::model::{DAY_MS, PostId, Time, User, UserId};
use damper::store::Checkpoint;

use crate::chance::{Rng, Trace};
use crate::log::Log;
use crate::oracle::Oracle;
use crate::tables::{REFUSED_USER, Tables};
use crate::walk::Pages;
use crate::world::{SHARDS, World};

/// 14 November 2023.
const START: Time = Time::from_ms(1_700_000_000_123);

/// How rough a run is; probabilities are per 10,000.
#[derive(Default)]
pub struct Knobs {
    pub fault: usize,
    pub outage: usize,
    pub crash: usize,
    pub jump: usize,
    pub drains_max: u32,
    /// Users pause while this many entries wait. Otherwise drains of one entry a batch would never catch up.
    pub waiting_max: u64,
}

/// The starting point of a run.
pub struct Plan {
    pub knobs: Knobs,
    pub config: Config,
    pub posts: Vec<PostId>,
    /// Posts that nobody has created.
    pub absent: Vec<PostId>,
    pub users: Vec<UserId>,
    /// Users with a name, and since when.
    pub named: Vec<User>,
    pub pages: Pages,
    /// Most entries that the database takes in a commit.
    pub commit_max: usize,
}

impl Plan {
    pub fn by(rng: &mut Rng) -> Self {
        let batch_max = rng.pick(&[1, 2, 3, 7, 20, 20_000]);
        let knobs = Knobs {
            fault: rng.pick(&[0, 20, 100, 500, 1_500]),
            outage: rng.pick(&[0, 0, 5, 20]),
            crash: rng.pick(&[0, 5, 20, 100]),
            jump: rng.pick(&[0, 20, 100]),
            drains_max: rng.pick(&[1, 2, 4, 8]),
            waiting_max: rng.pick(&[10, 40, 200]).min(8 * batch_max as u64),
        };
        let mut config = Settings::load(None, &[]).expect("the default settings are right").config;
        config.drain.batch_max = batch_max;
        config.drain.parallel_max = rng.pick(&[1, 2]);
        config.buffer.group_max = rng.pick(&[1, 3, 10_000]);
        // Half of the runs know no moderators' policy.
        config.moderation.hold = rng.pick(&[Hold::Off, Hold::Off, Hold::Surge, Hold::Always]);
        config.moderation.hold_release_hours = rng.pick(&[0, 1, 24, 72]);
        config.moderation.hold_accounts_younger_than_days = rng.pick(&[0, 0, 2]);
        let pages = Pages { rows: rng.pick(&[1, 2, 5, 5_000]), pages: rng.pick(&[1, 3, 20]) };
        let commit_max = rng.pick(&[usize::MAX, 20_000]);
        let (posts, users) = (rng.pick(&[2, 3, 8]), rng.pick(&[3, 8, 40]));
        let posts: Vec<PostId> =
            (0..posts).map(|n| PostId::parse(&format!("post{n}")).expect("a post id")).collect();
        if rng.hits(3_000) {
            config.catalogue.mode = CatalogueMode::Open;
        }
        let absent: Vec<PostId> =
            rng.hits(3_000).then(|| PostId::parse("new").expect("a post id")).into_iter().collect();
        let mut users: Vec<String> = (0..users).map(|n| format!("user{n}")).collect();
        users.extend(rng.hits(5_000).then(|| REFUSED_USER.to_owned()));
        let users: Vec<_> = users.iter().map(|user| UserId::parse(user).expect("a user id")).collect();
        let mut named = Vec::new();
        for id in &users {
            let created_at = START.plus_ms(DAY_MS - rng.below(4 * DAY_MS as usize) as i64);
            let user = User { id: id.clone(), username: id.to_string(), created_at };
            named.extend(rng.hits(7_000).then_some(user));
        }
        Self { knobs, config, posts, absent, users, named, pages, commit_max }
    }
}

impl World {
    /// A fresh world with these posts.
    pub fn new(posts: &[PostId], with_words: bool) -> Self {
        let tables = Tables {
            posts: posts.iter().map(|id| (id.clone(), Post::named_by_id(id.clone(), START))).collect(),
            checkpoints: vec![Checkpoint::default(); usize::from(SHARDS)],
            ..Tables::default()
        };
        Self {
            logs: (0..SHARDS).map(|_| Log::default()).collect(),
            tables,
            shelf: Default::default(),
            oracle: Oracle::new(),
            trace: Trace { words: with_words.then(Vec::new), ..Trace::default() },
            now: START,
            catalogue: posts.to_vec(),
            turns: Vec::new(),
            pages: Pages { rows: usize::MAX, pages: usize::MAX },
            is_direct: false,
        }
    }
}
