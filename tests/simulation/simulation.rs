//! One run: a world, its processes, and the scheduler. The seed alone decides what happens next.
//!
//! A step is one decision: a call gets its turn, a user, a moderator or a tick acts, a process dies, a clock jumps. What
//! happens at the end is in [`ending`](crate::ending).

use std::sync::{Arc, Mutex, MutexGuard};

use damper::config::Config;
use damper::entry::{Action, Entry, Shard, Terms};
use damper::merge::Key;
use damper::model::{HOUR_MS, PostId, Score, UserId};
use damper::store::Trigger;

use crate::chance::Rng;
use crate::outcome::{Counts, Outcome, Violation};
use crate::plan::{Knobs, Plan};
use crate::process::Process;
use crate::tables::REFUSED_USER;
use crate::verdict;
use crate::world::{Fault, SHARDS, Side, World, lock};

/// A very rough run, whose drains hardly ever end, is cut off after this many steps a tick. Without faults
/// all drains must end.
const STEPS_PER_TICK_MAX: u64 = 2_000;
/// An import takes over as much at most.
const PIECES_MAX: usize = 80;
/// The naive fold looks at what is merged after each of so many ticks, and at the end.
const TICKS_PER_LOOK: u64 = 25;

pub struct Simulation {
    pub rng: Rng,
    pub knobs: Knobs,
    pub config: Config,
    commit_max: usize,
    pub world: Arc<Mutex<World>>,
    pub processes: Vec<Process>,
    processes_ever: u32,
    /// How many moderators there were: each decides once.
    moderators: u32,
    pub posts: Vec<PostId>,
    pub users: Vec<UserId>,
    /// A server that is out, and for how many more steps.
    pub outage: Option<(Side, usize)>,
    counts: Counts,
}

/// Runs at most `ticks` drains from a seed. With `with_words`, it also records the events in words.
pub fn run(seed: u64, ticks: u64, with_words: bool) -> Outcome {
    let mut simulation = Simulation::new(seed, with_words);
    let violation = simulation.live(ticks).and_then(|()| simulation.end()).err();
    let mut world = lock(&simulation.world);
    let (oracle, audit) = (&world.oracle, world.tables.audit.values());
    let counts = Counts {
        appends: oracle.appends,
        acknowledged: oracle.acknowledged,
        decisions: audit.len() as u64,
        touched: audit.map(|decided| decided.outcome.touched + decided.outcome.held).sum(),
        adopted: oracle.adopted,
        drains_ended: oracle.drains_ended,
        ..simulation.counts
    };
    let words = world.trace.words.take().unwrap_or_default();
    Outcome { counts, digest: world.trace.digest, violation, words }
}

impl Simulation {
    fn new(seed: u64, with_words: bool) -> Self {
        let mut rng = Rng(seed);
        let Plan { knobs, config, posts, absent, users, named, pages, commit_max } = Plan::by(&mut rng);
        let mut world = World::new(&posts, with_words);
        world.tables.users = named.into_iter().map(|user| (user.id.clone(), user)).collect();
        world.pages = pages;
        let world = Arc::new(Mutex::new(world));
        let posts: Vec<PostId> = posts.into_iter().chain(absent).collect();
        let mut simulation = Self {
            knobs,
            config,
            commit_max,
            world,
            processes: Vec::new(),
            processes_ever: 0,
            moderators: 0,
            posts,
            users,
            outage: None,
            counts: Counts::default(),
            rng,
        };
        for _ in 0..simulation.rng.pick(&[1, 2, 3]) {
            simulation.start();
        }
        simulation
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub fn start(&mut self) {
        self.processes_ever += 1;
        let skew_ms = self.rng.below(10_000) as i64 - 5_000;
        let process =
            Process::start(&self.world, self.processes_ever, &self.config, self.commit_max, skew_ms);
        self.processes.push(process);
    }

    fn live(&mut self, ticks: u64) -> Result<(), Violation> {
        let mut look_at = TICKS_PER_LOOK;
        while self.counts.ticks < ticks && self.counts.steps < STEPS_PER_TICK_MAX * ticks {
            self.step();
            self.check()?;
            if self.counts.ticks >= look_at {
                look_at += TICKS_PER_LOOK;
                self.look()?;
            }
        }
        Ok(())
    }

    /// Compares what is merged now with the naive fold.
    pub fn look(&mut self) -> Result<(), Violation> {
        let params = self.config.params().expect("the parameters are right");
        let (looks, ties) = verdict::compare(&self.world(), &params)?;
        self.counts.looks += looks;
        self.counts.ties += ties;
        Ok(())
    }

    pub fn check(&self) -> Result<(), Violation> {
        let mut world = self.world();
        world.check();
        world.oracle.violation.take().map_or(Ok(()), Err)
    }

    fn step(&mut self) {
        self.counts.steps += 1;
        let passed = self.rng.below(2_000) as i64;
        self.pass(passed);
        self.outage = self.outage.and_then(|(side, left)| Some((side, left.checked_sub(1)?)));
        if self.rng.hits(self.knobs.crash) {
            return self.crash();
        }
        if self.rng.hits(self.knobs.outage) {
            self.outage =
                Some((self.rng.pick(&[Side::Buffer, Side::Store, Side::Cache]), self.rng.below(300)));
        }
        if self.rng.hits(self.knobs.jump) {
            return self.jump();
        }
        let has_room = self.world().waiting() < self.knobs.waiting_max;
        match self.rng.below(100) {
            0..8 if has_room => self.submit(),
            8 if has_room && self.rng.hits(5_000) => self.disturb(),
            8 if has_room => self.import(),
            9 => self.read(),
            10..14 => self.drain(),
            14 if self.rng.hits(2_000) => self.linger(),
            15 if has_room && self.rng.hits(500) => self.restore(),
            15 if has_room => self.decide(),
            _ => self.give(),
        }
    }

    fn process(&mut self) -> usize {
        self.rng.below(self.processes.len())
    }

    /// A user and a post without an open request.
    fn key(&mut self) -> Option<Key> {
        let (post, user) = (self.rng.below(self.posts.len()), self.rng.below(self.users.len()));
        let key = (self.posts[post].clone(), self.users[user].clone());
        let is_busy = self.world().oracle.wishes.get(&key).is_some_and(|wishes| wishes.is_busy());
        (!is_busy).then_some(key)
    }

    fn submit(&mut self) {
        let action = match self.rng.below(8) {
            0 => Action::Withdraw,
            score => Action::Rate(Score::parse((score as i64).min(5)).expect("a score")),
        };
        if let Some(key) = self.key() {
            let process = self.process();
            self.processes[process].submit(key, action);
            self.processes[process].run(1);
        }
    }

    fn decide(&mut self) {
        let post = self.posts[self.rng.below(self.posts.len())].clone();
        let deed = self.deed(&post);
        self.moderators += 1;
        let by = UserId::parse(&format!("mo{}", self.moderators)).expect("a user id");
        let (process, is_waiting) = (self.process(), self.rng.hits(5_000));
        self.processes[process].decide((post, by), deed, is_waiting);
        self.processes[process].run(1);
    }

    /// An import of what a post is now, into another one or again into the same.
    fn restore(&mut self) {
        let [from, to] = [0, 1].map(|_| self.posts[self.rng.below(self.posts.len())].clone());
        let now = self.world().now;
        let pieces = self.world().tables.export(&from, &to, now);
        // Copies of copies would fill a run.
        if pieces.len() > PIECES_MAX {
            return;
        }
        let (process, chunk) = (self.process(), self.rng.pick(&[1, 3, 100]));
        self.processes[process].restore(pieces, chunk);
        self.processes[process].run(1);
    }

    fn read(&mut self) {
        if let Some(key) = self.key() {
            let process = self.process();
            self.processes[process].read(key);
            self.processes[process].run(1);
        }
    }

    /// Appends a line that Damper did not write.
    fn disturb(&mut self) {
        let shard = Shard(self.rng.below(usize::from(SHARDS)) as u16);
        let at = self.world().now.ms();
        let bytes = match self.rng.below(4) {
            0 => vec![0xff, 0xfe],
            1 => format!("2 r post0 user0 5 {at}").into_bytes(),
            2 => format!("1 r ghost user0 5 {at}").into_bytes(),
            _ => format!("1 r post0 {REFUSED_USER} 5 {at}").into_bytes(),
        };
        self.world().append_foreign(shard, bytes);
    }

    /// Appends a line of an import: it states a time of the last hour, so it may come too late to count.
    fn import(&mut self) {
        let number = self.rng.below(self.posts.len());
        let post = self.posts[number].clone();
        let user = UserId::parse(&format!("import{}", self.rng.below(3))).expect("a user id");
        let earlier_ms = self.rng.below(HOUR_MS as usize) as i64;
        let at = self.world().now.plus_ms(-earlier_ms);
        let action = match self.rng.below(8) {
            0 => Action::Withdraw,
            score => Action::Rate(Score::parse((score as i64).min(5)).expect("a score")),
        };
        let terms = Terms { is_stated: true, ..Terms::default() };
        let (shard, entry) = (Shard::of(&post, SHARDS), Entry::new(post, user, at, action));
        self.world().append_foreign(shard, Entry { terms, ..entry }.encode().into_bytes());
    }

    fn drain(&mut self) {
        let process = self.process();
        let under_way: u32 = self.processes.iter().map(Process::drains).sum();
        if under_way < self.knobs.drains_max {
            let trigger = self.rng.pick(&[Trigger::Tick, Trigger::Tick, Trigger::Flush]);
            self.counts.ticks += 1;
            self.processes[process].drain(trigger);
            self.processes[process].run(1);
        }
    }

    /// A process dies, often after it was asked to stop. Another takes its place.
    fn crash(&mut self) {
        let process = self.process();
        if self.rng.hits(3_000) {
            return self.processes[process].stop();
        }
        self.counts.crashes += 1;
        let dead = self.processes.swap_remove(process);
        self.bury(dead);
        self.start();
    }

    pub fn bury(&mut self, dead: Process) {
        let number = dead.number();
        drop(dead);
        let mut world = lock(&self.world);
        world.trace.note("crash", &[u64::from(number)], || format!("of {number}"));
        world.forget(number, &mut self.rng);
        world.oracle.died(number);
    }

    /// All clocks jump, mostly ahead, sometimes back.
    fn jump(&mut self) {
        let ahead = self.rng.below(48 * HOUR_MS as usize) as i64;
        let back = self.rng.below(3 * HOUR_MS as usize) as i64;
        let is_back = self.rng.hits(3_000);
        self.pass(if is_back { -back } else { ahead });
    }

    fn pass(&self, ms: i64) {
        let mut world = self.world();
        world.now = world.now.plus_ms(ms);
    }

    /// A process gets no turn for longer than its patience.
    fn linger(&mut self) {
        let (process, ms) = (self.process(), self.rng.pick(&[100, 1_000, 5_000, 20_000]));
        self.processes[process].run(ms);
    }

    /// A call gets its turn. Without calls, time passes.
    pub fn give(&mut self) {
        let mut world = lock(&self.world);
        if world.turns.is_empty() {
            drop(world);
            let (process, ms) = (self.process(), self.rng.pick(&[1, 20, 200]));
            return self.processes[process].run(ms);
        }
        let index = self.rng.below(world.turns.len());
        let is_out = self.outage.is_some_and(|(side, _)| side == world.turns[index].call.side);
        let fault = if !world.is_before_effect(index) {
            None
        } else if is_out {
            Some(Fault::Before)
        } else if self.rng.hits(self.knobs.fault) {
            Some(self.rng.pick(&[Fault::Before, Fault::After, Fault::Busy]))
        } else {
            None
        };
        self.counts.failures += u64::from(fault.is_some());
        let called = world.give(index, fault, self.rng.hits(5_000));
        drop(world);
        // A call of a dead process affects no other process.
        if let Some(process) = self.processes.iter().find(|process| process.number() == called) {
            process.run(1);
        }
    }
}
