//! A bulk decision, which may touch any number of ratings: an exclusion, its undo, an approval, a rejection.
//!
//! The store passes in the post's ratings sorted by user, a page at a time, then the held ones, and writes the changes
//! back. So memory holds one page. All ratings are folded at the decision's own time. What it has come to after a page
//! can be kept and taken up again, so that pages are written in commits of their own.

use serde::{Deserialize, Serialize};

use super::state::hour_of;
use super::{
    Decided, Exclusion, HeldRating, Hour, Kept, LoadedPost, Merged, MergedAverage, Outcome, Quarantined,
    Rating, Withdrawal,
};
use crate::entry::{Action, Line, Position, Ruling, Which};
use crate::faults::{self, Mistake};
use crate::model::{PostId, Score, Time, UserId};
use crate::smoothing::{Average, Params, Published, Rated};

/// A decision while it is merged.
pub struct BulkDecision {
    params: Params,
    /// With the outcome so far.
    decided: Decided,
    /// `None` for a refused decision, which changes nothing.
    work: Option<Work>,
    before: LoadedPost,
    after: LoadedPost,
}

/// How far a decision has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Walked {
    /// What the ratings visited so far make of the post.
    pub post: LoadedPost,
    outcome: Outcome,
}

/// The result for a held rating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeldFate {
    /// It does not change.
    Stays,
    /// It stays held, with this state.
    Becomes(HeldRating),
    /// It is removed, and this is remembered.
    Goes(Withdrawal),
    /// It counts as this rating.
    Counts(Rating),
}

enum Work {
    /// Takes ratings out; an undo restores those that no other exclusion covers.
    Exclude { exclusion: Exclusion, others: Vec<Exclusion>, is_undo: bool },
    /// Lets held ratings count, or removes them.
    Judge { which: Which, is_approval: bool },
}

impl BulkDecision {
    /// Begins with the post as loaded and its exclusions. If no walk through the ratings is needed, returns
    /// the result at once, as the error.
    pub fn begin(
        line: &Line,
        loaded: Option<LoadedPost>,
        exclusions: Vec<Exclusion>,
        params: &Params,
    ) -> Result<Self, Box<Merged>> {
        let Ok(entry) = &line.entry else { return Err(Box::default()) };
        let Action::Decide(decision) = &entry.action else { return Err(Box::default()) };
        let Some(loaded) = loaded else {
            let reason = format!("there is no post {}", entry.post);
            let payload = entry.encode().into_bytes();
            let quarantined = vec![Quarantined { position: line.position, reason, payload }];
            return Err(Box::new(Merged { quarantined, ..Merged::default() }));
        };
        let work = match &decision.deed {
            Ruling::Exclude(window) => {
                let exclusion = Exclusion {
                    post: entry.post.clone(),
                    id: line.position,
                    window: window.clone(),
                    by: entry.user.clone(),
                    at: entry.at,
                    reason: decision.reason.clone(),
                    excluded: 0,
                    is_undone: false,
                };
                Ok(Work::Exclude { exclusion, others: Vec::new(), is_undo: false })
            }
            Ruling::Undo(id) => undo(*id, exclusions),
            Ruling::Approve(which) => Ok(Work::Judge { which: which.clone(), is_approval: true }),
            Ruling::Reject(which) => Ok(Work::Judge { which: which.clone(), is_approval: false }),
            Ruling::Freeze | Ruling::Thaw | Ruling::Hold(_) => Err("this is not a bulk decision".to_owned()),
        };
        // A refused decision is recorded too.
        let (work, refused) = work.map_or_else(|why| (None, Some(why)), |work| (Some(work), None));
        let decided = Decided::new(entry, line.position, decision, Outcome { refused, ..Outcome::default() });
        let begun = Self { params: *params, decided, work, before: loaded, after: loaded };
        if begun.work.is_some() { Ok(begun) } else { Err(Box::new(begun.finish())) }
    }

    /// What to keep of it when it is left here.
    pub fn progress(&self) -> Walked {
        Walked { post: self.after, outcome: self.decided.outcome.clone() }
    }

    /// Goes on from where it was left.
    pub fn resume(&mut self, progress: Walked) {
        if faults::has(Mistake::StepsForgotten) {
            return;
        }
        self.after = progress.post;
        self.decided.outcome = progress.outcome;
    }

    /// The post that it concerns.
    pub fn post(&self) -> &PostId {
        &self.decided.post
    }

    /// Whether the caller must pass in the post's ratings.
    pub fn takes_ratings(&self) -> bool {
        matches!(self.work, Some(Work::Exclude { .. }))
    }

    /// Whether the caller must pass in the post's held ratings, if there are any.
    pub fn takes_held(&self) -> bool {
        self.before.standing.under_review() > 0
    }

    /// The only user whose held rating matters, if there is one.
    pub fn only_user(&self) -> Option<&UserId> {
        match &self.work {
            Some(Work::Judge { which, .. }) => which.user(),
            _ => None,
        }
    }

    /// Folds one of the post's ratings. Returns the changed rating, if it changes.
    pub fn visit(&mut self, rating: &Rating) -> Option<Rating> {
        let Rating { row, rated_at, position, is_excluded } = *rating;
        if !self.turns(is_excluded, position, rated_at, row.score) {
            return None;
        }
        if faults::has(Mistake::ExclusionHalfUndone) && is_excluded && self.decided.outcome.touched > 0 {
            return None;
        }
        self.decided.outcome.touched += 1;
        let known = Kept { rating: Some(*rating), ..Kept::default() }.user();
        let mut user = known;
        let (average, at) = (&mut self.after.average, self.decided.at);
        if !user.exclude(average, at, &self.params) {
            user.restore(average, at, &self.params);
        }
        self.after.standing.follow(&known, &user);
        // It keeps its position.
        user.rated.map(|Rated { row, rated_at, is_excluded }| Rating { row, rated_at, is_excluded, position })
    }

    /// Folds one of the post's held ratings; `beside` is the same user's rating that is not held, if there is
    /// one.
    pub fn visit_held(&mut self, user: &UserId, held: &HeldRating, beside: Option<&Rating>) -> HeldFate {
        let HeldRating { score, rated_at, position, is_excluded, .. } = *held;
        if self.turns(is_excluded, position, rated_at, score) {
            let turned = HeldRating { is_excluded: !is_excluded, ..*held };
            let only = |held| Kept { held: Some(held), ..Kept::default() }.user();
            self.after.standing.follow(&only(*held), &only(turned));
            self.decided.outcome.held += 1;
            return HeldFate::Becomes(turned);
        }
        let Some(Work::Judge { which, is_approval }) = &self.work else { return HeldFate::Stays };
        let is_meant = match which {
            Which::User(only) | Which::Seen(only, _) => only == user,
            Which::Window(window) => window.covers(rated_at, score),
        };
        if is_excluded || !is_meant {
            return HeldFate::Stays;
        }
        if matches!(which, Which::Seen(_, seen) if *seen != score) {
            self.decided.outcome.changed_to = Some(score);
            return HeldFate::Stays;
        }
        let is_approval = *is_approval;
        self.decided.outcome.touched += 1;
        let kept = Kept { rating: beside.copied(), held: Some(*held), withdrawal: None };
        let (known, Decided { at, position: decided, .. }) = (kept.user(), &self.decided);
        let mut user = known;
        if is_approval {
            user.release(&mut self.after.average, *at, &self.params);
            if faults::has(Mistake::ReleaseTwice) {
                { known }.release(&mut self.after.average, *at, &self.params);
            }
        } else {
            user.reject(*at);
        }
        self.after.standing.follow(&known, &user);
        match user.rated.filter(|_| is_approval) {
            // It has the approval's position: an older entry that is retried does not replace it.
            Some(Rated { row, rated_at, is_excluded }) => {
                HeldFate::Counts(Rating { row, rated_at, is_excluded, position: *decided })
            }
            // It keeps the position of the rejected one, so that no older entry can take its place.
            None => HeldFate::Goes(Withdrawal { position, mark: user.mark }),
        }
    }

    /// Whether it excludes a rating, or restores an excluded one.
    fn turns(&self, is_excluded: bool, position: Position, rated_at: Time, score: Score) -> bool {
        let Some(Work::Exclude { exclusion, others, is_undo }) = &self.work else { return false };
        let keeps_out = |exclusion: &Exclusion| exclusion.keeps_out(position, rated_at, score);
        let is_covered = others.iter().any(keeps_out) && !faults::has(Mistake::UndoBlind);
        is_excluded == *is_undo && keeps_out(exclusion) && !is_covered
    }

    /// The changes to write, apart from the ratings.
    pub fn finish(mut self) -> Merged {
        let of = |average: &Average| Published::of(&average.at(self.decided.at, &self.params), &self.params);
        let figures = (of(&self.before.average), of(&self.after.average));
        let touched = self.decided.outcome.touched;
        if let Some(user) = self.only_user().filter(|_| touched == 0) {
            let why = match self.decided.outcome.changed_to {
                Some(score) => format!("the held rating of {user} is {score} now; look at it again"),
                None => format!("no rating of {user} is held; it was decided on, released or withdrawn"),
            };
            self.decided.outcome.refused = Some(why);
        }
        let Self { mut decided, work, before, after, .. } = self;
        (decided.outcome.before, decided.outcome.after) = figures;
        let (post, average) = (decided.post.clone(), after.average);
        let changed = average.last.filter(|_| average != before.average);
        let hour = changed.map(|last| Hour { post: post.clone(), hour: hour_of(last), arrivals: 0, average });
        let exclusion = match work {
            Some(Work::Exclude { exclusion, is_undo: true, .. }) => {
                Some(Exclusion { is_undone: true, ..exclusion })
            }
            Some(Work::Exclude { exclusion, .. }) => Some(Exclusion { excluded: touched, ..exclusion }),
            _ => None,
        };
        let standing = (after.standing != before.standing).then(|| (post.clone(), after.standing));
        let version = decided.position;
        Merged {
            averages: vec![MergedAverage { post, before: before.average, after: average, version }],
            history: hour.into_iter().collect(),
            standings: standing.into_iter().collect(),
            exclusions: exclusion.into_iter().collect(),
            decided: vec![decided],
            applied: 1,
            ..Merged::default()
        }
    }
}

fn undo(id: Position, mut others: Vec<Exclusion>) -> Result<Work, String> {
    match others.iter().position(|exclusion| exclusion.id == id) {
        None => Err(format!("there is no exclusion {id} of this post")),
        Some(found) if others[found].is_undone => Err(format!("the exclusion {id} has been undone already")),
        Some(found) => Ok(Work::Exclude { exclusion: others.swap_remove(found), others, is_undo: true }),
    }
}
