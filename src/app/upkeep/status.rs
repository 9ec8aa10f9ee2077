//! The state of Damper in one answer (balance, last drain, ticks), and the recount of averages.

use serde::Serialize;
use utoipa::ToSchema;

use super::Upkeep;
use crate::app::drain::Balance;
use crate::config::Setup;
use crate::error::Result;
use crate::model::{PostId, Time};
use crate::store::{DrainRun, Recounted};

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
        let (balance, balanced) = self.drainer.balance().await?;
        let window = self.context.ticks.around(now);
        Ok(Status {
            setup: match self.context.config.setup() {
                Setup::Embedded => "embedded",
                Setup::Servers => "servers",
            },
            buffer: self.buffer.describe().await?,
            store: self.store.describe().await?,
            balance,
            balanced,
            posts: self.store.count_posts().await?,
            last_drain: self.store.drains(1).await?.pop(),
            last_tick: window.last,
            next_tick: window.next,
        })
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
