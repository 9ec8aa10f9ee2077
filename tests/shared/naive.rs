//! A second, naive arithmetic: every rating by itself, with its own weight, and nothing summed up beforehand. It is written
//! from docs/SMOOTHING.md and shares no code with `src/smoothing`, so that a mistake has to be made twice.
//!
//! It is slow, and knows neither clocks nor lags: the weights of all ratings shrink as time goes by. The laws compare
//! random histories with it, chaos and the simulation what their databases hold at the end.

#![allow(dead_code, reason = "each of the three uses a part")]

use std::collections::{BTreeMap, HashMap};

use damper::entry::{Action, Entry};
use damper::smoothing::{Average, Params};

const SCALE: f64 = 5.0;
/// A decision nearer than this to its edge may fall to either side by rounding.
const TIE: f64 = 1e-9;
/// Of less than this share of an unvested mass nothing is left.
const KEPT_MIN: f64 = 1e-300;

/// The parameters, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub half_life: f64,
    pub doubling: f64,
    pub grace: f64,
    pub seed: f64,
    pub memory_half_life: f64,
    pub surge_factor: f64,
    pub surge_floor: f64,
}

impl Rules {
    /// Those that Damper runs with.
    pub fn of(params: &Params) -> Self {
        let (knobs, hour) = (params.knobs(), 3_600_000.0);
        Self {
            half_life: knobs.vest_half_life_hours * hour,
            doubling: knobs.max_doubling_days * 24.0 * hour,
            grace: knobs.grace_mass,
            seed: knobs.seed_weight,
            memory_half_life: knobs.surge_half_life_hours * hour,
            surge_factor: knobs.surge_factor,
            surge_floor: knobs.surge_floor,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lane {
    Calm,
    Surge,
}

/// What is left of an arrival.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    pub lane: Lane,
    pub weight: f64,
}

/// What an entry says, next to what is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Says {
    /// It comes too late.
    Nothing,
    /// What is known.
    Same,
    /// Something new.
    New,
}

/// A rating that counts or is out.
#[derive(Debug, Clone, Copy)]
pub struct Rating {
    pub score: f64,
    pub left: Left,
    /// The parts of its score and of its count that have yet to arrive.
    pub missing_score: f64,
    pub missing_count: f64,
    pub own: i64,
    pub is_out: bool,
}

/// A rating that waits for a moderator.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub score: f64,
    pub left: Left,
    pub own: i64,
    pub is_out: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct User {
    pub rating: Option<Rating>,
    pub held: Option<Held>,
    pub mark: Option<(Left, i64)>,
}

/// A post with all its ratings.
#[derive(Debug, Clone)]
pub struct Post {
    rules: Rules,
    /// Its birth and its last entry.
    pub span: Option<(i64, i64)>,
    /// Every arrival: when, and how much.
    arrivals: Vec<(i64, f64)>,
    /// By how much the unvested mass of the calm and the surge lane has shrunk: the logarithm of what it was over what is left.
    pub clocks: [f64; 2],
    pub users: BTreeMap<u32, User>,
    /// Whether a decision was too near to its edge.
    pub is_tie: bool,
}

impl Post {
    pub fn new(rules: Rules) -> Self {
        let (span, clocks, is_tie) = (None, [0.0; 2], false);
        Self { rules, span, arrivals: Vec::new(), clocks, users: BTreeMap::new(), is_tie }
    }

    /// Folds a log of ratings and withdrawals of one post.
    pub fn of_log<'a>(params: &Params, log: impl Iterator<Item = &'a Entry>) -> Self {
        let (mut post, mut numbers) = (Self::new(Rules::of(params)), HashMap::new());
        for entry in log {
            let next = numbers.len() as u32;
            let user = *numbers.entry(entry.user.clone()).or_insert(next);
            let (at, is_stated) = (entry.at.ms(), entry.terms.is_stated);
            match entry.action {
                Action::Rate(score) => post.rate(user, score.get().into(), at, is_stated),
                Action::Withdraw => post.withdraw(user, at, is_stated),
                Action::Decide(_) | Action::Release(_) | Action::Adopt(_) => {
                    panic!("a log of ratings has no decisions")
                }
            }
        }
        post
    }

    /// How an average differs from this post by more than rounding, unless a decision was too near to its edge.
    pub fn difference(&self, average: &Average, params: &Params) -> Option<String> {
        let found = average.smoothed_mean(params).zip(average.raw_mean());
        let expected = self.means();
        let vested = average.calm.vested + average.surge.vested;
        let own = self.vested(Lane::Calm) + self.vested(Lane::Surge);
        let is_close = |a: f64, b: f64| (a - b).abs() < self.slack();
        let is_same = match (found, expected) {
            (Some((mean, raw)), Some((other, other_raw))) => {
                is_close(mean, other) && is_close(raw, other_raw)
            }
            (found, expected) => found.is_none() && expected.is_none(),
        };
        let agrees = self.is_tie || is_same && is_close(vested, own);
        (!agrees).then(|| format!("{found:?} with {vested} vested, not {expected:?} with {own}"))
    }

    /// By how much a figure may differ: each arrival rounds what is left of all ratings once.
    pub fn slack(&self) -> f64 {
        1e-9 + 1e-15 * (self.arrivals.len() as f64).powi(2)
    }

    fn counted(&self) -> impl Iterator<Item = &Rating> {
        self.users.values().filter_map(|user| user.rating.as_ref()).filter(|rating| !rating.is_out)
    }

    fn in_lane(&self, lane: Lane) -> impl Iterator<Item = &Rating> {
        self.counted().filter(move |rating| rating.left.lane == lane)
    }

    /// The published mean, and the raw one.
    pub fn means(&self) -> Option<(f64, f64)> {
        let count = self.counted().count() as f64;
        let raw = self.counted().map(|rating| rating.score).sum::<f64>() / count;
        let settled: f64 = self.counted().map(|rating| 1.0 - rating.missing_count).sum();
        let sum: f64 = self.counted().map(|rating| rating.score - rating.missing_score).sum();
        (count > 0.0).then(|| ((sum + self.rules.seed * raw) / (settled + self.rules.seed), raw))
    }

    /// What has vested of the ratings of a lane.
    pub fn vested(&self, lane: Lane) -> f64 {
        self.in_lane(lane).map(|rating| 1.0 - rating.left.weight).sum()
    }

    /// Lets time go by.
    pub fn wait_until(&mut self, time: i64) {
        let Some((born, last)) = self.span.filter(|(_, last)| time > *last) else { return };
        let calm_room = self.rules.grace + self.vested(Lane::Calm);
        let surge_room = calm_room + self.vested(Lane::Surge);
        let ages =
            ((i128::from(last) - i128::from(born)) as f64, (i128::from(time) - i128::from(born)) as f64);
        for (lane, room) in [(Lane::Calm, calm_room), (Lane::Surge, surge_room)] {
            let unvested = self.in_lane(lane).map(|rating| rating.left.weight).sum();
            let kept = self.kept(lane, unvested, room, ages);
            self.clocks[lane as usize] -= kept.max(KEPT_MIN).ln();
            for user in self.users.values_mut() {
                if let Some(rating) = user.rating.as_mut().filter(|r| !r.is_out && r.left.lane == lane) {
                    rating.left.weight *= kept;
                    rating.missing_score *= kept;
                    rating.missing_count *= kept;
                }
                let held = user.held.as_mut().map(|held| &mut held.left);
                let mark = user.mark.as_mut().map(|(left, _)| left);
                held.into_iter()
                    .chain(mark)
                    .filter(|left| left.lane == lane)
                    .for_each(|left| left.weight *= kept);
            }
        }
        self.span = Some((born, time));
    }

    /// The share of a lane's unvested mass that is left when the post's age has gone from one to the other.
    fn kept(&self, lane: Lane, unvested: f64, room: f64, (mut age, end): (f64, f64)) -> f64 {
        let (fast, slow) = (2f64.ln() / self.rules.half_life, 2f64.ln() / self.rules.doubling);
        let (grown, mut mass, mut room) = (1.0 / slow, unvested, room);
        if lane == Lane::Calm && age < grown && fast * age * mass > room {
            let until = (age * (1.0 + mass / room) - 1.0 / fast).min(grown).min(end).max(age);
            mass -= room * (until - age) / age;
            room *= until / age;
            age = until;
        }
        if (lane == Lane::Surge || age >= grown) && age < end && fast * mass > slow * room {
            let span = ((fast * (mass + room) / ((fast + slow) * room)).ln() / slow).min(end - age).max(0.0);
            mass -= room * ((slow * span).exp() - 1.0);
            age += span;
        }
        let crowd = if unvested > 0.0 { (mass / unvested).clamp(0.0, 1.0) } else { 1.0 };
        crowd * (-fast * (end - age).max(0.0)).exp()
    }

    fn enter(&mut self, time: i64) {
        if self.span.is_none() {
            self.span = Some((time, time));
        }
        self.wait_until(time);
    }

    /// What is left of a user's last arrival.
    fn presence(&self, user: u32) -> Option<Left> {
        let user = self.users.get(&user)?;
        let held = user.held.map(|held| held.left);
        held.or(user.rating.map(|rating| rating.left)).or(user.mark.map(|(left, _)| left))
    }

    /// What has arrived lately.
    pub fn intensity(&self) -> f64 {
        let (_, now) = self.span.unwrap_or_default();
        let faded =
            |(at, amount): &(i64, f64)| amount * 0.5f64.powf((now - at) as f64 / self.rules.memory_half_life);
        self.arrivals.iter().map(faded).sum()
    }

    /// Counts an arrival and finds its lane.
    fn arrive(&mut self, user: u32, weight: f64) -> Lane {
        let (born, now) = self.span.unwrap_or_default();
        let presence = self.presence(user);
        let left = presence.map_or(0.0, |left| left.weight);
        if weight > left {
            self.arrivals.push((now, weight - left));
        }
        let intensity = self.intensity();
        let calm = self.in_lane(Lane::Calm).count() as f64;
        let known = (self.counted().count() as f64).min(4.0 * calm);
        let memory = self.rules.memory_half_life;
        let usual = known * (memory / 2f64.ln()) / ((now - born) as f64).max(memory);
        let edge = (self.rules.surge_factor * usual).max(self.rules.surge_floor);
        self.is_tie |= (intensity - edge).abs() < TIE * (1.0 + edge);
        self.lane(weight - left, presence, intensity > edge)
    }

    fn lane(&mut self, fresh: f64, presence: Option<Left>, is_surge: bool) -> Lane {
        let last = presence.unwrap_or(Left { lane: Lane::Calm, weight: 0.0 });
        self.is_tie |=
            (fresh - 0.1).abs() < TIE || last.lane == Lane::Surge && (fresh - last.weight).abs() < TIE;
        match fresh {
            fresh if fresh < 0.1 => last.lane,
            _ if is_surge => Lane::Surge,
            fresh if last.lane == Lane::Surge && fresh <= last.weight => Lane::Surge,
            _ => Lane::Calm,
        }
    }

    /// Whether an entry that states its time comes too late.
    fn is_old(&self, user: u32, time: i64, is_stated: bool) -> bool {
        let Some(user) = self.users.get(&user).filter(|_| is_stated) else { return false };
        match (user.held, user.rating, user.mark) {
            (Some(held), ..) => held.own > time || held.own == time && held.is_out,
            (None, Some(rating), _) => rating.own > time || rating.own == time && rating.is_out,
            (None, None, Some((_, own))) => own >= time,
            _ => false,
        }
    }

    /// What a rating says, next to what is known of its user.
    pub fn says(&self, user: u32, score: f64, time: i64, is_stated: bool) -> Says {
        let known = self.users.get(&user).copied().unwrap_or_default();
        let last = known.held.map(|held| held.score).or(known.rating.map(|rating| rating.score));
        match last {
            _ if self.is_old(user, time, is_stated) => Says::Nothing,
            Some(last) if last == score => Says::Same,
            _ => Says::New,
        }
    }

    /// Whether a rating would take the surge lane.
    pub fn would_surge(&mut self, user: u32, score: f64, time: i64, is_stated: bool) -> bool {
        if self.says(user, score, time, is_stated) != Says::New {
            return false;
        }
        let mut after = self.clone();
        after.enter(time);
        let weight = after.step(user, score, time).left.weight;
        let lane = after.arrive(user, weight);
        self.is_tie |= after.is_tie;
        lane == Lane::Surge
    }

    /// The score that a user's rating has, if it counts.
    fn old(&self, user: u32) -> Option<Rating> {
        self.users.get(&user)?.rating.filter(|rating| !rating.is_out)
    }

    /// The new rating that replaces the user's, and its weight; without a lane yet.
    fn step(&self, user: u32, score: f64, own: i64) -> Rating {
        let (mut missing_score, mut missing_count, mut weight) = (score, 1.0, 1.0);
        if let Some(old) = self.old(user) {
            missing_score = old.missing_score + (score - old.score);
            missing_count = old.missing_count;
            // |missing_score − y·missing_count| ≤ 5·weight at both ends of the scale.
            let needed = missing_score.abs().max((missing_score - SCALE * missing_count).abs()) / SCALE;
            weight = needed.max(old.left.weight).min(1.0);
        }
        let left = Left { lane: Lane::Calm, weight };
        Rating { score, left, missing_score, missing_count, own, is_out: false }
    }

    pub fn rate(&mut self, user: u32, score: f64, time: i64, is_stated: bool) {
        let held = self.users.get(&user).and_then(|user| user.held);
        if held.is_some_and(|held| !held.is_out) {
            return self.hold(user, score, time, is_stated);
        }
        if self.says(user, score, time, is_stated) != Says::New {
            return;
        }
        self.enter(time);
        let mut rating = self.step(user, score, time);
        rating.left.lane = self.arrive(user, rating.left.weight);
        self.users.insert(user, User { rating: Some(rating), ..User::default() });
    }

    pub fn hold(&mut self, user: u32, score: f64, time: i64, is_stated: bool) {
        if self.says(user, score, time, is_stated) != Says::New {
            return;
        }
        self.enter(time);
        let weight = self.step(user, score, time).left.weight;
        let presence = self.presence(user);
        let lane = self.arrive(user, weight);
        let weight = presence.filter(|left| weight <= left.weight).map_or(weight, |left| left.weight);
        let kept = self.users.entry(user).or_default();
        let left = Left { lane, weight };
        (kept.held, kept.mark) = (Some(Held { score, left, own: time, is_out: false }), None);
    }

    pub fn withdraw(&mut self, user: u32, time: i64, is_stated: bool) {
        let known = self.users.get(&user).copied().unwrap_or_default();
        if self.is_old(user, time, is_stated) || known.rating.is_none() && known.held.is_none() {
            return;
        }
        self.enter(time);
        let mark = self.presence(user).map(|left| (left, time));
        self.users.insert(user, User { mark, ..User::default() });
    }

    pub fn set_out(&mut self, user: u32, is_out: bool, time: i64) {
        let is_meant = |user: &User| user.rating.is_some_and(|rating| rating.is_out != is_out);
        if !self.users.get(&user).is_some_and(is_meant) {
            return;
        }
        self.enter(time);
        if let Some(rating) = self.users.get_mut(&user).and_then(|user| user.rating.as_mut()) {
            rating.is_out = is_out;
        }
    }

    /// Takes the rating that counts, or the one that is out, as it was kept elsewhere; it is no arrival.
    pub fn put_in(&mut self, user: u32, rating: Rating) {
        self.users.entry(user).or_default().rating = Some(rating);
    }

    /// Begins with a past: a birth, a last entry, what has arrived lately, and how far the lanes are.
    pub fn begin(&mut self, (born, last): (i64, i64), intensity: f64, clocks: [f64; 2]) {
        (self.span, self.clocks) = (Some((born, last)), clocks);
        self.arrivals.push((last, intensity));
    }

    /// Takes a user's held rating, unless it is out.
    fn take_held(&mut self, user: u32) -> Option<Held> {
        self.users.get_mut(&user)?.held.take_if(|held| !held.is_out)
    }

    pub fn release(&mut self, user: u32, time: i64) {
        let Some(held) = self.take_held(user) else { return };
        if self.old(user).is_some_and(|old| old.score == held.score) {
            return;
        }
        self.enter(time);
        let mut rating = self.step(user, held.score, held.own);
        rating.left.lane = match self.old(user) {
            None => held.left.lane,
            Some(old) => {
                let is_surge = held.left.lane == Lane::Surge;
                self.lane(rating.left.weight - old.left.weight, Some(old.left), is_surge)
            }
        };
        self.users.entry(user).or_default().rating = Some(rating);
    }

    pub fn reject(&mut self, user: u32, time: i64) {
        let Some(held) = self.take_held(user) else { return };
        let known = self.users.entry(user).or_default();
        if known.rating.is_none() {
            known.mark = Some((held.left, time));
        }
    }
}
