//! The oracle, while a run goes on: a copy of every line that was ever appended, and what every user was told.
//!
//! A user waits for an answer before wanting something else of the same post. So after an acknowledgement exactly
//! one line must be in the log, and after any answer no line may follow. The first violation ends the run.

use std::collections::BTreeMap;
use std::fmt::Debug;

use damper::entry::{Action, Entry, Position, Shard};
use damper::merge::Key;
use damper::model::Score;

use crate::world::{SHARDS, World};

/// What is known besides the world.
#[derive(Default)]
pub struct Oracle {
    pub lines: Vec<Vec<(Position, Vec<u8>)>>,
    pub wishes: BTreeMap<Key, Wishes>,
    pub violation: Option<String>,
    pub appends: u64,
    pub acknowledged: u64,
    /// Drains that ended, however they did.
    pub drains_ended: u64,
    /// Failures of the buffer, by process.
    buffer_failures: BTreeMap<u32, u64>,
}

/// What one user wants, and wanted, of one post.
#[derive(Default)]
pub struct Wishes {
    /// In order, and whether it was acknowledged.
    said: Vec<(Option<Score>, bool)>,
    /// Which process is asked now.
    asked: Option<Asked>,
}

struct Asked {
    process: u32,
    /// Lines that came of it; none can come of a question.
    landed: Option<u32>,
}

impl Wishes {
    /// Whether an answer is outstanding.
    pub fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Which scores may count: the last acknowledged one, or one that was tried later.
    pub fn candidates(&self) -> Vec<Option<Score>> {
        let last = self.said.iter().rposition(|(_, acknowledged)| *acknowledged);
        let nothing = last.is_none().then_some(None);
        nothing.into_iter().chain(self.said[last.unwrap_or(0)..].iter().map(|(score, _)| *score)).collect()
    }
}

impl Oracle {
    pub fn new() -> Self {
        Self { lines: (0..SHARDS).map(|_| Vec::new()).collect(), ..Self::default() }
    }

    /// Objects; the first objection is kept.
    pub fn object(&mut self, why: String) {
        self.violation.get_or_insert(why);
    }

    fn expect_same<T: PartialEq + Debug>(&mut self, what: &str, found: T, wanted: T) {
        if found != wanted {
            self.object(format!("{what}: {found:?}, not {wanted:?}"));
        }
    }

    /// A line was appended.
    pub fn shadow(&mut self, shard: Shard, position: Position, bytes: Vec<u8>) {
        let lines = &mut self.lines[shard.index()];
        let is_above = lines.last().is_none_or(|(last, _)| *last < position);
        lines.push((position, bytes));
        self.appends += 1;
        if !is_above {
            self.object(format!("position {position} of shard {shard} was handed out before"));
        }
    }

    /// A user begins to ask for something; nothing when a question is asked.
    pub fn ask(&mut self, key: &Key, process: u32, action: Option<Action>) {
        let wishes = self.wishes.entry(key.clone()).or_default();
        wishes.said.extend(action.as_ref().map(|action| (action.score(), false)));
        wishes.asked = Some(Asked { process, landed: action.map(|_| 0) });
    }

    /// A user's entry came into the log.
    pub fn landed(&mut self, entry: &Entry) {
        let key = (entry.post.clone(), entry.user.clone());
        let asked = self.wishes.get_mut(&key).and_then(|wishes| wishes.asked.as_mut());
        match asked.and_then(|asked| asked.landed.as_mut()) {
            Some(landed) => *landed += 1,
            None => self.object(format!("{:?} took effect after its answer", entry.encode())),
        }
    }

    /// A user hears whether the rating is held.
    pub fn answer(&mut self, key: &Key, is_held: bool) {
        let Some(wishes) = self.wishes.get_mut(key) else { return };
        let landed = wishes.asked.take().and_then(|asked| asked.landed).unwrap_or_default();
        if is_held {
            self.acknowledged += 1;
            wishes.said.last_mut().expect("something was wanted").1 = true;
        }
        if landed > 1 || (is_held && landed == 0) {
            self.object(format!("{key:?} was answered (held: {is_held}) with {landed} lines in the log"));
        }
    }

    /// A user hears the own score; nothing when nobody can tell.
    pub fn tell(&mut self, key: &Key, own: Option<Option<Score>>) {
        let Some(wishes) = self.wishes.get_mut(key) else { return };
        wishes.asked = None;
        let candidates = wishes.candidates();
        if own.is_some_and(|own| !candidates.contains(&own)) {
            self.object(format!("{key:?} reads {own:?}, which is none of {candidates:?}"));
        }
    }

    /// A process died: whoever asked it gets no answer.
    pub fn died(&mut self, process: u32) {
        for wishes in self.wishes.values_mut() {
            wishes.asked.take_if(|asked| asked.process == process);
        }
    }

    /// Whether any user waits.
    pub fn is_anybody_waiting(&self) -> bool {
        self.wishes.values().any(Wishes::is_busy)
    }

    /// A call to the buffer failed.
    pub fn buffer_failed(&mut self, process: u32) {
        *self.buffer_failures.entry(process).or_default() += 1;
    }

    /// How often the buffer failed a process: then a reader's own score may be an older one.
    pub fn buffer_failures(&self, process: u32) -> u64 {
        self.buffer_failures.get(&process).copied().unwrap_or_default()
    }

    /// A post's state was put into the cache in another's place.
    pub fn cached<T: PartialOrd + Debug>(&mut self, before: Option<T>, after: T) {
        if before.as_ref().is_some_and(|before| *before > after) {
            self.object(format!("the cache went back from {before:?} to {after:?}"));
        }
    }
}

impl World {
    /// How many entries wait, in all shards.
    pub fn waiting(&self) -> u64 {
        let shards = self.logs.iter().zip(&self.tables.checkpoints);
        shards.map(|(log, checkpoint)| log.backlog(checkpoint.position).waiting).sum()
    }

    /// What must hold after every step, in every shard.
    pub fn check(&mut self) {
        let Self { logs, tables, oracle, .. } = self;
        for (shard, (log, checkpoint)) in logs.iter().zip(&tables.checkpoints).enumerate() {
            let backlog = log.backlog(checkpoint.position);
            let accepted = checkpoint.applied + checkpoint.quarantined + backlog.waiting;
            let appended = oracle.lines[shard].len() as u64;
            oracle.expect_same("applied + quarantined + waiting", accepted, appended);
            oracle.expect_same("accepted", checkpoint.accepted(backlog.appends), appended);
            oracle.expect_same("lost", checkpoint.lost, 0);
        }
    }
}
