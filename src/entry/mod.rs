//! The log's words: an entry, the text that carries it, its place, and what is read of a shard at once.
//!
//! The text is versioned and readable (`1 r hello ann 5 1790000000000`), so that whoever looks into a stream
//! or a quarantine sees what happened, and so that new kinds of entries can join old ones in one log.
//! A line that cannot be read is not an error of the drain: it comes out as [`Undecodable`], with its bytes.

mod decision;
mod terms;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rating::{PostId, Score, Time, UserId};

pub use decision::{Decision, Deed, REASON_CHARS_MAX, Reason, Which, Window};
pub use terms::{Hold, Terms};

/// What changes an average: somebody's rating or withdrawal, or a decision, with the time of its acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is rated.
    pub post: PostId,
    /// Who rates.
    pub user: UserId,
    /// When it was accepted; an import states its own.
    pub at: Time,
    /// What the user wants.
    pub action: Action,
    /// What was so at its acceptance.
    pub terms: Terms,
    /// Of an entry that comes back out of the quarantine: where it stood at first. It loses to whatever the same
    /// user wanted of the same post after that.
    pub origin: Option<Position>,
}

/// What an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The user's score for the post is this one from now on.
    Rate(Score),
    /// The user's rating is gone from now on.
    Withdraw,
    /// The user is a moderator and decides this.
    Decide(Arc<Decision>),
    /// Nobody decided on the user's held rating that stood there; it counts from now on.
    Release(Position),
}

impl Action {
    /// The score, or nothing for what is no rating.
    pub fn score(&self) -> Option<Score> {
        match self {
            Action::Rate(score) => Some(*score),
            Action::Withdraw | Action::Decide(_) | Action::Release(_) => None,
        }
    }

    /// Whether it says what a user wants of a post: it is a rating or a withdrawal.
    pub fn is_wish(&self) -> bool {
        matches!(self, Action::Rate(_) | Action::Withdraw)
    }

    /// Whether it is to be merged by itself.
    pub fn is_sweep(&self) -> bool {
        matches!(self, Action::Decide(decision) if decision.deed.is_sweep())
    }
}

/// The only encoding so far; the first word of every entry's text.
const ENCODING_VERSION: &str = "1";
/// What a decision's text begins with.
const DECISION: &str = "1 d ";
/// Longer texts are not even looked at.
const TEXT_BYTES_MAX: usize = 4_096;

impl Entry {
    /// The entry as a new one: on no special terms.
    pub fn new(post: PostId, user: UserId, at: Time, action: Action) -> Self {
        Self { post, user, at, action, terms: Terms::default(), origin: None }
    }

    /// The entry as text: version, kind, post, user, score (ratings only), milliseconds, a word of its terms (if there
    /// is one), origin (retries only). The kind is `r` or `w`, and a capital where a post that is not there is made;
    /// `l` lets go of the held rating whose place stands behind the milliseconds. A decision has the kind `d`, and JSON
    /// behind its milliseconds.
    pub fn encode(&self) -> String {
        let Self { post, user, at, action, terms, origin } = self;
        let mut text = match (action, terms.creates_post) {
            (Action::Rate(score), false) => format!("{ENCODING_VERSION} r {post} {user} {score} {}", at.ms()),
            (Action::Rate(score), true) => format!("{ENCODING_VERSION} R {post} {user} {score} {}", at.ms()),
            (Action::Withdraw, false) => format!("{ENCODING_VERSION} w {post} {user} {}", at.ms()),
            (Action::Withdraw, true) => format!("{ENCODING_VERSION} W {post} {user} {}", at.ms()),
            (Action::Decide(decision), _) => {
                // Texts, numbers and lists of them: nothing that JSON could not hold.
                let json = serde_json::to_string(decision).unwrap_or_default();
                return format!("{ENCODING_VERSION} d {post} {user} {} {json}", at.ms());
            }
            (Action::Release(held), _) => {
                return format!("{ENCODING_VERSION} l {post} {user} {} {held}", at.ms());
            }
        };
        if let Some(word) = terms.word() {
            let _ = write!(text, " {word}");
        }
        if let Some(origin) = origin {
            let _ = write!(text, " {origin}");
        }
        text
    }

    /// The place in the log that the user's wish belongs to, when the entry stands at `position`.
    pub fn place(&self, position: Position) -> Position {
        self.origin.unwrap_or(position)
    }

    /// Reads an entry back, trusting nothing: the log may hold what others wrote there.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        Self::parse(bytes).map_err(|reason| Undecodable { reason, payload: bytes.to_vec() })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(format!("entry has {} bytes, at most {TEXT_BYTES_MAX} are read", bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "entry is not text".to_owned())?;
        if let Some(text) = text.strip_prefix(DECISION) {
            return Self::parse_decision(text);
        }
        let words: Vec<&str> = text.split(' ').collect();
        if words[0] != ENCODING_VERSION {
            return Err(format!("entry has unknown encoding version {:?}", shown(words[0])));
        }
        let (post, user, action, at, rest) = match &words[1..] {
            ["r" | "R", post, user, score, at, rest @ ..] if rest.len() <= 2 => {
                (post, user, Action::Rate(parse_score(score)?), at, rest)
            }
            ["w" | "W", post, user, at, rest @ ..] if rest.len() <= 2 => {
                (post, user, Action::Withdraw, at, rest)
            }
            ["l", post, user, at, held] => (post, user, Action::Release(parse_place(held)?), at, &[][..]),
            [kind, ..] => {
                return Err(format!("entry of kind {:?} with {} words is unknown", shown(kind), words.len()));
            }
            [] => return Err("entry has a version and nothing else".to_owned()),
        };
        let terms = Terms { creates_post: matches!(words[1], "R" | "W"), ..Terms::default() };
        let (terms, origin) = match rest {
            [] => (terms, None),
            [word] => match Terms::parse(word, terms.creates_post) {
                Some(terms) => (terms, None),
                None => (terms, Some(parse_place(word)?)),
            },
            [word, origin, ..] => {
                let unknown = || format!("entry terms {:?} are unknown", shown(word));
                (Terms::parse(word, terms.creates_post).ok_or_else(unknown)?, Some(parse_place(origin)?))
            }
        };
        Ok(Self {
            post: PostId::parse(post).map_err(|e| e.detail)?,
            user: UserId::parse(user).map_err(|e| e.detail)?,
            at: parse_time(at)?,
            action,
            terms,
            origin,
        })
    }

    /// What follows the kind of a decision.
    fn parse_decision(text: &str) -> Result<Self, String> {
        let mut words = text.splitn(4, ' ');
        let (Some(post), Some(user), Some(at), Some(json)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("a decision has fewer than four words".to_owned());
        };
        let decision = serde_json::from_str(json).map_err(|e| format!("a decision cannot be read: {e}"))?;
        Ok(Self::new(
            PostId::parse(post).map_err(|e| e.detail)?,
            UserId::parse(user).map_err(|e| e.detail)?,
            parse_time(at)?,
            Action::Decide(Arc::new(decision)),
        ))
    }
}

fn parse_place(text: &str) -> Result<Position, String> {
    Position::parse(text).ok_or_else(|| format!("entry origin {:?} is no place in a log", shown(text)))
}

/// As much of a word as a reason bears.
fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

fn parse_time(text: &str) -> Result<Time, String> {
    let ms =
        text.parse().map_err(|_| format!("entry time {:?} is no number of milliseconds", shown(text)))?;
    // An hour of the year 290,000 is no entry's time, whoever wrote it; the fold can rely on that.
    Time::from_ms(ms).check_entry(TIME_MAX).map_err(|e| e.detail)
}

/// The year 2200: beyond it a logged time is a mistake, whatever the clock says now.
const TIME_MAX: Time = Time::from_ms(7_258_118_400_000);

fn parse_score(text: &str) -> Result<Score, String> {
    let value: i64 = text.parse().map_err(|_| format!("entry score {text:?} is no whole number"))?;
    Score::parse(value).map_err(|e| e.detail)
}

/// A line of the log that holds no entry: why, and what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Why it cannot be read, for whoever opens the quarantine.
    pub reason: String,
    /// The bytes as they stood in the log.
    pub payload: Vec<u8>,
}

/// A place in a shard's log: two numbers that sort (a stream id), of which a row id uses the second only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// Milliseconds of a stream id; 0 in a log that counts its rows.
    pub high: u64,
    /// Sequence number.
    pub low: u64,
}

impl Position {
    /// Before everything.
    pub const START: Position = Position { high: 0, low: 0 };

    /// A place by its two numbers.
    pub const fn new(high: u64, low: u64) -> Self {
        Self { high, low }
    }

    /// Sixteen bytes that sort as positions do; how databases keep it.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.high) << 64) | u128::from(self.low)).to_be_bytes()
    }

    /// Reads [`to_bytes`](Self::to_bytes) back; nothing for bytes of another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = u128::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { high: (number >> 64) as u64, low: number as u64 })
    }

    /// Reads the text form, `1790000000000-3`.
    pub fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('-')?;
        Some(Self { high: high.parse().ok()?, low: low.parse().ok()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.high, self.low)
    }
}

/// One of the buffer's independent logs, by its number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard where a post's entries live: CRC-16/XMODEM of its id, modulo `count` (at least 1).
    pub fn of(post: &PostId, count: u16) -> Self {
        const CRC: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_XMODEM);
        Self(CRC.checksum(post.as_str().as_bytes()) % count.max(1))
    }

    /// The shard's place in a list of all shards.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Consecutive entries of one shard, read together: a unit of I/O, not of arithmetic.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Whose log they come from.
    pub shard: Shard,
    /// Where the read began (exclusive).
    pub from: Position,
    /// The last entry's position; at least one entry is here.
    pub to: Position,
    /// The entries in log order, readable or not.
    pub lines: Vec<Line>,
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it stands.
    pub position: Position,
    /// What it says, if it says anything.
    pub entry: Result<Entry, Undecodable>,
}

impl Line {
    /// Makes of an entry that cannot be kept a line to be put aside.
    pub fn refuse(&mut self, why: &str) {
        if let Ok(entry) = &self.entry {
            self.entry = Err(Undecodable { reason: why.to_owned(), payload: entry.encode().into_bytes() });
        }
    }
}

impl Batch {
    /// Ends the batch before its first decision that is to be merged by itself, or right behind one that comes first.
    pub fn cut_at_sweep(&mut self) {
        let is_sweep = |line: &Line| line.entry.as_ref().is_ok_and(|entry| entry.action.is_sweep());
        if let Some(first) = self.lines.iter().position(is_sweep) {
            self.lines.truncate(first.max(1));
            self.to = self.lines.last().map_or(self.to, |line| line.position);
        }
    }

    /// The decision that the batch is, if it is one that is merged by itself.
    pub fn sweep(&self) -> Option<(&Line, &Entry)> {
        let line = self.lines.first()?;
        let entry = line.entry.as_ref().ok().filter(|entry| entry.action.is_sweep())?;
        Some((line, entry))
    }

    /// A batch of what was read after `from`; nothing when nothing was.
    pub fn of(shard: Shard, from: Position, lines: Vec<Line>) -> Option<Self> {
        let to = lines.last()?.position;
        Some(Self { shard, from, to, lines })
    }
}

/// The state of one shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Entries after the position asked for, counted.
    pub waiting: u64,
    /// When the oldest of these was appended, by the log's own clock.
    pub oldest: Option<Time>,
    /// Entries ever appended, by the log's own count.
    pub appends: u64,
    /// The highest position that was ever handed out.
    pub last: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: Action) -> Entry {
        Entry {
            post: PostId::parse("hello").unwrap(),
            user: UserId::parse("ann").unwrap(),
            at: Time::from_ms(1_790_000_000_000),
            action,
            terms: Terms::default(),
            origin: None,
        }
    }

    #[test]
    fn what_is_encoded_comes_back() {
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
    fn a_decision_comes_back_with_its_reason() {
        let window =
            Window { from: Time::from_ms(1), to: Time::from_ms(2), scores: vec![Score::parse(0).unwrap()] };
        let ann = Which::User(UserId::parse("ann").unwrap());
        for deed in [
            Deed::Freeze,
            Deed::Thaw,
            Deed::Hold(None),
            Deed::Hold(Some(Hold::Surge)),
            Deed::Approve(ann),
            Deed::Reject(Which::Window(window.clone())),
            Deed::Exclude(window),
            Deed::Undo(Position::new(3, 4)),
        ] {
            let reason = Reason::parse("a bomb, \"they\" said;  1 d x\n☃").unwrap();
            let decision = Entry { ..entry(Action::Decide(Arc::new(Decision { deed, reason }))) };
            assert_eq!(Entry::decode(decision.encode().as_bytes()), Ok(decision));
        }
        let longest = Reason::parse(&"𝄞".repeat(REASON_CHARS_MAX)).unwrap();
        let decision = entry(Action::Decide(Arc::new(Decision { deed: Deed::Thaw, reason: longest })));
        assert_eq!(Entry::decode(decision.encode().as_bytes()), Ok(decision), "the longest is read");
    }

    #[test]
    fn what_cannot_be_read_keeps_its_bytes_and_says_why() {
        for (text, reason) in [
            ("", "unknown encoding version"),
            ("2 r hello ann 5 1790000000000", "unknown encoding version"),
            ("1", "nothing else"),
            ("1 x hello ann 5 1790000000000", "unknown"),
            ("1 r hello ann 6 1790000000000", "outside 0..=5"),
            ("1 r hello ann 5.0 1790000000000", "no whole number"),
            ("1 r hel{lo ann 5 1790000000000", "post id holds"),
            ("1 r hello  5 1790000000000", "user id is empty"),
            ("1 r hello ann 5 soon", "no number of milliseconds"),
            ("1 r hello ann 5 17", "before 1990"),
            ("1 r hello ann 5 9223372036854775807", "ahead"),
            ("1 r hello ann 5 1790000000000 extra", "no place"),
            ("1 w hello ann 1790000000000 5", "no place"),
            ("1 r hello ann 5 1790000000000 1-1 extra", "unknown"),
            ("1 r hello ann 5 1790000000000 surge extra", "no place"),
            ("1 r hello ann 5 1790000000000 surge 1-1 extra", "unknown"),
            ("1 l hello ann 1790000000000", "unknown"),
            ("1 l hello ann 1790000000000 here", "no place"),
            ("1 d hello ann 1790000000000", "fewer"),
            ("1 d hello ann 1790000000000 {}", "cannot be read"),
        ] {
            let found = Entry::decode(text.as_bytes()).unwrap_err();
            assert!(found.reason.contains(reason), "{text:?}: {}", found.reason);
            assert_eq!(found.payload, text.as_bytes());
        }
        assert!(Entry::decode(&[0xff, 0xfe]).unwrap_err().reason.contains("not text"));
        assert!(Entry::decode(&[b'1'; 5_000]).unwrap_err().reason.contains("5000 bytes"));
    }

    #[test]
    fn positions_sort_as_their_bytes_do() {
        let places = [(0, 1), (0, u64::MAX), (1, 0), (1_790_000_000_000, 3), (u64::MAX, u64::MAX)];
        let places = places.map(|(high, low)| Position::new(high, low));
        for pair in places.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes());
            assert_eq!(Position::from_bytes(&pair[0].to_bytes()), Some(pair[0]));
            assert_eq!(Position::parse(&pair[1].to_string()), Some(pair[1]));
        }
    }

    #[test]
    fn a_post_always_lives_in_the_same_shard() {
        // CRC-16/XMODEM("123456789") = 0x31C3, the algorithm's published check value.
        assert_eq!(Shard::of(&PostId::parse("123456789").unwrap(), u16::MAX), Shard(0x31C3));
        assert_eq!(Shard::of(&PostId::parse("hello").unwrap(), 1), Shard(0));
    }
}
