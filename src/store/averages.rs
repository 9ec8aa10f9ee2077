//! Averages and their history: the columns of an average, in one order for both tables, read and written here.

use super::prelude::*;
use crate::merge::{Hour, MergedAverage};
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

fn hour(post: &PostId, row: &Row) -> Result<Hour> {
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

    /// A post's hours in order of time.
    pub async fn history(&self, post: &PostId) -> Result<Vec<Hour>> {
        let sql = HISTORY.select("where post_id = $1 order by hour");
        let found = self.database.ask(Patience::Quick, &sql, values![post]).await?;
        found.iter().map(|row| hour(post, row)).collect()
    }

    /// A post's hours from `since` on, in order of time.
    pub async fn hours_since(&self, post: &PostId, since: Time) -> Result<Vec<Hour>> {
        let sql = HISTORY.select("where post_id = $1 and hour >= $2 order by hour");
        let found = self.database.ask(Patience::Long, &sql, values![post, since]).await?;
        found.iter().map(|row| hour(post, row)).collect()
    }
}
