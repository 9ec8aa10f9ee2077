//! A bulk decision, which may touch any number of ratings: an exclusion, its undo, an approval, a rejection.
//! Pure.
//!
//! The store passes in the post's ratings sorted by user, a page at a time, then the held ones, and writes
//! the changes back. So memory holds one page. All ratings are folded at the decision's own time.

use std::sync::Arc;

use crate::entry::{Action, Decision, Line, Position, Ruling, Which};
use crate::merge::Standing;
use crate::merge::{Decided, Exclusion, Outcome};
use crate::merge::{HeldRating, Hour, LoadedPost, Merged, MergedAverage, Quarantined, Rating, hour_of};
use crate::model::{PostId, Time, UserId};
use crate::smoothing::{Average, Params, Published};

/// A decision while it is merged.
pub struct BulkDecision {
    params: Params,
    place: Place,
    work: Work,
    loaded: LoadedPost,
    average: Average,
    standing: Standing,
    touched: u64,
    /// Held ratings that an exclusion takes out, or its undo restores.
    held: u64,
}

/// The result for a held rating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeldFate {
    /// It does not change.
    Stays,
    /// It stays held, with this state.
    Becomes(HeldRating),
    /// It is removed.
    Goes,
    /// It counts as this rating.
    Counts(Rating),
}

/// The entry of the decision.
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
    /// Restores ratings that no other exclusion covers.
    Undo { exclusion: Exclusion, others: Vec<Exclusion> },
    /// Lets held ratings count.
    Approve(Which),
    /// Removes held ratings.
    Reject(Which),
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
            Ruling::Exclude(window) => Ok(Work::Exclude(Exclusion {
                post: place.post.clone(),
                id: place.position,
                window: window.clone(),
                by: place.by.clone(),
                at: place.at,
                reason: decision.reason.clone(),
                excluded: 0,
                is_undone: false,
            })),
            Ruling::Undo(id) => undo(*id, exclusions),
            Ruling::Approve(which) => Ok(Work::Approve(which.clone())),
            Ruling::Reject(which) => Ok(Work::Reject(which.clone())),
            Ruling::Freeze | Ruling::Thaw | Ruling::Hold(_) => Err("this is not a bulk decision".to_owned()),
        };
        let LoadedPost { average, standing } = loaded;
        match work {
            Ok(work) => {
                Ok(Self { params: *params, place, work, loaded, average, standing, touched: 0, held: 0 })
            }
            Err(why) => Err(Box::new(refused(place, loaded, why, params))),
        }
    }

    /// The post that it concerns.
    pub fn post(&self) -> &PostId {
        &self.place.post
    }

    /// Whether the caller must pass in the post's ratings.
    pub fn takes_ratings(&self) -> bool {
        matches!(self.work, Work::Exclude(_) | Work::Undo { .. })
    }

    /// Whether the caller must pass in the post's held ratings, if there are any.
    pub fn takes_held(&self) -> bool {
        self.loaded.standing.under_review() > 0
    }

    /// The only user whose held rating matters, if there is one.
    pub fn only_user(&self) -> Option<&UserId> {
        match &self.work {
            Work::Approve(Which::User(user)) | Work::Reject(Which::User(user)) => Some(user),
            _ => None,
        }
    }

    /// Folds one of the post's ratings. Returns the changed rating, if it changes.
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
            _ => return None,
        };
        self.touched += 1;
        let is_excluded = !rating.is_excluded;
        match is_excluded {
            true => self.standing.excluded += 1,
            false => self.standing.excluded = self.standing.excluded.saturating_sub(1),
        }
        Some(Rating { row, is_excluded, ..*rating })
    }

    /// Folds one of the post's held ratings; `beside` is the same user's rating that is not held, if there is
    /// one.
    pub fn visit_held(&mut self, user: &UserId, held: &HeldRating, beside: Option<&Rating>) -> HeldFate {
        let keeps_out = |exclusion: &Exclusion| exclusion.keeps_out(held.position, held.rated_at, held.score);
        let is_meant = |which: &Which| {
            !held.is_excluded
                && match which {
                    Which::User(only) => only == user,
                    Which::Window(window) => window.covers(held.rated_at, held.score),
                }
        };
        match &self.work {
            Work::Exclude(exclusion) if !held.is_excluded && keeps_out(exclusion) => {
                self.standing.held = self.standing.held.saturating_sub(1);
                self.standing.excluded += 1;
                self.held += 1;
                HeldFate::Becomes(HeldRating { is_excluded: true, ..*held })
            }
            Work::Undo { exclusion, others }
                if held.is_excluded && keeps_out(exclusion) && !others.iter().any(keeps_out) =>
            {
                self.standing.excluded = self.standing.excluded.saturating_sub(1);
                self.standing.held += 1;
                self.held += 1;
                HeldFate::Becomes(HeldRating { is_excluded: false, ..*held })
            }
            Work::Approve(which) if is_meant(which) => {
                self.standing.held = self.standing.held.saturating_sub(1);
                self.touched += 1;
                HeldFate::Counts(self.approve(held, beside))
            }
            Work::Reject(which) if is_meant(which) => {
                self.standing.held = self.standing.held.saturating_sub(1);
                self.touched += 1;
                HeldFate::Goes
            }
            _ => HeldFate::Stays,
        }
    }

    /// An approval is a new rating, with the approval's time and position.
    fn approve(&mut self, held: &HeldRating, beside: Option<&Rating>) -> Rating {
        let counted = match beside {
            // An excluded rating of the same user is replaced, and its exclusion ends.
            Some(rating) if rating.is_excluded => {
                self.standing.excluded = self.standing.excluded.saturating_sub(1);
                None
            }
            beside => beside.map(|rating| rating.row),
        };
        let Place { at, position, .. } = self.place;
        let row = self.average.rate(counted.as_ref(), held.score, at, &self.params);
        Rating { row, rated_at: at, position, is_excluded: false }
    }

    /// Numbers of ratings and of held ratings changed so far.
    pub fn touched(&self) -> (u64, u64) {
        (self.touched, self.held)
    }

    /// The post's figures before the decision and now.
    pub fn figures(&self) -> (Published, Published) {
        let of = |average: &Average| Published::of(&average.at(self.place.at, &self.params), &self.params);
        (of(&self.loaded.average), of(&self.average))
    }

    /// The changes to write, apart from the ratings.
    pub fn finish(self) -> Merged {
        let (before, after) = self.figures();
        let refused = self.missing();
        let Self { place, work, loaded, average, standing, touched, held, .. } = self;
        let arrivals = if matches!(work, Work::Approve(_)) { touched } else { 0 };
        let exclusion = match work {
            Work::Exclude(exclusion) => Some(Exclusion { excluded: touched, ..exclusion }),
            Work::Undo { exclusion, .. } => Some(Exclusion { is_undone: true, ..exclusion }),
            Work::Approve(_) | Work::Reject(_) => None,
        };
        let hour = average.last.filter(|_| average != loaded.average).map(|last| Hour {
            post: place.post.clone(),
            hour: hour_of(last),
            arrivals,
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
            exclusions: exclusion.into_iter().collect(),
            decided: vec![place.decided(Outcome { before, after, touched, held, refused })],
            applied: 1,
            ..Merged::default()
        }
    }

    /// The reason why a decision on one user's rating changed nothing.
    fn missing(&self) -> Option<String> {
        let user = self.only_user().filter(|_| self.touched == 0)?;
        Some(format!("no rating of {user} is held; it was decided on, released or withdrawn"))
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

/// A decision that changes nothing. It is recorded too.
fn refused(place: Place, loaded: LoadedPost, why: String, params: &Params) -> Merged {
    let figures = Published::of(&loaded.average.at(place.at, params), params);
    let outcome = Outcome { before: figures, after: figures, refused: Some(why), ..Outcome::default() };
    let average = MergedAverage {
        post: place.post.clone(),
        before: loaded.average,
        after: loaded.average,
        version: place.position,
    };
    Merged { averages: vec![average], decided: vec![place.decided(outcome)], applied: 1, ..Merged::default() }
}
