//! The ranking: each post's published mean as of the last tick, for lists, and whether it is an alert. It may lag
//! behind the averages.

use std::time::Instant;

use serde::Deserialize;
use utoipa::ToSchema;

use super::averages::{AVERAGES, average};
use super::prelude::*;
use crate::smoothing::{AlertLevel, Average};

pub(super) const RANKING: Table = Table {
    name: "ranking",
    keys: &["post_id"],
    others: &["smoothed", "as_of", "moving", "shift", "alerted_at", "gap", "unvested"],
    // An alert that goes on keeps its beginning.
    rule: Rule::Replace(&[(
        "alerted_at",
        "case when excluded.shift < 0 then null
         else coalesce(ranking.alerted_at, excluded.alerted_at) end",
    )]),
};
/// Ranks below every score: a post that has no ratings.
const UNRATED: f64 = -1.0;
/// Below every shift: a post that is no alert.
const OVER: f64 = -1.0;
/// Most posts whose ranking one transaction updates: commits that touch them wait for it.
const RERANK_SLICE: usize = 1_000;
/// A post with less than this unvested no longer moves visibly.
const STILL: f64 = 1e-6;

/// A post's row of the ranking.
pub(super) struct Ranked {
    smoothed: f64,
    as_of: Time,
    is_moving: bool,
    /// |m − y| in stars while an alert that has begun goes on; −1 elsewhere.
    shift: f64,
    /// When one begins, if none has.
    alerted_at: Option<Time>,
    /// |m − y| in stars, of every post.
    gap: f64,
    /// What is phasing in, in ratings.
    unvested: f64,
}

impl Ranked {
    /// The figures of a post as of its last entry or a moment, whichever is later, evaluated once.
    pub fn of(average: &Average, (as_of, params): AsOf<'_>) -> Self {
        let average = average.at(as_of, params);
        let level = average.alert_level(params);
        let smoothed = average.smoothed_mean(params);
        Self {
            gap: smoothed.zip(average.raw_mean()).map_or(0.0, |(smoothed, raw)| (raw - smoothed).abs()),
            unvested: average.unvested(),
            smoothed: smoothed.unwrap_or(UNRATED),
            as_of,
            // What may begin, or end, without new ratings moves too.
            is_moving: average.unvested() > STILL || level != AlertLevel::Over,
            shift: level.shift().unwrap_or(OVER),
            alerted_at: average.last.filter(|_| matches!(level, AlertLevel::Raised(_))),
        }
    }
}

pub(super) fn write_ranked(sink: &mut dyn Sink, (post, ranked): &(PostId, Ranked)) {
    sink.text(post.as_str());
    sink.float(ranked.smoothed);
    sink.int(ranked.as_of.ms());
    sink.small(ranked.is_moving.into());
    sink.float(ranked.shift);
    sink.int_or_null(ranked.alerted_at.map(Time::ms));
    sink.float(ranked.gap);
    sink.float(ranked.unvested);
}

/// In which order posts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// The newest first.
    New,
    /// The highest published average first, unrated posts last.
    Top,
}

/// A post's place in a list.
#[derive(Debug, Clone, PartialEq)]
pub enum PageKey {
    /// By creation.
    New(Time, PostId),
    /// By published mean, as last ranked.
    Top(f64, PostId),
}

impl PageKey {
    /// Whose place it is.
    pub fn post(&self) -> &PostId {
        match self {
            PageKey::New(_, post) | PageKey::Top(_, post) => post,
        }
    }

    /// The order that it belongs to.
    pub fn sort(&self) -> Sort {
        match self {
            PageKey::New(..) => Sort::New,
            PageKey::Top(..) => Sort::Top,
        }
    }
}

/// By what posts that move are listed, the greatest first. Those that show nothing of it are left out, so that lists and
/// their indexes are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// How far the published mean is from the raw one: half a hundredth of a star at least.
    Gap,
    /// How much is phasing in: half a rating's worth at least.
    PhasingIn,
}

/// A moving post's place in the list: its figure as last ranked, and itself.
pub type MotionKey = (f64, PostId);

/// An alert's place in the list, the greatest shift first: its shift as last ranked, and its post.
pub type AlertKey = (f64, PostId);

/// A post that is an alert, as last ranked.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerted {
    /// Which post.
    pub post: PostId,
    /// When a drain first saw it.
    pub since: Time,
    /// How far the published mean has yet to move, in stars.
    pub shift: f64,
}

impl Alerted {
    /// Its place in the list.
    pub fn key(&self) -> AlertKey {
        (self.shift, self.post.clone())
    }
}

/// A post whose webhook is behind: what was sent last is not what is.
#[derive(Debug, Clone, PartialEq)]
pub struct Untold {
    /// Which post.
    pub post: PostId,
    /// The alert that goes on; `None` when it has ended.
    pub since: Option<Time>,
    /// The alert whose beginning was sent last, and whose end was not.
    pub told: Option<Time>,
}

impl Store {
    /// The places of a page of posts, of one author if one is named: at most `limit` that come after `after`.
    pub async fn page(
        &self,
        sort: Sort,
        author: Option<&UserId>,
        after: Option<&PageKey>,
        limit: usize,
    ) -> Result<Vec<PageKey>> {
        let sql = match (sort, author) {
            (Sort::New, None) => {
                "select created_at, id from posts where (created_at, id) < ($1, $2)
                 order by created_at desc, id desc limit $3"
            }
            (Sort::New, Some(_)) => {
                "select created_at, id from posts where created_by = $4 and (created_at, id) < ($1, $2)
                 order by created_at desc, id desc limit $3"
            }
            (Sort::Top, None) => {
                "select smoothed, post_id as id from ranking where (smoothed, post_id) < ($1, $2)
                 order by smoothed desc, post_id desc limit $3"
            }
            (Sort::Top, Some(_)) => {
                "select smoothed, post_id as id from ranking where author = $4 and (smoothed, post_id) < ($1, $2)
                 order by smoothed desc, post_id desc limit $3"
            }
        };
        // The first page comes after the end of time, or after every mean.
        let mut values = match (sort, after) {
            (Sort::New, Some(PageKey::New(at, post))) => values![*at, post, limit],
            (Sort::New, _) => values![i64::MAX, "", limit],
            (Sort::Top, Some(PageKey::Top(mean, post))) => values![*mean, post, limit],
            (Sort::Top, _) => values![f64::MAX, "", limit],
        };
        values.extend(author.map(Into::into));
        let key = |row: &Row| {
            let id = row.post_id("id")?;
            Ok(match sort {
                Sort::New => PageKey::New(row.time("created_at")?, id),
                Sort::Top => PageKey::Top(row.float("smoothed")?, id),
            })
        };
        self.database.ask(Patience::Quick, sql, values).await?.iter().map(key).collect()
    }

    /// The posts that move, the greatest figure first: at most `limit` that come after `after`.
    pub async fn moving(
        &self,
        by: Motion,
        after: Option<&MotionKey>,
        limit: usize,
    ) -> Result<Vec<MotionKey>> {
        // The conditions are those of the indexes.
        let sql = match by {
            Motion::Gap => {
                "select gap as figure, post_id from ranking where gap >= 0.005 and (gap, post_id) < ($1, $2)
                 order by gap desc, post_id desc limit $3"
            }
            Motion::PhasingIn => {
                "select unvested as figure, post_id from ranking
                 where unvested >= 0.5 and (unvested, post_id) < ($1, $2)
                 order by unvested desc, post_id desc limit $3"
            }
        };
        let (figure, post) = after.map_or((f64::MAX, ""), |(figure, post)| (*figure, post.as_str()));
        let found = self.database.ask(Patience::Patient, sql, values![figure, post, limit]).await?;
        found.iter().map(|row| Ok((row.float("figure")?, row.post_id("post_id")?))).collect()
    }

    /// Updates the ranking of at most `limit` posts that still move without new ratings, those that lag most first;
    /// returns how many.
    pub async fn rerank(&self, as_of: AsOf<'_>, limit: usize) -> Result<u64> {
        let columns: Vec<String> = AVERAGES.others[1..].iter().map(|column| format!("a.{column}")).collect();
        let sql = format!(
            "select r.post_id, {} from ranking r join averages a on a.post_id = r.post_id
             where r.moving = 1 and r.as_of < $1 order by r.as_of limit $2 {{lock_r}}",
            columns.join(", ")
        );
        let (mut done, mut has_more) = (0, true);
        while has_more && done < limit {
            // The look and the write are one transaction, so that no commit comes between. Rows that a commit or
            // another process' ranking holds are left to them.
            let mut transaction = self.database.begin(Patience::Commit).await?;
            let began = Instant::now();
            let slice = RERANK_SLICE.min(self.paced(&self.ranking_pace)).min(limit - done);
            let moving = transaction.ask(&sql, values![as_of.0, slice]).await?;
            let ranked = |row: &Row| Ok((row.post_id("post_id")?, Ranked::of(&average(row)?, as_of)));
            let ranked = moving.iter().map(ranked).collect::<Result<Vec<_>>>()?;
            transaction.insert(&RANKING, &ranked, write_ranked).await?;
            transaction.commit().await?;
            self.ranking_pace.learn(ranked.len(), began.elapsed());
            done += ranked.len();
            has_more = ranked.len() == slice;
        }
        Ok(done as u64)
    }

    /// The alerts, the greatest shift first: at most `limit` that come after `after`.
    pub async fn alerted(&self, after: Option<&AlertKey>, limit: usize) -> Result<Vec<Alerted>> {
        let sql = "select shift, post_id, alerted_at from ranking
                   where alerted_at is not null and (shift, post_id) < ($1, $2)
                   order by shift desc, post_id desc limit $3";
        let (shift, post) = after.map_or((f64::MAX, ""), |(shift, post)| (*shift, post.as_str()));
        let found = self.database.ask(Patience::Patient, sql, values![shift, post, limit]).await?;
        let alerted = |row: &Row| {
            let (post, since, shift) =
                (row.post_id("post_id")?, row.time("alerted_at")?, row.float("shift")?);
            Ok(Alerted { post, since, shift })
        };
        found.iter().map(alerted).collect()
    }

    /// The posts whose webhook is behind, those with the greatest shift first and ends last. One row of each post says
    /// what has to be sent, so what waits is bounded, and the newest state wins.
    pub async fn untold(&self, limit: usize) -> Result<Vec<Untold>> {
        let sql = "select post_id, alerted_at, told_at from ranking
                   where coalesce(alerted_at, 0) <> coalesce(told_at, 0)
                   order by alerted_at is null, shift desc, post_id limit $1";
        let untold = |row: &Row| {
            let post = row.post_id("post_id")?;
            let since = row.int_or_null("alerted_at")?.map(Time::from_ms);
            Ok(Untold { post, since, told: row.int_or_null("told_at")?.map(Time::from_ms) })
        };
        self.database.ask(Patience::Patient, sql, values![limit]).await?.iter().map(untold).collect()
    }

    /// Remembers the alert whose beginning was sent; `None` once its end was sent too.
    pub async fn mark_told(&self, post: &PostId, told: Option<Time>) -> Result<()> {
        let sql = "update ranking set told_at = $2 where post_id = $1";
        let values = vec![Value::from(post), Value::Int(told.map(Time::ms))];
        self.database.change(Patience::Patient, sql, values).await.map(drop)
    }
}
