//! How the database goes about what it is asked: the plans of statements as they are executed, for tests that hold the hot
//! ones to their indexes.

use std::sync::{Arc, Mutex, PoisonError};

use super::value::{for_postgres, for_sqlite};
use super::{Database, Readers, Row, Value};
use crate::error::Result;

/// A statement, and the lines of its plan.
pub type Plan = (String, Vec<String>);

/// Statements with the lines of their plans.
#[derive(Clone, Default)]
pub struct Plans(Arc<Mutex<Vec<Plan>>>);

impl Plans {
    /// What was noted since the last call.
    pub fn take(&self) -> Vec<Plan> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Database {
    /// The same database, which notes the plan of every statement before it executes it.
    pub fn noting_plans(self) -> (Self, Plans) {
        let plans = Plans::default();
        (Self { plans: Some(plans.clone()), ..self }, plans)
    }

    pub(super) async fn note_plan(&self, sql: &str, values: &[Value<'_>]) -> Result<()> {
        let Some(plans) = &self.plans else { return Ok(()) };
        let (statement, values) = (self.dialect().render(sql), values.to_vec());
        let (found, column) = match self.readers() {
            Readers::Postgres(pool) => {
                let found = for_postgres(format!("explain {statement}"), values).fetch_all(&pool).await?;
                (found.into_iter().map(Row::Postgres).collect::<Vec<_>>(), "QUERY PLAN")
            }
            Readers::Sqlite(pool) => {
                let found = for_sqlite(format!("explain query plan {statement}"), values)?;
                (found.fetch_all(pool).await?.into_iter().map(Row::Sqlite).collect(), "detail")
            }
        };
        let lines = found.iter().map(|row| Ok(row.text(column)?.to_owned())).collect::<Result<_>>()?;
        plans.0.lock().unwrap_or_else(PoisonError::into_inner).push((sql.to_owned(), lines));
        Ok(())
    }
}
