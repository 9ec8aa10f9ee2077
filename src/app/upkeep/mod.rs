//! What operators do: look at the status and recount averages; in files of their own, work on the quarantine, forget a
//! user, forget old marks, ask the doctor.

mod admin_token;
pub(crate) mod doctor;
pub(crate) mod forget;
mod marks;
pub(crate) mod quarantine;
mod sessions;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::core::Core;
use super::drain::{Balance, DrainOrder};
use crate::config::Setup;
use crate::error::Result;
use crate::model::{PostId, Time};
use crate::store::{DrainRun, Exported, Recounted, Store, Trigger};

pub use marks::{Place, Retries};

/// What operators do.
pub struct Upkeep {
    pub(super) core: Core,
    pub(super) store: Arc<Store>,
    /// How far the marks of withdrawals have been looked at.
    pub(super) swept: Place,
}

/// The state of Damper in one answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// `embedded` or `servers`.
    pub setup: &'static str,
    /// The log that ratings wait in.
    pub buffer: String,
    /// The database.
    pub store: String,
    /// The balance over all shards.
    #[serde(flatten)]
    pub balance: Balance,
    /// Whether it holds, in every shard.
    pub balanced: bool,
    /// Posts in the catalogue.
    pub posts: u64,
    /// The newest drain.
    pub last_drain: Option<DrainRun>,
    /// The last tick on the timetable.
    pub last_tick: Time,
    /// The next one.
    pub next_tick: Time,
}

impl Upkeep {
    /// The state of Damper as of `now`.
    pub async fn status(&self, now: Time) -> Result<Status> {
        let Core { context, buffer, drainer, .. } = &self.core;
        let (balance, balanced) = drainer.balance().await?;
        let window = context.ticks.around(now);
        Ok(Status {
            setup: if context.config.setup() == Setup::Embedded { "embedded" } else { "servers" },
            buffer: buffer.describe().await?,
            store: self.store.describe().await?,
            balance,
            balanced,
            posts: self.store.count_posts().await?,
            last_drain: self.store.drains(1).await?.pop(),
            last_tick: window.last,
            next_tick: window.next,
        })
    }

    /// The newest drains, newest first.
    pub async fn drains(&self, limit: usize) -> Result<Vec<DrainRun>> {
        self.store.drains(limit).await
    }

    /// How many entries drains merged since `since`, by the clock hour in which they began.
    pub async fn merged_by_hour(&self, since: Time) -> Result<Vec<(Time, u64)>> {
        self.store.merged_by_hour(since).await
    }

    /// Which log and which database these are, for people.
    pub async fn versions(&self) -> Result<(String, String)> {
        Ok((self.core.buffer.describe().await?, self.store.describe().await?))
    }

    /// Hands everything over as it is at one moment, posts in order, and of each what was kept in the order of the log. What
    /// waits in the log is merged first.
    pub async fn export(
        &self,
        now: Time,
        each: &mut (dyn FnMut(Exported) -> Result<()> + Send),
    ) -> Result<()> {
        self.core.drainer.flush(now, &DrainOrder::quiet(Trigger::Flush)).await?;
        self.store.export(each).await
    }

    /// Recounts the averages of all posts, or of one, from the ratings, in one snapshot.
    pub async fn verify(
        &self,
        post: Option<&PostId>,
        each: &mut (dyn FnMut(Recounted) + Send),
    ) -> Result<()> {
        self.store.verify(post, each).await
    }
}
