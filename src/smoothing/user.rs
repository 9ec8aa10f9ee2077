//! What is kept for one user and one post, and what each kind of entry makes of it and of the post's average.
//!
//! Only what is new arrives. An edit brings no more weight than its step needs, a score that is known already brings
//! nothing, and a user who withdraws and returns brings what has vested of their last arrival. So one account is one
//! arrival, whatever it does (docs/SMOOTHING.md, "An arrival"). Positions in the log, and which entry may act, are left
//! to the merge.

use serde::{Deserialize, Serialize};

use super::average::Average;
use super::params::Params;
use super::row::{LaneName, Row, one_zero};
use crate::faults::{self, Mistake};
use crate::model::{Score, Time};

/// The largest difference between two scores.
const SCALE: f64 = Score::MAX as f64;
/// Below this much of new weight an entry stays in the lane of the user's last arrival.
const FRESH_MIN: f64 = 0.1;

/// 2^-54: a weight below this changes no bit of 1 when it is added or taken away.
const FADED: f64 = f64::EPSILON / 4.0;

/// What is left of a user's last arrival.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Arrival {
    /// The lane that it took.
    pub lane: LaneName,
    /// z: the lane's clock when the weight was 1.
    pub vest_clock: f64,
}

impl Arrival {
    /// w = e^(z − Z): what has yet to vest of it, with the lane's clock at `clock`; 0 to 1.
    pub(super) fn weight(&self, clock: f64) -> f64 {
        (self.vest_clock - clock).exp()
    }
}

/// A rating that counts, or that a moderator excluded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    /// Score, lane and unvested part.
    #[serde(flatten)]
    pub row: Row,
    /// The rating's own time.
    pub rated_at: Time,
    /// Whether it is excluded.
    pub is_excluded: bool,
}

/// A rating that waits for a moderator. Beside it there may be one that counts, or an excluded one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The score that it will count with.
    pub score: Score,
    /// Its arrival.
    #[serde(flatten)]
    pub arrival: Arrival,
    /// The rating's own time.
    pub rated_at: Time,
    /// Whether an exclusion covers it. Then the user's next rating replaces it instead of being held as well.
    pub is_excluded: bool,
}

/// What a withdrawal or a rejection leaves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The arrival that was withdrawn.
    #[serde(flatten)]
    pub arrival: Arrival,
    /// The time of the withdrawal.
    pub withdrawn_at: Time,
}

impl Mark {
    /// Whether so little of it is left that it changes no bit of what comes, in a post whose average is this now.
    pub fn has_faded(&self, average: &Average) -> bool {
        self.arrival.weight(average.lane(self.arrival.lane).clock) < FADED
    }
}

/// What is kept for a user and a post. There is no mark beside a rating.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UserState {
    /// The user's rating.
    pub rated: Option<Rated>,
    /// The user's held rating.
    pub held: Option<Held>,
    /// The mark of the user's last withdrawal.
    pub mark: Option<Mark>,
}

/// The time of a user's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The entry's own time.
    pub at: Time,
    /// Whether the entry states it, as imports do. Then it changes nothing if something later is known.
    pub is_stated: bool,
}

/// What an entry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: there was nothing to act on, or something later is known.
    Nothing,
    /// It said again what is known.
    Repeat,
    /// It changed what is kept.
    Change,
}

/// What a score needs: w', P and Q of docs/SMOOTHING.md.
struct Step {
    weight: f64,
    unvested_sum: f64,
    unvested_count: f64,
}

impl UserState {
    /// Folds in a rating; one by a user with a held rating is held.
    pub fn rate(&mut self, average: &mut Average, score: Score, when: When, params: &Params) -> Effect {
        if self.held.is_some_and(|held| !held.is_excluded) {
            return self.hold(average, score, when, params);
        }
        if let Some(effect) = self.settled(score, when) {
            return effect;
        }
        average.enter(when.at, params);
        let step = self.step(average, score);
        let presence = self.presence(average);
        let lane = arrive(average, step.weight, presence, params);
        let row = self.replace(average, step, score, lane);
        *self = Self { rated: Some(Rated { row, rated_at: when.at, is_excluded: false }), ..Self::default() };
        Effect::Change
    }

    /// Keeps a rating for a moderator. It arrives as [`rate`](Self::rate) would, and counts for nothing else.
    pub fn hold(&mut self, average: &mut Average, score: Score, when: When, params: &Params) -> Effect {
        if let Some(effect) = self.settled(score, when) {
            return effect;
        }
        average.enter(when.at, params);
        let (step, presence) = (self.step(average, score), self.presence(average));
        let lane = arrive(average, step.weight, presence, params);
        let clock = average.lane(lane).clock;
        let kept =
            presence.filter(|presence| step.weight <= presence.weight(average.lane(presence.lane).clock));
        let vest_clock = kept.map_or(one_zero(clock + step.weight.ln()), |presence| presence.vest_clock);
        let arrival = Arrival { lane, vest_clock };
        self.held = Some(Held { score, arrival, rated_at: when.at, is_excluded: false });
        self.mark = None;
        Effect::Change
    }

    /// The lane that a rating would take; `None` if it would change nothing.
    pub fn lane_of(&self, average: &Average, score: Score, when: When, params: &Params) -> Option<LaneName> {
        if self.settled(score, when).is_some() {
            return None;
        }
        let mut average = *average;
        average.enter(when.at, params);
        let step = self.step(&average, score);
        let presence = self.presence(&average);
        Some(arrive(&mut average, step.weight, presence, params))
    }

    /// Takes the user's rating and held rating out for good, and leaves a mark. Returns whether there was one.
    pub fn withdraw(&mut self, average: &mut Average, when: When, params: &Params) -> bool {
        if self.is_newer_than(when) || self.rated.is_none() && self.held.is_none() {
            return false;
        }
        average.enter(when.at, params);
        let presence = self.presence(average);
        if let Some(row) = self.counted() {
            average.take_out(&row, row.weight(average.lane(row.lane).clock));
        }
        let mark = presence.map(|arrival| Mark { arrival, withdrawn_at: when.at });
        *self = Self { mark, ..Self::default() };
        true
    }

    /// Takes the rating out so that it can be restored. It keeps its lag behind the clock, since it does not vest.
    /// Returns whether there was one that counts.
    pub fn exclude(&mut self, average: &mut Average, at: Time, params: &Params) -> bool {
        let Some(rated) = self.rated.as_mut().filter(|rated| !rated.is_excluded) else { return false };
        average.enter(at, params);
        let clock = average.lane(rated.row.lane).clock;
        average.take_out(&rated.row, rated.row.weight(clock));
        rated.row.vest_clock = one_zero(rated.row.vest_clock - clock);
        rated.is_excluded = true;
        true
    }

    /// Puts the excluded rating back into its lane, vested as far as it was. Returns whether there was one.
    pub fn restore(&mut self, average: &mut Average, at: Time, params: &Params) -> bool {
        let Some(rated) = self.rated.as_mut().filter(|rated| rated.is_excluded) else { return false };
        average.enter(at, params);
        // `vest_clock` holds the lag now, which is the weight at a clock of zero.
        average.put(&rated.row, rated.row.weight(0.0));
        rated.row.vest_clock = one_zero(average.lane(rated.row.lane).clock + rated.row.vest_clock);
        rated.is_excluded = false;
        true
    }

    /// Lets the held rating count, with its own time. This is no arrival: it arrived when it was held. Returns whether
    /// there was one.
    pub fn release(&mut self, average: &mut Average, at: Time, params: &Params) -> bool {
        let Some(held) = self.held.take_if(|held| !held.is_excluded) else { return false };
        let counted = self.counted();
        if counted.is_some_and(|row| row.score == held.score) {
            return true;
        }
        average.enter(at, params);
        let step = self.step(average, held.score);
        let lane = match counted {
            None => held.arrival.lane,
            Some(row) => {
                let (weight, is_surge) =
                    (row.weight(average.lane(row.lane).clock), held.arrival.lane == LaneName::Surge);
                lane_of(step.weight - weight, weight, row.lane, is_surge)
            }
        };
        if let Some(row) = counted.filter(|_| faults::has(Mistake::ReleaseBeside)) {
            average.put(&row, row.weight(average.lane(row.lane).clock));
        }
        let row = self.replace(average, step, held.score, lane);
        self.rated = Some(Rated { row, rated_at: held.rated_at, is_excluded: false });
        true
    }

    /// Drops the held rating; without a rating beside it, its mark stays. Returns whether there was one.
    pub fn reject(&mut self, at: Time) -> bool {
        let Some(held) = self.held.take_if(|held| !held.is_excluded) else { return false };
        if self.rated.is_none() {
            self.mark = Some(Mark { arrival: held.arrival, withdrawn_at: at });
        }
        true
    }

    /// The row of the rating that counts.
    fn counted(&self) -> Option<Row> {
        self.rated.filter(|rated| !rated.is_excluded).map(|rated| rated.row)
    }

    /// The effect of a rating that changes nothing, because its score is known already, or something later is.
    fn settled(&self, score: Score, when: When) -> Option<Effect> {
        let known = self.held.map(|held| held.score).or(self.rated.map(|rated| rated.row.score));
        if self.is_newer_than(when) {
            return Some(Effect::Nothing);
        }
        (known == Some(score)).then_some(Effect::Repeat)
    }

    /// Whether what is known is later than an entry that states its time. At the same time the log's order wins, but
    /// nothing that was withdrawn or excluded comes back.
    fn is_newer_than(&self, when: When) -> bool {
        let held = self.held.map(|held| (held.rated_at, held.is_excluded));
        let rated = self.rated.map(|rated| (rated.rated_at, rated.is_excluded));
        let mark = self.mark.map(|mark| (mark.withdrawn_at, true));
        let is_later = |(own, is_gone): (Time, bool)| own > when.at || own == when.at && is_gone;
        when.is_stated && held.or(rated).or(mark).is_some_and(is_later)
    }

    /// What is left of the user's last arrival, once the average has advanced.
    fn presence(&self, average: &Average) -> Option<Arrival> {
        let rated = self.rated.map(|Rated { row, is_excluded, .. }| {
            let since = if is_excluded { average.lane(row.lane).clock } else { 0.0 };
            Arrival { lane: row.lane, vest_clock: since + row.vest_clock }
        });
        self.held.map(|held| held.arrival).or(rated).or(self.mark.map(|mark| mark.arrival))
    }

    /// What a score needs. A new rating is unvested wholly. An edit keeps what has settled, and needs the least weight,
    /// not below the row's own, that holds |P − yQ| ≤ 5w' for every y of the scale.
    fn step(&self, average: &Average, score: Score) -> Step {
        let new = f64::from(score.get());
        let Some(old) = self.counted() else {
            return Step { weight: 1.0, unvested_sum: new, unvested_count: 1.0 };
        };
        let weight = old.weight(average.lane(old.lane).clock);
        let unvested_sum = old.unvested_sum * weight + new - f64::from(old.score.get());
        let unvested_count = old.unvested_count * weight;
        let least = (unvested_sum.abs() / SCALE).max((unvested_sum - SCALE * unvested_count).abs() / SCALE);
        Step { weight: weight.max(least).min(1.0), unvested_sum, unvested_count }
    }

    /// Puts a row of that step in place of the one that counts.
    fn replace(&self, average: &mut Average, step: Step, score: Score, lane: LaneName) -> Row {
        let Step { weight, unvested_sum, unvested_count } = step;
        if let Some(old) = self.counted() {
            average.take_out(&old, old.weight(average.lane(old.lane).clock));
        }
        let row = Row {
            score,
            lane,
            vest_clock: one_zero(average.lane(lane).clock + weight.ln()),
            unvested_sum: one_zero(unvested_sum / weight),
            unvested_count: one_zero(unvested_count / weight),
        };
        average.put(&row, weight);
        row
    }
}

/// Counts an arrival of `weight` and returns its lane: only what goes beyond the user's last arrival is new. Called before
/// the old row goes, because the post's history includes it.
fn arrive(average: &mut Average, weight: f64, presence: Option<Arrival>, params: &Params) -> LaneName {
    let (left, lane) = presence.map_or((0.0, LaneName::Calm), |presence| {
        (presence.weight(average.lane(presence.lane).clock), presence.lane)
    });
    let fresh = weight - left;
    average.intensity += fresh.max(0.0);
    lane_of(fresh, left, lane, average.is_surging(params))
}

/// The lane of an entry that brings `fresh` weight, by a user whose last arrival has the weight `left` in `lane`.
fn lane_of(fresh: f64, left: f64, lane: LaneName, is_surge: bool) -> LaneName {
    if fresh < FRESH_MIN {
        lane
    } else if is_surge || lane == LaneName::Surge && fresh <= left {
        LaneName::Surge
    } else {
        LaneName::Calm
    }
}

#[cfg(test)]
impl UserState {
    /// A new user's rating, folded in.
    pub(crate) fn rated(average: &mut Average, score: i64, at: Time, params: &Params) -> Self {
        let mut user = Self::default();
        user.rate(average, Score::parse(score).unwrap(), When { at, is_stated: false }, params);
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DAY_MS;
    use crate::smoothing::Knobs;

    #[test]
    fn a_mark_fades_when_so_much_time_has_passed_that_it_changes_no_bit() {
        let params = Params::new(&Knobs::default()).unwrap();
        let at = |days: i64| Time::from_ms(1_700_000_000_000).plus_ms(days * DAY_MS);
        let mut average = Average::default();
        let mut user = UserState::rated(&mut average, 5, at(0), &params);
        assert!(user.withdraw(&mut average, When { at: at(0), is_stated: false }, &params));
        let mark = user.mark.expect("it leaves a mark");
        // A day halves the weight: after 53 of them a quarter of an epsilon is not reached yet, after 55 it is passed.
        assert!(!mark.has_faded(&average) && !mark.has_faded(&average.at(at(53), &params)));
        assert!(mark.has_faded(&average.at(at(55), &params)));
    }
}
