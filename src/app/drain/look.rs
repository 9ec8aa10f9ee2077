//! Looks at shards: how much waits, and whether `accepted = applied + quarantined + waiting`. `accepted` is the log's own
//! count, `applied` and `quarantined` stand beside the checkpoint, `waiting` is counted in the log: so the balance can
//! fail, and shows it.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::Drainer;
use crate::entry::{Backlog, Position, Shard};
use crate::error::{Error, Result};
use crate::model::{PostId, Time, UserId};
use crate::store::{Checkpoint, ShardState};

/// Most looks at a shard while drains move its checkpoint.
const LOOKS_MAX: usize = 100;

/// A look at whether the log and the store answer may take this long.
const READY_WITHIN: Duration = Duration::from_secs(3);
/// For so long probes are answered by the last look.
const READY_LIFE: Duration = Duration::from_secs(1);
/// A user and a post whose rating is looked for in the log. Whether there is one does not matter.
const NOBODY: &str = "readyz";

/// The last look at whether the log and the store answer: when it was, and what was seen.
pub(super) type LastLook = tokio::sync::Mutex<Option<(Instant, Result<()>)>>;

/// Where all accepted entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Balance {
    /// Entries ever accepted.
    pub accepted: u64,
    /// Entries in the averages.
    pub applied: u64,
    /// Entries ever quarantined.
    pub quarantined: u64,
    /// Entries after the checkpoints.
    pub waiting: u64,
    /// Entries that a drain had seen waiting, and that the log's server has lost. They are not in `accepted`.
    pub lost: u64,
    /// When the oldest waiting entry was appended.
    pub oldest_waiting_at: Option<Time>,
}

impl Balance {
    /// The balance of one shard, if its checkpoint did not move during the look.
    fn of(ShardState { checkpoint, log }: &ShardState) -> Self {
        Self {
            accepted: checkpoint.accepted(log.appends),
            applied: checkpoint.applied,
            quarantined: checkpoint.quarantined,
            waiting: log.waiting,
            lost: checkpoint.lost,
            oldest_waiting_at: log.oldest,
        }
    }

    /// Whether what was accepted is somewhere.
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

impl Drainer {
    /// The balance over all shards, and whether it holds in each.
    pub async fn balance(&self) -> Result<(Balance, bool)> {
        let balances = try_join_all(self.context.all_shards().map(|shard| self.balance_of(shard))).await?;
        let holds = balances.iter().all(Balance::is_balanced);
        Ok((balances.into_iter().fold(Balance::default(), Balance::add), holds))
    }

    /// The balance of each shard, and the place up to which it is merged.
    pub async fn shards(&self) -> Result<Vec<(Shard, Position, Balance)>> {
        let look = async |shard| {
            let balance = self.balance_of(shard).await?;
            Ok::<_, Error>((shard, self.ledger.checkpoint(shard).await?.position, balance))
        };
        try_join_all(self.context.all_shards().map(look)).await
    }

    async fn balance_of(&self, shard: Shard) -> Result<Balance> {
        for _ in 0..LOOKS_MAX {
            let seen = self.see(shard).await?;
            // The steps of a decision move no figure of it.
            let counts =
                |it: &Checkpoint| (it.position, it.applied, it.quarantined, it.accepted_base, it.lost);
            if counts(&self.ledger.checkpoint(shard).await?) == counts(&seen.checkpoint) {
                return Ok(Balance::of(&seen));
            }
        }
        Err(Error::Busy(format!("shard {shard} moved during {LOOKS_MAX} looks; look again later")))
    }

    /// A shard's checkpoint, and then its log.
    async fn see(&self, shard: Shard) -> Result<ShardState> {
        let checkpoint = self.ledger.checkpoint(shard).await?;
        let log = self.backlog(shard, &checkpoint).await?;
        Ok(ShardState { checkpoint, log })
    }

    /// What a shard's log holds after a checkpoint. A decision under way waits too where only the store has it any more:
    /// it will be merged, though the log came back without it.
    async fn backlog(&self, shard: Shard, checkpoint: &Checkpoint) -> Result<Backlog> {
        let mut log = self.buffer.backlog(shard, checkpoint.position).await?;
        if checkpoint.step > 0
            && let Some(decision) = self.ledger.under_way(shard).await?
        {
            let first = self.buffer.read(shard, checkpoint.position, 1).await?;
            log.waiting += u64::from(first.is_none_or(|first| first.to != decision.to));
        }
        Ok(log)
    }

    /// Passes when both the buffer and the store answer, or did a moment ago. It costs the same whatever waits, and however
    /// many ask.
    pub async fn check_ready(&self) -> Result<()> {
        let mut last = self.last_look.lock().await;
        if let Some((at, seen)) = &*last
            && at.elapsed() < READY_LIFE
        {
            return seen.clone();
        }
        let timed_out = |_| Error::Unavailable(format!("no answer within {} s", READY_WITHIN.as_secs()));
        let seen = tokio::time::timeout(READY_WITHIN, self.touch()).await.map_err(timed_out).flatten();
        *last = Some((Instant::now(), seen.clone()));
        seen
    }

    /// Asks the store and the buffer one small question each.
    async fn touch(&self) -> Result<()> {
        let (user, post) = (UserId::parse(NOBODY)?, PostId::parse(NOBODY)?);
        self.ledger.checkpoint(Shard(0)).await?;
        self.buffer.waiting_of(&[(post, user)]).await.map(drop)
    }

    /// A shard's checkpoint and log. What is seen is noted, so that it is missed when it is lost. When the log came back
    /// with less than it had accepted, the loss is recorded and the count goes on from there.
    pub(super) async fn look(&self, shard: Shard) -> Result<ShardState> {
        for _ in 0..LOOKS_MAX {
            let mut seen = self.see(shard).await?;
            let (log, floor) = (seen.log, seen.checkpoint.floor());
            let is_whole = log.last >= floor.position && log.appends >= floor.appends;
            if is_whole && Balance::of(&seen).is_balanced() {
                if log.appends == floor.appends || self.ledger.note_log(shard, &seen).await? {
                    return Ok(seen);
                }
                continue;
            }
            if self.ledger.checkpoint(shard).await? != seen.checkpoint {
                // A commit came in between.
                continue;
            }
            self.buffer.raise_floor(shard, floor).await?;
            seen.log = self.backlog(shard, &seen.checkpoint).await?;
            if self.ledger.note_log(shard, &seen).await? {
                let lost = self.ledger.checkpoint(shard).await?.lost.saturating_sub(seen.checkpoint.lost);
                error!(%shard, lost, "the log came back with less than it had accepted; counting on from there");
            }
        }
        Err(Error::Busy(format!("shard {shard} moved during {LOOKS_MAX} looks")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balances_add_up_and_one_that_lacks_an_entry_does_not_hold() {
        let at = |ms| Some(Time::from_ms(ms));
        let one = Balance {
            accepted: 10,
            applied: 5,
            quarantined: 2,
            waiting: 3,
            lost: 4,
            oldest_waiting_at: at(9),
        };
        let other = Balance {
            accepted: 30,
            applied: 20,
            quarantined: 4,
            waiting: 6,
            lost: 1,
            oldest_waiting_at: at(7),
        };
        assert!(one.is_balanced() && other.is_balanced());
        let both = one.add(other).add(Balance::default());
        let sum = Balance {
            accepted: 40,
            applied: 25,
            quarantined: 6,
            waiting: 9,
            lost: 5,
            oldest_waiting_at: at(7),
        };
        assert_eq!(both, sum);
        for less in [
            Balance { applied: 4, ..one },
            Balance { quarantined: 1, ..one },
            Balance { waiting: 2, ..one },
            Balance { accepted: 11, ..one },
        ] {
            assert!(!less.is_balanced(), "{less:?}");
        }
        assert!(Balance { lost: 0, ..one }.is_balanced(), "what is lost is not in what was accepted");
    }
}
