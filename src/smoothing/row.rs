//! The stored part of one user's rating, so that an edit, a removal or an audit is exact. It holds no time: the clock
//! of its lane, as of the row's last change, says how much of the row has vested since. Whose row it is, and whether it
//! counts or is excluded, is left to the store.

use serde::{Deserialize, Serialize};

use crate::model::Score;

/// The lane in which a rating vests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaneName {
    /// The lane of ordinary ratings.
    Calm,
    /// The lane of ratings that came in a surge.
    Surge,
}

impl LaneName {
    /// The lane's name as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Surge => "surge",
        }
    }

    /// The lane with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Calm, Self::Surge].into_iter().find(|lane| lane.as_str() == text)
    }
}

/// One user's rating of one post, as the arithmetic sees it (smoothing: docs/SMOOTHING.md, "State").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// r: the score.
    pub score: Score,
    /// The lane that the row vests in.
    pub lane: LaneName,
    /// z: the lane's clock when the row last changed. Of an excluded row: its lag behind the clock at the
    /// exclusion, zero or negative, since an excluded row does not vest.
    pub vest_clock: f64,
    /// a: the row's unvested sum when it last changed, in scores. After an edit it may be negative: the new
    /// score less the settled part of the old one.
    pub unvested_sum: f64,
    /// b: the row's unvested count when it last changed, 0 to 1.
    pub unvested_count: f64,
}

impl Row {
    /// w = e^(z − Z): the share of the row's unvested sum and count that is still unvested when its lane's clock
    /// stands at `clock`; 0 to 1.
    pub(super) fn weight(&self, clock: f64) -> f64 {
        (self.vest_clock - clock).exp()
    }
}

/// Adds zero, which turns −0 into 0 and changes nothing else: stored state has one zero.
pub(super) fn one_zero(value: f64) -> f64 {
    value + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_stored_by_its_name() {
        for lane in [LaneName::Calm, LaneName::Surge] {
            assert_eq!(LaneName::parse(lane.as_str()), Some(lane));
        }
        for wrong in ["", "Calm", "calm ", "slow"] {
            assert_eq!(LaneName::parse(wrong), None);
        }
    }

    #[test]
    fn there_is_one_zero() {
        assert_eq!(one_zero(-0.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(one_zero(-3.5), -3.5);
    }
}
