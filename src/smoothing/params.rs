//! The knobs of smoothing, their ranges, the rates that follow from them, and the thresholds of alerts.
//!
//! People set [`Knobs`], in hours and days; the arithmetic takes [`Params`], in milliseconds, which can only
//! be made from checked knobs. The configuration reads the knobs.

use std::f64::consts::LN_2;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Invalid, Kind};
use crate::model::{DAY_MS, HOUR_MS};

/// The settings for an operator, with the units in the names (smoothing: docs/SMOOTHING.md, "Parameters").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SmoothingParameters)]
pub struct Knobs {
    /// h: half of an uncrowded rating's weight has arrived after this.
    pub vest_half_life_hours: f64,
    /// H: a grown post's settled weight may at most double in this, per lane.
    pub max_doubling_days: f64,
    /// n0: room that every lane has before the pace limit bites.
    pub grace_mass: f64,
    /// w0: weight of the raw mean in the read, so that a new post shows something.
    pub seed_weight: f64,
    /// τ: the memory of the arrival intensity.
    pub surge_half_life_hours: f64,
    /// k: a surge is this many times the intensity of the post's own average rate.
    pub surge_factor: f64,
    /// c: fewer ratings than this within the memory are never a surge.
    pub surge_floor: f64,
}

impl Knobs {
    /// Every knob with its value and its range, both ends included.
    pub fn ranges(&self) -> [(&'static str, f64, RangeInclusive<f64>); 7] {
        [
            ("vest_half_life_hours", self.vest_half_life_hours, 0.1..=10_000.0),
            ("max_doubling_days", self.max_doubling_days, 0.1..=10_000.0),
            ("grace_mass", self.grace_mass, 0.1..=1e6),
            ("seed_weight", self.seed_weight, 1e-6..=10.0),
            ("surge_half_life_hours", self.surge_half_life_hours, 0.01..=1_000.0),
            ("surge_factor", self.surge_factor, 1.0..=1_000.0),
            ("surge_floor", self.surge_floor, 1.0..=1e6),
        ]
    }
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            vest_half_life_hours: 24.0,
            max_doubling_days: 28.0,
            grace_mass: 10.0,
            seed_weight: 0.02,
            surge_half_life_hours: 1.0,
            surge_factor: 2.5,
            surge_floor: 5.0,
        }
    }
}

/// From when on a burst is an alert; an alert ends below half of either (smoothing: docs/SMOOTHING.md, "Alerts").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlertThresholds {
    /// Least weight that is phasing in, in ratings.
    pub ratings_min: f64,
    /// Least distance of the published mean from the exact one, in stars.
    pub shift_min: f64,
}

impl AlertThresholds {
    pub(super) fn halved(self) -> Self {
        Self { ratings_min: self.ratings_min / 2.0, shift_min: self.shift_min / 2.0 }
    }
}

impl Default for AlertThresholds {
    fn default() -> Self {
        Self { ratings_min: 10.0, shift_min: 0.15 }
    }
}

/// Checked knobs and the rates that follow from them, per millisecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    knobs: Knobs,
    /// λ = ln 2 / h: an uncrowded rating's share of unvested weight that vests in a millisecond.
    pub(super) vest_per_ms: f64,
    /// ρ = ln 2 / H: the growth of a crowded lane's room in a millisecond, once the post is grown.
    pub(super) pace_per_ms: f64,
    /// 1/ρ: from this age on a post is grown. One value, so that an age set to it compares equal to it.
    pub(super) grown_age_ms: f64,
    /// τ, the half-life of the arrival intensity.
    pub(super) surge_half_life_ms: f64,
    /// τ / ln 2: the intensity that one arrival a millisecond would reach, if kept up for ever.
    pub(super) surge_memory_ms: f64,
    alerts: AlertThresholds,
}

impl Params {
    /// Checks every knob against its range and derives the rates; `setting-out-of-range` names the first that
    /// is outside.
    pub fn new(knobs: &Knobs) -> Result<Self, Invalid> {
        for (name, value, range) in knobs.ranges() {
            // Not-a-number and the infinities are outside every range.
            if !range.contains(&value) {
                let detail = format!("{name} {value} is outside {}..={}", range.start(), range.end());
                return Err(Invalid::new(Kind::SettingOutOfRange, detail));
            }
        }
        let pace_per_ms = LN_2 / (knobs.max_doubling_days * DAY_MS as f64);
        let surge_half_life_ms = knobs.surge_half_life_hours * HOUR_MS as f64;
        Ok(Self {
            knobs: *knobs,
            vest_per_ms: LN_2 / (knobs.vest_half_life_hours * HOUR_MS as f64),
            pace_per_ms,
            grown_age_ms: 1.0 / pace_per_ms,
            surge_half_life_ms,
            surge_memory_ms: surge_half_life_ms / LN_2,
            alerts: AlertThresholds::default(),
        })
    }

    /// The same, with other thresholds of alerts.
    pub fn with_alerts(self, alerts: AlertThresholds) -> Self {
        Self { alerts, ..self }
    }

    /// From when on a burst is an alert.
    pub fn alerts(&self) -> AlertThresholds {
        self.alerts
    }

    /// The knobs that these rates follow from.
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_takes_its_range_and_nothing_else() {
        for (name, _, range) in Knobs::default().ranges() {
            let with = |value: f64| {
                let mut knobs = serde_json::to_value(Knobs::default()).unwrap();
                knobs[name] = value.into();
                Params::new(&serde_json::from_value(knobs).unwrap())
            };
            let (low, high) = range.into_inner();
            assert!(with(low).is_ok() && with(high).is_ok(), "{name}");
            for wrong in [low.next_down(), high.next_up(), 0.0, -1.0] {
                let refused = with(wrong).unwrap_err();
                assert_eq!(refused.kind, Kind::SettingOutOfRange);
                assert_eq!(refused.detail, format!("{name} {wrong} is outside {low}..={high}"));
            }
        }
        for grace_mass in [f64::NAN, f64::INFINITY] {
            assert!(Params::new(&Knobs { grace_mass, ..Knobs::default() }).is_err());
        }
    }

    #[test]
    fn the_rates_are_per_millisecond() {
        let params = Params::new(&Knobs::default()).unwrap();
        let close = |value: f64, expected: f64| (value / expected - 1.0).abs() < 1e-14;
        assert!(close(params.vest_per_ms * 86_400_000.0, LN_2));
        assert!(close(params.pace_per_ms * 28.0 * 86_400_000.0, LN_2));
        assert!(close(params.grown_age_ms, 28.0 * 86_400_000.0 / LN_2));
        assert!(close(params.surge_half_life_ms, 3_600_000.0));
        assert!(close(params.surge_memory_ms * LN_2, 3_600_000.0));
        assert_eq!(params.knobs(), &Knobs::default());
    }

    #[test]
    fn an_unknown_knob_is_refused() {
        let mut json = serde_json::to_value(Knobs::default()).unwrap();
        assert_eq!(serde_json::from_value::<Knobs>(json.clone()).unwrap(), Knobs::default());
        json["half_life"] = 3.into();
        assert!(serde_json::from_value::<Knobs>(json).is_err());
    }
}
