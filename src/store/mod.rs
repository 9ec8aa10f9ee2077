//! The store: ratings, averages, history and checkpoints, changed together, and what people ask of them.
//!
//! [`Store::commit`] is the only way by which averages change, and it moves the shard's checkpoint in the same
//! transaction. That one rule makes a drain safe to kill, to repeat and to run twice at once. A file per table holds
//! the table's SQL, its rows and its questions; the arithmetic is in [`merge`](crate::merge), and what differs between
//! Postgres and SQLite in [`database`](crate::database). One suite, `tests/suite/store.rs`, holds both.

mod arrivals;
mod averages;
mod bulk;
mod changes;
mod checkpoints;
mod commit;
mod decisions;
mod drains;
mod held;
mod installation;
mod ledger;
mod load;
mod pace;
mod person;
mod posts;
mod quarantine;
mod ranking;
mod ratings;
mod users;
mod verify;

use crate::database::Database;
use crate::error::Result;
use crate::model::Time;
use crate::smoothing::Params;

pub use arrivals::Arrivals;
pub use checkpoints::{Checkpoint, ShardState};
pub use commit::STAGED;
pub use decisions::AuditKey;
pub use drains::{DrainRun, Trigger};
pub use installation::Installation;
pub use ledger::Ledger;
pub use posts::Added;
pub use quarantine::QuarantinedEntry;
pub use ranking::{AlertKey, PageKey, Sort};
pub use verify::{Recounted, VERIFY_POSTS};

/// Most posts that one question may name.
pub const POSTS_ASKED_MAX: usize = 1_000;

/// The moment for which a mean is published, and the parameters to evaluate it with.
pub type AsOf<'a> = (Time, &'a Params);

/// Damper's tables in an open database.
pub struct Store {
    database: Database,
    pace: pace::Pace,
}

impl Store {
    /// The tables of `database`, which is migrated. A new installation gets `shards` shards.
    pub async fn open(database: Database, shards: u16) -> Result<Self> {
        let store = Self { database, pace: pace::Pace::default() };
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
