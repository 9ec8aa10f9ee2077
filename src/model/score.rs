//! A score: a whole number from 0 to 5. Zero is a score like any other.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Invalid, Kind};

/// One user's score for one post: a whole number, 0..=5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Score(u8);

impl Score {
    /// The highest score.
    pub const MAX: u8 = 5;
    /// How many different scores there are; the length of a histogram.
    pub const COUNT: usize = Self::MAX as usize + 1;

    /// Takes 0..=5 and refuses everything else.
    pub fn parse(value: i64) -> Result<Self, Invalid> {
        match u8::try_from(value) {
            Ok(score) if score <= Self::MAX => Ok(Self(score)),
            _ => Err(Invalid::new(Kind::ScoreOutOfRange, format!("score {value} is outside 0..=5"))),
        }
    }

    /// The score as a number, 0..=5.
    pub fn get(self) -> u8 {
        self.0
    }

    /// The score's place in a histogram.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(i64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
