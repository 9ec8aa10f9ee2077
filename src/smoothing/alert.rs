//! When an average needs a moderator's eyes: a burst is phasing in, and it will move the published mean far enough for
//! readers to notice.

use super::average::Average;
use super::params::{AlertThresholds, Params};

/// What an average says about an alert: |m − y|, how far the published mean has yet to move, in stars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AlertLevel {
    /// It is none, and ends one.
    Over,
    /// One that has begun goes on; none begins.
    Fading(f64),
    /// It is one.
    Raised(f64),
}

impl AlertLevel {
    /// The shift of what is, or goes on to be, an alert.
    pub fn shift(self) -> Option<f64> {
        match self {
            Self::Over => None,
            Self::Fading(shift) | Self::Raised(shift) => Some(shift),
        }
    }
}

impl Average {
    /// Whether the average as it is is an alert.
    pub fn alert_level(&self, params: &Params) -> AlertLevel {
        let Some((raw, published)) = self.raw_mean().zip(self.smoothed_mean(params)) else {
            return AlertLevel::Over;
        };
        let (shift, unvested, above) = ((raw - published).abs(), self.unvested(), params.alerts());
        let reaches = |t: AlertThresholds| unvested >= t.ratings_min && shift >= t.shift_min;
        if !reaches(above.halved()) || !(self.is_surging(params) || self.is_crowded(params)) {
            AlertLevel::Over
        } else if reaches(above) {
            AlertLevel::Raised(shift)
        } else {
            AlertLevel::Fading(shift)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DAY_MS, Time};
    use crate::smoothing::{Knobs, UserState};

    #[test]
    fn a_burst_raises_an_alert_by_the_thresholds_that_were_set() {
        let params = Params::new(&Knobs::default()).unwrap();
        let at = |ms: i64| Time::from_ms(1_700_000_000_000).plus_ms(ms);
        let mut average = Average::default();
        for i in 0..40 {
            UserState::rated(&mut average, 4, at(i * DAY_MS), &params);
        }
        assert_eq!(average.alert_level(&params), AlertLevel::Over);
        for i in 0..40 {
            UserState::rated(&mut average, 0, at(40 * DAY_MS + i * 1_000), &params);
        }
        let far = (average.raw_mean().unwrap() - average.smoothed_mean(&params).unwrap()).abs();
        let level = |ratings_min, shift_min| {
            let thresholds = AlertThresholds { ratings_min, shift_min };
            let params = params.with_alerts(thresholds);
            assert_eq!(params.alerts(), thresholds);
            average.alert_level(&params)
        };
        let unvested = average.unvested();
        assert_eq!(level(unvested / 2.0, far / 2.0), AlertLevel::Raised(far));
        assert_eq!(level(unvested * 1.5, far / 2.0), AlertLevel::Fading(far));
        assert_eq!(level(unvested / 2.0, far * 1.5), AlertLevel::Fading(far));
        assert_eq!(level(unvested * 2.5, far / 2.0), AlertLevel::Over);
        assert_eq!(level(unvested / 2.0, far * 2.5), AlertLevel::Over);
        let shifts =
            [AlertLevel::Over, AlertLevel::Fading(0.5), AlertLevel::Raised(0.75)].map(AlertLevel::shift);
        assert_eq!(shifts, [None, Some(0.5), Some(0.75)]);
    }
}
