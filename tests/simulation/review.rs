//! What is kept for moderators: nothing, since the simulation does not decide.

use async_trait::async_trait;
use damper::entry::{Position, Shard};
use damper::error::Result;
use damper::merge::{Decided, Exclusion};
use damper::merge::{HeldRating, Hour, Key, Rating};
use damper::model::{PostId, Time, UserId};
use damper::store::{AlertKey, Arrivals, AuditKey, Review};

use crate::store::{MemoryStore, read, unasked};

#[async_trait]
impl Review for MemoryStore {
    async fn ratings_page(&self, _: &PostId, _: Option<&UserId>, _: usize) -> Result<Vec<(UserId, Rating)>> {
        unasked()
    }

    async fn arrivals(&self, _: &PostId, _: (Time, Time), _: i64) -> Result<Vec<Arrivals>> {
        unasked()
    }

    async fn hours_since(&self, _: &PostId, _: Time) -> Result<Vec<Hour>> {
        unasked()
    }

    async fn alerted(&self, _: Option<&AlertKey>, _: usize) -> Result<Vec<AlertKey>> {
        unasked()
    }

    async fn untold(&self, _: Time, _: usize) -> Result<Vec<AlertKey>> {
        unasked()
    }

    async fn mark_told(&self, _: &AlertKey) -> Result<()> {
        unasked()
    }

    async fn exclusions(&self, _: &PostId) -> Result<Vec<Exclusion>> {
        unasked()
    }

    async fn frozen(&self) -> Result<Vec<PostId>> {
        self.0.call(read("frozen"), |_| Ok(Vec::new())).await
    }

    async fn decided(&self, _: Shard, _: Position) -> Result<Option<Decided>> {
        unasked()
    }

    async fn audit_page(&self, _: Option<&PostId>, _: Option<AuditKey>, _: usize) -> Result<Vec<Decided>> {
        unasked()
    }

    async fn held_page(
        &self,
        _: Option<&PostId>,
        _: Option<&Key>,
        _: usize,
        _: bool,
    ) -> Result<Vec<(Key, HeldRating)>> {
        unasked()
    }

    async fn held_of(&self, _: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>> {
        let asked = posts.len();
        self.0.call(read("held_of"), move |_| Ok(vec![None; asked])).await
    }

    async fn held_by(&self, _: &UserId, _: Option<&PostId>, _: usize) -> Result<Vec<(PostId, HeldRating)>> {
        unasked()
    }

    async fn held_before(&self, _: Time, _: usize) -> Result<Vec<(Key, HeldRating)>> {
        self.0.call(read("held_before"), |_| Ok(Vec::new())).await
    }
}
