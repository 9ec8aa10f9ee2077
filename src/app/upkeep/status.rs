//! The balance, and how Damper is: `accepted = applied + quarantined + waiting`, from three sources.
//!
//! `accepted` is the log's own count, `applied` and `quarantined` stand beside the checkpoint, `waiting` is
//! counted in the log. So the balance can fail, and shows it.

use futures_util::future::try_join_all;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::config::Setup;
use crate::entry::Shard;
use crate::error::{Error, Result};
use crate::model::{PostId, Time};
use crate::store::{DrainRun, Recounted, ShardState};

/// A look at a shard is repeated when a drain moved the checkpoint meanwhile, so many times at most.
const LOOKS_MAX: usize = 100;

/// What has become of everything that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Balance {
    /// Entries ever accepted.
    pub accepted: u64,
    /// Entries in the averages.
    pub applied: u64,
    /// Entries ever put aside.
    pub quarantined: u64,
    /// Entries after the checkpoints.
    pub waiting: u64,
    /// Entries that the log's server is known to have lost, at least; not in `accepted`.
    pub lost: u64,
    /// When the oldest waiting entry was appended.
    pub oldest_waiting_at: Option<Time>,
}

impl Balance {
    /// The balance of one shard whose checkpoint did not move during the look.
    pub fn of(ShardState { checkpoint, log }: &ShardState) -> Self {
        Self {
            accepted: checkpoint.accepted(log.appends),
            applied: checkpoint.applied,
            quarantined: checkpoint.quarantined,
            waiting: log.waiting,
            lost: checkpoint.lost,
            oldest_waiting_at: log.oldest,
        }
    }

    /// Whether everything that was accepted is somewhere.
    pub fn is_balanced(&self) -> bool {
        self.accepted == self.applied + self.quarantined + self.waiting
    }

    fn add(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            applied: self.applied + other.applied,
            quarantined: self.quarantined + other.quarantined,
            waiting: self.waiting + other.waiting,
            lost: self.lost + other.lost,
            oldest_waiting_at: self.oldest_waiting_at.into_iter().chain(other.oldest_waiting_at).min(),
        }
    }
}

/// How Damper is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// `embedded` or `servers`.
    pub setup: &'static str,
    /// Where ratings wait.
    pub buffer: String,
    /// Where averages are.
    pub store: String,
    /// The balance over all shards.
    #[serde(flatten)]
    pub balance: Balance,
    /// Whether it holds, in every shard.
    pub balanced: bool,
    /// Posts that Damper knows.
    pub posts: u64,
    /// The newest drain.
    pub last_drain: Option<DrainRun>,
    /// The last tick on the timetable.
    pub last_tick: Time,
    /// The next one.
    pub next_tick: Time,
}

impl App {
    /// The balance of every shard, in order.
    pub async fn balances(&self) -> Result<Vec<Balance>> {
        try_join_all(self.all_shards().map(|shard| self.balance_of(shard))).await
    }

    /// The balance over all shards, and whether it holds in each.
    pub async fn balance(&self) -> Result<(Balance, bool)> {
        let balances = self.balances().await?;
        let holds = balances.iter().all(Balance::is_balanced);
        Ok((balances.into_iter().fold(Balance::default(), Balance::add), holds))
    }

    async fn balance_of(&self, shard: Shard) -> Result<Balance> {
        let mut seen = self.see(shard).await?;
        for _ in 0..LOOKS_MAX {
            if self.store.checkpoint(shard).await? == seen.checkpoint {
                return Ok(Balance::of(&seen));
            }
            seen = self.see(shard).await?;
        }
        Err(Error::Busy(format!("shard {shard} moved during {LOOKS_MAX} looks; look again later")))
    }

    /// A shard's checkpoint, and then its log.
    pub(crate) async fn see(&self, shard: Shard) -> Result<ShardState> {
        let checkpoint = self.store.checkpoint(shard).await?;
        let log = self.buffer.backlog(shard, checkpoint.position).await?;
        Ok(ShardState { checkpoint, log })
    }

    /// How Damper is, all in all.
    pub async fn status(&self, now: Time) -> Result<Status> {
        let (balance, balanced) = self.balance().await?;
        let window = self.ticks.around(now);
        Ok(Status {
            setup: match self.config.setup() {
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

    /// Passes when both the buffer and the store answer.
    pub async fn check_ready(&self) -> Result<()> {
        self.balance_of(Shard(0)).await.map(drop)
    }
}
