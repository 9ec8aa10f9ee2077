//! The timetable: when ratings begin to count. A cron expression in UTC gives the last tick and the next one for any
//! moment. `Drainer::drain` does the work of a tick, and [`worker`](crate::worker) starts it.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Mutex;

use cron::Schedule;

use crate::error::{Invalid, Kind};
use crate::model::{TIME_MIN, Time};

/// The fields of an expression; the last one may be left out.
const FIELDS: [&str; 7] =
    ["second", "minute", "hour", "day of the month", "month", "day of the week", "year"];
/// The place of the days of the week among them.
const WEEKDAY: usize = 5;
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// The cron schedule of the drain.
#[derive(Debug)]
pub struct Ticks {
    schedule: Schedule,
    // Finding a tick costs microseconds, every read asks, and the answer holds until the next tick.
    around: Mutex<Option<Window>>,
}

/// The stretch of time between two ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The tick at or before the moment asked for.
    pub last: Time,
    /// The tick after it.
    pub next: Time,
}

impl Ticks {
    /// Takes six fields, seconds first: `0 */5 * * * *`.
    pub fn parse(expression: &str) -> Result<Self, Invalid> {
        let explain = |why: &str| {
            let detail =
                format!("tick {expression:?} {why}; it takes six fields, seconds first: 0 */5 * * * *");
            Invalid::new(Kind::SettingOutOfRange, detail)
        };
        let schedule = read(expression).map_err(|why| explain(&why))?;
        // The 30th of February. The worker notices a schedule that ends.
        if schedule.after(&TIME_MIN.to_utc()).next().is_none() {
            return Err(explain("never comes"));
        }
        Ok(Self { schedule, around: Mutex::new(None) })
    }

    /// The ticks around `now`: `last <= now < next`.
    pub fn around(&self, now: Time) -> Window {
        let mut around = self.around.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match *around {
            Some(window) if window.last <= now && now < window.next => window,
            _ => *around.insert(self.find(now)),
        }
    }

    fn find(&self, now: Time) -> Window {
        // A schedule may begin or end; outside of it the moment itself is the best answer.
        let next_second = Time::from_ms((now.ms().div_euclid(1000) + 1).saturating_mul(1000)).to_utc();
        let last = self.schedule.after(&next_second).next_back().map_or(now, Time::from);
        let next = self.schedule.after(&now.to_utc()).next().map_or(now.plus_ms(1), Time::from);
        Window { last: last.min(now), next: next.max(now.plus_ms(1)) }
    }

    /// The schedule, for the worker that starts drains.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}

/// Reads an expression as cron does; the error says what is wrong with it.
fn read(expression: &str) -> Result<Schedule, String> {
    if expression.trim_start().starts_with('@') {
        return Schedule::from_str(expression).map_err(|_| "is not a schedule".into());
    }
    let written: Vec<&str> = expression.split_whitespace().collect();
    if written.len() < FIELDS.len() - 1 || written.len() > FIELDS.len() {
        return Err(format!("has {} fields", written.len()));
    }
    let mut fields: Vec<String> = written.iter().map(|field| (*field).to_owned()).collect();
    let weekdays = weekdays(&fields[WEEKDAY]);
    let is_weekday = weekdays.is_some();
    fields[WEEKDAY] = weekdays.unwrap_or_default();
    let can_be_read = |at: &usize| {
        let mut alone = ["*"; FIELDS.len()];
        alone[*at] = &fields[*at];
        (*at != WEEKDAY || is_weekday) && Schedule::from_str(&alone.join(" ")).is_ok()
    };
    if let Some(at) = (0..fields.len()).find(|at| !can_be_read(at)) {
        return Err(format!("has the {} {:?}, which cannot be read", FIELDS[at], written[at]));
    }
    Schedule::from_str(&fields.join(" ")).map_err(|_| "is not a schedule".into())
}

/// Days of the week as cron writes them, for a library that counts from Sunday as 1 and knows no range over a weekend.
fn weekdays(field: &str) -> Option<String> {
    let day = |text: &str| match text.parse() {
        Ok(number) => Some(number).filter(|number: &usize| *number <= 7),
        Err(_) if text.len() < 3 => None,
        Err(_) => WEEKDAYS.iter().position(|day| day.starts_with(&text.to_lowercase())),
    };
    let mut days = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (day(from)?, day(to)?),
            None if ["*", "?"].contains(&range) => (0, 6),
            None => (day(range)?, if step.is_some() { 6 } else { day(range)? }),
        };
        let step = step.map_or(Some(1), |step| step.parse().ok()).filter(|step| *step > 0)?;
        // From Friday to Monday.
        let to = if to < from { to + 7 } else { to };
        days.extend((from..=to).step_by(step).map(|day| (day % 7 + 1).to_string()));
    }
    Some(days.into_iter().collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().into()
    }

    #[test]
    fn a_tick_is_its_own_last_tick() {
        let ticks = Ticks::parse("0 */5 * * * *").unwrap();
        for (now, last, next) in [
            ("2026-11-21T14:30:00Z", "2026-11-21T14:30:00Z", "2026-11-21T14:35:00Z"),
            ("2026-11-21T14:34:59.999Z", "2026-11-21T14:30:00Z", "2026-11-21T14:35:00Z"),
            ("2026-11-21T14:35:00.001Z", "2026-11-21T14:35:00Z", "2026-11-21T14:40:00Z"),
            ("2026-11-21T14:29:59.999Z", "2026-11-21T14:25:00Z", "2026-11-21T14:30:00Z"),
        ] {
            assert_eq!(ticks.around(time(now)), Window { last: time(last), next: time(next) }, "{now}");
        }
    }

    #[test]
    fn weekdays_are_those_of_cron() {
        for (field, days) in [
            ("*", "1,2,3,4,5,6,7"),
            ("0", "1"),
            ("7", "1"),
            ("1-5", "2,3,4,5,6"),
            ("Mon-Friday", "2,3,4,5,6"),
            ("5-7", "1,6,7"),
            ("fri-mon", "1,2,6,7"),
            ("sun,3", "1,4"),
            ("*/2", "1,3,5,7"),
            ("1/2", "2,4,6"),
        ] {
            assert_eq!(weekdays(field).as_deref(), Some(days), "{field}");
        }
        for wrong in ["8", "mo", "fryday", "1-", "*/0", "", "1,"] {
            assert_eq!(weekdays(wrong), None, "{wrong}");
        }
        // A Saturday. Monday is the first working day after it.
        let ticks = Ticks::parse("0 0 9 * * 1-5").unwrap();
        assert_eq!(ticks.around(time("2026-11-21T14:30:00Z")).next, time("2026-11-23T09:00:00Z"));
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (wrong, field) in [
            ("0 */5 * * *", "has 5 fields"),
            ("60 * * * * *", "second \"60\""),
            ("0 */5 25 * * *", "hour \"25\""),
            ("0 0 0 * 13 *", "month \"13\""),
            ("0 0 0 * * 8", "day of the week \"8\""),
        ] {
            let refusal = Ticks::parse(wrong).unwrap_err().detail;
            assert!(refusal.contains(field), "{refusal}");
        }
    }

    #[test]
    fn a_wrong_schedule_says_what_is_right() {
        for wrong in ["", "*/5 * * * *", "sometimes", "0 0 0 30 2 *"] {
            assert!(Ticks::parse(wrong).unwrap_err().detail.contains("0 */5 * * * *"), "{wrong}");
        }
    }
}
