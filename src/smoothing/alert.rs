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
