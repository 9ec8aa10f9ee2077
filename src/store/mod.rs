//! The store: ratings, averages, history and checkpoints, changed together, and the questions about them. A file per
//! table holds its SQL, its rows and its questions; the arithmetic is in [`merge`](crate::merge).
//!
//! [`Store::commit`] is the only way by which averages change, and it moves the shard's checkpoint in the same
//! transaction. That one rule makes a drain safe to kill, to repeat and to run twice at once.

mod arrivals;
mod averages;
mod bulk;
mod changes;
mod checkpoints;
mod commit;
mod decisions;
mod drains;
mod export;
mod held;
mod installation;
mod ledger;
mod load;
mod newest;
mod pace;
mod posts;
mod quarantine;
mod ranking;
mod ratings;
mod sessions;
mod users;
mod verify;

use self::pace::Pace;
use self::prelude::*;
use crate::database::Database;
use crate::smoothing::Params;

pub use arrivals::Arrivals;
pub use checkpoints::{Checkpoint, ShardState};
pub use commit::STAGED;
pub use decisions::AuditKey;
pub use drains::{DrainRun, Trigger};
pub use export::Exported;
pub use held::HeldKey;
pub use installation::Installation;
pub use ledger::Ledger;
pub use newest::StoredRating;
pub use posts::Added;
pub use quarantine::QuarantinedEntry;
pub use ranking::{AlertKey, Alerted, Motion, MotionKey, PageKey, Sort, Untold};
pub use sessions::Session;
pub use verify::{Recounted, VERIFY_POSTS};

/// What nearly every file here uses.
mod prelude {
    pub(super) use super::{AsOf, Store};
    pub(super) use crate::database::rows::{Rule, Sink, Table};
    pub(super) use crate::database::value::signed;
    pub(super) use crate::database::{Patience, Row, Transaction, Value, values};
    pub(super) use crate::entry::{Batch, Position, Shard};
    pub(super) use crate::error::{Error, Result};
    pub(super) use crate::merge::{HeldRating, Key, Merged, Rating};
    pub(super) use crate::model::{PostId, Score, Time, UserId};
}

/// Most posts that one question may name.
pub const POSTS_ASKED_MAX: usize = 1_000;

/// The moment for which a mean is published, and the parameters to evaluate it with.
pub type AsOf<'a> = (Time, &'a Params);

/// Damper's tables in an open database.
pub struct Store {
    database: Database,
    /// The pace of commits, of the steps of a decision, and of the ranking.
    commit_pace: Pace,
    bulk_pace: Pace,
    ranking_pace: Pace,
}

impl Store {
    /// The tables of `database`, which is migrated. A new installation gets `shards` shards.
    pub async fn open(database: Database, shards: u16) -> Result<Self> {
        let store = Self {
            database,
            commit_pace: Pace::default(),
            bulk_pace: Pace::default(),
            ranking_pace: Pace::default(),
        };
        store.found(shards).await?;
        Ok(store)
    }

    /// Which database this is, for people: `postgres 15.18`.
    pub async fn describe(&self) -> Result<String> {
        self.database.describe().await
    }

    /// Closes the connections; nothing is asked afterwards.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// Where the page after this one begins: the last row's id in `column`. Nothing after the last page.
fn next_after(page: &[Row], limit: usize, column: &str) -> Result<Option<String>> {
    let last = page.last().filter(|_| page.len() == limit);
    last.map(|row| Ok(row.text(column)?.to_owned())).transpose()
}
