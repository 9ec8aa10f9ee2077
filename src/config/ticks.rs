//! The timetable: when ratings begin to count. A cron expression in UTC gives the last tick and the next one for any
//! moment. `Drainer::drain` does the work of a tick, and [`worker`](crate::worker) starts it.

use std::str::FromStr;
use std::sync::Mutex;

use cron::Schedule;

use crate::error::{Invalid, Kind};
use crate::model::{TIME_MIN, Time};

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
        let schedule = Schedule::from_str(expression).map_err(|_| explain("is not a schedule"))?;
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
    fn a_wrong_schedule_says_what_is_right() {
        for wrong in ["", "*/5 * * * *", "sometimes", "0 0 0 30 2 *"] {
            assert!(Ticks::parse(wrong).unwrap_err().detail.contains("0 */5 * * * *"), "{wrong}");
        }
    }
}
