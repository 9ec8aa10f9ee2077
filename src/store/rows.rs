//! The shape of rows that both databases share: which columns there are, in which order they are written, and
//! how a row is read back into the words of the domain.

use std::collections::HashMap;
use std::fmt::Write as _;

use sqlx::FromRow;

use crate::entry::{Hold, Position};
use crate::error::{Error, Result};
use crate::merge::{Hour, Key, Loaded, LoadedPost, MergedAverage, Quarantined, Rating};
use crate::merge::{PostState, Standing};
use crate::model::post::Post;
use crate::model::{PostId, Score, Time, UserId};
use crate::smoothing::{Average, Lane, LaneName, Row};

use super::review::{ExclusionRow, HeldRow};
use super::{AsOf, alerted_at, is_moving, ranked};

/// Takes a row's values in the order of its columns: a COPY stream, or a statement's parameters.
pub(super) trait Sink {
    /// A text.
    fn text(&mut self, value: &str);
    /// Bytes.
    fn bytes(&mut self, value: &[u8]);
    /// A small number (smallint).
    fn small(&mut self, value: i16);
    /// A number (bigint), or null.
    fn int(&mut self, value: Option<i64>);
    /// A float, as its 8 bytes.
    fn float(&mut self, value: f64);
}

/// A table that commits write: its name, its key, and its other columns in the order in which they are written.
pub(super) struct Table {
    pub name: &'static str,
    pub keys: &'static [&'static str],
    pub others: &'static [&'static str],
}

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

pub(super) const RATINGS: Table = Table {
    name: "ratings",
    keys: &["post_id", "user_id"],
    others: &[
        "score",
        "status",
        "lane",
        "rated_at",
        "position",
        "vest_clock",
        "unvested_sum",
        "unvested_count",
    ],
};
pub(super) const AVERAGES: Table =
    Table { name: "averages", keys: &["post_id"], others: with_state!("version") };
pub(super) const HISTORY: Table =
    Table { name: "history", keys: &["post_id", "hour"], others: with_state!("arrivals") };
pub(super) const RANKING: Table =
    Table { name: "ranking", keys: &["post_id"], others: &["smoothed", "as_of", "moving", "alerted_at"] };

pub(super) const WITHDRAWALS: Table =
    Table { name: "withdrawals", keys: &["post_id", "user_id"], others: &["position"] };

pub(super) const QUARANTINE: Table =
    Table { name: "quarantine", keys: &["shard", "position"], others: &["reason", "payload"] };

/// A rating's status in the averages.
const COUNTED: &str = "counted";
pub(super) const EXCLUDED: &str = "excluded";

impl Table {
    /// All columns, comma between.
    pub fn columns(&self) -> String {
        [self.keys, self.others].concat().join(", ")
    }

    /// How many columns are written.
    pub fn width(&self) -> usize {
        self.keys.len() + self.others.len()
    }

    /// What follows an INSERT's rows: a row that is there takes the new values. Arrivals add up, and an alert that goes
    /// on keeps its beginning.
    pub fn on_conflict(&self) -> String {
        let mut sql = format!(" on conflict ({}) do update set ", self.keys.join(", "));
        for (i, column) in self.others.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let _ = match *column {
                "arrivals" => write!(sql, "{comma}arrivals = history.arrivals + excluded.arrivals"),
                "alerted_at" => write!(
                    sql,
                    "{comma}alerted_at = case when excluded.alerted_at is null then null
                     else coalesce(ranking.alerted_at, excluded.alerted_at) end"
                ),
                column => write!(sql, "{comma}{column} = excluded.{column}"),
            };
        }
        sql
    }
}

pub(super) fn write_rating(sink: &mut dyn Sink, (post, user): &Key, rating: &Rating) {
    sink.text(post.as_str());
    sink.text(user.as_str());
    sink.small(rating.row.score.get().into());
    sink.text(if rating.is_excluded { EXCLUDED } else { COUNTED });
    sink.text(rating.row.lane.as_str());
    sink.int(Some(rating.rated_at.ms()));
    sink.bytes(&rating.position.to_bytes());
    sink.float(rating.row.vest_clock);
    sink.float(rating.row.unvested_sum);
    sink.float(rating.row.unvested_count);
}

pub(super) fn write_withdrawal(sink: &mut dyn Sink, ((post, user), place): &(Key, Position)) {
    sink.text(post.as_str());
    sink.text(user.as_str());
    sink.bytes(&place.to_bytes());
}

pub(super) fn write_average(sink: &mut dyn Sink, merged: &MergedAverage) {
    sink.text(merged.post.as_str());
    sink.bytes(&merged.version.to_bytes());
    write_state(sink, &merged.after);
}

pub(super) fn write_hour(sink: &mut dyn Sink, hour: &Hour) {
    sink.text(hour.post.as_str());
    sink.int(Some(hour.hour.ms()));
    sink.int(Some(signed(hour.arrivals)));
    write_state(sink, &hour.average);
}

pub(super) fn write_ranking(sink: &mut dyn Sink, post: &PostId, average: &Average, as_of: AsOf<'_>) {
    sink.text(post.as_str());
    sink.float(ranked(average, as_of));
    sink.int(Some(as_of.0.ms()));
    sink.small(is_moving(average, as_of).into());
    sink.int(alerted_at(average, as_of).map(Time::ms));
}

pub(super) fn write_quarantined(sink: &mut dyn Sink, shard: i16, entry: &Quarantined) {
    sink.small(shard);
    sink.bytes(&entry.position.to_bytes());
    // Postgres cannot keep NUL in a text.
    sink.text(&entry.reason.replace('\0', "\u{fffd}"));
    sink.bytes(&entry.payload);
}

fn write_state(sink: &mut dyn Sink, average: &Average) {
    for lane in [&average.calm, &average.surge] {
        sink.int(Some(signed(lane.count)));
        sink.int(Some(signed(lane.sum)));
        sink.float(lane.clock);
        sink.float(lane.vested);
        sink.float(lane.settled_count);
        sink.float(lane.settled_sum);
    }
    sink.float(average.intensity);
    sink.int(average.born.map(Time::ms));
    sink.int(average.last.map(Time::ms));
    for count in average.histogram {
        sink.int(Some(signed(count)));
    }
}

/// Counts fit a signed number for the next 100,000 years.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn corrupt(what: &str, found: impl std::fmt::Debug) -> Error {
    Error::Internal(format!("the database holds {found:?} for {what}; damper verify looks at every row"))
}

pub(super) fn position(bytes: &[u8]) -> Result<Position> {
    Position::from_bytes(bytes).ok_or_else(|| corrupt("a position", bytes))
}

pub(super) fn post_id(text: &str) -> Result<PostId> {
    PostId::parse(text).map_err(|_| corrupt("a post id", text))
}

pub fn user_id(text: &str) -> Result<UserId> {
    UserId::parse(text).map_err(|_| corrupt("a user id", text))
}

/// An average's columns; zero for a post without one (`coalesce` in the query).
#[derive(FromRow)]
pub(super) struct StateRow {
    calm_count: i64,
    calm_sum: i64,
    calm_clock: f64,
    calm_vested: f64,
    calm_settled_count: f64,
    calm_settled_sum: f64,
    surge_count: i64,
    surge_sum: i64,
    surge_clock: f64,
    surge_vested: f64,
    surge_settled_count: f64,
    surge_settled_sum: f64,
    intensity: f64,
    born_at: Option<i64>,
    last_at: Option<i64>,
    count_0: i64,
    count_1: i64,
    count_2: i64,
    count_3: i64,
    count_4: i64,
    count_5: i64,
}

impl StateRow {
    pub fn average(&self) -> Average {
        let lane = |count: i64, sum: i64, clock, vested, settled_count, settled_sum| Lane {
            count: count.unsigned_abs(),
            sum: sum.unsigned_abs(),
            clock,
            vested,
            settled_count,
            settled_sum,
        };
        let histogram = [self.count_0, self.count_1, self.count_2, self.count_3, self.count_4, self.count_5];
        Average {
            calm: lane(
                self.calm_count,
                self.calm_sum,
                self.calm_clock,
                self.calm_vested,
                self.calm_settled_count,
                self.calm_settled_sum,
            ),
            surge: lane(
                self.surge_count,
                self.surge_sum,
                self.surge_clock,
                self.surge_vested,
                self.surge_settled_count,
                self.surge_settled_sum,
            ),
            histogram: histogram.map(i64::unsigned_abs),
            intensity: self.intensity,
            born: self.born_at.map(Time::from_ms),
            last: self.last_at.map(Time::from_ms),
        }
    }
}

/// The columns of a post beside its average, whether or not it has one: for `from posts p left join averages a`.
pub(super) fn post_state_columns() -> String {
    let mut sql =
        "p.id, p.title, p.content, p.created_by, p.repost_of, p.reposts, p.created_at, p.revision, p.frozen, p.excluded, p.hold, p.held, a.version"
            .to_owned();
    for column in &AVERAGES.others[1..] {
        let zero = match *column {
            "born_at" | "last_at" => "null",
            "calm_count" | "calm_sum" | "surge_count" | "surge_sum" => "0",
            histogram if histogram.starts_with("count_") => "0",
            _ => "0.0",
        };
        let _ = write!(sql, ", coalesce(a.{column}, {zero}) as {column}");
    }
    sql
}

#[derive(FromRow)]
pub(super) struct PostStateRow {
    id: String,
    title: String,
    content: Option<String>,
    created_by: Option<String>,
    repost_of: Option<String>,
    reposts: i64,
    created_at: i64,
    revision: i64,
    frozen: i16,
    excluded: i64,
    hold: Option<String>,
    held: i64,
    version: Option<Vec<u8>>,
    #[sqlx(flatten)]
    state: StateRow,
}

impl PostStateRow {
    /// The post's id, if ratings of it are held, or were excluded while they were.
    pub fn under_review(&self) -> Option<&str> {
        (self.held > 0 || self.excluded > 0).then_some(self.id.as_str())
    }

    pub fn post_state(self) -> Result<PostState> {
        Ok(PostState {
            average: self.state.average(),
            version: self.version.map_or(Ok(Position::START), |bytes| position(&bytes))?,
            standing: Standing {
                is_frozen: self.frozen != 0,
                excluded: self.excluded.unsigned_abs(),
                hold: self.hold.as_deref().and_then(Hold::parse),
                held: self.held.unsigned_abs(),
            },
            post: Post {
                id: post_id(&self.id)?,
                title: self.title,
                content: self.content,
                created_by: self.created_by.as_deref().map(user_id).transpose()?,
                repost_of: self.repost_of.as_deref().map(post_id).transpose()?,
                reposts: self.reposts.unsigned_abs(),
                created_at: Time::from_ms(self.created_at),
                revision: self.revision.unsigned_abs(),
            },
        })
    }
}

#[derive(FromRow)]
pub(super) struct RatingRow {
    pub post_id: String,
    pub user_id: String,
    score: i16,
    status: String,
    lane: String,
    rated_at: i64,
    position: Vec<u8>,
    vest_clock: f64,
    unvested_sum: f64,
    unvested_count: f64,
}

impl RatingRow {
    pub fn key(&self) -> Result<Key> {
        Ok((post_id(&self.post_id)?, user_id(&self.user_id)?))
    }

    pub fn rating(&self) -> Result<Rating> {
        Ok(Rating {
            row: Row {
                score: Score::parse(self.score.into()).map_err(|_| corrupt("a score", self.score))?,
                lane: LaneName::parse(&self.lane).map_err(|_| corrupt("a lane", &self.lane))?,
                vest_clock: self.vest_clock,
                unvested_sum: self.unvested_sum,
                unvested_count: self.unvested_count,
            },
            rated_at: Time::from_ms(self.rated_at),
            position: position(&self.position)?,
            is_excluded: self.status == EXCLUDED,
        })
    }
}

/// Post, user, place.
pub(super) type WithdrawalRow = (String, String, Vec<u8>);

#[derive(FromRow)]
pub(super) struct AverageRow {
    pub post_id: String,
    #[sqlx(flatten)]
    pub state: StateRow,
}

#[derive(FromRow)]
pub(super) struct HourRow {
    hour: i64,
    arrivals: i64,
    #[sqlx(flatten)]
    state: StateRow,
}

impl HourRow {
    pub fn hour(&self, post: &PostId) -> Hour {
        Hour {
            post: post.clone(),
            hour: Time::from_ms(self.hour),
            arrivals: self.arrivals.unsigned_abs(),
            average: self.state.average(),
        }
    }
}

/// The one post of a sweep.
pub(super) fn loaded_post(found: Vec<PostStateRow>) -> Result<Option<LoadedPost>> {
    Ok(loaded(found, Vec::new(), ReviewRows::default())?.posts.into_values().next())
}

/// What only some batches need: rows of retried keys, and of posts under review.
#[derive(Default)]
pub(super) struct ReviewRows {
    pub withdrawals: Vec<WithdrawalRow>,
    pub exclusions: Vec<ExclusionRow>,
    pub held: Vec<HeldRow>,
}

/// What a batch's keys hold, ready for the merge.
pub(super) fn loaded(
    averages: Vec<PostStateRow>,
    ratings: Vec<RatingRow>,
    review: ReviewRows,
) -> Result<Loaded> {
    let mut loaded = Loaded { ratings: HashMap::with_capacity(ratings.len()), ..Loaded::default() };
    for row in averages {
        let state = row.post_state()?;
        loaded.posts.insert(state.post.id, LoadedPost { average: state.average, standing: state.standing });
    }
    for row in ratings {
        loaded.ratings.insert(row.key()?, row.rating()?);
    }
    for row in review.held {
        loaded.held.insert(row.key()?, row.held()?);
    }
    loaded.exclusions = review.exclusions.into_iter().map(ExclusionRow::exclusion).collect::<Result<_>>()?;
    for (post, user, place) in review.withdrawals {
        loaded.withdrawals.insert((post_id(&post)?, user_id(&user)?), position(&place)?);
    }
    Ok(loaded)
}

/// Brings posts into the order in which they were asked for.
pub(super) fn in_order_asked(ids: &[PostId], found: Vec<PostStateRow>) -> Result<Vec<Option<PostState>>> {
    let mut states = HashMap::with_capacity(found.len());
    for row in found {
        let state = row.post_state()?;
        states.insert(state.post.id.clone(), state);
    }
    Ok(ids.iter().map(|id| states.get(id).cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_average_reads_as_zeros_of_the_right_kind() {
        let sql = post_state_columns();
        for right in [
            "coalesce(a.calm_count, 0) as",
            "coalesce(a.surge_sum, 0) as",
            "coalesce(a.count_5, 0) as",
            "coalesce(a.calm_settled_count, 0.0) as",
            "coalesce(a.intensity, 0.0) as",
            "coalesce(a.born_at, null) as",
        ] {
            assert!(sql.contains(right), "{right} in {sql}");
        }
    }
}
