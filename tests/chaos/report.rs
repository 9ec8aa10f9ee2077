//! The findings of rounds, and the page that reports them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use damper::model::words::number;

use crate::backlog;
use crate::law::Findings;
use crate::round::{MODERATORS, READERS, WRITERS};
use crate::site::{APIS, BATCH_MAX, WORKERS};
use crate::watch::Watch;

/// One kind of fault.
#[derive(Debug, Default, Clone)]
pub struct Kind {
    /// Number of attempts.
    pub tried: u64,
    /// Attempts that met work in flight; only these count.
    pub met: u64,
    /// How long the work took to continue afterwards.
    pub recovered: Vec<Duration>,
}

/// The results of one round, or of all.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub kinds: BTreeMap<&'static str, Kind>,
    pub acknowledged: u64,
    pub refused: u64,
    pub frozen: u64,
    pub unanswered: u64,
    /// Decisions that were answered with their outcome.
    pub decided: u64,
    /// Looks of the readers.
    pub looks: u64,
    pub findings: Findings,
    pub rounds: u64,
    /// How long all rounds took.
    pub seconds: u64,
}

impl Report {
    /// Records an attempted fault.
    pub fn note(&mut self, kind: &'static str, has_met: bool, recovered: Option<Duration>) {
        let entry = self.kinds.entry(kind).or_default();
        entry.tried += 1;
        entry.met += u64::from(has_met);
        entry.recovered.extend(recovered.filter(|_| has_met));
    }

    /// Adds another round.
    pub fn add(&mut self, other: Report) {
        for (name, kind) in other.kinds {
            let entry = self.kinds.entry(name).or_default();
            entry.tried += kind.tried;
            entry.met += kind.met;
            entry.recovered.extend(kind.recovered);
        }
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.frozen += other.frozen;
        self.unanswered += other.unanswered;
        self.decided += other.decided;
        self.looks += other.looks;
        self.rounds += other.rounds;
        self.findings.add(other.findings);
    }

    /// Takes over the figures of a round.
    pub fn count(&mut self, watch: &Watch) {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        (self.acknowledged, self.refused) = (load(&watch.acknowledged), load(&watch.refused));
        (self.frozen, self.unanswered) = (load(&watch.frozen), load(&watch.unanswered));
        (self.decided, self.looks) = (load(&watch.decided), load(&watch.looks));
    }

    /// Number of faults that met work in flight.
    pub fn faults(&self) -> u64 {
        self.kinds.iter().filter(|(name, _)| !name.starts_with('(')).map(|(_, kind)| kind.met).sum()
    }

    /// Number of those that killed a process.
    pub fn kills(&self) -> u64 {
        self.kinds.iter().filter(|(name, _)| name.contains("killed")).map(|(_, kind)| kind.met).sum()
    }

    /// Number of those that struck inside a decision.
    pub fn in_decisions(&self) -> u64 {
        self.kinds.iter().filter(|(name, _)| name.contains("decision")).map(|(_, kind)| kind.met).sum()
    }

    /// Whether every law held.
    pub fn is_clean(&self) -> bool {
        self.findings.is_clean()
    }

    /// The certificate, on one page.
    pub fn page(&self, seed: u64, command: &str) -> String {
        let mut page = String::new();
        let mut line = |text: String| {
            let _ = writeln!(page, "{text}");
        };
        line(format!(
            "damper under faults: {}",
            if self.is_clean() { "every law held" } else { "A LAW WAS BROKEN" }
        ));
        line(String::new());
        line(format!("command      {command}"));
        line(format!("seed         {seed}"));
        line(format!("versions     damper {}; {}; {}", env!("CARGO_PKG_VERSION"), redis(), postgres()));
        line("settings     redis appendonly yes, appendfsync always; postgres as installed; SQLite synchronous=full".into());
        line(format!(
            "             {WRITERS} writers, {READERS} readers, {MODERATORS} moderators; {APIS} APIs and {WORKERS} workers, one of each never killed;"
        ));
        line(format!(
            "             a tick a second, batches of {BATCH_MAX} entries, and of {} over {} waiting",
            number(backlog::BATCH_MAX as u64),
            number(backlog::WAITING as u64)
        ));
        line(format!("ran          {} rounds, {} s", self.rounds, number(self.seconds)));
        line(format!(
            "writes       {} acknowledged, {} refused (503), {} frozen (423), {} without an answer",
            number(self.acknowledged),
            number(self.refused),
            number(self.frozen),
            number(self.unanswered)
        ));
        line(format!(
            "log          {} entries, {} of them decisions, {} of which were answered with their outcome",
            number(self.findings.logged),
            number(self.findings.decisions),
            number(self.decided)
        ));
        line(format!("looks        {} by readers", number(self.looks)));
        line(format!(
            "faults       {} while work was in flight, {} of them kills, {} inside decisions",
            number(self.faults()),
            number(self.kills()),
            number(self.in_decisions())
        ));
        line(format!("lost         {}", self.findings.lost));
        line(format!("doubled      {}", self.findings.doubled));
        line(format!("laws broken  {}", self.findings.broken.len()));
        line(String::new());
        line(format!("{:50} {:>6} {:>6} {:>13} {:>9}", "fault", "tried", "met", "recovered in", "worst"));
        for (name, kind) in &self.kinds {
            let mut times = kind.recovered.clone();
            times.sort_unstable();
            let show = |time: Option<&Duration>| {
                time.map_or("-".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
            };
            let (median, worst) = (show(times.get(times.len() / 2)), show(times.last()));
            line(format!("{name:50} {:>6} {:>6} {median:>13} {worst:>9}", kind.tried, kind.met));
        }
        for (law, seen) in self.findings.broken.iter().take(20) {
            line(format!("broken: {law}: {seen}"));
        }
        page
    }
}

fn redis() -> String {
    first_words(Command::new("redis-server").arg("--version"), 3)
}

fn postgres() -> String {
    let newest = "ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -1";
    first_words(Command::new("sh").arg("-c").arg(format!("$({newest}) --version")), 3)
}

fn first_words(command: &mut Command, count: usize) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    output.unwrap_or_default().split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}
