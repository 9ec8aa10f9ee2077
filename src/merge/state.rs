//! The state that a batch loads and changes, decisions and exclusions included. The store fills [`Loaded`] for the batch's
//! keys, the fold turns it into [`Merged`], and the store writes that.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::entry::{Batch, Decision, Entry, Hold, Position, Reason, Window};
use crate::model::post::Post;
use crate::model::{HOUR_MS, PostId, Score, Time, UserId};
use crate::smoothing::{Arrival, Average, Held, Mark, Published, Rated, Row, UserState};

/// A rating's key.
pub type Key = (PostId, UserId);

/// A rating as stored: its smoothing row and its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// Score, lane and unvested part.
    pub row: Row,
    /// The entry's own time.
    pub rated_at: Time,
    /// The entry's position in the log.
    pub position: Position,
    /// Whether a moderator excluded it.
    pub is_excluded: bool,
}

/// A rating held for a moderator. The same user may also have a rating that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldRating {
    /// The score that it will count with.
    pub score: Score,
    /// Its arrival.
    pub arrival: Arrival,
    /// The entry's own time.
    pub rated_at: Time,
    /// The entry's position in the log.
    pub position: Position,
    /// Whether an exclusion covers it. Then it can be neither approved nor released.
    pub is_excluded: bool,
}

/// What is left of a rating that was withdrawn or rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Withdrawal {
    /// The position in the log: an older entry that is retried does not bring the rating back.
    pub position: Position,
    /// Its mark. `None` beside a rating, and of a withdrawal from before marks were kept.
    pub mark: Option<Mark>,
}

/// What is kept for a user and a post.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Kept {
    /// The rating.
    pub rating: Option<Rating>,
    /// The held rating.
    pub held: Option<HeldRating>,
    /// The last withdrawal.
    pub withdrawal: Option<Withdrawal>,
}

impl Kept {
    /// The same without positions in the log, as the arithmetic sees it.
    pub fn user(&self) -> UserState {
        let rated = |Rating { row, rated_at, is_excluded, .. }: Rating| Rated { row, rated_at, is_excluded };
        let held = |held: HeldRating| {
            let HeldRating { score, arrival, rated_at, is_excluded, .. } = held;
            Held { score, arrival, rated_at, is_excluded }
        };
        UserState {
            rated: self.rating.map(rated),
            held: self.held.map(held),
            mark: self.withdrawal.and_then(|withdrawal| withdrawal.mark),
        }
    }

    /// What `user` has become by an entry at `place`. What did not change keeps its position.
    pub(super) fn with(&self, user: &UserState, place: Position) -> Self {
        let before = self.user();
        let rating = user.rated.map(|rated| {
            let Rated { row, rated_at, is_excluded } = rated;
            let same = self.rating.filter(|_| before.rated == Some(rated));
            Rating { row, rated_at, is_excluded, position: same.map_or(place, |same| same.position) }
        });
        let held = user.held.map(|held| {
            let Held { score, arrival, rated_at, is_excluded } = held;
            let same = self.held.filter(|_| before.held == Some(held));
            let position = same.map_or(place, |same| same.position);
            HeldRating { score, arrival, rated_at, is_excluded, position }
        });
        let withdrawal = user.mark.map(|mark| {
            let same = self.withdrawal.filter(|_| before.mark == Some(mark));
            Withdrawal { position: same.map_or(place, |same| same.position), mark: Some(mark) }
        });
        Self { rating, held, withdrawal }
    }

    /// The position of the user's newest wish.
    pub(super) fn newest(&self) -> Option<Position> {
        let rated = self.rating.map(|rating| rating.position);
        let held = self.held.map(|held| held.position);
        rated.max(held).max(self.withdrawal.map(|withdrawal| withdrawal.position))
    }
}

/// The state of a batch's keys before the merge.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The posts that exist.
    pub posts: HashMap<PostId, LoadedPost>,
    /// The ratings that exist.
    pub ratings: HashMap<Key, Rating>,
    /// The held ratings that exist.
    pub held: HashMap<Key, HeldRating>,
    /// The withdrawals that are remembered.
    pub withdrawals: HashMap<Key, Withdrawal>,
    /// Exclusions of the posts of retries, or of a bulk decision's post.
    pub exclusions: Vec<Exclusion>,
    /// Whether the shard has ever had an entry in the quarantine. If so, a withdrawal of nothing is remembered too: an
    /// older entry that is retried must lose to it.
    pub has_quarantined: bool,
}

impl Loaded {
    /// Whether an exclusion covers a retry that comes after it but originally stood before it.
    pub(super) fn keep_out(&self, entry: &Entry, place: Position, score: Score) -> bool {
        let keeps_out = |exclusion: &Exclusion| {
            exclusion.post == entry.post && exclusion.keeps_out(place, entry.at, score)
        };
        entry.origin.is_some() && self.exclusions.iter().any(keeps_out)
    }
}

/// A post's average and moderation state, before a merge and while it goes on.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct LoadedPost {
    /// All zero if it was never rated.
    pub average: Average,
    /// The moderation state.
    pub standing: Standing,
}

/// The changes that a batch makes; every list is sorted by key.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// New posts, created by ratings.
    pub created: Vec<Post>,
    /// Ratings of users who had none of the post. They are written as rows that are certainly new.
    pub rated: Vec<(Key, Rating)>,
    /// Ratings that changed, with their new state.
    pub ratings: Vec<(Key, Rating)>,
    /// Ratings that are gone.
    pub unrated: Vec<Key>,
    /// Withdrawals to remember.
    pub withdrawn: Vec<(Key, Withdrawal)>,
    /// Withdrawals to forget.
    pub unmarked: Vec<Key>,
    /// Held ratings, with their new state.
    pub held: Vec<(Key, HeldRating)>,
    /// Ratings that are no longer held.
    pub unheld: Vec<Key>,
    /// Averages, with their new state.
    pub averages: Vec<MergedAverage>,
    /// The hours touched.
    pub history: Vec<Hour>,
    /// Hours of posts that are taken over from another installation; those that are there stay.
    pub adopted_hours: Vec<Hour>,
    /// Changed moderation states of posts.
    pub standings: Vec<(PostId, Standing)>,
    /// New and undone exclusions.
    pub exclusions: Vec<Exclusion>,
    /// Decisions, with their outcomes.
    pub decided: Vec<Decided>,
    /// Entries for the quarantine.
    pub quarantined: Vec<Quarantined>,
    /// Number of entries folded in.
    pub applied: u64,
}

impl Merged {
    /// Ratings and held ratings that it writes or deletes.
    pub fn rows(&self) -> usize {
        self.rated.len() + self.ratings.len() + self.unrated.len() + self.held.len() + self.unheld.len()
    }
}

/// One post's average before and after a batch.
#[derive(Debug, Clone)]
pub struct MergedAverage {
    /// The post.
    pub post: PostId,
    /// Before the batch.
    pub before: Average,
    /// After the batch.
    pub after: Average,
    /// The position of the last entry folded in.
    pub version: Position,
}

/// One clock hour of a post, by the times that the fold used.
#[derive(Debug, Clone)]
pub struct Hour {
    /// The post.
    pub post: PostId,
    /// The start of the hour.
    pub hour: Time,
    /// Ratings that arrived during the hour, held ones included (by one batch, or by all).
    pub arrivals: u64,
    /// The state after the hour's last entry.
    pub average: Average,
}

/// A quarantined entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its position in the log.
    pub position: Position,
    /// The reason why it was not applied.
    pub reason: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// An exclusion, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The post.
    pub post: PostId,
    /// Its position in the log, which is also its id. It covers only ratings before this position.
    pub id: Position,
    /// The ratings that it covers.
    pub window: Window,
    /// The moderator who decided it.
    pub by: UserId,
    /// The time of the decision.
    pub at: Time,
    /// The reason that the moderator gave.
    pub reason: Reason,
    /// The number of ratings that it took out.
    pub excluded: u64,
    /// Whether it was undone.
    pub is_undone: bool,
}

impl Exclusion {
    /// Whether it covers a rating with this position, time and score. An undone one covers nothing.
    pub fn keeps_out(&self, position: Position, rated_at: Time, score: Score) -> bool {
        !self.is_undone && position < self.id && self.window.covers(rated_at, score)
    }
}

/// A decision with its outcome: a row of the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The decision's position in the log.
    pub position: Position,
    /// The post.
    pub post: PostId,
    /// The time of the decision.
    pub at: Time,
    /// The moderator who decided it.
    pub by: UserId,
    /// The decision and its reason.
    pub decision: Decision,
    /// The outcome.
    pub outcome: Outcome,
}

impl Decided {
    pub(super) fn new(entry: &Entry, position: Position, decision: &Decision, outcome: Outcome) -> Self {
        let (post, by, decision) = (entry.post.clone(), entry.user.clone(), decision.clone());
        Self { position, post, at: entry.at, by, decision, outcome }
    }
}

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The figures right before it.
    pub before: Published,
    /// The figures right after it.
    pub after: Published,
    /// Ratings that it excluded or restored, or held ones that it approved or rejected.
    pub touched: u64,
    /// Held ratings that an exclusion also took out, or its undo restored.
    #[serde(default)]
    #[schema(required)]
    pub held: u64,
    /// Why the decision changed nothing, if so.
    pub refused: Option<String>,
    /// The score that is held instead of the one that the moderator saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_to: Option<Score>,
}

/// The start of the clock hour of a time.
pub(super) fn hour_of(at: Time) -> Time {
    Time::from_ms(at.ms().div_euclid(HOUR_MS) * HOUR_MS)
}

/// The keys of those entries of a batch that `is_meant` names, sorted, each once.
pub fn keys_of(batch: &Batch, is_meant: impl Fn(&Entry) -> bool) -> Vec<Key> {
    let entries = batch.lines.iter().filter_map(|line| line.entry.as_ref().ok());
    let meant = entries.filter(|entry| is_meant(entry));
    let keys: HashSet<Key> = meant.map(|entry| (entry.post.clone(), entry.user.clone())).collect();
    let mut keys: Vec<Key> = keys.into_iter().collect();
    keys.sort_unstable();
    keys
}

/// The moderation state of a post. Only commits change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The post takes no ratings.
    pub is_frozen: bool,
    /// Number of excluded ratings, including held ones.
    pub excluded: u64,
    /// The post's own policy for holding ratings; `None` means the policy of the settings.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// Number of ratings held for a moderator.
    #[serde(default)]
    pub held: u64,
}

impl Standing {
    /// Number of ratings that a moderator may restore or approve.
    pub fn under_review(&self) -> u64 {
        self.excluded + self.held
    }

    /// Follows a change of what is kept for a user.
    pub(super) fn follow(&mut self, before: &UserState, after: &UserState) {
        for (user, change) in [(before, -1), (after, 1)] {
            let is_excluded = user.rated.is_some_and(|rated| rated.is_excluded);
            let of_held = |is_excluded| user.held.is_some_and(|held| held.is_excluded == is_excluded);
            let excluded = i64::from(is_excluded) + i64::from(of_held(true));
            self.excluded = self.excluded.saturating_add_signed(change * excluded);
            self.held = self.held.saturating_add_signed(change * i64::from(of_held(false)));
        }
    }
}

/// A post with its aggregate state as of the last commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostState {
    /// The post itself.
    pub post: Post,
    /// Its average as of its last entry; evaluate a copy with `at`.
    pub average: Average,
    /// The position of the last entry folded into the average.
    pub version: Position,
    /// The moderation state.
    #[serde(default)]
    pub standing: Standing,
}

impl PostState {
    /// Orders states by age. Both parts only grow, and they are read together.
    pub fn newness(&self) -> (Position, u64) {
        (self.version, self.post.revision)
    }
}
