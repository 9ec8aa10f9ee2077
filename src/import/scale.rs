//! Scores of other scales: linear onto 0 to 5, half up, in exact decimals. Which scale a file has is stated, never guessed.

use std::fmt;

use crate::error::{Invalid, Kind};
use crate::model::Score;

/// Digits behind the point that a score may have.
const DIGITS_MAX: usize = 9;
/// A whole number, in the unit of [`Decimal`].
const ONE: i128 = 1_000_000_000;
/// Whole scores whose new values are shown one by one.
const SHOWN_MAX: i128 = 11;
/// Words for the lower and the upper end of a scale of two, in small letters.
const WORDS: [[&str; 6]; 2] = [
    ["false", "f", "no", "down", "dislike", "not recommended"],
    ["true", "t", "yes", "up", "like", "recommended"],
];

/// A number without rounding, in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i128);

impl Decimal {
    /// Reads `-12.5`; no exponents.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > DIGITS_MAX || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > DIGITS_MAX {
            return None;
        }
        let parts: i128 = format!("{fraction:0<DIGITS_MAX$}").parse().ok()?;
        let value = whole.parse::<i128>().ok()? * ONE + parts;
        Some(Self(if text.starts_with('-') { -value } else { value }))
    }

    /// A whole number.
    pub fn whole(value: i64) -> Self {
        Self(i128::from(value) * ONE)
    }

    /// Whether it has no fraction.
    pub fn is_whole(self) -> bool {
        self.0 % ONE == 0
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, value) = (if self.0 < 0 { "-" } else { "" }, self.0.abs());
        let text = format!("{sign}{}.{:09}", value / ONE, value % ONE);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The scale of a file: its lowest score becomes 0, its highest 5. `6..1` is one whose best score is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    from: Decimal,
    to: Decimal,
}

impl Scale {
    /// Reads `1..10`.
    ///
    /// # Errors
    /// A sentence, when it is no scale.
    pub fn parse(text: &str) -> Result<Self, String> {
        let ends = text.split_once("..").and_then(|(from, to)| {
            let to = to.strip_prefix('=').unwrap_or(to);
            Some((Decimal::parse(from.trim())?, Decimal::parse(to.trim())?))
        });
        match ends {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            _ => Err("write a scale as its worst and its best score: 1..10, 0.5..5, -1..1".to_owned()),
        }
    }

    /// A text's score on 0..=5, and whether that was rounded.
    pub fn score(&self, text: &str) -> Result<(Score, bool), Invalid> {
        let value = match Decimal::parse(text) {
            Some(value) => value,
            None => self.word(text)?,
        };
        let (low, high) = (self.from.min(self.to), self.from.max(self.to));
        if value < low || value > high {
            let detail = format!("score {value} is outside the scale {self}");
            return Err(Invalid::new(Kind::ScoreOutOfRange, detail));
        }
        let range = (self.to.0 - self.from.0).abs();
        let above = (value.0 - self.from.0).abs() * i128::from(Score::MAX);
        // Half up: the whole part of above/range + 1/2.
        let score = (2 * above + range) / (2 * range);
        Ok((Score::parse(score as i64)?, above % range != 0))
    }

    fn word(&self, text: &str) -> Result<Decimal, Invalid> {
        let ends = [self.from, self.to];
        let end = word(text).map(|end| ends[end]);
        end.ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Invalid::new(Kind::ScoreNotWhole, format!("score {shown:?} is no number of the scale {self}"))
        })
    }

    /// What becomes of the scores, for people: `1 → 0, 2 → 1`.
    pub fn table(&self) -> String {
        let (low, high) = (self.from.min(self.to), self.from.max(self.to));
        let step = if low.is_whole() && high.is_whole() { ONE } else { ONE / 2 };
        let count = (high.0 - low.0) / step;
        let values: Vec<Decimal> = if count < SHOWN_MAX && (high.0 - low.0) % step == 0 {
            (0..=count).map(|i| Decimal(low.0 + i * step)).collect()
        } else {
            vec![low, Decimal((low.0 + high.0) / 2), high]
        };
        let shown = values.iter().filter_map(|value| {
            let (score, _) = self.score(&value.to_string()).ok()?;
            Some(format!("{value} → {score}"))
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

/// Scales that people have, from the narrowest on.
const USUAL: [(i64, i64); 10] =
    [(0, 1), (-1, 1), (1, 5), (0, 5), (1, 10), (0, 10), (1, 20), (0, 20), (1, 100), (0, 100)];

/// The scales that hold all scores from `low` to `high`: the two narrowest of those that people have, or their own.
pub fn fitting(low: Decimal, high: Decimal) -> Vec<Scale> {
    let fits = |(from, to): &&(i64, i64)| Decimal::whole(*from) <= low && high <= Decimal::whole(*to);
    let scale = |(from, to): &(i64, i64)| Scale { from: Decimal::whole(*from), to: Decimal::whole(*to) };
    let found: Vec<Scale> = USUAL.iter().filter(fits).map(scale).take(2).collect();
    if found.is_empty() && low != high { vec![Scale { from: low, to: high }] } else { found }
}

/// Which end of a scale of two a word names: 0 or 1.
pub fn word(text: &str) -> Option<usize> {
    let text = text.to_lowercase();
    WORDS.iter().position(|words| words.contains(&text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(scale: &str, texts: &[&str]) -> Vec<u8> {
        let scale = Scale::parse(scale).unwrap();
        texts.iter().map(|text| scale.score(text).unwrap().0.get()).collect()
    }

    #[test]
    fn scales_are_linear_and_round_half_up() {
        let ten = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
        assert_eq!(scores("1..10", &ten), [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]);
        assert_eq!(scores("1..10", &["1.9", "1.89", "10.0"]), [1, 0, 5], "exactly half goes up");
        assert_eq!(scores("0..10", &["0", "1", "5", "9", "10"]), [0, 1, 3, 5, 5]);
        assert_eq!(scores("1..5", &["1", "2", "3", "4", "5"]), [0, 1, 3, 4, 5]);
        assert_eq!(scores("0.5..5", &["0.5", "2.5", "2.75", "5"]), [0, 2, 3, 5]);
        assert_eq!(scores("0..100", &["49", "50", "100", "9", "10"]), [2, 3, 5, 0, 1]);
        assert_eq!(scores("-1..1", &["-1", "0", "1", "true", "No", "Not Recommended"]), [0, 3, 5, 5, 0, 0]);
        assert_eq!(scores("0..1", &["0.3", "0.1", "False", "t"]), [2, 1, 0, 5]);
        assert_eq!(scores("6..1", &["1", "6", "3"]), [5, 0, 3]);
    }

    #[test]
    fn what_is_outside_or_no_number_is_refused() {
        let scale = Scale::parse("1..10").unwrap();
        for bad in ["0", "10.000000001", "11", "", "ten", "1e1", "1,5", "0x1"] {
            assert!(scale.score(bad).is_err(), "{bad}");
        }
        for bad in ["1", "1..1", "a..b", "..", "1..", "1...5"] {
            assert!(Scale::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Scale::parse("0.50..5").unwrap().to_string(), "0.5..5");
        assert_eq!(Scale::parse("-1..1").unwrap().table(), "-1 → 0, 0 → 3, 1 → 5");
    }
}
