//! Invented attacks: so many accounts give a score from a moment on, in one of three shapes.

use std::fmt;

use super::spool::Rating;
use crate::error::{Invalid, Kind};
use crate::import::parse_moment;
use crate::model::{DAY_MS, HOUR_MS, MINUTE_MS, Score, Time, UserId};

/// Most accounts of one bomb.
const ACCOUNTS_MAX: u32 = 1_000_000;

/// How an attack is spread over its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Evenly, in minutes: a script.
    Blast,
    /// It swells and ebbs, in hours: a crowd that is called together.
    Hours,
    /// Evenly, in days: patience.
    Drip,
}

/// An attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bomb {
    /// Accounts, each with one rating.
    pub accounts: u32,
    /// The score that they give.
    pub score: Score,
    /// The first moment.
    pub from: Time,
    /// From the first to the last.
    pub span_ms: i64,
    /// The shape.
    pub shape: Shape,
}

impl Bomb {
    /// Reads `500x0@2018-01-05T12:00/10m`, `500x0@2018-01-05/hours` or `500x0@2018-01-05T12:00/3d/drip`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            let detail = format!(
                "{text:?} is no attack: write ACCOUNTSxSCORE@TIME/SPAN, such as 500x0@2018-01-05T12:00/10m, and a shape \
                 behind it if you like: /blast, /hours or /drip"
            );
            Invalid::new(Kind::InvalidWindow, detail)
        };
        let (who, when) = text.split_once('@').ok_or_else(wrong)?;
        let (accounts, score) = who.split_once(['x', '×']).ok_or_else(wrong)?;
        let accounts: u32 = accounts.trim().parse().map_err(|_| wrong())?;
        let score = Score::parse(score.trim().parse().map_err(|_| wrong())?)?;
        let mut parts = when.split('/');
        let from = parse_moment(parts.next().unwrap_or_default().trim())?;
        let (mut shape, mut span_ms) = (None, None);
        for part in parts {
            match part.trim() {
                "blast" => shape = Some(Shape::Blast),
                "hours" => shape = Some(Shape::Hours),
                "drip" => shape = Some(Shape::Drip),
                span => span_ms = Some(parse_span(span).ok_or_else(wrong)?),
            }
        }
        if accounts == 0 || accounts > ACCOUNTS_MAX {
            return Err(wrong());
        }
        let shape = shape.unwrap_or(match span_ms {
            Some(span_ms) if span_ms > DAY_MS => Shape::Drip,
            Some(span_ms) if span_ms > HOUR_MS => Shape::Hours,
            _ => Shape::Blast,
        });
        let usual = match shape {
            Shape::Blast => 10 * MINUTE_MS,
            Shape::Hours => 6 * HOUR_MS,
            Shape::Drip => 14 * DAY_MS,
        };
        Ok(Self { accounts, score, from, span_ms: span_ms.unwrap_or(usual), shape })
    }

    /// Its ratings; `number` tells several attacks' accounts apart.
    ///
    /// # Errors
    /// Never, since the ids are right.
    pub fn ratings(&self, number: usize) -> Result<Vec<Rating>, Invalid> {
        let rating = |i: u32| {
            let share = (f64::from(i) + 0.5) / f64::from(self.accounts);
            let share = match self.shape {
                Shape::Blast | Shape::Drip => share,
                // The inverse of a triangle's area: most come in the middle.
                Shape::Hours if share < 0.5 => (share / 2.0).sqrt(),
                Shape::Hours => 1.0 - ((1.0 - share) / 2.0).sqrt(),
            };
            let user = UserId::parse(&format!("attack-{number}-{i}"))?;
            Ok(Rating {
                user,
                score: self.score,
                at: self.from.plus_ms((share * self.span_ms as f64) as i64),
            })
        };
        (0..self.accounts).map(rating).collect()
    }
}

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            Shape::Blast => "at once",
            Shape::Hours => "swelling and ebbing",
            Shape::Drip => "evenly",
        };
        let span = match self.span_ms {
            ms if ms >= 2 * DAY_MS => format!("{} days", ms / DAY_MS),
            ms if ms >= 2 * HOUR_MS => format!("{} hours", ms / HOUR_MS),
            ms => format!("{} minutes", ms / MINUTE_MS),
        };
        let from = self.from.to_utc().format("%Y-%m-%d %H:%M");
        write!(f, "{} accounts give a {} within {span}, {shape}, from {from} on", self.accounts, self.score)
    }
}

/// `90s`, `10m`, `36h`, `3d`
fn parse_span(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let number: i64 = number.parse().ok().filter(|number| (1..=100_000).contains(number))?;
    Some(
        number
            * match unit {
                "s" => 1_000,
                "m" => MINUTE_MS,
                "h" => HOUR_MS,
                "d" => DAY_MS,
                _ => return None,
            },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_is_read_and_spread() {
        let bomb = Bomb::parse("500x0@2018-01-05T12:00/10m").unwrap();
        assert_eq!((bomb.accounts, bomb.span_ms, bomb.shape), (500, 600_000, Shape::Blast));
        assert_eq!(bomb.from.to_string(), "2018-01-05T12:00:00.000Z");
        assert_eq!(Bomb::parse("9x5@2018-01-05/drip").unwrap().span_ms, 14 * DAY_MS);
        assert_eq!(Bomb::parse("9x5@2018-01-05/6h").unwrap().shape, Shape::Hours);
        for shape in ["blast", "hours", "drip"] {
            let bomb = Bomb::parse(&format!("100x1@2018-01-05T12:00/1h/{shape}")).unwrap();
            let ratings = bomb.ratings(0).unwrap();
            assert!(ratings.is_sorted_by_key(|rating| rating.at));
            assert!(ratings[0].at >= bomb.from && ratings[99].at < bomb.from.plus_ms(bomb.span_ms));
            let middle = (25..75)
                .contains(&ratings.iter().filter(|r| r.at < bomb.from.plus_ms(bomb.span_ms / 2)).count());
            assert!(middle);
        }
        for bad in [
            "",
            "500@2018-01-05",
            "500x6@2018-01-05/1h",
            "0x0@2018-01-05",
            "5x0@then",
            "5x0@2018-01-05/1y",
            "5x0@2018-01-05/",
        ] {
            assert!(Bomb::parse(bad).is_err(), "{bad}");
        }
    }
}
