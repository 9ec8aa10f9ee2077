//! Everything that a seed fixes at the start: how rough the run is, the settings, the posts and users.
//!
//! Seeds differ a lot on purpose: a calm run with large batches goes deep, a rough one with small batches
//! goes wide.

use damper::config::{Config, Settings};
use damper::model::post::Post;
use damper::model::{PostId, Time, UserId};
use damper::store::Checkpoint;

use crate::chance::{Rng, Trace};
use crate::log::Log;
use crate::oracle::Oracle;
use crate::tables::{REFUSED_USER, Tables};
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
    pub users: Vec<UserId>,
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
        let (posts, users) = (rng.pick(&[2, 3, 8]), rng.pick(&[3, 8, 40]));
        let posts: Vec<PostId> =
            (0..posts).map(|n| PostId::parse(&format!("post{n}")).expect("a post id")).collect();
        let mut users: Vec<String> = (0..users).map(|n| format!("user{n}")).collect();
        users.extend(rng.hits(5_000).then(|| REFUSED_USER.to_owned()));
        let users = users.iter().map(|user| UserId::parse(user).expect("a user id")).collect();
        Self { knobs, config, posts, users }
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
            turns: Vec::new(),
            is_direct: false,
        }
    }
}
