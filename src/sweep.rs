//! A decision that may touch any number of ratings: an exclusion, or its undoing. Pure.
//!
//! The store hands over the post's ratings in the order of their users, a page at a time, and writes back those that
//! change; memory is that of a page. All are folded at the decision's own time.

use crate::entry::{Action, Decision, Deed, Line, Position};
use crate::merge::{Hour, LoadedPost, Merged, MergedAverage, Quarantined, Rating, hour_of};
use crate::outcome::{Decided, Exclusion, Figures, Outcome};
use crate::rating::{PostId, Time, UserId};
use crate::smoothing::{Average, Params};
use std::sync::Arc;

/// A decision that is being merged.
pub struct Sweep {
    params: Params,
    place: Place,
    work: Work,
    loaded: LoadedPost,
    average: Average,
    touched: u64,
}

/// Whose decision it is.
struct Place {
    position: Position,
    post: PostId,
    by: UserId,
    at: Time,
    decision: Arc<Decision>,
}

enum Work {
    /// Takes ratings out.
    Exclude(Exclusion),
    /// Brings back what no other exclusion keeps out.
    Undo { exclusion: Exclusion, others: Vec<Exclusion> },
}

impl Sweep {
    /// Begins with what the store has of the post, its exclusions among it. Without a walk through the ratings, what is
    /// merged is returned at once.
    pub fn begin(
        line: &Line,
        loaded: Option<LoadedPost>,
        exclusions: Vec<Exclusion>,
        params: &Params,
    ) -> Result<Self, Box<Merged>> {
        let Ok(entry) = &line.entry else { return Err(Box::default()) };
        let Action::Decide(decision) = &entry.action else { return Err(Box::default()) };
        let place = Place {
            position: line.position,
            post: entry.post.clone(),
            by: entry.user.clone(),
            at: entry.at,
            decision: decision.clone(),
        };
        let Some(loaded) = loaded else {
            let reason = format!("there is no post {}", entry.post);
            let payload = entry.encode().into_bytes();
            let quarantined = vec![Quarantined { position: line.position, reason, payload }];
            return Err(Box::new(Merged { quarantined, ..Merged::default() }));
        };
        let work = match &decision.deed {
            Deed::Exclude(window) => Ok(Work::Exclude(Exclusion {
                post: place.post.clone(),
                id: place.position,
                window: window.clone(),
                by: place.by.clone(),
                at: place.at,
                reason: decision.reason.clone(),
                excluded: 0,
                is_undone: false,
            })),
            Deed::Undo(id) => undo(*id, exclusions),
            Deed::Freeze | Deed::Thaw => Err("this decision sweeps nothing".to_owned()),
        };
        let average = loaded.average;
        match work {
            Ok(work) => Ok(Self { params: *params, place, work, loaded, average, touched: 0 }),
            Err(why) => Err(Box::new(refused(place, loaded, why, params))),
        }
    }

    /// Folds one of the post's ratings; returns what it becomes, if it changes.
    pub fn visit(&mut self, rating: &Rating) -> Option<Rating> {
        let (at, score) = (self.place.at, rating.row.score);
        let row = match &self.work {
            Work::Exclude(exclusion)
                if !rating.is_excluded && exclusion.keeps_out(rating.position, rating.rated_at, score) =>
            {
                self.average.exclude(&rating.row, at, &self.params)
            }
            Work::Undo { exclusion, others }
                if rating.is_excluded
                    && exclusion.keeps_out(rating.position, rating.rated_at, score)
                    && !others
                        .iter()
                        .any(|other| other.keeps_out(rating.position, rating.rated_at, score)) =>
            {
                self.average.restore(&rating.row, at, &self.params)
            }
            Work::Exclude(_) | Work::Undo { .. } => return None,
        };
        self.touched += 1;
        Some(Rating { row, is_excluded: !rating.is_excluded, ..*rating })
    }

    /// How many ratings have changed so far.
    pub fn touched(&self) -> u64 {
        self.touched
    }

    /// What the post shows before and after it, as far as it has come.
    pub fn figures(&self) -> (Figures, Figures) {
        let of = |average| Figures::of(average, self.place.at, &self.params);
        (of(&self.loaded.average), of(&self.average))
    }

    /// What is to be written beside the ratings.
    pub fn finish(self) -> Merged {
        let (before, after) = self.figures();
        let Self { place, work, loaded, average, touched, .. } = self;
        let mut standing = loaded.standing;
        let exclusion = match work {
            Work::Exclude(exclusion) => {
                standing.excluded += touched;
                Exclusion { excluded: touched, ..exclusion }
            }
            Work::Undo { exclusion, .. } => {
                standing.excluded = standing.excluded.saturating_sub(touched);
                Exclusion { is_undone: true, ..exclusion }
            }
        };
        let hour = average.last.filter(|_| touched > 0).map(|last| Hour {
            post: place.post.clone(),
            hour: hour_of(last),
            arrivals: 0,
            average,
        });
        Merged {
            averages: vec![MergedAverage {
                post: place.post.clone(),
                before: loaded.average,
                after: average,
                version: place.position,
            }],
            history: hour.into_iter().collect(),
            standings: vec![(place.post.clone(), standing)],
            exclusions: vec![exclusion],
            decided: vec![place.decided(Outcome { before, after, touched, refused: None })],
            applied: 1,
            ..Merged::default()
        }
    }
}

impl Place {
    fn decided(self, outcome: Outcome) -> Decided {
        let Self { position, post, by, at, decision } = self;
        Decided { position, post, at, by, decision: (*decision).clone(), outcome }
    }
}

fn undo(id: Position, exclusions: Vec<Exclusion>) -> Result<Work, String> {
    let (found, others): (Vec<Exclusion>, Vec<Exclusion>) =
        exclusions.into_iter().partition(|exclusion| exclusion.id == id);
    match found.into_iter().next() {
        None => Err(format!("there is no exclusion {id} of this post")),
        Some(exclusion) if exclusion.is_undone => Err(format!("the exclusion {id} has been undone already")),
        Some(exclusion) => Ok(Work::Undo { exclusion, others }),
    }
}

/// A decision of which nothing comes; that is kept, too.
fn refused(place: Place, loaded: LoadedPost, why: String, params: &Params) -> Merged {
    let figures = Figures::of(&loaded.average, place.at, params);
    let outcome = Outcome { before: figures, after: figures, touched: 0, refused: Some(why) };
    let average = MergedAverage {
        post: place.post.clone(),
        before: loaded.average,
        after: loaded.average,
        version: place.position,
    };
    Merged { averages: vec![average], decided: vec![place.decided(outcome)], applied: 1, ..Merged::default() }
}
