//! Moderators' decisions: entries of the log beside ratings, each with its reason.
//!
//! A decision takes its place in the log's order and is merged there, so the averages stay a function of the log and
//! every decision can be taken back exactly.

use serde::{Deserialize, Serialize};

use super::{Hold, Position};
use crate::error::{Invalid, Kind};
use crate::model::text::text;
use crate::model::{Score, TIME_AHEAD_MAX_MS, TIME_MIN, Time, UserId};

/// What is decided of a post, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What.
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
    /// It takes them again.
    Thaw,
    /// Ratings within a window count no more.
    Exclude(Window),
    /// An exclusion is taken back: it is named by its place in the log.
    Undo(Position),
    /// Which of its ratings are held from now on; nothing: those that the settings say.
    Hold(Option<Hold>),
    /// Held ratings count from now on.
    Approve(Which),
    /// Held ratings go.
    Reject(Which),
}

/// Which held ratings of a post a decision is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// That of one user.
    User(UserId),
    /// All within a window.
    Window(Window),
}

impl Ruling {
    /// The word that people see.
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

    /// Whether any number of ratings may be touched, so that it is merged by itself.
    pub fn is_bulk(&self) -> bool {
        match self {
            Ruling::Exclude(_) | Ruling::Undo(_) | Ruling::Approve(_) | Ruling::Reject(_) => true,
            Ruling::Freeze | Ruling::Thaw | Ruling::Hold(_) => false,
        }
    }
}

text! {
    /// Why something was decided; never blank.
    Reason: "reason", 500, Filled;
}

/// Which ratings an exclusion, an approval or a rejection covers: those whose own time lies in the window, `from` included, `to` not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first moment in it.
    pub from: Time,
    /// The first moment after it.
    pub to: Time,
    /// Only these scores; in order, each once. Without any, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Score>,
}

impl Window {
    /// A window that has passed at `now`; scores in any order, and none means all.
    pub fn new(from: Time, to: Time, scores: Vec<Score>, now: Time) -> Result<Self, Invalid> {
        let wrong = |detail: String| Err(Invalid::new(Kind::InvalidWindow, detail));
        // No rating is older.
        let from = from.max(TIME_MIN);
        if to <= from {
            return wrong(format!("the window ends at {to}, which is not after its beginning {from}"));
        }
        if to > now {
            return wrong(format!("the window ends at {to}, which is to come; it covers what has been"));
        }
        Ok(Self { from, to, scores: each_once(scores) })
    }

    /// A window without a beginning, or without an end: it holds what was accepted until `now`.
    pub fn open(
        from: Option<Time>,
        to: Option<Time>,
        scores: Vec<Score>,
        now: Time,
    ) -> Result<Self, Invalid> {
        // An entry's time may lie ahead of the clock.
        let end = now.plus_ms(TIME_AHEAD_MAX_MS + 1);
        Self::new(from.unwrap_or(TIME_MIN), to.unwrap_or(end), scores, end)
    }

    /// Whether a rating of that time and score lies in it.
    pub fn covers(&self, rated_at: Time, score: Score) -> bool {
        self.from <= rated_at
            && rated_at < self.to
            && (self.scores.is_empty() || self.scores.contains(&score))
    }
}

/// In order, each once; all are the same as none named.
fn each_once(mut scores: Vec<Score>) -> Vec<Score> {
    scores.sort_unstable();
    scores.dedup();
    if scores.len() == Score::COUNT {
        scores.clear();
    }
    scores
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
            assert_eq!(
                Window::new(time(from), time(to), vec![], time(20)).unwrap_err().kind,
                Kind::InvalidWindow
            );
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
