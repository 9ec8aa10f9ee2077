//! A store whose every answer comes within a limit, and that is left alone while it does not answer.
//!
//! The first caller who waits in vain says so, once; from then on everybody is told at once, while a probe finds
//! out when the database is back. So an outage costs each process one wait, and not one a request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tracing::{info, warn};

use super::{
    Added, AlertKey, Arrivals, AsOf, AuditKey, BulkFn, Checkpoint, DrainRun, Installation, MergeFn, PageKey,
    QuarantinedEntry, Recounted, Review, ShardState, Sort, Store,
};
use crate::entry::{Batch, Position, Shard};
use crate::error::{Error, Result};
use crate::merge::PostState;
use crate::merge::{Decided, Exclusion};
use crate::merge::{HeldRating, Hour, Key, Merged, Rating};
use crate::model::User;
use crate::model::post::{Edit, Post};
use crate::model::{PostId, Time, UserId};
use crate::smoothing::Average;

/// A commit that takes longer is given up; whether it happened is read back from the checkpoint.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);
/// A decision that walks through all ratings of a post is given so much.
const BULK_TIMEOUT: Duration = Duration::from_secs(600);
/// Calls that nobody waits for by the second: counts, lists, what a drain writes besides.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// A store that does not answer is asked again so often.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// A store behind limits.
pub struct Bounded {
    inner: Arc<dyn Store>,
    answer_timeout: Duration,
    is_down: Arc<AtomicBool>,
}

impl Bounded {
    /// `inner`, whose readers wait `answer_timeout` at most. Needs a tokio runtime.
    pub fn new(inner: Arc<dyn Store>, answer_timeout: Duration) -> Self {
        Self { inner, answer_timeout, is_down: Arc::default() }
    }

    async fn quick<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.within(self.answer_timeout, call).await
    }

    async fn patient<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.within(PATIENT_TIMEOUT, call).await
    }

    /// What may take long for its own reasons: then the database is no less there.
    async fn long<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let late =
            || Error::Busy(format!("it takes longer than {} s; ask for less", PATIENT_TIMEOUT.as_secs()));
        let bounded = async { tokio::time::timeout(PATIENT_TIMEOUT, call).await.map_err(|_| late())? };
        self.within(2 * PATIENT_TIMEOUT, bounded).await
    }

    async fn within<T>(&self, limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("the database does not answer; trying again".into()));
        }
        let outcome = tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            Err(Error::Unavailable(format!("the database did not answer within {} ms", limit.as_millis())))
        });
        if let Err(Error::Unavailable(why)) = &outcome {
            self.lost(why);
        }
        outcome
    }

    /// Says that the store is gone, unless it was said, and looks out for its return.
    fn lost(&self, why: &str) {
        if self.is_down.swap(true, Ordering::Relaxed) {
            return;
        }
        warn!(why, "the database does not answer; trying again");
        let (inner, is_down, limit) = (self.inner.clone(), self.is_down.clone(), self.answer_timeout);
        tokio::spawn(async move {
            loop {
                // Connections that were left hanging are not waited for.
                inner.renew();
                if let Ok(Ok(_)) = tokio::time::timeout(limit, inner.installation()).await {
                    break;
                }
                tokio::time::sleep(PROBE_INTERVAL).await;
            }
            is_down.store(false, Ordering::Relaxed);
            info!("the database answers again");
        });
    }
}

#[async_trait]
impl Review for Bounded {
    async fn ratings_page(
        &self,
        post: &PostId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Rating)>> {
        self.patient(self.inner.ratings_page(post, after, limit)).await
    }

    async fn arrivals(&self, post: &PostId, span: (Time, Time), step_ms: i64) -> Result<Vec<Arrivals>> {
        self.long(self.inner.arrivals(post, span, step_ms)).await
    }

    async fn hours_since(&self, post: &PostId, since: Time) -> Result<Vec<Hour>> {
        self.long(self.inner.hours_since(post, since)).await
    }

    async fn alerted(&self, after: Option<&AlertKey>, limit: usize) -> Result<Vec<AlertKey>> {
        self.patient(self.inner.alerted(after, limit)).await
    }

    async fn untold(&self, since: Time, limit: usize) -> Result<Vec<AlertKey>> {
        self.patient(self.inner.untold(since, limit)).await
    }

    async fn mark_told(&self, alert: &AlertKey) -> Result<()> {
        self.patient(self.inner.mark_told(alert)).await
    }

    async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>> {
        self.patient(self.inner.exclusions(post)).await
    }

    async fn frozen(&self) -> Result<Vec<PostId>> {
        self.quick(self.inner.frozen()).await
    }

    async fn decided(&self, shard: Shard, position: Position) -> Result<Option<Decided>> {
        self.patient(self.inner.decided(shard, position)).await
    }

    async fn audit_page(
        &self,
        post: Option<&PostId>,
        after: Option<AuditKey>,
        limit: usize,
    ) -> Result<Vec<Decided>> {
        self.patient(self.inner.audit_page(post, after, limit)).await
    }

    async fn held_page(
        &self,
        post: Option<&PostId>,
        after: Option<&Key>,
        limit: usize,
        with_excluded: bool,
    ) -> Result<Vec<(Key, HeldRating)>> {
        self.patient(self.inner.held_page(post, after, limit, with_excluded)).await
    }

    async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>> {
        self.quick(self.inner.held_of(user, posts)).await
    }

    async fn held_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, HeldRating)>> {
        self.patient(self.inner.held_by(user, after, limit)).await
    }

    async fn held_before(&self, before: Time, limit: usize) -> Result<Vec<(Key, HeldRating)>> {
        self.patient(self.inner.held_before(before, limit)).await
    }
}

#[async_trait]
impl Store for Bounded {
    async fn installation(&self) -> Result<Installation> {
        self.quick(self.inner.installation()).await
    }

    async fn checkpoint(&self, shard: Shard) -> Result<Checkpoint> {
        self.quick(self.inner.checkpoint(shard)).await
    }

    fn batch_max(&self) -> usize {
        self.inner.batch_max()
    }

    async fn commit(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        merge: &MergeFn,
    ) -> Result<Option<Merged>> {
        self.within(COMMIT_TIMEOUT, self.inner.commit(batch, seen, as_of, merge)).await
    }

    async fn commit_bulk(
        &self,
        batch: &Batch,
        seen: &ShardState,
        as_of: AsOf<'_>,
        begin: &BulkFn,
    ) -> Result<Option<Merged>> {
        self.within(BULK_TIMEOUT, self.inner.commit_bulk(batch, seen, as_of, begin)).await
    }

    async fn checkpoints(&self) -> Result<Vec<Position>> {
        self.quick(self.inner.checkpoints()).await
    }

    async fn changed(&self, shard: Shard, from: Position, to: Position) -> Result<Option<BTreeSet<PostId>>> {
        self.quick(self.inner.changed(shard, from, to)).await
    }

    async fn recount(&self, shard: Shard, seen: &ShardState) -> Result<bool> {
        self.patient(self.inner.recount(shard, seen)).await
    }

    async fn admin_token(&self) -> Result<Option<String>> {
        self.quick(self.inner.admin_token()).await
    }

    async fn keep_admin_token(&self, hash: &str, replaces: bool) -> Result<bool> {
        self.quick(self.inner.keep_admin_token(hash, replaces)).await
    }

    async fn ratings_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, Rating)>> {
        // Looks through all ratings; whoever asks is patient.
        self.inner.ratings_by(user, after, limit).await
    }

    async fn posts_by(&self, user: &UserId) -> Result<Vec<PostId>> {
        self.inner.posts_by(user).await
    }

    async fn forget(&self, user: &UserId) -> Result<()> {
        self.inner.forget(user).await
    }

    async fn check_schema(&self) -> Result<()> {
        self.quick(self.inner.check_schema()).await
    }

    async fn quarantined(
        &self,
        after: Option<(Shard, Position)>,
        limit: usize,
    ) -> Result<Vec<QuarantinedEntry>> {
        self.patient(self.inner.quarantined(after, limit)).await
    }

    async fn count_quarantined(&self) -> Result<u64> {
        self.patient(self.inner.count_quarantined()).await
    }

    async fn forget_quarantined(&self, shard: Shard, position: Position) -> Result<bool> {
        self.patient(self.inner.forget_quarantined(shard, position)).await
    }

    async fn rerank(&self, as_of: AsOf<'_>, limit: usize) -> Result<u64> {
        self.within(COMMIT_TIMEOUT, self.inner.rerank(as_of, limit)).await
    }

    async fn add_posts(&self, posts: &[Post]) -> Result<u64> {
        self.patient(self.inner.add_posts(posts)).await
    }

    async fn add_post(&self, post: &Post, per_day: Option<u32>) -> Result<Added> {
        self.patient(self.inner.add_post(post, per_day)).await
    }

    async fn edit_post(&self, id: &PostId, author: &UserId, edit: &Edit) -> Result<bool> {
        self.patient(self.inner.edit_post(id, author, edit)).await
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>> {
        self.quick(self.inner.posts(ids)).await
    }

    async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>> {
        self.quick(self.inner.existing(ids)).await
    }

    async fn averages(&self, ids: &[PostId]) -> Result<Vec<(PostId, Average)>> {
        self.quick(self.inner.averages(ids)).await
    }

    async fn page(
        &self,
        sort: Sort,
        author: Option<&UserId>,
        after: Option<&PageKey>,
        limit: usize,
    ) -> Result<Vec<PageKey>> {
        self.quick(self.inner.page(sort, author, after, limit)).await
    }

    async fn add_user(&self, user: &User) -> Result<bool> {
        self.quick(self.inner.add_user(user)).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>> {
        self.quick(self.inner.user(id)).await
    }

    async fn users(&self, after: Option<&(Time, UserId)>, limit: usize) -> Result<Vec<User>> {
        self.quick(self.inner.users(after, limit)).await
    }

    async fn ratings_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Rating>>> {
        self.quick(self.inner.ratings_of(user, posts)).await
    }

    async fn history(&self, post: &PostId) -> Result<Vec<Hour>> {
        self.quick(self.inner.history(post)).await
    }

    /// Without a limit: it reads every rating there is.
    async fn verify(&self, post: Option<&PostId>, each: &mut (dyn FnMut(Recounted) + Send)) -> Result<()> {
        self.inner.verify(post, each).await
    }

    async fn count_posts(&self) -> Result<u64> {
        self.patient(self.inner.count_posts()).await
    }

    async fn record_drain(&self, run: &DrainRun) -> Result<()> {
        self.patient(self.inner.record_drain(run)).await
    }

    async fn drains(&self, limit: usize) -> Result<Vec<DrainRun>> {
        self.patient(self.inner.drains(limit)).await
    }

    fn renew(&self) {
        self.inner.renew();
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn describe(&self) -> Result<String> {
        self.quick(self.inner.describe()).await
    }
}
