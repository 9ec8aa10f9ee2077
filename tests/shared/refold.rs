//! A naive fold of a whole shard's log, decisions and adopted states included, on the arithmetic of [`naive`](crate::naive).
//!
//! It goes through the log from its first line and shares no code with `src/merge`: no batches, no rows to load, no
//! steps. A post is a list of users with places in the log, and a decision looks at every one of them.

use std::collections::{BTreeMap, BTreeSet};

use damper::entry::{Action, Decision, Entry, Hold, Position, Ruling, Which, Window};
use damper::merge::Adopted;
use damper::model::{PostId, Score, Time, UserId};
use damper::smoothing::{Arrival, LaneName, Params};

use crate::naive::{self, Held, Lane, Left, Rating, Says};

const HOUR_MS: i64 = 3_600_000;

/// One shard, as its log says it must be.
pub struct Shard {
    params: Params,
    pub posts: BTreeMap<PostId, Post>,
    /// Lines that belong into the quarantine.
    pub quarantined: BTreeSet<Position>,
    /// A user whose ratings the database does not take.
    refused_user: &'static str,
}

/// A post with its users, its decisions and its history.
pub struct Post {
    pub figures: naive::Post,
    pub version: Position,
    /// Whether it is in the catalogue.
    pub exists: bool,
    pub is_frozen: bool,
    pub hold: Option<Hold>,
    pub users: BTreeMap<UserId, Places>,
    pub exclusions: BTreeMap<Position, Excluded>,
    /// Arrivals, count and sum by the start of the hour.
    pub hours: BTreeMap<i64, (u64, u64, u64)>,
    /// What came of its decisions.
    pub decided: BTreeMap<Position, Done>,
    /// Whether a rating was held, or not, because of its lane.
    pub is_lane_held: bool,
}

/// A user's number, and the places of the wishes that are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places {
    pub number: u32,
    pub rated: Option<Position>,
    pub held: Option<Position>,
    pub gone: Option<Position>,
}

/// An exclusion.
#[derive(Debug, Clone)]
pub struct Excluded {
    window: Window,
    pub count: u64,
    pub is_undone: bool,
}

/// What came of a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Done {
    pub touched: u64,
    pub held: u64,
    pub is_refused: bool,
}

impl Excluded {
    fn keeps_out(&self, id: Position, place: Option<Position>, own: i64, score: f64) -> bool {
        let has_score = self.window.scores.iter().any(|one| f64::from(one.get()) == score);
        let is_in = (self.window.from.ms()..self.window.to.ms()).contains(&own);
        !self.is_undone && place < Some(id) && is_in && (self.window.scores.is_empty() || has_score)
    }
}

impl Shard {
    /// A shard with these posts, before its first line.
    pub fn new(params: &Params, posts: impl Iterator<Item = PostId>, refused_user: &'static str) -> Self {
        let post = |id| (id, Post { exists: true, ..Post::new(params) });
        let posts = posts.map(post).collect();
        Self { params: *params, posts, quarantined: BTreeSet::new(), refused_user }
    }

    /// Folds the next line.
    pub fn fold(&mut self, position: Position, bytes: &[u8]) {
        let is_folded = Entry::decode(bytes).is_ok_and(|entry| self.apply(&entry, position));
        if !is_folded {
            self.quarantined.insert(position);
        }
    }

    /// Applies an entry; false if it belongs into the quarantine.
    fn apply(&mut self, entry: &Entry, position: Position) -> bool {
        let is_remembered = !self.quarantined.is_empty();
        let post = self.posts.entry(entry.post.clone()).or_insert_with(|| Post::new(&self.params));
        let is_late = entry.origin.is_some_and(|origin| post.newest(&entry.user) >= Some(origin));
        // A withdrawal of nothing is kept, and so refused, only where something was quarantined before.
        let is_kept = entry.action != Action::Withdraw || is_remembered;
        let is_refused = entry.user.as_str() == self.refused_user && is_kept && !is_late;
        if !post.exists {
            match &entry.action {
                Action::Rate(_) if entry.terms.creates_post && !is_late => {}
                Action::Rate(_) | Action::Withdraw if entry.terms.creates_post => {
                    if !is_late && is_remembered && !is_refused {
                        post.places(&entry.user).gone = Some(entry.origin.unwrap_or(position));
                    }
                    return !is_refused;
                }
                _ => return false,
            }
        }
        if is_refused {
            return false;
        }
        (post.exists, post.version) = (true, position);
        if !is_late {
            post.apply(entry, position, is_remembered);
        }
        true
    }
}

impl Post {
    fn new(params: &Params) -> Self {
        Self {
            figures: naive::Post::new(naive::Rules::of(params)),
            version: Position::START,
            exists: false,
            is_frozen: false,
            hold: None,
            users: BTreeMap::new(),
            exclusions: BTreeMap::new(),
            hours: BTreeMap::new(),
            decided: BTreeMap::new(),
            is_lane_held: false,
        }
    }

    fn places(&mut self, user: &UserId) -> &mut Places {
        let number = self.users.len() as u32;
        self.users.entry(user.clone()).or_insert(Places { number, ..Places::default() })
    }

    fn newest(&self, user: &UserId) -> Option<Position> {
        self.users.get(user).and_then(|places| places.rated.max(places.held).max(places.gone))
    }

    /// What the arithmetic keeps of a user.
    pub fn user(&self, places: &Places) -> naive::User {
        self.figures.users.get(&places.number).copied().unwrap_or_default()
    }

    /// The scores that count.
    pub fn histogram(&self) -> [u64; Score::COUNT] {
        let mut histogram = [0; Score::COUNT];
        let ratings = self.figures.users.values().filter_map(|user| user.rating);
        ratings.filter(|rating| !rating.is_out).for_each(|rating| histogram[rating.score as usize] += 1);
        histogram
    }

    /// How many ratings are held, and how many are excluded, held ones included.
    pub fn under_review(&self) -> (u64, u64) {
        let users = self.figures.users.values();
        let of = |user: &naive::User| {
            let is_out = user.rating.is_some_and(|rating| rating.is_out);
            let held = |is_out| u64::from(user.held.is_some_and(|held| held.is_out == is_out));
            (held(false), u64::from(is_out) + held(true))
        };
        users.map(of).fold((0, 0), |sum, user| (sum.0 + user.0, sum.1 + user.1))
    }

    fn note_hour(&mut self, arrivals: u64) {
        let Some((_, last)) = self.figures.span else { return };
        let histogram = self.histogram();
        let sum = histogram.iter().zip(0..).map(|(count, score)| count * score).sum();
        let hour = self.hours.entry(last.div_euclid(HOUR_MS) * HOUR_MS).or_default();
        *hour = (hour.0 + arrivals, histogram.iter().sum(), sum);
    }

    fn apply(&mut self, entry: &Entry, position: Position, is_remembered: bool) {
        let place = entry.origin.unwrap_or(position);
        match &entry.action {
            Action::Rate(score) => self.rate(entry, *score, place),
            Action::Withdraw => self.withdraw(entry, place, is_remembered),
            Action::Release(meant) => {
                let places = *self.places(&entry.user);
                let is_out = self.user(&places).held.is_none_or(|held| held.is_out);
                if places.held == Some(*meant) && !is_out {
                    self.figures.release(places.number, entry.at.ms());
                    *self.places(&entry.user) =
                        Places { rated: Some(place), held: None, gone: None, ..places };
                    self.note_hour(0);
                }
            }
            Action::Decide(decision) => self.decide(entry, decision, position),
            Action::Adopt(text) => self.adopt(entry, text, position),
        }
    }

    fn rate(&mut self, entry: &Entry, score: Score, place: Position) {
        let places = *self.places(&entry.user);
        let (number, value) = (places.number, f64::from(score.get()));
        let (at, is_stated) = (entry.at.ms(), entry.terms.is_stated);
        let says = self.figures.says(number, value, at, is_stated);
        let known = self.user(&places);
        let policy =
            if entry.terms.is_too_young { Hold::Always } else { self.hold.unwrap_or(entry.terms.hold) };
        let is_held = known.held.is_some_and(|held| !held.is_out)
            || match policy {
                Hold::Off => false,
                Hold::Always => true,
                Hold::Surge => {
                    self.is_lane_held = true;
                    self.figures.would_surge(number, value, at, is_stated)
                }
            };
        if is_held {
            self.figures.hold(number, value, at, is_stated);
        } else {
            self.figures.rate(number, value, at, is_stated);
        }
        let kept = self.places(&entry.user);
        match says {
            Says::Nothing => return,
            // What is out keeps its place.
            Says::Same => match (known.held, known.rating) {
                (Some(held), _) if !held.is_out => kept.held = Some(place),
                (None, Some(rating)) if !rating.is_out => kept.rated = Some(place),
                _ => {}
            },
            Says::New if is_held => (kept.held, kept.gone) = (Some(place), None),
            Says::New => *kept = Places { number, rated: Some(place), held: None, gone: None },
        }
        if says == Says::New {
            let is_out = |(id, it): (&Position, &Excluded)| it.keeps_out(*id, Some(place), at, value);
            if entry.origin.is_some() && self.exclusions.iter().any(is_out) {
                match self.figures.users.get_mut(&number).and_then(|user| user.held.as_mut()) {
                    Some(held) => held.is_out = true,
                    None => self.figures.set_out(number, true, at),
                }
            }
            self.note_hour(1);
        }
    }

    fn withdraw(&mut self, entry: &Entry, place: Position, is_remembered: bool) {
        let places = *self.places(&entry.user);
        let known = self.user(&places);
        self.figures.withdraw(places.number, entry.at.ms(), entry.terms.is_stated);
        let (had, has) = (known.rating.is_some() || known.held.is_some(), self.user(&places));
        let is_gone = had && has.rating.is_none() && has.held.is_none();
        if is_gone {
            *self.places(&entry.user) =
                Places { number: places.number, gone: Some(place), ..Places::default() };
            self.note_hour(0);
        } else if !had && known.mark.is_none() && is_remembered {
            self.places(&entry.user).gone = Some(place);
        }
    }

    fn decide(&mut self, entry: &Entry, Decision { deed, .. }: &Decision, position: Position) {
        let at = entry.at.ms();
        let done = match deed {
            Ruling::Freeze | Ruling::Thaw => {
                self.is_frozen = *deed == Ruling::Freeze;
                Done::default()
            }
            Ruling::Hold(hold) => {
                self.hold = *hold;
                Done::default()
            }
            Ruling::Exclude(window) => {
                let exclusion = Excluded { window: window.clone(), count: 0, is_undone: false };
                let done = self.turn(position, &exclusion, true, at);
                self.exclusions.insert(position, Excluded { count: done.touched, ..exclusion });
                done
            }
            Ruling::Undo(id) => match self.exclusions.get(id).filter(|it| !it.is_undone).cloned() {
                Some(exclusion) => {
                    let done = self.turn(*id, &exclusion, false, at);
                    self.exclusions.insert(*id, Excluded { is_undone: true, ..exclusion });
                    done
                }
                None => Done { is_refused: true, ..Done::default() },
            },
            Ruling::Approve(which) => self.judge(which, true, at, position),
            Ruling::Reject(which) => self.judge(which, false, at, position),
        };
        self.decided.insert(position, done);
    }

    /// Takes out what an exclusion covers, or puts back what no other covers.
    fn turn(&mut self, id: Position, exclusion: &Excluded, is_out: bool, at: i64) -> Done {
        let mut done = Done::default();
        let others: Vec<_> = self.exclusions.iter().filter(|(other, _)| !is_out && **other != id).collect();
        let is_meant = |was_out: bool, place: Option<Position>, own: i64, score: f64| {
            let is_kept_out = |(id, it): &(&Position, &Excluded)| it.keeps_out(**id, place, own, score);
            was_out != is_out && exclusion.keeps_out(id, place, own, score) && !others.iter().any(is_kept_out)
        };
        let (mut ratings, mut held) = (Vec::new(), Vec::new());
        for places in self.users.values() {
            let user = self.user(places);
            let rating = user.rating.filter(|it| is_meant(it.is_out, places.rated, it.own, it.score));
            ratings.extend(rating.map(|_| places.number));
            held.extend(
                user.held
                    .filter(|it| is_meant(it.is_out, places.held, it.own, it.score))
                    .map(|_| places.number),
            );
        }
        for number in ratings {
            self.figures.set_out(number, is_out, at);
            done.touched += 1;
        }
        for number in held {
            let held = self.figures.users.get_mut(&number).and_then(|user| user.held.as_mut());
            held.into_iter().for_each(|held| held.is_out = is_out);
            done.held += 1;
        }
        if done.touched > 0 {
            self.note_hour(0);
        }
        done
    }

    /// Lets held ratings count, or drops them.
    fn judge(&mut self, which: &Which, is_approval: bool, at: i64, position: Position) -> Done {
        let (mut done, mut is_moved) = (Done::default(), false);
        for (user, places) in self.users.clone() {
            let known = self.user(&places);
            let Some(held) = known.held.filter(|held| !held.is_out) else { continue };
            let is_meant = match which {
                Which::User(only) => *only == user,
                Which::Seen(only, score) => *only == user && f64::from(score.get()) == held.score,
                Which::Window(window) => {
                    let all = Excluded { window: window.clone(), count: 0, is_undone: false };
                    all.keeps_out(position, places.held, held.own, held.score)
                }
            };
            if !is_meant {
                continue;
            }
            done.touched += 1;
            let counted = known.rating.filter(|rating| !rating.is_out);
            if is_approval {
                is_moved |= counted.is_none_or(|rating| rating.score != held.score);
                self.figures.release(places.number, at);
                *self.places(&user) = Places { rated: Some(position), held: None, ..places };
            } else {
                self.figures.reject(places.number, at);
                *self.places(&user) = Places { gone: places.held, held: None, ..places };
            }
        }
        if is_moved {
            self.note_hour(0);
        }
        let is_of_one = !matches!(which, Which::Window(_));
        Done { is_refused: is_of_one && done.touched == 0, ..done }
    }

    /// Takes over a piece of another installation's state.
    fn adopt(&mut self, entry: &Entry, text: &str, position: Position) {
        let Ok(piece) = serde_json::from_str(text) else { panic!("an adopted state that cannot be read") };
        let places = *self.places(&entry.user);
        let known = self.user(&places);
        let is_same = |born: Time| self.figures.span.is_some_and(|(own, _)| own == born.ms());
        match piece {
            Adopted::Opening { average, is_frozen, hold } => {
                if self.figures.span.is_none() {
                    if let Some((born, last)) = average.born.zip(average.last) {
                        let clocks = [average.calm.clock, average.surge.clock];
                        self.figures.begin((born.ms(), last.ms()), average.intensity, clocks);
                    }
                    (self.is_frozen, self.hold) = (is_frozen, hold);
                }
            }
            // Only bits that rounding lost.
            Adopted::Closing { .. } => {}
            Adopted::Hour { hour, arrivals, average } => {
                self.hours.entry(hour.ms()).or_insert((arrivals, average.count(), average.sum()));
            }
            Adopted::Decision { decision, outcome, exclusion } => {
                if let (Some(state), Ruling::Exclude(window)) = (exclusion, &decision.deed) {
                    let (count, is_undone) = (state.excluded, state.is_undone);
                    self.exclusions.insert(position, Excluded { window: window.clone(), count, is_undone });
                }
                let is_refused = outcome.refused.is_some();
                self.decided
                    .insert(position, Done { touched: outcome.touched, held: outcome.held, is_refused });
            }
            Adopted::Rating { born, rated } => {
                let (score, own) = (f64::from(rated.row.score.get()), rated.rated_at.ms());
                if known.rating.is_some_and(|known| known.score == score && known.own == own) {
                    return;
                }
                if !is_same(born) || known.rating.is_some() || places.gone.is_some() {
                    if !rated.is_excluded {
                        let stated = Entry::new(
                            entry.post.clone(),
                            entry.user.clone(),
                            rated.rated_at,
                            Action::Rate(rated.row.score),
                        )
                        .stated();
                        self.rate(&stated, rated.row.score, position);
                    }
                    return;
                }
                let is_out = rated.is_excluded;
                let arrival = Arrival { lane: rated.row.lane, vest_clock: rated.row.vest_clock };
                let left = self.left(&arrival, is_out);
                let (missing_score, missing_count) =
                    (rated.row.unvested_sum * left.weight, rated.row.unvested_count * left.weight);
                let rating = Rating { score, left, missing_score, missing_count, own, is_out };
                self.figures.put_in(places.number, rating);
                self.places(&entry.user).rated = Some(position);
            }
            Adopted::Held { born, held } => {
                let is_decided = known.rating.is_some_and(|rating| rating.own >= held.rated_at.ms());
                if is_same(born) && known.held.is_none() && places.gone.is_none() && !is_decided {
                    let (score, own) = (f64::from(held.score.get()), held.rated_at.ms());
                    let (left, is_out) = (self.left(&held.arrival, false), held.is_excluded);
                    let user = self.figures.users.entry(places.number).or_default();
                    user.held = Some(Held { score, left, own, is_out });
                    self.places(&entry.user).held = Some(position);
                }
            }
            Adopted::Withdrawal { born, mark } => {
                let is_known = known.rating.is_some() || known.held.is_some() || places.gone.is_some();
                if is_same(born) && !is_known {
                    let left = self.left(&mark.arrival, false);
                    let user = self.figures.users.entry(places.number).or_default();
                    user.mark = Some((left, mark.withdrawn_at.ms()));
                    self.places(&entry.user).gone = Some(position);
                }
            }
        }
    }

    /// What is left of an arrival by the post's clocks; of what is out, by no clock.
    fn left(&self, arrival: &Arrival, is_out: bool) -> Left {
        let lane = if arrival.lane == LaneName::Calm { Lane::Calm } else { Lane::Surge };
        let clock = if is_out { 0.0 } else { self.figures.clocks[lane as usize] };
        Left { lane, weight: (arrival.vest_clock - clock).exp().min(1.0) }
    }
}
