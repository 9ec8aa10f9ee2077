//! Moderators' decisions. Each is an entry with its place in the log's order, so the averages stay a function of the log
//! and every decision can be taken back exactly.

use serde::{Deserialize, Serialize};

use super::{Hold, Position};
use crate::error::{Invalid, Kind};
use crate::model::text::text;
use crate::model::{Score, TIME_AHEAD_MAX_MS, TIME_MIN, Time, UserId};

/// A decision about a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What is decided.
    pub deed: Ruling,
    /// Why.
    pub reason: Reason,
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// The post takes no more ratings.
    Freeze,
    /// The post takes ratings again.
    Thaw,
    /// The ratings in a window no longer count.
    Exclude(Window),
    /// The exclusion at this position in the log is taken back.
    Undo(Position),
    /// The post's policy for holding ratings; `None` means the policy of the settings.
    Hold(Option<Hold>),
    /// Held ratings count from now on.
    Approve(Which),
    /// Held ratings are removed.
    Reject(Which),
}

/// Which held ratings of a post a decision is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The one of this user.
    User(UserId),
    /// The one of this user, if it still has the score that the moderator saw.
    Seen(UserId, Score),
    /// All in this window.
    Window(Window),
}

impl Which {
    /// The only user whose rating it is about, if there is one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Which::User(user) | Which::Seen(user, _) => Some(user),
            Which::Window(_) => None,
        }
    }
}

impl Ruling {
    /// The word for it in the API and for people.
    pub fn as_str(&self) -> &'static str {
        match self {
            Ruling::Freeze => "freeze",
            Ruling::Thaw => "thaw",
            Ruling::Exclude(_) => "exclude",
            Ruling::Undo(_) => "undo",
            Ruling::Hold(_) => "hold",
            Ruling::Approve(_) => "approve",
            Ruling::Reject(_) => "reject",
        }
    }
}

text! {
    /// Why something was decided; never blank.
    Reason: "reason", 500, Filled;
}

/// The ratings that a decision covers: those whose own time is at or after `from` and before `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first moment in it.
    pub from: Time,
    /// The first moment after it.
    pub to: Time,
    /// Only these scores, in order, each once; all scores if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Score>,
}

impl Window {
    /// A window that ends by `now`; scores in any order, and none means all.
    pub fn new(from: Time, to: Time, mut scores: Vec<Score>, now: Time) -> Result<Self, Invalid> {
        let wrong = |detail: String| Err(Invalid::new(Kind::InvalidWindow, detail));
        // No rating is older.
        let from = from.max(TIME_MIN);
        if to <= from {
            return wrong(format!("the window ends at {to}, which is not after its beginning {from}"));
        }
        if to > now {
            return wrong(format!("the window ends at {to}, in the future; choose an end in the past"));
        }
        scores.sort_unstable();
        scores.dedup();
        if scores.len() == Score::COUNT {
            scores.clear();
        }
        Ok(Self { from, to, scores })
    }

    /// A window whose beginning or end may be open; it covers what was accepted until `now`.
    pub fn open(
        from: Option<Time>,
        to: Option<Time>,
        scores: Vec<Score>,
        now: Time,
    ) -> Result<Self, Invalid> {
        // An entry's time may be ahead of the clock.
        let end = now.plus_ms(TIME_AHEAD_MAX_MS + 1);
        Self::new(from.unwrap_or(TIME_MIN), to.unwrap_or(end), scores, end)
    }

    /// Whether it covers a rating with this time and score.
    pub fn covers(&self, rated_at: Time, score: Score) -> bool {
        self.from <= rated_at
            && rated_at < self.to
            && (self.scores.is_empty() || self.scores.contains(&score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_a_beginning_and_an_end_that_has_passed() {
        let time = |ms| TIME_MIN.plus_ms(ms);
        let score = |value| Score::parse(value).unwrap();
        let window = Window::new(time(10), time(20), vec![score(5), score(0), score(5)], time(20)).unwrap();
        assert_eq!(window.scores, [score(0), score(5)]);
        for (at, value, is_covered) in
            [(9, 0, false), (10, 0, true), (19, 5, true), (20, 5, false), (15, 3, false)]
        {
            assert_eq!(window.covers(time(at), score(value)), is_covered, "{at} {value}");
        }
        for (from, to) in [(10, 10), (10, 9), (10, 21)] {
            let refused = Window::new(time(from), time(to), vec![], time(20)).unwrap_err();
            assert_eq!(refused.kind, Kind::InvalidWindow);
        }
        let early = Window::new(Time::from_ms(i64::MIN), time(5), vec![], time(20)).unwrap();
        assert_eq!(early.from, TIME_MIN, "no rating is older");
        let all = (0..=5).map(score).collect();
        assert!(Window::new(time(10), time(20), all, time(20)).unwrap().scores.is_empty());
    }

    #[test]
    fn a_reason_says_something() {
        for bad in ["", "  ", "a\0b", &"x".repeat(501)] {
            assert_eq!(Reason::parse(bad).unwrap_err().kind, Kind::InvalidText);
        }
        assert_eq!(Reason::parse("a bomb").unwrap().as_str(), "a bomb");
    }
}
