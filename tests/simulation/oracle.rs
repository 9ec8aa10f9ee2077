//! The oracle during a run: a copy of every appended line, and every answer that a user got.
//!
//! A user waits for an answer before the next wish for the same post. So after an acknowledgement exactly one
//! line must be in the log, and after any answer no line may follow. The first violation ends the run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use damper::entry::{Action, Decision, Entry, Position, Ruling, Shard};
use damper::merge::{Key, Merged};
use damper::model::{PostId, Score};
use damper::store::AsOf;

use crate::outcome::{Law, Violation};
use crate::world::{SHARDS, World};

/// The oracle's knowledge, beyond the world itself.
#[derive(Default)]
pub struct Oracle {
    pub lines: Vec<Vec<(Position, Vec<u8>)>>,
    pub wishes: BTreeMap<Key, Wishes>,
    pub violation: Option<Violation>,
    pub appends: u64,
    pub acknowledged: u64,
    pub adopted: u64,
    /// Posts that were ever frozen.
    pub frozen: BTreeSet<PostId>,
    /// Drains that ended, with success or not.
    pub drains_ended: u64,
    /// Failures of the buffer, by process.
    buffer_failures: BTreeMap<u32, u64>,
}

/// All wishes of one user for one post.
#[derive(Default)]
pub struct Wishes {
    /// Wishes in order, and whether each was acknowledged.
    tried: Vec<(Option<Score>, bool)>,
    /// The open request, if any.
    asked: Option<Asked>,
    /// Whether something else than the user's wishes may be what is kept: a moderator rejected one, or a state was taken
    /// over. A wish from after a rejection ends that.
    is_judged: bool,
    is_adopted: bool,
}

struct Asked {
    process: u32,
    /// Lines that the request appended; `None` for a read, which appends nothing.
    landed: Option<u32>,
    /// Whether a moderator's rejection came into the log since.
    is_judged: bool,
}

impl Wishes {
    /// Whether an answer is outstanding.
    pub fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether one of these may be the user's own score.
    pub fn may_be(&self, own: Option<Score>) -> bool {
        self.is_judged || self.is_adopted || self.candidates().contains(&own)
    }

    /// Scores that may count: the last acknowledged one, or a later attempt.
    pub fn candidates(&self) -> Vec<Option<Score>> {
        let last = self.tried.iter().rposition(|(_, acknowledged)| *acknowledged);
        let nothing = last.is_none().then_some(None);
        nothing.into_iter().chain(self.tried[last.unwrap_or(0)..].iter().map(|(score, _)| *score)).collect()
    }
}

impl Oracle {
    pub fn new() -> Self {
        Self { lines: (0..SHARDS).map(|_| Vec::new()).collect(), ..Self::default() }
    }

    /// Reports a violation. Only the first is kept.
    pub fn object(&mut self, law: Law, why: String) {
        self.violation.get_or_insert(Violation::of(law, why));
    }

    fn expect_same<T: PartialEq + Debug>(&mut self, what: &str, found: T, wanted: T) {
        if found != wanted {
            self.object(Law::Balance, format!("{what}: {found:?}, not {wanted:?}"));
        }
    }

    /// Records an appended line.
    pub fn shadow(&mut self, shard: Shard, position: Position, bytes: Vec<u8>) {
        let lines = &mut self.lines[shard.index()];
        let is_above = lines.last().is_none_or(|(last, _)| *last < position);
        lines.push((position, bytes));
        self.appends += 1;
        if !is_above {
            self.object(Law::Positions, format!("position {position} of shard {shard} was assigned before"));
        }
    }

    /// Records a user's request; `action` is `None` for a read.
    pub fn ask(&mut self, key: &Key, process: u32, action: Option<Action>) {
        let wishes = self.wishes.entry(key.clone()).or_default();
        wishes.tried.extend(action.as_ref().map(|action| (action.score(), false)));
        wishes.asked = Some(Asked { process, landed: action.map(|_| 0), is_judged: false });
    }

    /// Records that an entry came into the log through Damper.
    pub fn landed(&mut self, entry: &Entry) {
        let key = (entry.post.clone(), entry.user.clone());
        match &entry.action {
            Action::Adopt(_) => {
                self.adopted += 1;
                self.frozen.insert(entry.post.clone());
                return self.wishes.entry(key).or_default().is_adopted = true;
            }
            // They are no requests: a release that comes twice changes nothing.
            Action::Release(_) => return,
            Action::Decide(decision) => self.decided(&entry.post, decision),
            Action::Rate(_) | Action::Withdraw => {}
        }
        let asked = self.wishes.get_mut(&key).and_then(|wishes| wishes.asked.as_mut());
        match asked.and_then(|asked| asked.landed.as_mut()) {
            Some(landed) => *landed += 1,
            None => self.object(Law::Answers, format!("{:?} took effect after its answer", entry.encode())),
        }
    }

    /// Notes what a decision that came into the log may change.
    fn decided(&mut self, post: &PostId, Decision { deed, .. }: &Decision) {
        match deed {
            Ruling::Freeze => drop(self.frozen.insert(post.clone())),
            Ruling::Reject(which) => {
                let is_meant = |key: &Key| key.0 == *post && which.user().is_none_or(|user| *user == key.1);
                for (_, wishes) in self.wishes.iter_mut().filter(|(key, _)| is_meant(key)) {
                    wishes.is_judged = true;
                    wishes.asked.iter_mut().for_each(|asked| asked.is_judged = true);
                }
            }
            _ => {}
        }
    }

    /// Records the answer to a wish: whether the rating is held.
    pub fn answer(&mut self, key: &Key, is_held: bool) {
        let Some(wishes) = self.wishes.get_mut(key) else { return };
        let Some(asked) = wishes.asked.take() else { return };
        let landed = asked.landed.unwrap_or_default();
        if is_held {
            self.acknowledged += 1;
            wishes.is_judged = asked.is_judged;
            wishes.tried.last_mut().expect("something was wanted").1 = true;
        }
        if landed > 1 || (is_held && landed == 0) {
            let words = format!("{key:?} was answered (held: {is_held}) with {landed} lines in the log");
            self.object(Law::Answers, words);
        }
    }

    /// Checks a user's own score in an answer; `None` when this answer proves nothing.
    pub fn check_own(&mut self, key: &Key, own: Option<Option<Score>>) {
        let Some(wishes) = self.wishes.get_mut(key) else { return };
        wishes.asked = None;
        if own.is_some_and(|own| !wishes.may_be(own)) {
            let words = format!("{key:?} reads {own:?}, which is none of {:?}", wishes.candidates());
            self.object(Law::OwnRating, words);
        }
    }

    /// Records that a process died. Its open requests get no answer.
    pub fn died(&mut self, process: u32) {
        for wishes in self.wishes.values_mut() {
            wishes.asked.take_if(|asked| asked.process == process);
        }
    }

    /// Whether any user waits.
    pub fn is_anybody_waiting(&self) -> bool {
        self.wishes.values().any(Wishes::is_busy)
    }

    /// Records a failed call to the buffer.
    pub fn buffer_failed(&mut self, process: u32) {
        *self.buffer_failures.entry(process).or_default() += 1;
    }

    /// Number of buffer failures of a process. After one, a reader's own score may be older.
    pub fn buffer_failures(&self, process: u32) -> u64 {
        self.buffer_failures.get(&process).copied().unwrap_or_default()
    }

    /// Records that a post's state replaced another in the cache.
    pub fn cached<T: PartialOrd + Debug>(&mut self, before: Option<T>, after: T) {
        if before.as_ref().is_some_and(|before| *before > after) {
            self.object(Law::Cache, format!("the cache went back from {before:?} to {after:?}"));
        }
    }
}

impl World {
    /// Writes a commit, whose posts may only become newer.
    pub fn commit(&mut self, shard: Shard, merged: &Merged, as_of: AsOf<'_>) {
        for average in &merged.averages {
            let known = self.tables.averages.get(&average.post).map(|(_, version)| *version);
            if known >= Some(average.version) {
                let words = format!("{} goes from {known:?} to {}", average.post, average.version);
                self.oracle.object(Law::Versions, words);
            }
        }
        for decided in &merged.decided {
            if self.tables.audit.contains_key(&(shard, decided.position)) {
                self.oracle.object(Law::Decisions, format!("{decided:?} is merged twice"));
            }
        }
        self.tables.write(shard, merged, as_of);
    }

    /// Number of waiting entries in all shards.
    pub fn waiting(&self) -> u64 {
        let shards = self.logs.iter().zip(&self.tables.checkpoints);
        shards.map(|(log, checkpoint)| log.backlog(checkpoint.position).waiting).sum()
    }

    /// Checks the invariants of every shard after each step.
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
