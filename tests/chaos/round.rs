//! One round: a fresh site, writers at work, one fault after another, then calm, and the oracle.
//!
//! Workers die and restart on their own threads, most at a named place inside a drain. All other parts that
//! can delay an append (a service, Redis, the network) fail one at a time. With two such faults within the
//! time in which an append may still take effect, a client could see a write from before its retry
//! (docs/RELIABILITY.md).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::oracle;
use crate::report::Report;
use crate::site::Site;
use crate::support::log::Rng;
use crate::support::postgres::Postgres;
use crate::writers::{POSTS, Record, Watch, post, write};
use crate::{embedded, servers};

const WRITERS: usize = 8;
/// After the faults stop, the backlog is empty within a tick plus this.
const CALM: Duration = Duration::from_secs(31);
/// A cache shows a commit within two ticks plus this.
const CACHE: Duration = Duration::from_secs(7);

/// The set-up of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    Servers,
    Embedded,
}

/// The state that the threads of a round share.
pub struct Round<'a> {
    pub site: &'a Site,
    pub postgres: &'a Postgres,
    pub watch: &'a Watch,
    pub report: &'a Mutex<Report>,
    /// The faults have stopped.
    pub calm: AtomicBool,
    pub began: Instant,
}

impl Round<'_> {
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub fn note(&self, kind: &'static str, has_met: bool, recovered: Option<Duration>) {
        self.report.lock().expect("the lock is not poisoned").note(kind, has_met, recovered);
    }

    /// Whether this service has an open request.
    pub fn is_busy(&self, service: usize) -> bool {
        self.watch.in_flight[service].load(Ordering::SeqCst) > 0
    }

    /// Waits until every service acknowledges again. Returns how long that took.
    pub fn await_acknowledged(&self) -> Option<Duration> {
        let (lifted, lifted_ms) = (Instant::now(), self.began.elapsed().as_millis() as u64);
        let all_go_on = || {
            self.site.revive_services();
            let last = &self.watch.last_acknowledged_ms;
            (0..2).all(|service| last[service].load(Ordering::Relaxed) > lifted_ms)
        };
        while !all_go_on() {
            if lifted.elapsed() > CALM {
                let text = "L7: no service acknowledged within 31 s of a fault's end".to_owned();
                self.report.lock().expect("the lock is not poisoned").findings.broken.push(text);
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(lifted.elapsed())
    }

    /// Waits until more is merged. Returns how long that took.
    pub fn await_drained(&self) -> Option<Duration> {
        let lifted = Instant::now();
        let mut before = None;
        while lifted.elapsed() < CALM {
            match (before, self.site.drained()) {
                (None, now) => before = now,
                (Some(before), Some(now)) if now > before => return Some(lifted.elapsed()),
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = "L7: nothing was merged within 31 s of a fault's end".to_owned();
        self.report.lock().expect("the lock is not poisoned").findings.broken.push(text);
        None
    }
}

/// Runs one round and checks every law.
pub fn run(setup: Setup, postgres: &Postgres, seed: u64, length: Duration) -> Report {
    let site = match setup {
        Setup::Servers => Site::servers(postgres),
        Setup::Embedded => Site::embedded(),
    };
    let (watch, report, began) = (Watch::default(), Mutex::new(Report::default()), Instant::now());
    let round =
        Round { site: &site, postgres, watch: &watch, report: &report, calm: AtomicBool::new(false), began };
    let record = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (addresses, watch) = (site.addresses.clone(), &watch);
                scope.spawn(move || write(number, seed, began, &addresses, watch))
            })
            .collect();
        let faults = scope.spawn(|| match setup {
            Setup::Servers => servers::trouble(&round, Rng(seed), length),
            Setup::Embedded => embedded::trouble(&round, Rng(seed), length),
        });
        let troubled = faults.join();
        watch.stop.store(true, Ordering::SeqCst);
        let records =
            writers.into_iter().map(|writer| writer.join().expect("a writer survives every answer"));
        let record = records.fold(Record::default(), Record::join);
        troubled.expect("all faults were injected");
        record
    });
    let mut report = report.into_inner().expect("the lock is not poisoned");
    settle(&site, &mut report);
    let findings = oracle::check(&site.world, &record);
    report.findings.broken.extend(findings.broken.clone());
    report.findings = oracle::Findings { broken: report.findings.broken, ..findings };
    check_cache(&site, &mut report);
    let wrong = watch.wrong.into_inner().expect("the lock is not poisoned");
    if !wrong.is_empty() {
        report.findings.broken.extend(wrong);
        report.findings.broken.extend(site.errors());
    }
    report.acknowledged = watch.acknowledged.load(Ordering::Relaxed);
    report.refused = watch.refused.load(Ordering::Relaxed);
    report.unanswered = watch.unanswered.load(Ordering::Relaxed);
    report.rounds = 1;
    report
}

/// L7: the backlog empties by itself.
fn settle(site: &Site, report: &mut Report) {
    site.revive_services();
    let _worker = (!site.world.is_embedded()).then(|| site.start_worker(""));
    let began = Instant::now();
    let waits = || {
        let status = site.world.cli(&["status", "--json"]);
        status.code != 0 || status.json()["waiting"] != 0
    };
    while waits() {
        if began.elapsed() > CALM {
            report.findings.broken.push("L7: the backlog was not empty within a tick and 30 s".into());
            site.world.cli(&["flush"]);
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    report.note("(calm) until the backlog was empty", true, Some(began.elapsed()));
}

/// L6: every service shows the committed state.
fn check_cache(site: &Site, report: &mut Report) {
    let stored: Vec<(String, i64)> = site.world.db().all("select post_id, count from averages");
    for service in &site.services {
        let api = service.lock().expect("the lock is not poisoned").http();
        for number in 0..POSTS {
            let id = post(number);
            let count = stored.iter().find(|(post, _)| *post == id).map_or(0, |(_, count)| *count);
            let began = Instant::now();
            let shows = || {
                let shown = api.try_get(&format!("/api/posts/{id}"));
                shown.is_ok_and(|shown| shown.status == 200 && shown.json()["count"] == count)
            };
            while !shows() {
                if began.elapsed() > CACHE {
                    report.findings.broken.push(format!("L6: a service does not show {id} as committed"));
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
