//! How the values of a line become a rating: ids, score and time, by the rules that a file has.

use std::borrow::Cow;

use super::clock::Clock;
use super::options::{Options, POST, ROLES, SCORE, TIME, USER};
use super::scale::{Decimal, Scale};
use crate::entry::{Action, Entry};
use crate::error::{Invalid, Kind};
use crate::model::{PostId, Score, Time, UserId};

/// The values of a line by role; what is not there is none.
pub type Values<'a> = [Option<Cow<'a, [u8]>>; ROLES.len()];

/// The rules of a file.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The scale of the scores; without one they are 0 to 5 already.
    pub scale: Option<Scale>,
    /// Without a scale: scores from 0.5 to 5 in halves, which are rounded up.
    pub has_half_stars: bool,
    /// A score that says that there is no rating.
    pub no_rating: Option<String>,
    /// How times are read.
    pub clock: Clock,
    post: Option<PostId>,
    user: Option<UserId>,
    at: Option<Time>,
    escapes_ids: bool,
}

impl Rules {
    /// What the options say.
    pub fn of(options: &Options, has_half_stars: bool) -> Self {
        let clock = match (&options.time_format, options.time_unit) {
            (Some(format), _) => Clock::Format(format.clone()),
            (None, Some(unit)) => Clock::Unit(unit),
            (None, None) => Clock::Plain,
        };
        Self {
            scale: options.scale,
            has_half_stars,
            no_rating: options.no_rating.clone(),
            clock,
            post: options.post.clone(),
            user: options.user.clone(),
            at: options.at,
            escapes_ids: options.escapes_ids,
        }
    }

    /// The rating that a line's values say, and whether its score was rounded; nothing if they say that there is none.
    pub fn entry(&self, values: &Values<'_>, now: Time) -> Result<Option<(Entry, bool)>, Invalid> {
        let score = text(values, SCORE)?;
        if self.says_nothing(score) {
            return Ok(None);
        }
        let (score, is_rounded) = self.score(score)?;
        let at = match self.at {
            Some(at) => at,
            None => self.clock.time(text(values, TIME)?)?,
        };
        let post = match &self.post {
            Some(post) => post.clone(),
            None => PostId::parse(&self.id(values, POST)?)?,
        };
        let user = match &self.user {
            Some(user) => user.clone(),
            None => UserId::parse(&self.id(values, USER)?)?,
        };
        let entry = Entry::new(post, user, at.check_entry(now)?, Action::Rate(score));
        Ok(Some((entry.stated(), is_rounded)))
    }

    fn says_nothing(&self, score: &str) -> bool {
        self.no_rating.as_deref().is_some_and(|nothing| {
            score == nothing
                || Decimal::parse(score).is_some_and(|value| Decimal::parse(nothing) == Some(value))
        })
    }

    fn score(&self, text: &str) -> Result<(Score, bool), Invalid> {
        match &self.scale {
            Some(scale) => scale.score(text),
            None if self.has_half_stars => parse_stars(text),
            None => Ok((parse_score(text)?, false)),
        }
    }

    fn id<'a>(&self, values: &'a Values<'_>, role: usize) -> Result<Cow<'a, str>, Invalid> {
        if !self.escapes_ids {
            return text(values, role).map(Cow::Borrowed);
        }
        let bytes = values[role].as_deref().ok_or_else(|| absent(role))?;
        Ok(Cow::Owned(escaped(bytes)))
    }
}

/// Bytes as an id: what no id may hold, and the sign itself, is written as `=XX`, as mail does it. Different bytes give
/// different ids.
fn escaped(bytes: &[u8]) -> String {
    let mut id = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"._~:@+|-".contains(byte) {
            id.push(char::from(*byte));
        } else {
            id += &format!("={byte:02X}");
        }
    }
    id
}

fn text<'a>(values: &'a Values<'_>, role: usize) -> Result<&'a str, Invalid> {
    let bytes = values[role].as_deref().ok_or_else(|| absent(role))?;
    let wrong = || Invalid::new(Kind::BadLine, format!("its {} is not UTF-8 text", ROLES[role]));
    std::str::from_utf8(bytes).map_err(|_| wrong())
}

fn absent(role: usize) -> Invalid {
    Invalid::new(Kind::BadLine, format!("it has no {}", ROLES[role]))
}

/// A whole number. Programs that compute with floats write it as `5.0`.
pub fn parse_score(text: &str) -> Result<Score, Invalid> {
    let not_whole = || Invalid::new(Kind::ScoreNotWhole, format!("score {text:?} is no whole number, 0..=5"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    // There is no negative zero.
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    if !is_number || fraction.bytes().any(|digit| digit != b'0') || digits.len() < whole.len() && is_zero {
        return Err(not_whole());
    }
    Score::parse(whole.parse().map_err(|_| not_whole())?)
}

/// Scores from 0.5 to 5.0 in halves, and whether it was a half.
fn parse_stars(text: &str) -> Result<(Score, bool), Invalid> {
    let wrong = || {
        let detail = format!("rating {text} is not a multiple of a half from 0.5 to 5");
        Invalid::new(Kind::ScoreNotWhole, detail)
    };
    let stars: f64 = text.parse().map_err(|_| wrong())?;
    if (stars * 2.0).fract() != 0.0 || !(0.5..=5.0).contains(&stars) {
        return Err(wrong());
    }
    Ok((Score::parse(stars.ceil() as i64)?, stars.fract() != 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_become_an_id_and_no_two_the_same() {
        assert_eq!(escaped(b"https://boxd.it/a"), "https:=2F=2Fboxd.it=2Fa");
        assert_eq!(escaped("Amélie=".as_bytes()), "Am=C3=A9lie=3D");
        assert_eq!(escaped(b"plain-1"), "plain-1");
    }
}
