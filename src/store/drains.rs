//! Drains: a row for each run.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes;
use super::prelude::*;
use crate::model::HOUR_MS;

/// One run of the drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrainRun {
    /// When it began.
    pub started_at: Time,
    /// What started it.
    pub trigger: Trigger,
    /// Entries merged.
    pub applied: u64,
    /// Entries quarantined.
    pub quarantined: u64,
    /// Commits.
    pub batches: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Why it stopped early; null if it did not.
    pub error: Option<String>,
}

/// What starts a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// The clock.
    Tick,
    /// A person or a script.
    Flush,
}

impl Trigger {
    /// The word that the database keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Tick => "tick",
            Trigger::Flush => "flush",
        }
    }
}

fn run(row: &Row) -> Result<DrainRun> {
    let is_tick = row.text("started_by")? == Trigger::Tick.as_str();
    Ok(DrainRun {
        started_at: row.time("started_at")?,
        trigger: if is_tick { Trigger::Tick } else { Trigger::Flush },
        applied: row.count("applied")?,
        quarantined: row.count("quarantined")?,
        batches: row.count("batches")?,
        duration_ms: row.count("duration_ms")?,
        error: row.text_or_null("error")?.map(str::to_owned),
    })
}

impl Store {
    /// Keeps what a drain did, and forgets what is too old.
    pub async fn record_drain(&self, run: &DrainRun) -> Result<()> {
        let sql = "
            insert into drains (started_at, started_by, applied, quarantined, batches, duration_ms, error)
            values ($1, $2, $3, $4, $5, $6, $7)";
        let DrainRun { started_at, trigger, applied, quarantined, batches, duration_ms, error } = run;
        let (trigger, error) = (trigger.as_str(), error.as_deref());
        let values = values![*started_at, trigger, *applied, *quarantined, *batches, *duration_ms, error];
        self.database.change(Patience::Commit, sql, values).await?;
        // Apart from it: two workers that end together may get in each other's way here.
        let mut transaction = self.database.begin(Patience::Commit).await?;
        let sql = "delete from drains where id <= (select max(id) from drains) - 10000";
        transaction.change(sql, values![]).await?;
        changes::forget_old(&mut transaction).await?;
        transaction.commit().await
    }

    /// How many entries drains merged since `since`, by the clock hour in which they began. At most as many drains are
    /// read as are kept.
    pub async fn merged_by_hour(&self, since: Time) -> Result<Vec<(Time, u64)>> {
        let sql = format!(
            "select started_at / {HOUR_MS} * {HOUR_MS} as hour, cast(sum(applied) as bigint) as applied
             from drains where started_at >= $1 group by 1 order by 1"
        );
        let found = self.database.ask(Patience::Patient, &sql, values![since]).await?;
        found.iter().map(|row| Ok((row.time("hour")?, row.count("applied")?))).collect()
    }

    /// The newest drains, newest first.
    pub async fn drains(&self, limit: usize) -> Result<Vec<DrainRun>> {
        let sql = "
            select started_at, started_by, applied, quarantined, batches, duration_ms, error
            from drains order by id desc limit $1";
        self.database.ask(Patience::Patient, sql, values![limit]).await?.iter().map(run).collect()
    }
}
