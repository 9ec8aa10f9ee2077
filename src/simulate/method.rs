//! The ways to publish a mean that are compared: the exact mean, a Bayesian average, the old mean with a share of every batch,
//! and Damper under each setting.

use super::replay::Replayed;
use super::settings::Setting;
use super::spool::Rating;
use crate::model::{MINUTE_MS, Time};
use crate::smoothing::Average;

/// Ratings that the Bayesian average begins with.
pub const PRIOR_RATINGS: f64 = 25.0;
/// What a batch takes of the mean, in the rule of the ticks.
pub const BATCH_SHARE: f64 = 0.1;
/// Between two ticks.
pub const TICK_MS: i64 = 5 * MINUTE_MS;
/// The rivals' names, in the order of all tables.
pub const RIVALS: [&str; 3] = ["raw mean", "Bayesian, C = 25", "old·.9 + batch·.1"];

/// How a post's mean went under every method.
pub struct Courses<'a> {
    settings: &'a [Setting],
    /// Under each setting.
    pub replayed: Vec<Replayed>,
    /// The mean that the Bayesian average begins with.
    prior: f64,
    /// The mean after each tick, by the rule of the ticks.
    ticks: Vec<(Time, f64)>,
}

impl<'a> Courses<'a> {
    /// The courses of one post; `prior` is the mean of all posts.
    pub fn new(settings: &'a [Setting], replayed: Vec<Replayed>, ratings: &[Rating], prior: f64) -> Self {
        Self { settings, replayed, prior, ticks: by_ticks(ratings) }
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
            2 => {
                let next = self.ticks.partition_point(|(tick, _)| *tick <= moment);
                Some(self.ticks.get(next.checked_sub(1)?)?.1)
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
