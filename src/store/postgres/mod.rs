//! The store of the server set-up: Postgres. How a commit goes is in `commit.rs`; here are the questions.

mod columns;
mod commit;
mod copy;
mod review;

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, PoisonError, RwLock};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::questions::{self, ChangesRow, CheckpointRow, DrainRow, QuarantineRow, UserRow};
use super::rows::{self, AVERAGES, AverageRow, HourRow, PostStateRow, RatingRow};
use super::verify::{self, Page};
use super::{
    Added, AsOf, BulkFn, Checkpoint, DrainRun, Installation, MergeFn, PageKey, QuarantinedEntry, Recounted,
    ShardState, Sort, Store, VERIFY_POSTS, alerted_at, is_moving, ranked,
};
use crate::config::{ServerUrl, StoreKnobs};
use crate::database::postgres::pools;
use crate::database::schema;
use crate::entry::{Batch, Position, Shard};
use crate::error::Result;
use crate::merge::PostState;
use crate::merge::{Hour, Merged, Rating};
use crate::model::User;
use crate::model::post::{Content, Edit, Post, Title};
use crate::model::{PostId, Time, UserId};
use crate::smoothing::Average;

/// Postgres behind two pools: one for reads, one for drains.
pub struct PostgresStore {
    url: ServerUrl,
    knobs: StoreKnobs,
    drains: u32,
    pools: RwLock<Pools>,
}

#[derive(Clone)]
struct Pools {
    read: PgPool,
    drain: PgPool,
}

static AVERAGES_OF: LazyLock<String> = LazyLock::new(|| {
    format!("select {} from averages where post_id = any($1) order by post_id", AVERAGES.columns())
});

static POSTS: LazyLock<String> = LazyLock::new(|| {
    let columns = rows::post_state_columns();
    format!("select {columns} from posts p left join averages a on a.post_id = p.id where p.id = any($1)")
});

impl PostgresStore {
    /// Migrates the database and opens the pools. A new installation gets `shards` shards.
    pub async fn open(url: &ServerUrl, knobs: &StoreKnobs, shards: u16, drains: usize) -> Result<Self> {
        pools::migrate(url, knobs).await?;
        // Two more than the drain uses side by side: for the ranking, and for a decision that somebody waits for.
        let drains = drains as u32 + 2;
        let pools = RwLock::new(Pools::new(url, knobs, drains)?);
        let store = Self { url: url.clone(), knobs: knobs.clone(), drains, pools };
        store.found(shards).await?;
        Ok(store)
    }

    fn read_pool(&self) -> PgPool {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).read.clone()
    }

    fn drain_pool(&self) -> PgPool {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).drain.clone()
    }

    /// The posts that `find` names for a user, however long it takes to walk through all there is.
    async fn walk(&self, find: &'static str, user: &UserId) -> Result<Vec<String>> {
        let mut connection = self.drain_pool().acquire().await?;
        let mut transaction = connection.begin().await?;
        sqlx::query("set local statement_timeout = 0").execute(&mut *transaction).await?;
        let found: Vec<(String,)> =
            sqlx::query_as(find).bind(user.as_str()).fetch_all(&mut *transaction).await?;
        Ok(found.into_iter().map(|(post,)| post).collect())
    }

    /// Fixes the name and the number of shards, unless an earlier start did.
    async fn found(&self, shards: u16) -> Result<()> {
        let mut connection = self.read_pool().acquire().await?;
        let mut transaction = connection.begin().await?;
        sqlx::query("insert into installation values (1, $1, $2, $3) on conflict do nothing")
            .bind(uuid::Uuid::new_v4().to_string())
            .bind(i32::from(shards))
            .bind(schema::SCHEMA_VERSION)
            .execute(&mut *transaction)
            .await?;
        // An insert waits for whoever moves a checkpoint that is there, and a decision may move it for minutes.
        sqlx::query(
            "insert into checkpoints (shard, position, seen_position)
             select n, $1, $1 from installation, generate_series(0, shards - 1) n
             where n not in (select shard from checkpoints) on conflict do nothing",
        )
        .bind(Position::START.to_bytes().as_slice())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

impl Pools {
    fn new(url: &ServerUrl, knobs: &StoreKnobs, drains: u32) -> Result<Self> {
        Ok(Self {
            read: pools::read_pool(url, knobs)?,
            drain: pools::drain_pool(url, knobs, drains, commit::TEMPORARY_TABLES)?,
        })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn installation(&self) -> Result<Installation> {
        let (id, shards): (String, i32) =
            sqlx::query_as("select id, shards from installation").fetch_one(&self.read_pool()).await?;
        Ok(Installation { id, shards: shards.unsigned_abs() as u16 })
    }

    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint> {
        let row: CheckpointRow =
            sqlx::query_as(questions::CHECKPOINT).bind(shard.0 as i16).fetch_one(&self.read_pool()).await?;
        row.checkpoint()
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
            sqlx::query_as(questions::CHECKPOINTS).fetch_all(&self.read_pool()).await?;
        found.iter().map(|(at,)| rows::position(at)).collect()
    }

    async fn changed(&self, shard: Shard, from: Position, to: Position) -> Result<Option<BTreeSet<PostId>>> {
        let found: Vec<ChangesRow> = sqlx::query_as(questions::CHANGED)
            .bind(shard.0 as i16)
            .bind(from.to_bytes().as_slice())
            .bind(to.to_bytes().as_slice())
            .bind(questions::CHANGES_MAX + 1)
            .fetch_all(&self.read_pool())
            .await?;
        questions::changed(&found, from, to)
    }

    async fn recount(&self, shard: Shard, seen: &ShardState) -> Result<bool> {
        let ShardState { checkpoint, log } = seen;
        let known = checkpoint.seen_appends.max(log.appends);

        let done = sqlx::query(questions::RECOUNT)
            .bind(shard.0 as i16)
            .bind(rows::signed(log.waiting))
            .bind(rows::signed(log.appends))
            .bind(log.last.to_bytes().as_slice())
            .bind(rows::signed(known))
            .bind(checkpoint.position.to_bytes().as_slice())
            .bind(checkpoint.accepted_base)
            .bind(rows::signed(checkpoint.lost))
            .execute(&self.drain_pool())
            .await?;

        Ok(done.rows_affected() == 1)
    }

    async fn check_schema(&self) -> Result<()> {
        let (version,): (i64,) = sqlx::query_as(questions::SCHEMA).fetch_one(&self.read_pool()).await?;
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
            .fetch_all(&self.read_pool())
            .await?;
        rows.into_iter().map(questions::kept).collect()
    }

    async fn count_quarantined(&self) -> Result<u64> {
        let pool = self.read_pool();
        let (count,): (i64,) = sqlx::query_as(questions::COUNT_QUARANTINED).fetch_one(&pool).await?;
        Ok(count.unsigned_abs())
    }

    async fn forget_quarantined(&self, shard: Shard, position: Position) -> Result<bool> {
        let done = sqlx::query(questions::FORGET_QUARANTINED)
            .bind(shard.0 as i16)
            .bind(position.to_bytes().as_slice())
            .execute(&self.drain_pool())
            .await?;

        Ok(done.rows_affected() == 1)
    }

    async fn rerank(&self, as_of: AsOf<'_>, limit: usize) -> Result<u64> {
        let moving: Vec<AverageRow> = sqlx::query_as(AssertSqlSafe(questions::MOVING.as_str()))
            .bind(as_of.0.ms())
            .bind(limit as i64)
            .fetch_all(&self.drain_pool())
            .await?;
        let (mut ids, mut means, mut flags, mut alerts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in &moving {
            let average = row.state.average();
            ids.push(row.post_id.as_str());
            means.push(ranked(&average, as_of));
            flags.push(i16::from(is_moving(&average, as_of)));
            alerts.push(alerted_at(&average, as_of).map(Time::ms));
        }
        // Rows that a commit or another process' ranking holds are left to them. A commit that came between has written this moment already, and from a newer state.
        let done = sqlx::query(
            "with free as (
                 select post_id from ranking where post_id = any($1) order by post_id for update skip locked
             )
             update ranking r set smoothed = n.smoothed, moving = n.moving, as_of = $4,
                 alerted_at = case when n.alerted_at is null then null
                     else coalesce(r.alerted_at, n.alerted_at) end
             from free, unnest($1::text[], $2::double precision[], $3::smallint[], $5::bigint[])
                 n (post_id, smoothed, moving, alerted_at)
             where r.post_id = free.post_id and r.post_id = n.post_id and r.as_of < $4",
        )
        .bind(ids)
        .bind(means)
        .bind(flags)
        .bind(as_of.0.ms())
        .bind(alerts)
        .execute(&self.drain_pool())
        .await?;
        Ok(done.rows_affected())
    }

    async fn add_posts(&self, posts: &[Post]) -> Result<u64> {
        commit::add_posts(&mut *self.read_pool().acquire().await?, posts).await
    }

    async fn add_post(&self, post: &Post, per_day: Option<u32>) -> Result<Added> {
        let mut connection = self.read_pool().acquire().await?;
        let mut transaction = connection.begin().await?;
        let added = add_post(&mut transaction, post, per_day).await?;
        match added {
            Added::Done => transaction.commit().await?,
            Added::Taken | Added::Limited => transaction.rollback().await?,
        }
        Ok(added)
    }

    async fn edit_post(&self, id: &PostId, author: &UserId, edit: &Edit) -> Result<bool> {
        let edited = sqlx::query(questions::EDIT_POST)
            .bind(id.as_str())
            .bind(author.as_str())
            .bind(edit.title.as_ref().map(Title::as_str))
            .bind(i32::from(edit.content.is_some()))
            .bind(edit.content.as_ref().and_then(|content| content.as_ref().map(Content::as_str)))
            .execute(&self.read_pool())
            .await?;
        Ok(edited.rows_affected() == 1)
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>> {
        let found: Vec<PostStateRow> = sqlx::query_as(AssertSqlSafe(POSTS.as_str()))
            .bind(ids.iter().map(PostId::as_str).collect::<Vec<_>>())
            .fetch_all(&self.read_pool())
            .await?;
        rows::in_order_asked(ids, found)
    }

    async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>> {
        let found: Vec<(String,)> = sqlx::query_as("select id from posts where id = any($1)")
            .bind(ids.iter().map(PostId::as_str).collect::<Vec<_>>())
            .fetch_all(&self.read_pool())
            .await?;
        found.iter().map(|(id,)| rows::post_id(id)).collect()
    }

    async fn averages(&self, ids: &[PostId]) -> Result<Vec<(PostId, Average)>> {
        let found: Vec<AverageRow> = sqlx::query_as(AssertSqlSafe(AVERAGES_OF.as_str()))
            .bind(ids.iter().map(PostId::as_str).collect::<Vec<_>>())
            .fetch_all(&self.read_pool())
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
                questions::newest(page.fetch_all(&self.read_pool()).await?)
            }
            Sort::Top => {
                let (mean, id) = questions::top_after(after);
                let sql = if author.is_some() { questions::PAGE_TOP_BY } else { questions::PAGE_TOP };
                let page = sqlx::query_as(sql).bind(mean).bind(id).bind(limit as i64);
                let page = if author.is_some() { page.bind(author) } else { page };
                questions::highest(page.fetch_all(&self.read_pool()).await?)
            }
        }
    }

    async fn add_user(&self, user: &User) -> Result<bool> {
        let added = sqlx::query(questions::ADD_USER)
            .bind(user.id.as_str())
            .bind(&user.username)
            .bind(user.created_at.ms())
            .execute(&self.read_pool())
            .await?;
        Ok(added.rows_affected() == 1)
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>> {
        let found: Option<UserRow> =
            sqlx::query_as(questions::USER).bind(id.as_str()).fetch_optional(&self.read_pool()).await?;
        found.map(questions::user).transpose()
    }

    async fn users(&self, after: Option<&(Time, UserId)>, limit: usize) -> Result<Vec<User>> {
        let (at, id) = questions::users_after(after);
        let found: Vec<UserRow> = sqlx::query_as(questions::USERS)
            .bind(at)
            .bind(id)
            .bind(limit as i64)
            .fetch_all(&self.read_pool())
            .await?;
        found.into_iter().map(questions::user).collect()
    }

    async fn ratings_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Rating>>> {
        let found: Vec<RatingRow> =
            sqlx::query_as("select * from ratings where user_id = $1 and post_id = any($2)")
                .bind(user.as_str())
                .bind(posts.iter().map(PostId::as_str).collect::<Vec<_>>())
                .fetch_all(&self.read_pool())
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
            .fetch_all(&self.read_pool())
            .await?;
        Ok(hours.iter().map(|row| row.hour(post)).collect())
    }

    async fn verify(&self, post: Option<&PostId>, each: &mut (dyn FnMut(Recounted) + Send)) -> Result<()> {
        let mut connection = self.read_pool().acquire().await?;
        let mut snapshot = connection.begin_with("begin isolation level repeatable read, read only").await?;
        // A post of a million ratings streams for longer than a reader's question may take.
        sqlx::query("set local statement_timeout = 0").execute(&mut *snapshot).await?;
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
            sqlx::query_as(questions::ADMIN_TOKEN).fetch_optional(&self.read_pool()).await?;
        Ok(found.map(|(hash,)| hash))
    }

    async fn keep_admin_token(&self, hash: &str, replaces: bool) -> Result<bool> {
        let kept = sqlx::query(questions::KEEP_ADMIN_TOKEN).bind(hash).bind(i32::from(replaces));
        Ok(kept.execute(&self.read_pool()).await?.rows_affected() == 1)
    }

    async fn ratings_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, Rating)>> {
        let mut connection = self.drain_pool().acquire().await?;
        let mut transaction = connection.begin().await?;
        // It may have to walk through all there is.
        sqlx::query("set local statement_timeout = 0").execute(&mut *transaction).await?;
        let found: Vec<RatingRow> = sqlx::query_as(questions::RATINGS_BY)
            .bind(user.as_str())
            .bind(after.map_or("", PostId::as_str))
            .bind(limit as i64)
            .fetch_all(&mut *transaction)
            .await?;
        found.iter().map(|row| Ok((rows::post_id(&row.post_id)?, row.rating()?))).collect()
    }

    async fn posts_by(&self, user: &UserId) -> Result<Vec<PostId>> {
        self.walk(questions::POSTS_BY, user).await?.iter().map(|id| rows::post_id(id)).collect()
    }

    async fn forget(&self, user: &UserId) -> Result<()> {
        for (find, forget) in [
            (questions::POSTS_BY, questions::FORGET_AUTHOR),
            (questions::WITHDRAWALS_BY, questions::FORGET_WITHDRAWAL),
        ] {
            for post in self.walk(find, user).await? {
                sqlx::query(forget).bind(user.as_str()).bind(post).execute(&self.drain_pool()).await?;
            }
        }
        for forget in [questions::FORGET_DAYS, questions::FORGET_USER] {
            sqlx::query(forget).bind(user.as_str()).execute(&self.drain_pool()).await?;
        }
        Ok(())
    }

    async fn count_posts(&self) -> Result<u64> {
        let (count,): (i64,) = sqlx::query_as(questions::COUNT_POSTS).fetch_one(&self.read_pool()).await?;
        Ok(count.unsigned_abs())
    }

    async fn record_drain(&self, run: &DrainRun) -> Result<()> {
        sqlx::query(questions::RECORD_DRAIN)
            .bind(run.started_at.ms())
            .bind(run.trigger.as_str())
            .bind(rows::signed(run.applied))
            .bind(rows::signed(run.quarantined))
            .bind(rows::signed(run.batches))
            .bind(rows::signed(run.duration_ms))
            .bind(&run.error)
            .execute(&self.drain_pool())
            .await?;
        sqlx::query(questions::FORGET_DRAINS).execute(&self.drain_pool()).await?;
        sqlx::query(questions::FORGET_CHANGES)
            .bind(questions::CHANGES_MAX)
            .execute(&self.drain_pool())
            .await?;
        Ok(())
    }

    async fn drains(&self, limit: usize) -> Result<Vec<DrainRun>> {
        let runs: Vec<DrainRow> =
            sqlx::query_as(questions::DRAINS).bind(limit as i64).fetch_all(&self.read_pool()).await?;
        Ok(runs.into_iter().map(DrainRow::run).collect())
    }

    fn renew(&self) {
        if let Ok(pools) = Pools::new(&self.url, &self.knobs, self.drains) {
            *self.pools.write().unwrap_or_else(PoisonError::into_inner) = pools;
        }
    }

    async fn close(&self) {
        self.read_pool().close().await;
        self.drain_pool().close().await;
    }

    async fn describe(&self) -> Result<String> {
        let (version,): (String,) =
            sqlx::query_as("show server_version").fetch_one(&self.read_pool()).await?;
        Ok(format!("postgres {}", version.split(' ').next().unwrap_or(&version)))
    }
}

/// Adds a post and what is counted with it; what is not [`Added::Done`] must be rolled back.
async fn add_post(connection: &mut PgConnection, post: &Post, per_day: Option<u32>) -> Result<Added> {
    let new = sqlx::query(questions::ADD_POST)
        .bind(post.id.as_str())
        .bind(&post.title)
        .bind(post.content.as_deref())
        .bind(post.created_by.as_ref().map(UserId::as_str))
        .bind(post.repost_of.as_ref().map(PostId::as_str))
        .bind(post.created_at.ms())
        .bind(rows::signed(post.revision))
        .execute(&mut *connection)
        .await?;
    if new.rows_affected() == 0 {
        return Ok(Added::Taken);
    }
    if let (Some(author), Some(per_day)) = (&post.created_by, per_day) {
        let count = sqlx::query(questions::COUNT_POST).bind(author.as_str()).bind(questions::day(post));
        if count.bind(i64::from(per_day)).execute(&mut *connection).await?.rows_affected() == 0 {
            return Ok(Added::Limited);
        }
    }
    sqlx::query(questions::RANK_POST).bind(post.id.as_str()).execute(&mut *connection).await?;
    if let Some(origin) = &post.repost_of {
        sqlx::query(questions::COUNT_REPOST).bind(origin.as_str()).execute(connection).await?;
    }
    Ok(Added::Done)
}
