//! Scales: where a value lies between two ends, and which values get a mark.

use chrono::{Datelike, Timelike};

use crate::model::{DAY_MS, HOUR_MS, MINUTE_MS, Score, Time};

/// Values from `low` to `high`, drawn from `start` to `end`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The least value.
    pub low: f64,
    /// The greatest value.
    pub high: f64,
    /// Where the least one is drawn.
    pub start: f64,
    /// Where the greatest one is drawn.
    pub end: f64,
}

impl Scale {
    /// Where a value is drawn; one outside lies at the nearer end.
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.high > self.low { (value - self.low) / (self.high - self.low) } else { 0.5 };
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }
}

/// A mark at an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// At this value.
    pub at: f64,
    /// What it says.
    pub label: String,
}

/// The steps between marks of means.
const MEAN_STEPS: [f64; 4] = [0.1, 0.2, 0.5, 1.0];
/// Least span of an axis of means: less would make noise look like news.
const MEAN_SPAN_MIN: f64 = 0.6;

/// The ends of an axis that shows all `means`, and its marks; the whole scale without any.
pub fn mean_axis(means: impl Iterator<Item = f64>) -> (f64, f64, Vec<Mark>) {
    let max = f64::from(Score::MAX);
    let (low, high) = means.fold((f64::MAX, f64::MIN), |(low, high), mean| (low.min(mean), high.max(mean)));
    if low > high {
        return marked(0.0, max, 1.0);
    }
    let missing = (MEAN_SPAN_MIN - (high - low)).max(0.0) / 2.0;
    let (low, high) = (low - missing - 0.05, high + missing + 0.05);
    let (low, high) = ((low - (high - max).max(0.0)).max(0.0), (high - low.min(0.0)).min(max));
    let step = MEAN_STEPS.into_iter().find(|step| (high - low) / step <= 6.0).unwrap_or(1.0);
    marked((low / step).floor() * step, ((high / step).ceil() * step).min(max), step)
}

fn marked(low: f64, high: f64, step: f64) -> (f64, f64, Vec<Mark>) {
    let count = ((high - low) / step).round() as usize;
    let mark = |i| {
        let at = low + step * i as f64;
        Mark { at, label: format!("{at:.1}") }
    };
    (low, high, (0..=count).map(mark).collect())
}

/// The steps between marks of time, shorter than months.
const TIME_STEPS: [i64; 14] = [
    MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    14 * DAY_MS,
];
/// The steps between marks of longer stretches, in months.
const MONTH_STEPS: [i32; 6] = [1, 2, 3, 6, 12, 24];

/// Marks from `from` to `to`, at most `most`, and whether they name clock times.
pub fn time_marks((from, to): (Time, Time), most: usize) -> (Vec<Mark>, bool) {
    let most = most.max(1) as i64;
    let span = to.ms().saturating_sub(from.ms());
    let step = TIME_STEPS.into_iter().find(|step| span / step < most);
    if let Some(step) = step {
        let first = from.ms().div_euclid(step) + i64::from(from.ms().rem_euclid(step) > 0);
        let is_clock = step < DAY_MS;
        let mark = |i: i64| {
            let at = Time::from_ms(i * step).to_utc();
            let is_midnight = at.hour() == 0 && at.minute() == 0;
            let form = if is_clock && !is_midnight { "%H:%M" } else { "%-d %b" };
            Mark { at: (i * step) as f64, label: at.format(form).to_string() }
        };
        return ((first..=to.ms().div_euclid(step)).map(mark).collect(), is_clock);
    }
    let (begin, end) = (from.to_utc(), to.to_utc());
    let month_of = |at: chrono::DateTime<chrono::Utc>| at.year() * 12 + at.month0() as i32;
    let months = month_of(end) - month_of(begin) + 1;
    let step = MONTH_STEPS.into_iter().find(|step| i64::from(months / step) <= most).unwrap_or(60);
    let mark = |month: i32| {
        let at = chrono::NaiveDate::from_ymd_opt(month.div_euclid(12), month.rem_euclid(12) as u32 + 1, 1)?;
        let at = at.and_hms_opt(0, 0, 0)?.and_utc();
        let form = if step >= 12 || month.rem_euclid(12) == 0 { "%Y" } else { "%b" };
        (at >= begin && at <= end)
            .then(|| Mark { at: at.timestamp_millis() as f64, label: at.format(form).to_string() })
    };
    let first = month_of(begin).div_euclid(step) * step;
    let marks = (0..=months / step + 1).filter_map(|i| mark(first + i * step)).collect();
    (marks, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time::from_ms(1_700_000_000_000);

    #[test]
    fn an_axis_of_means_holds_them_all_and_stays_on_the_scale() {
        for means in [vec![4.2, 4.19], vec![0.0], vec![5.0], vec![0.0, 5.0], vec![2.54, 3.61], vec![]] {
            let (low, high, marks) = mean_axis(means.iter().copied());
            assert!((0.0..=5.0).contains(&low) && (0.0..=5.0).contains(&high), "{low} {high}");
            assert!(means.iter().all(|mean| (low..=high).contains(mean)), "{means:?} in {low} {high}");
            assert!((2..=8).contains(&marks.len()), "{marks:?}");
        }
        assert_eq!(mean_axis([4.2].into_iter()).2[0].label, "3.8");
    }

    #[test]
    fn marks_of_time_are_few_and_within() {
        for span in [10 * MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 400 * DAY_MS, 1_826 * DAY_MS] {
            let to = NOON.plus_ms(span);
            let (marks, is_clock) = time_marks((NOON, to), 8);
            assert!((1..=9).contains(&marks.len()), "{span}: {marks:?}");
            assert!(marks.iter().all(|mark| mark.at >= NOON.ms() as f64 && mark.at <= to.ms() as f64));
            assert_eq!(is_clock, span <= 2 * DAY_MS, "{span}");
        }
        let years = time_marks((NOON, NOON.plus_ms(1_826 * DAY_MS)), 8).0;
        assert!(years.iter().any(|mark| mark.label == "2025"), "{years:?}");
    }
}
