//! The doctor: looks at the servers or the data file, and says what is at risk and what to set.
//!
//! It gets the facts from `database` and `redis`, and judges them here. It needs no migrated database, changes
//! nothing, and refuses nothing that a start does not refuse. A part that does not answer is reported as such, and the
//! others are still examined.

mod postgres;
mod redis;
mod sqlite;

use serde::Serialize;

use crate::config::{Config, Setup};
use crate::error::Error;
use crate::model::Time;

/// The time of this machine; the doctor compares it with the servers'.
pub type Clock = dyn Fn() -> Time + Send + Sync;

/// The doctor's judgement of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Something may be lost or stop.
    Risk,
    /// It could not be found out.
    Unknown,
    /// The server does not answer.
    Down,
    /// A start would refuse this setting.
    Refused,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `redis`, `postgres`, or `data file`.
    pub part: &'static str,
    /// What was checked.
    pub check: &'static str,
    /// The judgement.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What is at risk.
    pub at_risk: Option<String>,
    /// What to set or do.
    pub remedy: Option<String>,
}

/// Examines everything that `config` chooses, in a fixed order.
pub async fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    match config.setup() {
        Setup::Embedded => sqlite::examine(config).await,
        Setup::Servers => {
            let (redis, postgres) =
                futures_util::future::join(redis::examine(config, clock), postgres::examine(config, clock))
                    .await;
            [redis, postgres].concat()
        }
    }
}

/// Findings of one part.
struct Findings {
    part: &'static str,
    all: Vec<Finding>,
}

impl Findings {
    fn of(part: &'static str) -> Self {
        Self { part, all: Vec::new() }
    }

    fn add(
        &mut self,
        check: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        why: Option<[String; 2]>,
    ) {
        let (at_risk, remedy) = why.map(|[at_risk, remedy]| (at_risk, remedy)).unzip();
        self.all.push(Finding { part: self.part, check, verdict, found: found.into(), at_risk, remedy });
    }

    fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Ok, found, None);
    }

    fn unknown(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Unknown, found, None);
    }

    fn risk(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        at_risk: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Verdict::Risk, found, Some([at_risk.into(), remedy.into()]));
    }

    /// The one finding about a part that could not be examined.
    fn missing(mut self, error: &Error) -> Vec<Finding> {
        let verdict = if error.is_transient() { Verdict::Down } else { Verdict::Refused };
        self.add("answer", verdict, error.to_string(), None);
        self.all
    }

    fn clock(&mut self, theirs_ms: i64, [before, after]: [Time; 2], at_risk: &str) {
        // The question lies between the two moments of our clock.
        let (from, to) = (theirs_ms - after.ms(), theirs_ms - before.ms());
        let apart_ms = if from <= 0 && to >= 0 { 0 } else { from.abs().min(to.abs()) };
        let found = match apart_ms {
            0 => "agrees with this machine's".to_owned(),
            ms => format!("{}.{:03} s from this machine's", ms / 1_000, ms % 1_000),
        };
        if apart_ms <= CLOCKS_APART_MAX_MS {
            self.ok("clock", found);
        } else {
            self.risk("clock", found, at_risk, "let both machines keep their time by NTP");
        }
    }
}

/// Clocks this far apart are not synchronised.
const CLOCKS_APART_MAX_MS: i64 = 5_000;

/// `1.4 MiB`
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1_024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1_024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_within_what_the_answer_took() {
        for (theirs, verdict, found) in [
            (1_050, Verdict::Ok, "agrees"),
            (1_200, Verdict::Ok, "0.100 s"),
            (900, Verdict::Ok, "0.100 s"),
            (6_200, Verdict::Risk, "5.100 s"),
        ] {
            let mut findings = Findings::of("redis");
            findings.clock(theirs, [1_000, 1_100].map(Time::from_ms), "ratings");
            assert_eq!(findings.all[0].verdict, verdict, "{theirs}");
            assert!(findings.all[0].found.contains(found), "{:?}", findings.all[0]);
        }
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!([0, 1_536, 5 << 30, 1 << 50].map(bytes), ["0 B", "1.5 KiB", "5.0 GiB", "1024.0 TiB"]);
    }
}
