//! The ways to publish a mean that are compared: the exact mean, a Bayesian average, the old mean with a share of every batch,
//! weights that fade, means that follow slowly, and Damper under each setting.

use super::replay::Replayed;
use super::settings::Setting;
use super::spool::Rating;
use crate::model::{DAY_MS, MINUTE_MS, Time};
use crate::smoothing::Average;

/// Ratings that the Bayesian average begins with.
pub const PRIOR_RATINGS: f64 = 25.0;
/// What a batch takes of the mean, in the rule of the ticks.
pub const BATCH_SHARE: f64 = 0.1;
/// Between two ticks.
pub const TICK_MS: i64 = 5 * MINUTE_MS;
/// The half-life of a rating's weight, where older ones count less.
const DECAY_MS: f64 = 30.0 * DAY_MS as f64;
/// How long a low-pass takes to follow by 63 %.
const LOW_PASS_MS: [f64; 2] = [7.0 * DAY_MS as f64, 14.0 * DAY_MS as f64];
/// The rivals' names, in the order of all tables.
pub const RIVALS: [&str; 6] = [
    "raw mean",
    "Bayesian, C = 25",
    "old·.9 + batch·.1",
    "forward decay, 30 d",
    "low-pass, 7 d",
    "low-pass, 14 d",
];
/// So many of them are drawn.
pub const DRAWN: usize = 3;

/// How a post's mean went under every method.
pub struct Courses<'a> {
    settings: &'a [Setting],
    /// Under each setting.
    pub replayed: Vec<Replayed>,
    /// The mean that the Bayesian average begins with.
    prior: f64,
    /// The mean after each tick, by the rule of the ticks, and where older ratings count less.
    steps: [Vec<(Time, f64)>; 2],
    /// The mean after each tick by each low-pass, and the exact mean that it moves to from there.
    passes: [Vec<(Time, f64, f64)>; LOW_PASS_MS.len()],
}

impl<'a> Courses<'a> {
    /// The courses of one post; `prior` is the mean of all posts.
    pub fn new(settings: &'a [Setting], replayed: Vec<Replayed>, ratings: &[Rating], prior: f64) -> Self {
        let steps = [by_ticks(ratings), by_decay(ratings)];
        let passes = LOW_PASS_MS.map(|ms| by_low_pass(ratings, ms));
        Self { settings, replayed, prior, steps, passes }
    }

    /// How many methods there are.
    pub fn count(&self) -> usize {
        RIVALS.len() + self.settings.len()
    }

    /// What a method publishes at a moment.
    pub fn at(&self, method: usize, moment: Time) -> Option<f64> {
        let exact = || self.replayed.first()?.before(moment);
        match method {
            0 => exact()?.raw_mean(),
            1 => exact().map(|average| self.bayesian(average)),
            2 | 3 => {
                let steps = &self.steps[method - 2];
                let next = steps.partition_point(|(tick, _)| *tick <= moment);
                Some(steps.get(next.checked_sub(1)?)?.1)
            }
            4 | 5 => {
                let (steps, slow_ms) = (&self.passes[method - 4], LOW_PASS_MS[method - 4]);
                let next = steps.partition_point(|(tick, ..)| *tick <= moment);
                let (tick, mean, exact) = steps.get(next.checked_sub(1)?)?;
                Some(followed(*mean, *exact, moment.ms() - tick.ms(), slow_ms))
            }
            _ => {
                let setting = &self.settings[method - RIVALS.len()];
                self.replayed[method - RIVALS.len()]
                    .at(moment, &setting.params)?
                    .smoothed_mean(&setting.params)
            }
        }
    }

    /// The exact mean at a moment.
    pub fn raw(&self, moment: Time) -> Option<f64> {
        self.at(0, moment)
    }

    fn bayesian(&self, average: &Average) -> f64 {
        (PRIOR_RATINGS * self.prior + average.sum() as f64) / (PRIOR_RATINGS + average.count() as f64)
    }
}

fn tick_of(rating: &Rating) -> Time {
    Time::from_ms((rating.at.ms().div_euclid(TICK_MS) + 1) * TICK_MS)
}

/// The weighted mean after every tick that had ratings; between ratings it does not change.
fn by_decay(ratings: &[Rating]) -> Vec<(Time, f64)> {
    let (mut weight, mut sum, mut last) = (0.0, 0.0, Time::default());
    let mut steps: Vec<(Time, f64)> = Vec::new();
    for rating in ratings {
        let left = (-((rating.at.ms() - last.ms()) as f64) / DECAY_MS).exp2();
        (weight, sum) = (weight * left + 1.0, sum * left + f64::from(rating.score.get()));
        last = rating.at;
        note(&mut steps, tick_of(rating), |step| step.0, (tick_of(rating), sum / weight));
    }
    steps
}

/// A mean that follows the exact one, after every tick that had ratings, and where the exact one was.
fn by_low_pass(ratings: &[Rating], slow_ms: f64) -> Vec<(Time, f64, f64)> {
    let (mut count, mut sum) = (0.0, 0.0);
    let mut steps: Vec<(Time, f64, f64)> = Vec::new();
    for batch in ratings.chunk_by(|a, b| tick_of(a) == tick_of(b)) {
        count += batch.len() as f64;
        sum += batch.iter().map(|rating| f64::from(rating.score.get())).sum::<f64>();
        let (tick, exact) = (tick_of(&batch[0]), sum / count);
        let mean = steps
            .last()
            .map_or(exact, |(last, mean, old)| followed(*mean, *old, tick.ms() - last.ms(), slow_ms));
        steps.push((tick, mean, exact));
    }
    steps
}

fn followed(mean: f64, exact: f64, ms: i64, slow_ms: f64) -> f64 {
    exact + (mean - exact) * (-(ms as f64) / slow_ms).exp()
}

/// Adds a step, in place of one of the same tick.
fn note<T>(steps: &mut Vec<T>, tick: Time, tick_of: impl Fn(&T) -> Time, step: T) {
    if steps.last().is_some_and(|last| tick_of(last) == tick) {
        steps.pop();
    }
    steps.push(step);
}

/// The mean after every tick that had ratings. It counts every rating as it comes, edits too, as this rule does.
fn by_ticks(ratings: &[Rating]) -> Vec<(Time, f64)> {
    let mut ticks: Vec<(Time, f64)> = Vec::new();
    let of = |rating: &Rating| rating.at.ms().div_euclid(TICK_MS);
    for batch in ratings.chunk_by(|a, b| of(a) == of(b)) {
        let sum: f64 = batch.iter().map(|rating| f64::from(rating.score.get())).sum();
        let mean = sum / batch.len() as f64;
        let old = ticks.last().map_or(mean, |(_, old)| *old);
        let tick = Time::from_ms((of(&batch[0]) + 1) * TICK_MS);
        ticks.push((tick, old * (1.0 - BATCH_SHARE) + mean * BATCH_SHARE));
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Score, UserId};

    #[test]
    fn the_rivals_do_what_their_names_say() {
        let rating = |hours: i64, score: i64| Rating {
            user: UserId::parse("u").unwrap(),
            score: Score::parse(score).unwrap(),
            at: Time::from_ms(hours * 60 * MINUTE_MS),
        };
        let ratings = [rating(0, 4), rating(30 * 24, 1)];
        let [ticks, decay] = [by_ticks(&ratings), by_decay(&ratings)].map(|steps| steps[1].1);
        assert!((ticks - (4.0 * 0.9 + 0.1)).abs() < 1e-12);
        assert!(
            (decay - (4.0 * 0.5 + 1.0) / 1.5).abs() < 1e-3,
            "half of the weight is left after thirty days"
        );
        let (tick, mean, exact) = by_low_pass(&ratings, LOW_PASS_MS[0])[1];
        assert_eq!((mean, exact), (4.0, 2.5), "it has not moved yet");
        assert_eq!(tick.ms(), 30 * DAY_MS + TICK_MS);
        assert!(
            (followed(mean, exact, 7 * DAY_MS, LOW_PASS_MS[0]) - (2.5 + 1.5 / std::f64::consts::E)).abs()
                < 1e-12
        );
    }
}
