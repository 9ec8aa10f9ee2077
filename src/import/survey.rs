//! What was seen of a file while it was read, and whether that shows that it was read in the wrong way: a file of 1 to 10
//! must not come in as its few scores up to 5.

use super::clock::formats_of;
use super::options::Options;
use super::rules::Rules;
use super::scale::{self, Decimal, Scale};
use crate::entry::Entry;
use crate::error::{Invalid, Kind};
use crate::model::{DAY_MS, Score, Time};

/// Of a file with at least this many lines, one in [`BAD_OF_MANY`] that cannot be read is too many; of a shorter one, one in
/// [`BAD_OF_FEW`].
const MANY_LINES: u64 = 100;
const BAD_OF_MANY: u64 = 20;
const BAD_OF_FEW: u64 = 5;
/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Lines, without empty ones.
    pub lines: u64,
    /// Scores that a scale, or half stars, rounded.
    pub rounded: u64,
    /// Lines that say that there is no rating.
    pub unrated: u64,
    /// Ratings with each score.
    pub histogram: [u64; Score::COUNT],
    /// The first and the last moment of a rating.
    pub span: Option<(Time, Time)>,
    /// Ratings that are older than the one before them.
    pub unsorted: u64,
    /// Ratings at the very beginning of a day, in UTC.
    pub midnights: u64,
    last: Option<Time>,
    /// Scores that were outside, had a fraction, or were words.
    outside: u64,
    fractions: u64,
    words: u64,
    /// The lowest and the highest of the scores that were refused.
    refused: Option<(Decimal, Decimal)>,
    times: u64,
    /// A time that could not be read.
    time: Option<String>,
}

impl Survey {
    /// Notes a rating.
    pub fn note(&mut self, entry: &Entry, is_rounded: bool) {
        self.rounded += u64::from(is_rounded);
        if let Some(score) = entry.action.score() {
            self.histogram[score.index()] += 1;
        }
        let at = entry.at;
        self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        self.unsorted += u64::from(self.last.is_some_and(|last| at < last));
        self.midnights += u64::from(at.ms().rem_euclid(DAY_MS) == 0);
        self.last = Some(at);
    }

    /// Notes why a line is refused, if an option may remove the reason.
    pub fn note_bad(&mut self, error: &Invalid) {
        // The texts stand in the error, between quotes or behind the first word.
        let text = match error.detail.split_once('"') {
            Some((_, rest)) => rest.split('"').next().unwrap_or_default(),
            None => error.detail.split(' ').nth(1).unwrap_or_default(),
        };
        match error.kind {
            Kind::ScoreOutOfRange | Kind::ScoreNotWhole => match Decimal::parse(text) {
                Some(value) => {
                    let (low, high) = self.refused.unwrap_or((value, value));
                    self.refused = Some((low.min(value), high.max(value)));
                    let is_outside = !(Decimal::whole(0)..=Decimal::whole(5)).contains(&value);
                    *(if is_outside { &mut self.outside } else { &mut self.fractions }) += 1;
                }
                None => self.words += u64::from(scale::word(text).is_some()),
            },
            Kind::InvalidTime => {
                self.times += 1;
                self.time.get_or_insert_with(|| text.to_owned());
            }
            _ => {}
        }
    }

    /// Refuses a file of which too many lines have scores of another scale, or times in a format that has to be stated.
    pub fn check(&self, rules: &Rules, options: &Options) -> Result<(), Invalid> {
        let too_many = |bad: u64| {
            bad * if self.lines >= MANY_LINES { BAD_OF_MANY } else { BAD_OF_FEW } >= self.lines.max(1)
                && bad > 0
        };
        let refuse = |why: String, remedies: Vec<Options>| {
            let commands: String =
                remedies.iter().map(|remedy| format!("\n  {}", remedy.command_line())).collect();
            Err(Invalid::new(Kind::UnclearFile, format!("{why}{commands}")))
        };
        let scaled = |scales: &[Scale]| -> Vec<Options> {
            let with = |scale: &Scale| Options { scale: Some(*scale), ..options.clone() };
            scales.iter().map(with).collect()
        };
        if rules.scale.is_none() {
            let (bad, of) = (self.outside + self.fractions + self.words, self.lines);
            if too_many(self.words) {
                return refuse(
                    format!(
                        "{} of {of} scores are words such as true: say which scores they stand for:",
                        self.words
                    ),
                    scaled(&Scale::parse("0..1").into_iter().collect::<Vec<_>>()),
                );
            }
            if too_many(self.outside) {
                let (low, high) = self.range();
                return refuse(
                    format!(
                        "{bad} of {of} scores are not 0 to 5 ({low} to {high} were seen): say which scale they have:"
                    ),
                    scaled(&scale::fitting(low, high)),
                );
            }
            if too_many(self.fractions) && !rules.has_half_stars {
                let scales: Vec<Scale> =
                    ["0..5", "0.5..5", "1..5"].iter().filter_map(|text| Scale::parse(text).ok()).collect();
                return refuse(
                    format!(
                        "{} of {of} scores are no whole numbers: say which scale they have (0..5 only rounds, half up):",
                        self.fractions
                    ),
                    scaled(&scales),
                );
            }
        }
        if let Some(text) = self.time.as_deref().filter(|_| too_many(self.times)) {
            let remedies: Vec<Options> = formats_of(text)
                .iter()
                .map(|format| Options { time_format: Some((*format).to_owned()), ..options.clone() })
                .collect();
            if !remedies.is_empty() && options.time_format.is_none() {
                let why = format!(
                    "{} of {} times, such as {text:?}, do not say their offset: say how they are written; they are read as UTC:",
                    self.times, self.lines
                );
                return refuse(why, remedies);
            }
        }
        Ok(())
    }

    /// The lowest and the highest score, refused ones included.
    fn range(&self) -> (Decimal, Decimal) {
        let scores = || (0..Score::COUNT).filter(|score| self.histogram[*score] > 0);
        let (low, high) = self.refused.unwrap_or((Decimal::whole(5), Decimal::whole(0)));
        let least = scores().next().map_or(low, |score| Decimal::whole(score as i64));
        let most = scores().next_back().map_or(high, |score| Decimal::whole(score as i64));
        (low.min(least), high.max(most))
    }
}
