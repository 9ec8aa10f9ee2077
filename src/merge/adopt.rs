//! What an export says of a post, and how it is taken over: state, not ratings that are folded anew, so that the averages
//! come out bit for bit, edits, withdrawals and decisions included.
//!
//! A piece that finds its place taken is left out: a file may be imported again, and a rating that came in the meantime wins.
//! Where the post lives already with a past of its own, a rating is one that states its time, as in any other file.

use serde::{Deserialize, Serialize};

use super::fold::{Fold, Folded};
use super::{Decided, Exclusion, Hour, Kept, Outcome};
use crate::entry::{Action, Decision, Entry, Hold, Position, Ruling};
use crate::faults::{self, Mistake};
use crate::model::Time;
use crate::smoothing::{Average, Held, Mark, Rated};

/// A piece of a post's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Adopted {
    /// The first: when the post was born, its clocks, and what moderators made of it.
    Opening {
        /// The average of all that follows.
        average: Average,
        /// It takes no ratings.
        is_frozen: bool,
        /// Its own policy for holding ratings.
        hold: Option<Hold>,
    },
    /// An hour of its history.
    Hour {
        /// The start of the hour.
        hour: Time,
        /// Ratings that arrived in it.
        arrivals: u64,
        /// The state after its last entry.
        average: Average,
    },
    /// A rating, excluded or not, of a post that was born then.
    Rating {
        /// When the post was born.
        born: Time,
        /// The rating.
        #[serde(flatten)]
        rated: Rated,
    },
    /// A held rating.
    Held {
        /// When the post was born.
        born: Time,
        /// The held rating.
        #[serde(flatten)]
        held: Held,
    },
    /// What a withdrawal left.
    Withdrawal {
        /// When the post was born.
        born: Time,
        /// Its mark.
        #[serde(flatten)]
        mark: Mark,
    },
    /// A decision, with what it did. The entry's user is the moderator, its time the decision's.
    Decision {
        /// What was decided.
        decision: Decision,
        /// What came of it.
        outcome: Outcome,
        /// Of an exclusion: how many ratings it took out, and whether it was undone.
        exclusion: Option<Excluded>,
    },
    /// The last: the average with all its bits.
    Closing {
        /// The average.
        average: Average,
    },
}

/// The state of an exclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Ratings that it took out.
    pub excluded: u64,
    /// Whether it was undone.
    pub is_undone: bool,
}

impl Fold<'_> {
    /// Takes a piece over.
    pub(super) fn adopt(&mut self, entry: &Entry, text: &str, position: Position) -> Result<(), String> {
        let adopted: Adopted =
            serde_json::from_str(text).map_err(|e| format!("an adopted state cannot be read: {e}"))?;
        let key = (entry.post.clone(), entry.user.clone());
        let (before, kept) = self.kept(&key);
        let loaded = self.post_of(entry, false)?.ok_or_else(|| format!("there is no post {}", entry.post))?;
        let untouched = Folded { before: loaded, now: loaded, version: position };
        let Folded { now: post, version, .. } = self.posts.entry(entry.post.clone()).or_insert(untouched);
        *version = position;
        let is_same = |born: Time| post.average.born == Some(born);
        let mut user = kept.user();
        match adopted {
            Adopted::Opening { average, is_frozen, hold } => {
                if post.average.born.is_none() {
                    post.average = average.emptied();
                    (post.standing.is_frozen, post.standing.hold) = (is_frozen, hold);
                }
                return Ok(());
            }
            Adopted::Closing { average } => {
                if post.average.becomes(&average) {
                    post.average = average;
                }
                return Ok(());
            }
            Adopted::Hour { hour, arrivals, average } => {
                let post = entry.post.clone();
                // An entry that stands before it may have come in that hour: here it is in the same batch.
                if !self.hours.contains_key(&(post.clone(), hour)) {
                    self.merged.adopted_hours.push(Hour { post, hour, arrivals, average });
                }
                return Ok(());
            }
            Adopted::Decision { decision, outcome, exclusion } => {
                self.adopt_decision(entry, position, &decision, outcome, exclusion);
                return Ok(());
            }
            Adopted::Rating { rated, .. } if user.rated.is_some_and(|known| known.is_same(&rated)) => {
                // It came before.
                if faults::has(Mistake::AdoptTwice) {
                    post.average.adopt(rated);
                }
                return Ok(());
            }
            Adopted::Rating { born, rated } => {
                if !is_same(born) || kept.rating.is_some() || kept.withdrawal.is_some() {
                    let action = Action::Rate(rated.row.score);
                    return if rated.is_excluded {
                        Ok(())
                    } else {
                        self.as_stated(entry, action, rated.rated_at, position)
                    };
                }
                user.rated = Some(post.average.adopt(rated));
            }
            Adopted::Held { born, held } => {
                let is_decided = kept.rating.is_some_and(|rating| rating.rated_at >= held.rated_at);
                if !is_same(born) || kept.held.is_some() || kept.withdrawal.is_some() || is_decided {
                    return Ok(());
                }
                user.held = Some(Held { arrival: post.average.adopted(held.arrival), ..held });
            }
            Adopted::Withdrawal { born, mark } => {
                if !is_same(born) || kept != Kept::default() {
                    return Ok(());
                }
                user.mark = Some(Mark { arrival: post.average.adopted(mark.arrival), ..mark });
            }
        }
        post.standing.follow(&kept.user(), &user);
        self.kept.insert(key, (before, kept.with(&user, position)));
        Ok(())
    }

    fn adopt_decision(
        &mut self,
        entry: &Entry,
        position: Position,
        decision: &Decision,
        outcome: Outcome,
        exclusion: Option<Excluded>,
    ) {
        if let (Some(Excluded { excluded, is_undone }), Ruling::Exclude(window)) = (exclusion, &decision.deed)
        {
            self.merged.exclusions.push(Exclusion {
                post: entry.post.clone(),
                id: position,
                window: window.clone(),
                by: entry.user.clone(),
                at: entry.at,
                reason: decision.reason.clone(),
                excluded,
                is_undone,
            });
        }
        self.merged.decided.push(Decided::new(entry, position, decision, outcome));
    }

    fn as_stated(
        &mut self,
        entry: &Entry,
        action: Action,
        at: Time,
        position: Position,
    ) -> Result<(), String> {
        let stated = Entry::new(entry.post.clone(), entry.user.clone(), at, action).stated();
        self.apply(&stated, position)
    }
}

/// What is stored of a user and a post, as pieces.
pub fn pieces_of(born: Time, kept: &Kept) -> impl Iterator<Item = Adopted> {
    let user = kept.user();
    let rating = user.rated.map(|rated| Adopted::Rating { born, rated });
    let held = user.held.map(|held| Adopted::Held { born, held });
    let mark = user.mark.map(|mark| Adopted::Withdrawal { born, mark });
    rating.into_iter().chain(held).chain(mark)
}
