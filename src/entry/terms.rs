//! The terms of a rating's acceptance: what was so when it was accepted, and stays so whenever it is merged.
//!
//! Settings and accounts change; an entry says what they were, so the averages stay a function of the log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which arriving ratings are kept for a moderator instead of being merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// None.
    #[default]
    Off,
    /// Those that would take the surge lane.
    Surge,
    /// All.
    Always,
}

impl Hold {
    /// The word that people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Hold::Off => "off",
            Hold::Surge => "surge",
            Hold::Always => "always",
        }
    }

    /// The policy of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Hold::Off, Hold::Surge, Hold::Always].into_iter().find(|hold| hold.as_str() == name)
    }
}

/// What was so at an entry's acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Terms {
    /// Whether a rating makes its post, where there is none yet (`catalogue.mode`).
    pub creates_post: bool,
    /// The policy of posts without one of their own (`moderation.hold`).
    pub hold: Hold,
    /// Whether the account was too young to be counted at once: held, whatever the policy.
    pub is_too_young: bool,
}

/// The word of an account that is too young.
const TOO_YOUNG: &str = "young";

impl Terms {
    /// The word that stands in an entry's text; nothing when nothing is asked for.
    pub(super) fn word(&self) -> Option<&'static str> {
        match (self.is_too_young, self.hold) {
            (true, _) => Some(TOO_YOUNG),
            (false, Hold::Off) => None,
            (false, hold) => Some(hold.as_str()),
        }
    }

    /// Reads [`word`](Self::word) back. Of an account that is too young the policy does not matter.
    pub(super) fn parse(word: &str, creates_post: bool) -> Option<Self> {
        let terms = Self { creates_post, ..Self::default() };
        match word {
            TOO_YOUNG => Some(Self { is_too_young: true, ..terms }),
            word => Hold::parse(word).map(|hold| Self { hold, ..terms }),
        }
    }

    /// What a rating of a post with the policy `own`, if it has one, is held for.
    pub fn hold(&self, own: Option<Hold>) -> Hold {
        if self.is_too_young { Hold::Always } else { own.unwrap_or(self.hold) }
    }
}
