//! When an average needs a moderator's eyes: a burst is phasing in, and it will move the published mean far enough for
//! readers to notice.

use super::average::Average;
use super::params::Params;

/// From when on a burst is an alert; an alert ends below half of either (smoothing: docs/SMOOTHING.md, "Alerts").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlertThresholds {
    /// Least weight that is phasing in, in ratings.
    pub ratings_min: f64,
    /// Least distance of the published mean from the exact one, in stars.
    pub shift_min: f64,
}

impl AlertThresholds {
    fn halved(self) -> Self {
        Self { ratings_min: self.ratings_min / 2.0, shift_min: self.shift_min / 2.0 }
    }
}

impl Default for AlertThresholds {
    fn default() -> Self {
        Self { ratings_min: 10.0, shift_min: 0.15 }
    }
}

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
