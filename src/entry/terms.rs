//! The terms of a rating's acceptance. Settings and accounts change, so each entry records its terms: the averages stay a
//! function of the log, however late a rating is merged.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which new ratings are held for a moderator instead of being merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// None.
    #[default]
    Off,
    /// Ratings that would take the surge lane.
    Surge,
    /// All.
    Always,
}

impl Hold {
    /// The policy's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Hold::Off => "off",
            Hold::Surge => "surge",
            Hold::Always => "always",
        }
    }

    /// The policy with that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Hold::Off, Hold::Surge, Hold::Always].into_iter().find(|hold| hold.as_str() == name)
    }
}

/// The terms at an entry's acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Terms {
    /// Whether a rating creates its post, if there is none yet (`catalogue.mode`).
    pub creates_post: bool,
    /// The policy for posts without their own (`moderation.hold`).
    pub hold: Hold,
    /// Whether the account was too young to count at once. Its ratings are held under every policy.
    pub is_too_young: bool,
    /// Whether the entry states its time, as imports do. Then it loses to anything later that is known of its user.
    pub is_stated: bool,
}

/// The word for an account that is too young.
const TOO_YOUNG: &str = "young";
/// The word for an entry that states its time.
const STATED: &str = "stated";
/// Between two words.
const AND: char = '+';

impl Terms {
    /// The word in an entry's text, `surge+stated`; `None` for default terms.
    pub(super) fn word(&self) -> Option<String> {
        let held = match (self.is_too_young, self.hold) {
            (true, _) => Some(TOO_YOUNG),
            (false, Hold::Off) => None,
            (false, hold) => Some(hold.as_str()),
        };
        let words: Vec<&str> = held.into_iter().chain(self.is_stated.then_some(STATED)).collect();
        (!words.is_empty()).then(|| words.join(&AND.to_string()))
    }

    /// These terms with what [`word`](Self::word) says. For an account that is too young the policy does not matter.
    pub(super) fn with_word(self, word: &str) -> Option<Self> {
        word.split(AND).try_fold(self, |terms, word| match word {
            TOO_YOUNG => Some(Self { is_too_young: true, ..terms }),
            STATED => Some(Self { is_stated: true, ..terms }),
            word => Hold::parse(word).map(|hold| Self { hold, ..terms }),
        })
    }

    /// The policy for a rating of a post; `own` is the post's own policy, if it has one.
    pub fn hold(&self, own: Option<Hold>) -> Hold {
        if self.is_too_young { Hold::Always } else { own.unwrap_or(self.hold) }
    }
}
