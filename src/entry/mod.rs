//! The log's vocabulary: an entry, its text form, its position, and one read of a shard. The text is versioned and readable
//! (`1 r hello ann 5 1790000000000`), so a person can read a stream or a quarantine, and new kinds of entries can join old
//! ones in one log. An unreadable line is not an error of the drain: it becomes an [`Undecodable`] with its bytes.

mod batch;
mod decision;
mod position;
mod terms;

use std::fmt::Write as _;
use std::sync::Arc;

use crate::model::{PostId, Score, Time, UserId};

pub use batch::{Backlog, Batch, Floor, Line, Undecodable};
pub use decision::{Decision, Reason, Ruling, Which, Window};
pub use position::{Position, Shard};
pub use terms::{Hold, Terms};

/// A rating, a withdrawal, a release or a moderator's decision, with the time of its acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The rated post.
    pub post: PostId,
    /// The user who rates, or the moderator who decides.
    pub user: UserId,
    /// The time of acceptance. An import gives its own.
    pub at: Time,
    /// The change.
    pub action: Action,
    /// The terms that applied at acceptance.
    pub terms: Terms,
    /// For a retry from the quarantine: its original position. The retry loses to any later wish of the same
    /// user for the same post.
    pub origin: Option<Position>,
}

/// The change that an entry makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sets the user's score for the post.
    Rate(Score),
    /// Removes the user's rating.
    Withdraw,
    /// A decision; the user is a moderator.
    Decide(Arc<Decision>),
    /// Counts the user's held rating at that position, because no moderator decided on it in time.
    Release(Position),
    /// Takes over a piece of a post's state from another installation: JSON that the merge reads.
    Adopt(Arc<str>),
}

impl Action {
    /// The score of a rating; `None` for all other actions.
    pub fn score(&self) -> Option<Score> {
        match self {
            Action::Rate(score) => Some(*score),
            Action::Withdraw | Action::Decide(_) | Action::Release(_) | Action::Adopt(_) => None,
        }
    }

    /// Whether it is a user's wish: a rating or a withdrawal.
    pub fn is_wish(&self) -> bool {
        matches!(self, Action::Rate(_) | Action::Withdraw)
    }

    /// Whether it is a decision that may touch any number of ratings, which is merged in its own batch.
    pub fn is_bulk(&self) -> bool {
        let Action::Decide(decision) = self else { return false };
        match &decision.deed {
            Ruling::Exclude(_) | Ruling::Undo(_) | Ruling::Approve(_) | Ruling::Reject(_) => true,
            Ruling::Freeze | Ruling::Thaw | Ruling::Hold(_) => false,
        }
    }
}

/// The only encoding so far. It is the first word of every entry's text.
const ENCODING_VERSION: &str = "1";
/// The beginning of a decision's text.
const DECISION: &str = "1 d ";
/// The beginning of the text of what is taken over.
const ADOPTED: &str = "1 a ";
/// Longer texts are refused unread.
const TEXT_BYTES_MAX: usize = 4_096;
/// The same of a state that is taken over: a decision comes with its outcome.
const ADOPTED_BYTES_MAX: usize = 8_192;
/// The year 2200: a later time in the log is a mistake, whatever the clock says now. The fold relies on it.
const TIME_MAX: Time = Time::from_ms(7_258_118_400_000);

impl Entry {
    /// A new entry, on default terms.
    pub fn new(post: PostId, user: UserId, at: Time, action: Action) -> Self {
        Self { post, user, at, action, terms: Terms::default(), origin: None }
    }

    /// The same entry, which states its time.
    pub fn stated(self) -> Self {
        Self { terms: Terms { is_stated: true, ..self.terms }, ..self }
    }

    /// The entry as text: version, kind, post, user, score (ratings only), milliseconds, words for its terms
    /// (if any), origin (retries only). The kind is `r` or `w`, in upper case if the entry may create its
    /// post. Kind `l` releases the held rating whose position follows the milliseconds. Kind `d` is a
    /// decision and kind `a` a state that is taken over; JSON follows their milliseconds.
    pub fn encode(&self) -> String {
        let Self { post, user, at, action, terms, origin } = self;
        let (at, creates_post) = (at.ms(), terms.creates_post);
        let mut text = match action {
            Action::Rate(score) if creates_post => format!("{ENCODING_VERSION} R {post} {user} {score} {at}"),
            Action::Rate(score) => format!("{ENCODING_VERSION} r {post} {user} {score} {at}"),
            Action::Withdraw if creates_post => format!("{ENCODING_VERSION} W {post} {user} {at}"),
            Action::Withdraw => format!("{ENCODING_VERSION} w {post} {user} {at}"),
            Action::Decide(decision) => {
                // Only texts, numbers and lists of them, which always fit into JSON.
                let json = serde_json::to_string(&**decision).unwrap_or_default();
                return format!("{DECISION}{post} {user} {at} {json}");
            }
            Action::Adopt(json) => return format!("{ADOPTED}{post} {user} {at} {json}"),
            Action::Release(held) => return format!("{ENCODING_VERSION} l {post} {user} {at} {held}"),
        };
        if let Some(word) = terms.word() {
            let _ = write!(text, " {word}");
        }
        if let Some(origin) = origin {
            let _ = write!(text, " {origin}");
        }
        text
    }

    /// The log position of the user's wish, for an entry at `position`. A retry keeps its original position.
    pub fn place(&self, position: Position) -> Position {
        self.origin.unwrap_or(position)
    }

    /// Reads an entry back. Trusts nothing, because anything may have been written to the log.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        Self::parse(bytes).map_err(|reason| Undecodable { reason, payload: bytes.to_vec() })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let is_adopted = bytes.starts_with(ADOPTED.as_bytes());
        let bytes_max = if is_adopted { ADOPTED_BYTES_MAX } else { TEXT_BYTES_MAX };
        if bytes.len() > bytes_max {
            return Err(format!("entry has {} bytes, at most {bytes_max} are read", bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "entry is not text")?;
        // JSON holds spaces.
        let words_max = if text.starts_with(DECISION) || text.starts_with(ADOPTED) { 6 } else { usize::MAX };
        let words: Vec<&str> = text.splitn(words_max, ' ').collect();
        if words[0] != ENCODING_VERSION {
            return Err(format!("entry has unknown encoding version {:?}", shown(words[0])));
        }
        let (post, user, action, at, rest) = match &words[1..] {
            ["r" | "R", post, user, score, at, rest @ ..] if rest.len() <= 2 => {
                let value = score.parse().map_err(|_| format!("entry score {score:?} is not a whole number"));
                let score = Score::parse(value?).map_err(|e| e.detail)?;
                (post, user, Action::Rate(score), at, rest)
            }
            ["w" | "W", post, user, at, rest @ ..] if rest.len() <= 2 => {
                (post, user, Action::Withdraw, at, rest)
            }
            ["l", post, user, at, held] => (post, user, Action::Release(parse_place(held)?), at, &[][..]),
            ["d", post, user, at, json] => {
                let decision =
                    serde_json::from_str(json).map_err(|e| format!("a decision cannot be read: {e}"))?;
                (post, user, Action::Decide(Arc::new(decision)), at, &[][..])
            }
            ["a", post, user, at, json] => (post, user, Action::Adopt((*json).into()), at, &[][..]),
            [kind, ..] => {
                return Err(format!("entry of kind {:?} with {} words is unknown", shown(kind), words.len()));
            }
            [] => return Err("entry has only a version".into()),
        };
        let terms = Terms { creates_post: matches!(words[1], "R" | "W"), ..Terms::default() };
        let (terms, origin) = match rest {
            [] => (terms, None),
            [word] => match terms.with_word(word) {
                Some(terms) => (terms, None),
                None => (terms, Some(parse_place(word)?)),
            },
            [word, origin, ..] => {
                let unknown = || format!("entry terms {:?} are unknown", shown(word));
                (terms.with_word(word).ok_or_else(unknown)?, Some(parse_place(origin)?))
            }
        };
        let ms =
            at.parse().map_err(|_| format!("entry time {:?} is not a number of milliseconds", shown(at)))?;
        Ok(Self {
            post: PostId::parse(post).map_err(|e| e.detail)?,
            user: UserId::parse(user).map_err(|e| e.detail)?,
            at: Time::from_ms(ms).check_entry(TIME_MAX).map_err(|e| e.detail)?,
            action,
            terms,
            origin,
        })
    }
}

fn parse_place(text: &str) -> Result<Position, String> {
    Position::parse(text).ok_or_else(|| format!("entry origin {:?} is not a log position", shown(text)))
}

/// The beginning of a word, short enough for an error message.
fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: Action) -> Entry {
        let (post, user) = (PostId::parse("hello").unwrap(), UserId::parse("ann").unwrap());
        Entry::new(post, user, Time::from_ms(1_790_000_000_000), action)
    }

    #[test]
    fn an_encoded_entry_can_be_decoded() {
        let place = Position::new(1_789_999_999_999, 7);
        let young = Terms { is_too_young: true, ..Terms::default() };
        let policies = [Hold::Off, Hold::Surge, Hold::Always].map(|hold| Terms { hold, ..Terms::default() });
        for action in [Action::Rate(Score::parse(0).unwrap()), Action::Withdraw] {
            for origin in [None, Some(place)] {
                for terms in policies.into_iter().chain([young]) {
                    for creates_post in [false, true] {
                        let terms = Terms { creates_post, ..terms };
                        let entry = Entry { origin, terms, ..entry(action.clone()) };
                        assert_eq!(Entry::decode(entry.encode().as_bytes()), Ok(entry));
                    }
                }
            }
        }
        let withdrawal = entry(Action::Withdraw);
        assert_eq!(withdrawal.encode(), "1 w hello ann 1790000000000");
        let creates_post = Terms { creates_post: true, ..Terms::default() };
        assert_eq!(Entry { terms: creates_post, ..withdrawal }.encode(), "1 W hello ann 1790000000000");
        let release = entry(Action::Release(place));
        assert_eq!(release.encode(), "1 l hello ann 1790000000000 1789999999999-7");
        assert_eq!(Entry::decode(release.encode().as_bytes()), Ok(release));
    }

    #[test]
    fn an_encoded_decision_can_be_decoded_with_its_reason() {
        let window =
            Window { from: Time::from_ms(1), to: Time::from_ms(2), scores: vec![Score::parse(0).unwrap()] };
        let ann = Which::User(UserId::parse("ann").unwrap());
        for deed in [
            Ruling::Freeze,
            Ruling::Thaw,
            Ruling::Hold(None),
            Ruling::Hold(Some(Hold::Surge)),
            Ruling::Approve(ann),
            Ruling::Reject(Which::Window(window.clone())),
            Ruling::Exclude(window),
            Ruling::Undo(Position::new(3, 4)),
        ] {
            let reason = Reason::parse("a bomb, \"they\" said;  1 d x\n☃").unwrap();
            let decision = entry(Action::Decide(Arc::new(Decision { deed, reason })));
            assert_eq!(Entry::decode(decision.encode().as_bytes()), Ok(decision));
        }
        let longest = Reason::parse("𝄞".repeat(Reason::RULE.chars_max)).unwrap();
        let decision = entry(Action::Decide(Arc::new(Decision { deed: Ruling::Thaw, reason: longest })));
        assert_eq!(Entry::decode(decision.encode().as_bytes()), Ok(decision), "the longest is read");
    }

    #[test]
    fn an_unreadable_entry_keeps_its_bytes_and_names_the_error() {
        for (text, reason) in [
            ("", "unknown encoding version"),
            ("2 r hello ann 5 1790000000000", "unknown encoding version"),
            ("1", "only a version"),
            ("1 x hello ann 5 1790000000000", "unknown"),
            ("1 r hello ann 6 1790000000000", "outside 0..=5"),
            ("1 r hello ann 5.0 1790000000000", "not a whole number"),
            ("1 r hel{lo ann 5 1790000000000", "post id holds"),
            ("1 r hello  5 1790000000000", "user id is empty"),
            ("1 r hello ann 5 soon", "not a number of milliseconds"),
            ("1 r hello ann 5 17", "before 1990"),
            ("1 r hello ann 5 9223372036854775807", "ahead"),
            ("1 r hello ann 5 1790000000000 extra", "not a log position"),
            ("1 w hello ann 1790000000000 5", "not a log position"),
            ("1 r hello ann 5 1790000000000 1-1 extra", "unknown"),
            ("1 r hello ann 5 1790000000000 surge extra", "not a log position"),
            ("1 r hello ann 5 1790000000000 surge 1-1 extra", "unknown"),
            ("1 l hello ann 1790000000000", "unknown"),
            ("1 l hello ann 1790000000000 here", "not a log position"),
            ("1 d hello ann 1790000000000", "unknown"),
            ("1 d hello ann 1790000000000 {}", "cannot be read"),
        ] {
            let found = Entry::decode(text.as_bytes()).unwrap_err();
            assert!(found.reason.contains(reason), "{text:?}: {}", found.reason);
            assert_eq!(found.payload, text.as_bytes());
        }
        assert!(Entry::decode(&[0xff, 0xfe]).unwrap_err().reason.contains("not text"));
        assert!(Entry::decode(&[b'1'; 5_000]).unwrap_err().reason.contains("5000 bytes"));
    }
}
