//! A naive model of moderation: refolds the whole log in one piece, entry by entry, with every rating in memory.
//!
//! It is written from docs/MODERATION.md and shares no code with `src/merge`: it decides which ratings an entry touches, and
//! the arithmetic of `src/smoothing` does what is decided to each, so averages must come out bit for bit. For some posts the
//! naive arithmetic does the same beside it.

use std::collections::{BTreeMap, HashMap};

use damper::entry::{Action, Decision, Entry, Hold, Position, Ruling, Which, Window};
use damper::model::{PostId, Score, Time, UserId};
use damper::smoothing::{Average, Effect, LaneName, Params, Published, UserState, When};

use crate::naive::{self, Rules};

/// The log's result.
pub struct Fold<'a> {
    params: &'a Params,
    /// The posts that the naive arithmetic follows.
    mirrored: &'a [&'a str],
    pub posts: BTreeMap<PostId, Folded>,
    /// What came of each decision, by shard and position.
    pub outcomes: BTreeMap<(u16, Position), Outcome>,
}

/// A post with everything that is kept of it.
#[derive(Default)]
pub struct Folded {
    pub average: Average,
    /// The position of its last entry.
    pub version: Position,
    pub users: BTreeMap<UserId, User>,
    pub hold: Option<Hold>,
    pub is_frozen: bool,
    exclusions: Vec<Exclusion>,
    pub mirror: Option<Mirror>,
}

/// A user's ratings of a post, and where in the log the one that counts and the held one come from.
#[derive(Debug, Default, Clone, Copy)]
pub struct User {
    pub state: UserState,
    pub rated_by: Position,
    pub held_by: Position,
}

struct Exclusion {
    id: Position,
    window: Window,
    is_undone: bool,
}

/// What came of a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub touched: u64,
    pub held: u64,
    pub is_refused: bool,
    pub after: Published,
}

/// The naive arithmetic, which knows users by numbers.
pub struct Mirror {
    pub post: naive::Post,
    numbers: HashMap<UserId, u32>,
}

impl<'a> Fold<'a> {
    /// Nothing yet; `mirrored` names the posts that the naive arithmetic follows.
    pub fn new(params: &'a Params, mirrored: &'a [&'a str]) -> Self {
        Self { params, mirrored, posts: BTreeMap::new(), outcomes: BTreeMap::new() }
    }

    /// Folds the next entry of a shard.
    pub fn apply(&mut self, shard: u16, position: Position, entry: &Entry) {
        assert!(entry.origin.is_none(), "nothing is retried from the quarantine here");
        let mirror = self
            .mirrored
            .contains(&entry.post.as_str())
            .then(|| Mirror { post: naive::Post::new(Rules::of(self.params)), numbers: HashMap::new() });
        let post =
            self.posts.entry(entry.post.clone()).or_insert_with(|| Folded { mirror, ..Folded::default() });
        post.version = position;
        match &entry.action {
            Action::Rate(score) => post.rate(entry, *score, position, self.params),
            Action::Withdraw => post.withdraw(entry, self.params),
            Action::Release(meant) => post.release(entry, *meant, position, self.params),
            Action::Decide(decision) => {
                let outcome = post.decide(entry.at, decision, position, self.params);
                self.outcomes.insert((shard, position), outcome);
            }
            Action::Adopt(_) => panic!("nothing is taken over here"),
        }
    }
}

impl Folded {
    /// Ratings that are held, and ratings that are excluded, held ones among them.
    pub fn under_review(&self) -> (u64, u64) {
        let count = |is: fn(&User) -> usize| self.users.values().map(is).sum::<usize>() as u64;
        let held = count(|user| usize::from(user.state.held.is_some_and(|held| !held.is_excluded)));
        let excluded = count(|user| {
            let rated = user.state.rated.is_some_and(|rated| rated.is_excluded);
            usize::from(rated) + usize::from(user.state.held.is_some_and(|held| held.is_excluded))
        });
        (held, excluded)
    }

    fn rate(&mut self, entry: &Entry, score: Score, position: Position, params: &Params) {
        let when = When { at: entry.at, is_stated: entry.terms.is_stated };
        let own = self.hold;
        let user = self.users.entry(entry.user.clone()).or_default();
        let before = user.state;
        let policy = if entry.terms.is_too_young { Hold::Always } else { own.unwrap_or(entry.terms.hold) };
        let is_held = before.held.is_some_and(|held| !held.is_excluded)
            || match policy {
                Hold::Off => false,
                Hold::Always => true,
                Hold::Surge => before.lane_of(&self.average, score, when, params) == Some(LaneName::Surge),
            };
        let effect = if is_held {
            user.state.hold(&mut self.average, score, when, params)
        } else {
            user.state.rate(&mut self.average, score, when, params)
        };
        match effect {
            Effect::Nothing => {}
            // What is said again stands where it was said last, unless it is excluded, or beside a held one.
            Effect::Repeat => match (user.state.held, user.state.rated) {
                (Some(held), _) if !held.is_excluded => user.held_by = position,
                (None, Some(rated)) if !rated.is_excluded => user.rated_by = position,
                _ => {}
            },
            Effect::Change => {
                if user.state.rated != before.rated {
                    user.rated_by = position;
                }
                if user.state.held != before.held {
                    user.held_by = position;
                }
            }
        }
        self.mirrored(&entry.user, |post, user| {
            let (score, at) = (f64::from(score.get()), entry.at.ms());
            if is_held {
                post.hold(user, score, at, when.is_stated)
            } else {
                post.rate(user, score, at, when.is_stated)
            }
        });
    }

    fn withdraw(&mut self, entry: &Entry, params: &Params) {
        let when = When { at: entry.at, is_stated: entry.terms.is_stated };
        let user = self.users.entry(entry.user.clone()).or_default();
        user.state.withdraw(&mut self.average, when, params);
        self.mirrored(&entry.user, |post, user| post.withdraw(user, when.at.ms(), when.is_stated));
    }

    /// A release names the held rating that it is about: an older one may have been decided on.
    fn release(&mut self, entry: &Entry, meant: Position, position: Position, params: &Params) {
        let user = self.users.entry(entry.user.clone()).or_default();
        if user.held_by == meant && user.state.release(&mut self.average, entry.at, params) {
            user.rated_by = position;
            self.mirrored(&entry.user, |post, user| post.release(user, entry.at.ms()));
        }
    }

    fn decide(&mut self, at: Time, decision: &Decision, position: Position, params: &Params) -> Outcome {
        let (mut touched, mut held, mut is_refused) = (0, 0, false);
        match &decision.deed {
            Ruling::Freeze => self.is_frozen = true,
            Ruling::Thaw => self.is_frozen = false,
            Ruling::Hold(hold) => self.hold = *hold,
            Ruling::Exclude(window) => {
                (touched, held) = self.exclude(window, at, params);
                self.exclusions.push(Exclusion { id: position, window: window.clone(), is_undone: false });
            }
            Ruling::Undo(id) => match self.exclusions.iter().position(|other| other.id == *id) {
                Some(found) if !self.exclusions[found].is_undone => {
                    (touched, held) = self.undo(found, at, params);
                }
                _ => is_refused = true,
            },
            Ruling::Approve(which) => {
                touched = self.judge(which, true, at, position, params);
                is_refused = which.user().is_some() && touched == 0;
            }
            Ruling::Reject(which) => {
                touched = self.judge(which, false, at, position, params);
                is_refused = which.user().is_some() && touched == 0;
            }
        }
        let after = Published::of(&self.average.at(at, params), params);
        Outcome { touched, held, is_refused, after }
    }

    /// Takes out what the window covers, in the order of users: first ratings, then held ones.
    fn exclude(&mut self, window: &Window, at: Time, params: &Params) -> (u64, u64) {
        let (mut touched, mut held) = (0, 0);
        let mut out = Vec::new();
        for (id, user) in &mut self.users {
            let is_meant = user
                .state
                .rated
                .is_some_and(|it| !it.is_excluded && window.covers(it.rated_at, it.row.score));
            if is_meant && user.state.exclude(&mut self.average, at, params) {
                touched += 1;
                out.push(id.clone());
            }
        }
        for user in self.users.values_mut() {
            if let Some(it) = user.state.held.as_mut().filter(|it| !it.is_excluded)
                && window.covers(it.rated_at, it.score)
            {
                (it.is_excluded, held) = (true, held + 1);
            }
        }
        for id in out {
            self.mirrored(&id, |post, user| post.set_out(user, true, at.ms()));
        }
        if held > 0 {
            // The naive arithmetic knows no excluded held ratings.
            self.mirror = None;
        }
        (touched, held)
    }

    /// Restores what this exclusion covers and no other one in force does.
    fn undo(&mut self, found: usize, at: Time, params: &Params) -> (u64, u64) {
        self.exclusions[found].is_undone = true;
        let (mut touched, mut held) = (0, 0);
        let mut back = Vec::new();
        let undone = &self.exclusions[found];
        let comes_back = |position: Position, rated_at: Time, score: Score| {
            let covers = |it: &Exclusion| position < it.id && it.window.covers(rated_at, score);
            covers(undone) && !self.exclusions.iter().any(|other| !other.is_undone && covers(other))
        };
        for (id, user) in &mut self.users {
            let is_meant = user
                .state
                .rated
                .is_some_and(|it| it.is_excluded && comes_back(user.rated_by, it.rated_at, it.row.score));
            if is_meant && user.state.restore(&mut self.average, at, params) {
                touched += 1;
                back.push(id.clone());
            }
        }
        for user in self.users.values_mut() {
            if let Some(it) = user.state.held.as_mut().filter(|it| it.is_excluded)
                && comes_back(user.held_by, it.rated_at, it.score)
            {
                (it.is_excluded, held) = (false, held + 1);
            }
        }
        for id in back {
            self.mirrored(&id, |post, user| post.set_out(user, false, at.ms()));
        }
        (touched, held)
    }

    /// Lets held ratings count, or removes them.
    fn judge(
        &mut self,
        which: &Which,
        is_approval: bool,
        at: Time,
        position: Position,
        params: &Params,
    ) -> u64 {
        let is_meant = |id: &UserId, user: &User| {
            let Some(held) = user.state.held.filter(|held| !held.is_excluded) else { return false };
            match which {
                Which::User(only) => only == id,
                Which::Seen(only, seen) => only == id && *seen == held.score,
                Which::Window(window) => window.covers(held.rated_at, held.score),
            }
        };
        let meant = self.users.iter().filter(|(id, user)| is_meant(id, user));
        let meant: Vec<UserId> = meant.map(|(id, _)| id.clone()).collect();
        for id in &meant {
            let user = self.users.entry(id.clone()).or_default();
            if is_approval {
                user.state.release(&mut self.average, at, params);
                user.rated_by = position;
                self.mirrored(id, |post, user| post.release(user, at.ms()));
            } else {
                user.state.reject(at);
                self.mirrored(id, |post, user| post.reject(user, at.ms()));
            }
        }
        meant.len() as u64
    }

    fn mirrored(&mut self, user: &UserId, act: impl FnOnce(&mut naive::Post, u32)) {
        if let Some(Mirror { post, numbers }) = &mut self.mirror {
            let next = numbers.len() as u32;
            act(post, *numbers.entry(user.clone()).or_insert(next));
        }
    }
}
