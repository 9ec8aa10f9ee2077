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
use crate::error::Result;
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
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    pub at_risk: Option<String>,
    /// What to set or do.
    pub remedy: Option<String>,
}

/// The checks of one part, each by its name.
type Checks = Vec<(&'static str, Judgement)>;

/// What a check found, what is at risk, and the remedy.
type Judgement = (Verdict, String, Option<[String; 2]>);

/// Examines everything that `config` chooses, in a fixed order.
pub async fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    match config.setup() {
        Setup::Embedded => findings("data file", sqlite::examine(config).await),
        Setup::Servers => {
            let (redis, postgres) =
                futures_util::future::join(redis::examine(config, clock), postgres::examine(config, clock))
                    .await;
            [findings("redis", redis), findings("postgres", postgres)].concat()
        }
    }
}

/// The findings of a part; one alone if it could not be examined.
fn findings(part: &'static str, examined: Result<Checks>) -> Vec<Finding> {
    let checks = examined.unwrap_or_else(|error| {
        let verdict = if error.is_transient() { Verdict::Down } else { Verdict::Refused };
        vec![("answer", (verdict, error.to_string(), None))]
    });
    let finding = |(check, (verdict, found, why)): (_, Judgement)| {
        let (at_risk, remedy) = why.map(|[at_risk, remedy]| (at_risk, remedy)).unzip();
        Finding { part, check, verdict, found, at_risk, remedy }
    };
    checks.into_iter().map(finding).collect()
}

fn ok(found: impl Into<String>) -> Judgement {
    (Verdict::Ok, found.into(), None)
}

fn unknown(found: impl Into<String>) -> Judgement {
    (Verdict::Unknown, found.into(), None)
}

/// For a server that does not answer a question.
fn silent() -> Judgement {
    unknown("the server does not say")
}

fn risk(found: impl Into<String>, at_risk: impl Into<String>, remedy: impl Into<String>) -> Judgement {
    (Verdict::Risk, found.into(), Some([at_risk.into(), remedy.into()]))
}

/// What a start would not accept.
fn refused(found: impl Into<String>, remedy: impl Into<String>) -> Judgement {
    (Verdict::Refused, found.into(), Some(["a start is refused".to_owned(), remedy.into()]))
}

/// Clocks this far apart are not synchronised.
const CLOCKS_APART_MAX_MS: i64 = 5_000;

/// Compares a server's clock with ours right before and after the question.
fn clocks(theirs_ms: i64, [before, after]: [Time; 2], at_risk: &str) -> Judgement {
    // The question lies between the two moments of our clock.
    let (from, to) = (theirs_ms - after.ms(), theirs_ms - before.ms());
    let apart_ms = if from <= 0 && to >= 0 { 0 } else { from.abs().min(to.abs()) };
    let found = match apart_ms {
        0 => "agrees with this machine's".to_owned(),
        ms => format!("{}.{:03} s from this machine's", ms / 1_000, ms % 1_000),
    };
    if apart_ms <= CLOCKS_APART_MAX_MS {
        return ok(found);
    }
    risk(found, at_risk, "let both machines keep their time by NTP")
}

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
        for (theirs, verdict, said) in [
            (1_050, Verdict::Ok, "agrees"),
            (1_200, Verdict::Ok, "0.100 s"),
            (900, Verdict::Ok, "0.100 s"),
            (6_200, Verdict::Risk, "5.100 s"),
        ] {
            let (judged, found, _) = clocks(theirs, [1_000, 1_100].map(Time::from_ms), "ratings");
            assert_eq!(judged, verdict, "{theirs}");
            assert!(found.contains(said), "{found}");
        }
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!([0, 1_536, 5 << 30, 1 << 50].map(bytes), ["0 B", "1.5 KiB", "5.0 GiB", "1024.0 TiB"]);
    }
}
