//! The ranking: each post's published mean as of the last tick, for lists, and since when it has been alerted. It may
//! lag behind the averages.

use serde::Deserialize;
use utoipa::ToSchema;

use super::averages::{AVERAGES, average};
use super::prelude::*;
use crate::smoothing::Average;

pub(super) const RANKING: Table = Table {
    name: "ranking",
    keys: &["post_id"],
    others: &["smoothed", "as_of", "moving", "alerted_at"],
    // An alert that continues keeps its beginning.
    rule: Rule::Replace(&[(
        "alerted_at",
        "case when excluded.alerted_at is null then null
         else coalesce(ranking.alerted_at, excluded.alerted_at) end",
    )]),
};
/// Ranks below every score: a post that has no ratings.
const UNRATED: f64 = -1.0;
/// Posts whose ranking one transaction updates: commits that touch them wait for it.
const RERANK_SLICE: usize = 1_000;
/// A post with less than this unvested no longer moves visibly.
const STILL: f64 = 1e-6;

/// A post's row of the ranking.
pub(super) struct Ranked {
    smoothed: f64,
    as_of: Time,
    is_moving: bool,
    alerted_at: Option<Time>,
}

impl Ranked {
    /// The published mean at a moment, whether it or an alert goes on changing without new ratings, and since when the
    /// post has been in a surge or crowded, as of its last entry or that moment, whichever is later.
    pub fn of(average: &Average, (as_of, params): AsOf<'_>) -> Self {
        let average = average.at(as_of, params);
        let is_alerted = average.is_surging(params) || average.is_crowded(params);
        let alerted_at = average.last.filter(|_| is_alerted);
        Self {
            smoothed: average.smoothed_mean(params).unwrap_or(UNRATED),
            as_of,
            is_moving: average.unvested() > STILL || alerted_at.is_some(),
            alerted_at,
        }
    }
}

pub(super) fn write_ranked(sink: &mut dyn Sink, (post, ranked): &(PostId, Ranked)) {
    sink.text(post.as_str());
    sink.float(ranked.smoothed);
    sink.int(ranked.as_of.ms());
    sink.small(ranked.is_moving.into());
    sink.int_or_null(ranked.alerted_at.map(Time::ms));
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

/// An alert's place in the list, newest first: since when, and which post.
pub type AlertKey = (Time, PostId);

fn alert(row: &Row) -> Result<AlertKey> {
    Ok((row.time("alerted_at")?, row.post_id("post_id")?))
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
                "select r.smoothed, r.post_id as id from posts p join ranking r on r.post_id = p.id
                 where p.created_by = $4 and (r.smoothed, r.post_id) < ($1, $2)
                 order by r.smoothed desc, r.post_id desc limit $3"
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
            let slice = RERANK_SLICE.min(limit - done);
            let moving = transaction.ask(&sql, values![as_of.0, slice]).await?;
            let ranked = |row: &Row| Ok((row.post_id("post_id")?, Ranked::of(&average(row)?, as_of)));
            let ranked = moving.iter().map(ranked).collect::<Result<Vec<_>>>()?;
            transaction.insert(&RANKING, &ranked, write_ranked).await?;
            transaction.commit().await?;
            done += ranked.len();
            has_more = ranked.len() == RERANK_SLICE;
        }
        Ok(done as u64)
    }

    /// The posts that have been in a surge or crowded since the newest moments: at most `limit` that come after `after`.
    pub async fn alerted(&self, after: Option<&AlertKey>, limit: usize) -> Result<Vec<AlertKey>> {
        let sql = "select alerted_at, post_id from ranking
                   where alerted_at is not null and (alerted_at, post_id) < ($1, $2)
                   order by alerted_at desc, post_id desc limit $3";
        let (since, post) = after.map_or((i64::MAX, ""), |(since, post)| (since.ms(), post.as_str()));
        let found = self.database.ask(Patience::Patient, sql, values![since, post, limit]).await?;
        found.iter().map(alert).collect()
    }

    /// Of those that have been so since a moment after `since`, the oldest for which no webhook was sent.
    pub async fn untold(&self, since: Time, limit: usize) -> Result<Vec<AlertKey>> {
        let sql = "select alerted_at, post_id from ranking
                   where alerted_at is not null and alerted_at > $1 and (told_at is null or told_at <> alerted_at)
                   order by alerted_at, post_id limit $2";
        self.database.ask(Patience::Patient, sql, values![since, limit]).await?.iter().map(alert).collect()
    }

    /// Remembers that a webhook was sent for an alert.
    pub async fn mark_told(&self, (since, post): &AlertKey) -> Result<()> {
        let sql = "update ranking set told_at = alerted_at where post_id = $1 and alerted_at = $2";
        self.database.change(Patience::Patient, sql, values![post, *since]).await.map(drop)
    }
}
