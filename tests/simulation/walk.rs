//! A decision over many ratings, walked through in steps as the store does it: pages of ratings, then of held ones,
//! and after some rows a commit that keeps how far it has come.

use damper::entry::{Batch, Entry, Line, Position, Shard};
use damper::merge::bulk::{BulkDecision, HeldFate, Walked};
use damper::merge::{Key, Merged};
use damper::model::{PostId, UserId};
use damper::store::ShardState;

use crate::tables::Tables;

/// The sizes of a step.
#[derive(Debug, Clone, Copy)]
pub struct Pages {
    /// Ratings of a page; a step that has changed as many ends.
    pub rows: usize,
    /// Pages of a step.
    pub pages: usize,
}

/// A decision under way, as the checkpoint of its shard keeps it.
#[derive(Debug, Clone)]
pub struct UnderWay {
    position: Position,
    entry: String,
    next: NextPage,
    /// As JSON, so that a figure that does not survive it is found.
    progress: String,
}

impl UnderWay {
    /// The post of the decision.
    pub fn post(&self) -> Option<PostId> {
        Entry::decode(self.entry.as_bytes()).ok().map(|entry| entry.post)
    }
}

/// The page that comes next: of held ratings or not, after a user.
type NextPage = (bool, Option<UserId>);

/// What a step came to.
pub enum Step {
    /// Everything that the decision writes with its last step.
    Last(Box<Merged>),
    /// What it writes now, and how far it has come.
    More(Box<Merged>, UnderWay),
    /// Another drain was faster.
    Gone,
}

impl Tables {
    /// The decision under way in a shard.
    pub fn under_way(&self, shard: Shard) -> Option<Batch> {
        let UnderWay { position, entry, .. } = self.under_way.get(&shard)?;
        let line = Line { position: *position, entry: Entry::decode(entry.as_bytes()) };
        Batch::of(shard, self.checkpoints[shard.index()].position, vec![line])
    }

    /// Visits the ratings of the next step. Writes nothing.
    pub fn walk(&self, batch: &Batch, seen: &ShardState, mut decision: BulkDecision, size: Pages) -> Step {
        let Some((line, entry)) = batch.bulk() else { return Step::Gone };
        let mut next = match (decision.takes_ratings(), decision.takes_held()) {
            (true, _) => Some((false, None)),
            (false, true) => Some((true, None)),
            (false, false) => None,
        };
        if seen.checkpoint.step > 0 {
            let is_at = self.checkpoints[batch.shard.index()].step == seen.checkpoint.step;
            let Some(found) = self.under_way.get(&batch.shard).filter(|_| is_at) else { return Step::Gone };
            let progress: Walked = serde_json::from_str(&found.progress).expect("progress can be read");
            decision.resume(progress);
            next = Some(found.next.clone());
        }
        let (mut changes, mut pages) = (Merged::default(), 0);
        while let Some(page) = next.take_if(|_| changes.rows() < size.rows && pages < size.pages) {
            pages += 1;
            next = self.visit(&entry.post, page, size.rows, &mut decision, &mut changes);
        }
        let Some(next) = next else {
            let Merged { ratings, held, unheld, withdrawn, .. } = changes;
            return Step::Last(Box::new(Merged { ratings, held, unheld, withdrawn, ..decision.finish() }));
        };
        let progress = serde_json::to_string(&decision.progress()).expect("progress can be written");
        Step::More(
            Box::new(changes),
            UnderWay { position: line.position, entry: entry.encode(), next, progress },
        )
    }

    /// Passes a page to the decision; returns where the next begins.
    fn visit(
        &self,
        post: &PostId,
        (is_held, after): NextPage,
        rows: usize,
        decision: &mut BulkDecision,
        changes: &mut Merged,
    ) -> Option<NextPage> {
        let only = decision.only_user().cloned();
        let is_meant = |key: &Key| {
            let is_asked = only.as_ref().map_or(after.as_ref() < Some(&key.1), |only| *only == key.1);
            key.0 == *post && is_asked
        };
        let page: Vec<Key> = if is_held {
            self.held.keys().filter(|key| is_meant(key)).take(rows).cloned().collect()
        } else {
            self.ratings.keys().filter(|key| is_meant(key)).take(rows).cloned().collect()
        };
        for key in &page {
            if is_held {
                self.visit_held(key, decision, changes);
            } else if let Some(rating) = decision.visit(&self.ratings[key]) {
                changes.ratings.push((key.clone(), rating));
            }
        }
        match page.last().filter(|_| page.len() == rows && only.is_none()) {
            Some((_, user)) => Some((is_held, Some(user.clone()))),
            None if !is_held && decision.takes_held() => Some((true, None)),
            None => None,
        }
    }

    fn visit_held(&self, key: &Key, decision: &mut BulkDecision, changes: &mut Merged) {
        match decision.visit_held(&key.1, &self.held[key], self.ratings.get(key)) {
            HeldFate::Stays => {}
            HeldFate::Becomes(held) => changes.held.push((key.clone(), held)),
            HeldFate::Goes(withdrawal) => {
                changes.withdrawn.push((key.clone(), withdrawal));
                changes.unheld.push(key.clone());
            }
            HeldFate::Counts(rating) => {
                changes.ratings.push((key.clone(), rating));
                changes.unheld.push(key.clone());
            }
        }
    }

    /// Commits a step that is not the last; false if another drain was faster.
    pub fn step(&mut self, batch: &Batch, seen: &ShardState, changes: &Merged, so_far: UnderWay) -> bool {
        if !self.is_at(batch.shard, seen) {
            return false;
        }
        self.checkpoints[batch.shard.index()].step += 1;
        self.note_seen(batch, seen);
        self.under_way.insert(batch.shard, so_far);
        self.write_rows(changes);
        true
    }
}
