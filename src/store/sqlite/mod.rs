//! The store of the embedded set-up: the SQLite file. How a commit goes is in `commit.rs`; here are the questions.

mod commit;
mod review;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::questions::{self, ChangesRow, CheckpointRow, DrainRow, QuarantineRow, UserRow};
use super::rows::{self, AVERAGES, AverageRow, HourRow, PostStateRow, RANKING, RatingRow};
use super::verify::{self, Page};
use super::{
    Added, AsOf, BulkFn, Checkpoint, DrainRun, Installation, MergeFn, PageKey, QuarantinedEntry, Recounted,
    ShardState, Sort, Store, VERIFY_POSTS,
};
use crate::database::schema::{self, SCHEMA_VERSION};
use crate::database::sqlite::SqliteFile;
use crate::entry::{Batch, Position, Shard};
use crate::error::{Error, Result};
use crate::merge::PostState;
use crate::merge::{Hour, Merged, Rating};
use crate::model::User;
use crate::model::post::{Content, Edit, Post, Title};
use crate::model::{PostId, Time, UserId};
use crate::smoothing::Average;

/// Whoever else writes to the file waits for a commit, so it shall take about this. How many entries that is depends
/// on how scattered they are, and on the disk.
const COMMIT_MS: f64 = 70.0;
/// The first commit of a process takes so many entries; the next ones as many as the last one's pace allows.
const BATCH_FIRST: usize = 1_000;
const BATCH_MIN: usize = 100;
const BATCH_MAX: usize = 20_000;
/// Rows of a forgotten user that one transaction changes: nobody waits long for it.
const FORGOTTEN_AT_ONCE: usize = 200;

/// The tables of an open file.
pub struct SqliteStore {
    file: Arc<SqliteFile>,
    /// Entries that a commit may have now.
    batch_max: AtomicUsize,
}

static AVERAGES_OF: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from json_each($1) k cross join averages on post_id = k.value order by post_id",
        AVERAGES.columns()
    )
});

static POSTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from json_each($1) k cross join posts p on p.id = k.value
         left join averages a on a.post_id = p.id",
        rows::post_state_columns()
    )
});

impl SqliteStore {
    /// The tables of `file`; a new installation has one shard.
    pub async fn open(file: Arc<SqliteFile>) -> Result<Self> {
        let mut writing = file.begin().await?;
        sqlx::query("insert into installation values (1, $1, 1, $2) on conflict do nothing")
            .bind(uuid::Uuid::new_v4().to_string())
            .bind(SCHEMA_VERSION)
            .execute(writing.connection()?)
            .await?;
        sqlx::query("insert into checkpoints (shard, position, seen_position) values (0, $1, $1) on conflict do nothing")
            .bind(Position::START.to_bytes().as_slice())
            .execute(writing.connection()?)
            .await?;
        writing.commit().await?;
        Ok(Self { file, batch_max: AtomicUsize::new(BATCH_FIRST) })
    }
}

impl SqliteStore {
    /// Learns from a commit of so many entries how many the next may have.
    fn learn_pace(&self, entries: usize, took: Duration) {
        let fitting = entries as f64 * COMMIT_MS / (took.as_secs_f64() * 1_000.0).max(1.0);
        let next = (fitting as usize).clamp(BATCH_MIN, BATCH_MAX);
        // Up by half at most: a small batch tells little of a large one's pages.
        let limit = self.batch_max() + self.batch_max() / 2;
        self.batch_max.store(next.min(limit).max(BATCH_MIN), Ordering::Relaxed);
    }
}

/// A list as SQLite takes one.
fn json(list: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(list).map_err(|e| Error::Internal(e.to_string()))
}

#[async_trait]
impl Store for SqliteStore {
    async fn installation(&self) -> Result<Installation> {
        let (id, shards): (String, i64) =
            sqlx::query_as("select id, shards from installation").fetch_one(self.file.readers()).await?;
        Ok(Installation { id, shards: shards.unsigned_abs() as u16 })
    }

    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint> {
        let row: CheckpointRow =
            sqlx::query_as(questions::CHECKPOINT).bind(shard.0 as i16).fetch_one(self.file.readers()).await?;
        row.checkpoint()
    }

    fn batch_max(&self) -> usize {
        self.batch_max.load(Ordering::Relaxed)
    }

    async fn commit(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        merge: &MergeFn,
    ) -> Result<Option<Merged>> {
        self.commit_batch(batch, seen, as_of, merge).await
    }

    async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        begin: &BulkFn,
    ) -> Result<Option<Merged>> {
        self.bulk_batch(batch, seen, as_of, begin).await
    }

    async fn checkpoints(&self) -> Result<Vec<Position>> {
        let found: Vec<(Vec<u8>,)> =
            sqlx::query_as(questions::CHECKPOINTS).fetch_all(self.file.readers()).await?;
        found.iter().map(|(at,)| rows::position(at)).collect()
    }

    async fn changed(&self, shard: Shard, from: Position, to: Position) -> Result<Option<BTreeSet<PostId>>> {
        let found: Vec<ChangesRow> = sqlx::query_as(questions::CHANGED)
            .bind(shard.0 as i16)
            .bind(from.to_bytes().as_slice())
            .bind(to.to_bytes().as_slice())
            .bind(questions::CHANGES_MAX + 1)
            .fetch_all(self.file.readers())
            .await?;
        questions::changed(&found, from, to)
    }

    async fn recount(&self, shard: Shard, seen: &ShardState) -> Result<bool> {
        let ShardState { checkpoint, log } = seen;
        let known = checkpoint.seen_appends.max(log.appends);
        let mut writing = self.file.begin().await?;
        let done = sqlx::query(questions::RECOUNT)
            .bind(shard.0 as i16)
            .bind(rows::signed(log.waiting))
            .bind(rows::signed(log.appends))
            .bind(log.last.to_bytes().as_slice())
            .bind(rows::signed(known))
            .bind(checkpoint.position.to_bytes().as_slice())
            .bind(checkpoint.accepted_base)
            .bind(rows::signed(checkpoint.lost))
            .execute(writing.connection()?)
            .await?;
        writing.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    async fn check_schema(&self) -> Result<()> {
        let (version,): (i64,) = sqlx::query_as(questions::SCHEMA).fetch_one(self.file.readers()).await?;
        schema::check(version)
    }

    async fn quarantined(
        &self,
        after: Option<(Shard, Position)>,
        limit: usize,
    ) -> Result<Vec<QuarantinedEntry>> {
        // Below every shard's number.
        let (shard, position) = after.map_or((-1, Position::START), |(shard, at)| (shard.0 as i16, at));
        let rows: Vec<QuarantineRow> = sqlx::query_as(questions::QUARANTINED)
            .bind(shard)
            .bind(position.to_bytes().as_slice())
            .bind(limit as i64)
            .fetch_all(self.file.readers())
            .await?;
        rows.into_iter().map(questions::kept).collect()
    }

    async fn count_quarantined(&self) -> Result<u64> {
        let pool = self.file.readers();
        let (count,): (i64,) = sqlx::query_as(questions::COUNT_QUARANTINED).fetch_one(pool).await?;
        Ok(count.unsigned_abs())
    }

    async fn forget_quarantined(&self, shard: Shard, position: Position) -> Result<bool> {
        let mut writing = self.file.begin().await?;
        let done = sqlx::query(questions::FORGET_QUARANTINED)
            .bind(shard.0 as i16)
            .bind(position.to_bytes().as_slice())
            .execute(writing.connection()?)
            .await?;
        writing.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    async fn rerank(&self, as_of: AsOf<'_>, limit: usize) -> Result<u64> {
        // The look and the write are one transaction, so that no commit comes between.
        let mut writing = self.file.begin().await?;
        let moving: Vec<AverageRow> = sqlx::query_as(AssertSqlSafe(questions::MOVING.as_str()))
            .bind(as_of.0.ms())
            .bind(limit as i64)
            .fetch_all(writing.connection()?)
            .await?;
        let posts = moving
            .iter()
            .map(|row| Ok((rows::post_id(&row.post_id)?, row.state.average())))
            .collect::<Result<Vec<_>>>()?;
        commit::insert(writing.connection()?, &RANKING, &posts, |row, (post, average)| {
            rows::write_ranking(row, post, average, as_of);
        })
        .await?;
        writing.commit().await?;
        Ok(posts.len() as u64)
    }

    async fn add_posts(&self, posts: &[Post]) -> Result<u64> {
        let mut writing = self.file.begin().await?;
        let added = commit::add_posts(writing.connection()?, posts).await?;
        writing.commit().await?;
        Ok(added)
    }

    async fn add_post(&self, post: &Post, per_day: Option<u32>) -> Result<Added> {
        let mut writing = self.file.begin().await?;
        let added = add_post(writing.connection()?, post, per_day).await?;
        match added {
            Added::Done => writing.commit().await?,
            Added::Taken | Added::Limited => writing.roll_back().await?,
        }
        Ok(added)
    }

    async fn edit_post(&self, id: &PostId, author: &UserId, edit: &Edit) -> Result<bool> {
        let mut writing = self.file.begin().await?;
        let edited = sqlx::query(questions::EDIT_POST)
            .bind(id.as_str())
            .bind(author.as_str())
            .bind(edit.title.as_ref().map(Title::as_str))
            .bind(i32::from(edit.content.is_some()))
            .bind(edit.content.as_ref().and_then(|content| content.as_ref().map(Content::as_str)))
            .execute(writing.connection()?)
            .await?;
        writing.commit().await?;
        Ok(edited.rows_affected() == 1)
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>> {
        let found: Vec<PostStateRow> = sqlx::query_as(AssertSqlSafe(POSTS.as_str()))
            .bind(commit::ids(ids)?)
            .fetch_all(self.file.readers())
            .await?;
        rows::in_order_asked(ids, found)
    }

    async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>> {
        let found: Vec<(String,)> =
            sqlx::query_as("select p.id from json_each($1) k cross join posts p on p.id = k.value")
                .bind(commit::ids(ids)?)
                .fetch_all(self.file.readers())
                .await?;
        found.iter().map(|(id,)| rows::post_id(id)).collect()
    }

    async fn averages(&self, ids: &[PostId]) -> Result<Vec<(PostId, Average)>> {
        let found: Vec<AverageRow> = sqlx::query_as(AssertSqlSafe(AVERAGES_OF.as_str()))
            .bind(commit::ids(ids)?)
            .fetch_all(self.file.readers())
            .await?;
        found.iter().map(|row| Ok((rows::post_id(&row.post_id)?, row.state.average()))).collect()
    }

    async fn page(
        &self,
        sort: Sort,
        author: Option<&UserId>,
        after: Option<&PageKey>,
        limit: usize,
    ) -> Result<Vec<PageKey>> {
        let author = author.map(UserId::as_str);
        match sort {
            Sort::New => {
                let (at, id) = questions::new_after(after);
                let sql = if author.is_some() { questions::PAGE_NEW_BY } else { questions::PAGE_NEW };
                let page = sqlx::query_as(sql).bind(at).bind(id).bind(limit as i64);
                let page = if author.is_some() { page.bind(author) } else { page };
                questions::newest(page.fetch_all(self.file.readers()).await?)
            }
            Sort::Top => {
                let (mean, id) = questions::top_after(after);
                let sql = if author.is_some() { questions::PAGE_TOP_BY } else { questions::PAGE_TOP };
                let page = sqlx::query_as(sql).bind(mean).bind(id).bind(limit as i64);
                let page = if author.is_some() { page.bind(author) } else { page };
                questions::highest(page.fetch_all(self.file.readers()).await?)
            }
        }
    }

    async fn add_user(&self, user: &User) -> Result<bool> {
        let mut writing = self.file.begin().await?;
        let added = sqlx::query(questions::ADD_USER)
            .bind(user.id.as_str())
            .bind(&user.username)
            .bind(user.created_at.ms())
            .execute(writing.connection()?)
            .await?;
        writing.commit().await?;
        Ok(added.rows_affected() == 1)
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>> {
        let found: Option<UserRow> =
            sqlx::query_as(questions::USER).bind(id.as_str()).fetch_optional(self.file.readers()).await?;
        found.map(questions::user).transpose()
    }

    async fn users(&self, after: Option<&(Time, UserId)>, limit: usize) -> Result<Vec<User>> {
        let (at, id) = questions::users_after(after);
        let found: Vec<UserRow> = sqlx::query_as(questions::USERS)
            .bind(at)
            .bind(id)
            .bind(limit as i64)
            .fetch_all(self.file.readers())
            .await?;
        found.into_iter().map(questions::user).collect()
    }

    async fn ratings_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Rating>>> {
        let found: Vec<RatingRow> = sqlx::query_as(
            "select r.* from json_each($2) k cross join ratings r on r.post_id = k.value and r.user_id = $1",
        )
        .bind(user.as_str())
        .bind(commit::ids(posts)?)
        .fetch_all(self.file.readers())
        .await?;
        let mut ratings = HashMap::new();
        for row in found {
            ratings.insert(rows::post_id(&row.post_id)?, row.rating()?);
        }
        Ok(posts.iter().map(|post| ratings.get(post).copied()).collect())
    }

    async fn history(&self, post: &PostId) -> Result<Vec<Hour>> {
        let hours: Vec<HourRow> = sqlx::query_as(AssertSqlSafe(questions::HOURS.as_str()))
            .bind(post.as_str())
            .fetch_all(self.file.readers())
            .await?;
        Ok(hours.iter().map(|row| row.hour(post)).collect())
    }

    async fn verify(&self, post: Option<&PostId>, each: &mut (dyn FnMut(Recounted) + Send)) -> Result<()> {
        let mut connection = self.file.readers().acquire().await?;
        let mut snapshot = connection.begin().await?;
        let mut range = verify::VerifyRange::of(post);
        while let Some((after, through)) = range.next() {
            let averages: Vec<AverageRow> =
                sqlx::query_as(AssertSqlSafe(questions::VERIFY_AVERAGES.as_str()))
                    .bind(&after)
                    .bind(&through)
                    .bind(VERIFY_POSTS)
                    .fetch_all(&mut *snapshot)
                    .await?;
            let through = range.narrow(averages.last().map(|row| row.post_id.as_str()), averages.len());
            let mut page = Page::new(&averages)?;
            let mut ratings = sqlx::query_as::<_, RatingRow>(verify::VERIFY_RATINGS)
                .bind(&after)
                .bind(&through)
                .fetch(&mut *snapshot);
            while let Some(row) = ratings.try_next().await? {
                page.add(&row)?;
            }
            drop(ratings);
            page.finish(each);
        }
        Ok(())
    }

    async fn admin_token(&self) -> Result<Option<String>> {
        let found: Option<(String,)> =
            sqlx::query_as(questions::ADMIN_TOKEN).fetch_optional(self.file.readers()).await?;
        Ok(found.map(|(hash,)| hash))
    }

    async fn keep_admin_token(&self, hash: &str, replaces: bool) -> Result<bool> {
        let mut writing = self.file.begin().await?;
        let kept = sqlx::query(questions::KEEP_ADMIN_TOKEN).bind(hash).bind(i32::from(replaces));
        let kept = kept.execute(writing.connection()?).await?.rows_affected() == 1;
        writing.commit().await?;
        Ok(kept)
    }

    async fn ratings_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, Rating)>> {
        let found: Vec<RatingRow> = sqlx::query_as(questions::RATINGS_BY)
            .bind(user.as_str())
            .bind(after.map_or("", PostId::as_str))
            .bind(limit as i64)
            .fetch_all(self.file.readers())
            .await?;
        found.iter().map(|row| Ok((rows::post_id(&row.post_id)?, row.rating()?))).collect()
    }

    async fn posts_by(&self, user: &UserId) -> Result<Vec<PostId>> {
        let found: Vec<(String,)> =
            sqlx::query_as(questions::POSTS_BY).bind(user.as_str()).fetch_all(self.file.readers()).await?;
        found.iter().map(|(id,)| rows::post_id(id)).collect()
    }

    async fn forget(&self, user: &UserId) -> Result<()> {
        for (find, forget) in [
            (questions::POSTS_BY, questions::FORGET_AUTHOR),
            (questions::WITHDRAWALS_BY, questions::FORGET_WITHDRAWAL),
        ] {
            let found: Vec<(String,)> =
                sqlx::query_as(find).bind(user.as_str()).fetch_all(self.file.readers()).await?;
            for posts in found.chunks(FORGOTTEN_AT_ONCE) {
                let mut writing = self.file.begin().await?;
                for (post,) in posts {
                    sqlx::query(forget).bind(user.as_str()).bind(post).execute(writing.connection()?).await?;
                }
                writing.commit().await?;
            }
        }
        let mut writing = self.file.begin().await?;
        for forget in [questions::FORGET_DAYS, questions::FORGET_USER] {
            sqlx::query(forget).bind(user.as_str()).execute(writing.connection()?).await?;
        }
        writing.commit().await?;
        Ok(())
    }

    async fn count_posts(&self) -> Result<u64> {
        let (count,): (i64,) = sqlx::query_as(questions::COUNT_POSTS).fetch_one(self.file.readers()).await?;
        Ok(count.unsigned_abs())
    }

    async fn record_drain(&self, run: &DrainRun) -> Result<()> {
        let mut writing = self.file.begin().await?;
        sqlx::query(questions::RECORD_DRAIN)
            .bind(run.started_at.ms())
            .bind(run.trigger.as_str())
            .bind(rows::signed(run.applied))
            .bind(rows::signed(run.quarantined))
            .bind(rows::signed(run.batches))
            .bind(rows::signed(run.duration_ms))
            .bind(&run.error)
            .execute(writing.connection()?)
            .await?;
        sqlx::query(questions::FORGET_DRAINS).execute(writing.connection()?).await?;
        sqlx::query(questions::FORGET_CHANGES)
            .bind(questions::CHANGES_MAX)
            .execute(writing.connection()?)
            .await?;
        writing.commit().await
    }

    async fn drains(&self, limit: usize) -> Result<Vec<DrainRun>> {
        let runs: Vec<DrainRow> =
            sqlx::query_as(questions::DRAINS).bind(limit as i64).fetch_all(self.file.readers()).await?;
        Ok(runs.into_iter().map(DrainRow::run).collect())
    }

    async fn close(&self) {
        self.file.close().await;
    }

    async fn describe(&self) -> Result<String> {
        let (version,): (String,) =
            sqlx::query_as("select sqlite_version()").fetch_one(self.file.readers()).await?;
        Ok(format!("sqlite {version}"))
    }
}

/// Adds a post and what is counted with it; what is not [`Added::Done`] must be rolled back.
async fn add_post(writer: &mut SqliteConnection, post: &Post, per_day: Option<u32>) -> Result<Added> {
    let new = sqlx::query(questions::ADD_POST)
        .bind(post.id.as_str())
        .bind(&post.title)
        .bind(post.content.as_deref())
        .bind(post.created_by.as_ref().map(UserId::as_str))
        .bind(post.repost_of.as_ref().map(PostId::as_str))
        .bind(post.created_at.ms())
        .bind(rows::signed(post.revision))
        .execute(&mut *writer)
        .await?;
    if new.rows_affected() == 0 {
        return Ok(Added::Taken);
    }
    if let (Some(author), Some(per_day)) = (&post.created_by, per_day) {
        let count = sqlx::query(questions::COUNT_POST).bind(author.as_str()).bind(questions::day(post));
        if count.bind(i64::from(per_day)).execute(&mut *writer).await?.rows_affected() == 0 {
            return Ok(Added::Limited);
        }
    }
    sqlx::query(questions::RANK_POST).bind(post.id.as_str()).execute(&mut *writer).await?;
    if let Some(origin) = &post.repost_of {
        sqlx::query(questions::COUNT_REPOST).bind(origin.as_str()).execute(writer).await?;
    }
    Ok(Added::Done)
}
