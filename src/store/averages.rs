//! Averages and their history: the columns of an average, in one order for both tables, read and written here.

use super::prelude::*;
use crate::merge::{Hour, MergedAverage};
use crate::model::HOUR_MS;
use crate::smoothing::{Average, Lane};

macro_rules! with_state {
    ($($before:literal),*) => {
        &[
            $($before,)*
            "calm_count", "calm_sum", "calm_clock", "calm_vested", "calm_settled_count", "calm_settled_sum",
            "surge_count", "surge_sum", "surge_clock", "surge_vested", "surge_settled_count", "surge_settled_sum",
            "intensity", "born_at", "last_at",
            "count_0", "count_1", "count_2", "count_3", "count_4", "count_5",
        ]
    };
}

pub(super) const AVERAGES: Table = Table::new("averages", &["post_id"], with_state!("version"));
pub(super) const HISTORY: Table = Table {
    rule: Rule::Replace(&[("arrivals", "history.arrivals + excluded.arrivals")]),
    ..Table::new("history", &["post_id", "hour"], with_state!("arrivals"))
};

/// Hours that are taken over: what is there stays.
pub(super) const ADOPTED_HISTORY: Table = Table { rule: Rule::Keep, ..HISTORY };

pub(super) fn write_average(sink: &mut dyn Sink, merged: &MergedAverage) {
    sink.text(merged.post.as_str());
    sink.bytes(&merged.version.to_bytes());
    write_state(sink, &merged.after);
}

pub(super) fn write_hour(sink: &mut dyn Sink, hour: &Hour) {
    sink.text(hour.post.as_str());
    sink.int(hour.hour.ms());
    sink.int(signed(hour.arrivals));
    write_state(sink, &hour.average);
}

fn write_state(sink: &mut dyn Sink, average: &Average) {
    for lane in [&average.calm, &average.surge] {
        sink.int(signed(lane.count));
        sink.int(signed(lane.sum));
        sink.float(lane.clock);
        sink.float(lane.vested);
        sink.float(lane.settled_count);
        sink.float(lane.settled_sum);
    }
    sink.float(average.intensity);
    sink.int_or_null(average.born.map(Time::ms));
    sink.int_or_null(average.last.map(Time::ms));
    for count in average.histogram {
        sink.int(signed(count));
    }
}

macro_rules! lane {
    ($row:ident, $lane:literal) => {
        Lane {
            count: $row.count(concat!($lane, "_count"))?,
            sum: $row.count(concat!($lane, "_sum"))?,
            clock: $row.float(concat!($lane, "_clock"))?,
            vested: $row.float(concat!($lane, "_vested"))?,
            settled_count: $row.float(concat!($lane, "_settled_count"))?,
            settled_sum: $row.float(concat!($lane, "_settled_sum"))?,
        }
    };
}

/// The average in a row of either table.
pub(super) fn average(row: &Row) -> Result<Average> {
    let mut histogram = [0; Score::COUNT];
    let names = ["count_0", "count_1", "count_2", "count_3", "count_4", "count_5"];
    for (count, name) in histogram.iter_mut().zip(names) {
        *count = row.count(name)?;
    }
    Ok(Average {
        calm: lane!(row, "calm"),
        surge: lane!(row, "surge"),
        histogram,
        intensity: row.float("intensity")?,
        born: row.int_or_null("born_at")?.map(Time::from_ms),
        last: row.int_or_null("last_at")?.map(Time::from_ms),
    })
}

pub(super) fn hour(post: &PostId, row: &Row) -> Result<Hour> {
    Ok(Hour {
        post: post.clone(),
        hour: row.time("hour")?,
        arrivals: row.count("arrivals")?,
        average: average(row)?,
    })
}

impl Store {
    /// The averages of those of the posts that were ever rated, in the order of the ids (at most
    /// [`POSTS_ASKED_MAX`](super::POSTS_ASKED_MAX)).
    pub async fn averages(&self, ids: &[PostId]) -> Result<Vec<(PostId, Average)>> {
        let sql = AVERAGES.select_listed("a", "{ids}", "a.post_id = k.id order by a.post_id");
        let found = self.database.ask(Patience::Quick, &sql, values![ids]).await?;
        found.iter().map(|row| Ok((row.post_id("post_id")?, average(row)?))).collect()
    }

    /// A post's history in `steps` even steps from its first rating to `until`, or to its last entry if that is later:
    /// when it begins, and of each step its last hour, with the arrivals of all its hours. An hour belongs to the step
    /// of its last entry. So the answer is small however long the history is. `None` if the post was never rated.
    pub async fn history(
        &self,
        post: &PostId,
        until: Time,
        steps: usize,
    ) -> Result<Option<(Time, Vec<Hour>)>> {
        let state: Vec<String> = HISTORY.others[1..].iter().map(|column| format!("h.{column}")).collect();
        // Divided upwards: the first step that ends at the hour's last entry or later.
        let sql = format!(
            "with ends as (
                select
                    (select coalesce(born_at, hour) from history where post_id = $1 order by hour limit 1) as begun,
                    (select coalesce(last_at, hour) from history where post_id = $1 order by hour desc limit 1) as ended
            ), span as (
                select begun, case when ended > $2 then ended else $2 end - begun as ms from ends
            ), hours as (
                select span.begun, span.ms, h.hour, h.arrivals, coalesce(h.last_at, h.hour) - span.begun as at
                from span {{join}} history h on h.post_id = $1
            ), steps as (
                select begun, max(hour) as hour, cast(sum(arrivals) as bigint) as arrivals from hours
                group by begun, case when at <= 0 then 1 else (at * $3 + ms - 1) / ms end
            )
            select s.begun, s.hour, s.arrivals, {}
            from steps s {{join}} history h on h.post_id = $1 and h.hour = s.hour order by s.hour",
            state.join(", ")
        );
        let found = self.database.ask(Patience::Heavy, &sql, values![post, until, steps]).await?;
        let hours = found.iter().map(|row| hour(post, row)).collect::<Result<_>>()?;
        found.first().map(|row| Ok((row.time("begun")?, hours))).transpose()
    }

    /// A post's history between two moments in `steps` even steps: of each that has entries the last hour, with the
    /// arrivals of all its hours. The first may be the last hour before `from`, so that the state at `from` is known.
    pub async fn history_between(
        &self,
        post: &PostId,
        (from, to): (Time, Time),
        steps: usize,
    ) -> Result<Vec<Hour>> {
        let state: Vec<String> = HISTORY.others[1..].iter().map(|column| format!("h.{column}")).collect();
        let state = state.join(", ");
        let sql = format!(
            "with steps as (
                select max(hour) as hour, cast(sum(arrivals) as bigint) as arrivals from history
                where post_id = $1 and hour > $2 - {HOUR_MS} and hour < $3 and coalesce(last_at, hour) >= $2
                group by (coalesce(last_at, hour) - $2) * $4 / ($3 - $2)
            )
            select s.hour, s.arrivals, {state}
            from steps s {{join}} history h on h.post_id = $1 and h.hour = s.hour order by s.hour"
        );
        let before = format!(
            "select h.hour, cast(0 as bigint) as arrivals, {state} from history h
             where h.post_id = $1 and h.hour <= $2 and coalesce(h.last_at, h.hour) < $2 order by h.hour desc limit 1"
        );
        let mut rows = self.database.ask(Patience::Heavy, &before, values![post, from]).await?;
        rows.extend(self.database.ask(Patience::Heavy, &sql, values![post, from, to, steps]).await?);
        rows.iter().map(|row| hour(post, row)).collect()
    }

    /// A post's hours from `since` on, in order of time.
    pub async fn hours_since(&self, post: &PostId, since: Time) -> Result<Vec<Hour>> {
        let sql = HISTORY.select("where post_id = $1 and hour >= $2 order by hour");
        let found = self.database.ask(Patience::Heavy, &sql, values![post, since]).await?;
        found.iter().map(|row| hour(post, row)).collect()
    }
}
