//! What is kept for moderators, asked of the SQLite file.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use super::{SqliteStore, commit};
use crate::entry::{Position, Shard};
use crate::error::Result;
use crate::merge::{Decided, Exclusion};
use crate::merge::{HeldRating, Hour, Key, Rating};
use crate::model::{PostId, Time, UserId};
use crate::store::review::{
    self, AlertKey, Arrivals, ArrivalsRow, AuditKey, DecidedRow, ExclusionRow, HeldRow, Review,
};
use crate::store::rows::{HourRow, RatingRow, post_id};

const HELD_OF: &str =
    "select h.* from json_each($2) k cross join held h on h.post_id = k.value and h.user_id = $1";

#[async_trait]
impl Review for SqliteStore {
    async fn ratings_page(
        &self,
        post: &PostId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Rating)>> {
        let found: Vec<RatingRow> = sqlx::query_as(review::RATINGS_PAGE)
            .bind(post.as_str())
            .bind(after.map_or("", UserId::as_str))
            .bind(limit as i64)
            .fetch_all(self.file.readers())
            .await?;
        found.iter().map(|row| Ok((row.key()?.1, row.rating()?))).collect()
    }

    async fn arrivals(&self, post: &PostId, (from, to): (Time, Time), step_ms: i64) -> Result<Vec<Arrivals>> {
        let found: Vec<ArrivalsRow> = sqlx::query_as(review::ARRIVALS)
            .bind(post.as_str())
            .bind(from.ms())
            .bind(to.ms())
            .bind(step_ms)
            .fetch_all(self.file.readers())
            .await?;
        review::arrivals(&found)
    }

    async fn hours_since(&self, post: &PostId, since: Time) -> Result<Vec<Hour>> {
        let hours: Vec<HourRow> = sqlx::query_as(AssertSqlSafe(review::HOURS_SINCE.as_str()))
            .bind(post.as_str())
            .bind(since.ms())
            .fetch_all(self.file.readers())
            .await?;
        Ok(hours.iter().map(|row| row.hour(post)).collect())
    }

    async fn alerted(&self, after: Option<&AlertKey>, limit: usize) -> Result<Vec<AlertKey>> {
        let (since, post) = after.map_or((i64::MAX, ""), |(since, post)| (since.ms(), post.as_str()));
        let found = sqlx::query_as(review::ALERTED).bind(since).bind(post).bind(limit as i64);
        review::alert_keys(found.fetch_all(self.file.readers()).await?)
    }

    async fn untold(&self, since: Time, limit: usize) -> Result<Vec<AlertKey>> {
        let found = sqlx::query_as(review::UNTOLD).bind(since.ms()).bind(limit as i64);
        review::alert_keys(found.fetch_all(self.file.readers()).await?)
    }

    async fn mark_told(&self, (since, post): &AlertKey) -> Result<()> {
        let mut writing = self.file.begin().await?;
        sqlx::query(review::MARK_TOLD)
            .bind(post.as_str())
            .bind(since.ms())
            .execute(writing.connection()?)
            .await?;
        writing.commit().await
    }

    async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>> {
        let found: Vec<ExclusionRow> =
            sqlx::query_as(review::EXCLUSIONS_OF).bind(post.as_str()).fetch_all(self.file.readers()).await?;
        found.into_iter().map(ExclusionRow::exclusion).collect()
    }

    async fn frozen(&self) -> Result<Vec<PostId>> {
        let found: Vec<(String,)> = sqlx::query_as(review::FROZEN).fetch_all(self.file.readers()).await?;
        found.iter().map(|(id,)| post_id(id)).collect()
    }

    async fn decided(&self, shard: Shard, position: Position) -> Result<Option<Decided>> {
        let found: Option<DecidedRow> = sqlx::query_as(review::DECIDED)
            .bind(shard.0 as i16)
            .bind(position.to_bytes().as_slice())
            .fetch_optional(self.file.readers())
            .await?;
        found.map(DecidedRow::decided).transpose()
    }

    async fn audit_page(
        &self,
        post: Option<&PostId>,
        after: Option<AuditKey>,
        limit: usize,
    ) -> Result<Vec<Decided>> {
        let (position, shard) =
            after.map_or(review::AUDIT_NEWEST, |(position, shard)| (position.to_bytes(), shard.0 as i16));
        let found: Vec<DecidedRow> = sqlx::query_as(review::AUDIT_PAGE)
            .bind(position.as_slice())
            .bind(shard)
            .bind(limit as i64)
            .bind(post.map_or("", PostId::as_str))
            .fetch_all(self.file.readers())
            .await?;
        found.into_iter().map(DecidedRow::decided).collect()
    }

    async fn held_page(
        &self,
        post: Option<&PostId>,
        after: Option<&Key>,
        limit: usize,
        with_excluded: bool,
    ) -> Result<Vec<(Key, HeldRating)>> {
        let (after_post, after_user) = after.map_or(("", ""), |(post, user)| (post.as_str(), user.as_str()));
        let sql = if post.is_some() { review::HELD_PAGE_OF } else { review::HELD_PAGE };
        let found: Vec<HeldRow> = sqlx::query_as(sql)
            .bind(post.map_or(after_post, PostId::as_str))
            .bind(after_user)
            .bind(limit as i64)
            .bind(i32::from(with_excluded))
            .fetch_all(self.file.readers())
            .await?;
        review::held(&found)
    }

    async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>> {
        let found: Vec<HeldRow> = sqlx::query_as(HELD_OF)
            .bind(user.as_str())
            .bind(commit::ids(posts)?)
            .fetch_all(self.file.readers())
            .await?;
        review::held_in_order(posts, &found)
    }

    async fn held_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, HeldRating)>> {
        let found: Vec<HeldRow> = sqlx::query_as(review::HELD_BY)
            .bind(user.as_str())
            .bind(after.map_or("", PostId::as_str))
            .bind(limit as i64)
            .fetch_all(self.file.readers())
            .await?;
        Ok(review::held(&found)?.into_iter().map(|((post, _), held)| (post, held)).collect())
    }

    async fn held_before(&self, before: Time, limit: usize) -> Result<Vec<(Key, HeldRating)>> {
        let found: Vec<HeldRow> = sqlx::query_as(review::HELD_BEFORE)
            .bind(before.ms())
            .bind(limit as i64)
            .fetch_all(self.file.readers())
            .await?;
        review::held(&found)
    }
}
