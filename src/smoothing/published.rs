//! The figures of an average, made in one place: posts, events, explanations, alerts, histories, flushes, the audit and
//! the command line all show these, so a figure means the same everywhere.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::average::Average;
use super::params::Params;

/// What is published of an average.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
// Rows of the audit that were written before the last three figures were kept lack them.
#[serde(default)]
#[schema(as = Figures)]
pub struct Published {
    /// The published, smoothed mean; null without ratings
    #[schema(required)]
    pub average: Option<f64>,
    /// The exact mean; null without ratings
    #[schema(required)]
    pub raw_average: Option<f64>,
    /// Ratings that count
    #[schema(required)]
    pub count: u64,
    /// Ratings' worth of weight that has yet to arrive in `average`, as a whole number
    #[schema(required)]
    pub phasing_in: u64,
    /// So much is phasing in that the pace limit sets the speed
    #[schema(required)]
    pub crowded: bool,
    /// So few ratings have settled that `average` says little yet
    #[schema(required)]
    pub early: bool,
}

impl Published {
    /// The figures of an average as it is; for another moment, evaluate it first ([`Average::at`]).
    pub fn of(average: &Average, params: &Params) -> Self {
        Self {
            average: average.smoothed_mean(params),
            raw_average: average.raw_mean(),
            count: average.count(),
            phasing_in: average.unvested().round() as u64,
            crowded: average.is_crowded(params),
            early: average.is_early(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use crate::smoothing::{Knobs, UserState};

    #[test]
    fn the_figures_are_those_of_the_average() {
        let params = Params::new(&Knobs::default()).unwrap();
        assert_eq!(
            Published::of(&Average::default(), &params),
            Published { early: true, ..Published::default() }
        );
        let mut average = Average::default();
        for (i, score) in [5, 4, 0].into_iter().enumerate() {
            UserState::rated(&mut average, score, Time::from_ms(1_700_000_000_000 + i as i64), &params);
        }
        let published = Published::of(&average, &params);
        assert_eq!((published.raw_average, published.count), (Some(3.0), 3));
        assert_eq!(published.average, average.smoothed_mean(&params));
        assert_eq!(published.phasing_in, average.unvested().round() as u64);
        assert!(published.early);
    }
}
