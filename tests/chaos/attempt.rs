//! A moderator's calls, and the tries of each. Each try has a reason of its own, by which the oracle finds it in the log.

use serde_json::Value;

/// A call to the admin listener.
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub body: Option<Value>,
    /// How many decisions it takes.
    pub decisions: u64,
}

impl Call {
    /// A call without a body, for one decision.
    pub fn to(method: &'static str, path: String) -> Self {
        Self { method, path, body: None, decisions: 1 }
    }

    /// A call with a body, for one decision.
    pub fn with(method: &'static str, path: &str, body: Value) -> Self {
        Self { body: Some(body), ..Self::to(method, path.to_owned()) }
    }

    /// The same for so many decisions.
    pub fn deciding(self, decisions: u64) -> Self {
        Self { decisions, ..self }
    }
}

/// One try of a decision, and how often it may be in the log then.
#[derive(Debug)]
pub struct Attempt {
    pub reason: String,
    /// Its ids, as far as they were answered.
    pub ids: Vec<String>,
    pub least: u64,
    pub most: u64,
    /// Whether it is in the log whole or not at all.
    pub is_whole: bool,
}

impl Attempt {
    /// Whether it may be in the log that often.
    pub fn may_be_logged(&self, times: u64) -> bool {
        let is_torn = self.is_whole && times != 0 && times != self.most;
        (self.least..=self.most).contains(&times) && !is_torn
    }
}
