//! The plans of statements as they are executed, for tests that hold the hot ones to their indexes.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Database, Dialect, Patience, Value};
use crate::error::Result;

/// A statement, and the lines of its plan.
type Plan = (String, Vec<String>);

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
        let (explain, column) = match self.dialect() {
            Dialect::Postgres => ("explain", "QUERY PLAN"),
            Dialect::Sqlite => ("explain query plan", "detail"),
        };
        let found = self.server.ask(Patience::Quick, &format!("{explain} {sql}"), values.to_vec()).await?;
        let lines = found.iter().map(|row| Ok(row.text(column)?.to_owned())).collect::<Result<_>>()?;
        plans.0.lock().unwrap_or_else(PoisonError::into_inner).push((sql.to_owned(), lines));
        Ok(())
    }
}
