//! One round: a fresh site, writers, readers and a moderator at work, one fault after another, then calm, and the oracle.
//!
//! Workers die and restart on their own threads, most at a named place inside a drain. All other parts that
//! can delay an append (a service, Redis, the network) fail one after the other, several of them at once now and then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::law::{Findings, Law};
use crate::moderator::Moderator;
use crate::report::Report;
use crate::site::{BATCH_MAX, Build, STEADY, Site};
use crate::support::log::Rng;
use crate::support::postgres::Postgres;
use crate::watch::Watch;
use crate::writers::{POSTS, QUIET_POSTS, Record, Writer, agent, post};
use crate::{backlog, embedded, oracle, readers, servers};

/// Writers and readers of a round.
pub const WRITERS: usize = 8;
pub const READERS: usize = 2;
pub const MODERATORS: usize = 2;
/// Faults do not go on for longer, whatever is missing.
const LONGEST: Duration = Duration::from_secs(90);
/// After the faults stop, the backlog is empty within a tick plus this.
const CALM: Duration = Duration::from_secs(31);
/// A cache shows a commit within two ticks plus this.
const CACHE: Duration = Duration::from_secs(7);

/// The set-up of a round, and the faults that it may meet.
#[derive(Debug, Clone, Copy)]
pub enum Setup {
    Servers(&'static [servers::Shape]),
    Embedded(&'static [embedded::Shape]),
    /// Servers with great batches over a great backlog.
    Backlog,
}

/// What a round is.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub setup: Setup,
    pub length: Duration,
    /// Users per writer: the fewer, the sooner a pair is written again.
    pub users: u64,
    /// Posts that are moderated, at most.
    pub moderated: usize,
    /// The faults go on until so many decisions were answered.
    pub decisions_min: u64,
    /// The mistake that the programs make; empty for none.
    pub mistake: &'static str,
}

impl Plan {
    /// A round of every fault that the set-up may meet.
    pub fn of(setup: Setup, length: Duration) -> Self {
        Self { setup, length, users: 500, moderated: POSTS, decisions_min: 0, mistake: "" }
    }
}

/// The state that the threads of a round share.
pub struct Round<'a> {
    pub site: &'a Site,
    pub postgres: &'a Postgres,
    pub watch: &'a Watch,
    pub report: &'a Mutex<Report>,
    /// The faults have stopped.
    pub calm: AtomicBool,
    began: Instant,
    plan: Plan,
}

impl Round<'_> {
    /// Whether there are more faults to come.
    pub fn goes_on(&self) -> bool {
        let is_enough = self.watch.decided.load(Ordering::Relaxed) >= self.plan.decisions_min;
        let elapsed = self.began.elapsed();
        elapsed < self.plan.length || !is_enough && elapsed < LONGEST
    }

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

    /// Whether any service has one.
    pub fn is_any_busy(&self) -> bool {
        self.is_busy(0) || self.is_busy(1)
    }

    /// Waits until a moderator waits for an answer; `false` if none did for a while.
    pub fn await_decision(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.watch.deciding.load(Ordering::SeqCst) > 0 {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// Starts a service armed to die at a place, and again when it has. Returns whether it died there.
    pub fn dies_at(&self, service: usize, place: &str, pass: u64) -> bool {
        self.site.restart_service(service, &format!("{place}=kill@{pass}"));
        let has_met = await_short(|| !self.site.service(service).is_running());
        self.site.restart_service(service, "");
        has_met
    }

    /// Starts a service armed to stop at a place, and continues it after a while. Returns whether it stopped there.
    pub fn stops_at(&self, service: usize, place: &str, pass: u64, pause: Duration) -> bool {
        self.site.restart_service(service, &format!("{place}=stop@{pass}"));
        let has_met = await_short(|| self.site.service(service).is_paused());
        let continue_later = || {
            std::thread::sleep(pause);
            self.site.service(service).resume();
        };
        match self.plan.setup {
            Setup::Embedded(_) => continue_later(),
            // It comes too late for the answers to what it had asked.
            Setup::Servers(_) | Setup::Backlog => self.watch.without_redis(continue_later),
        }
        if !has_met {
            // It would stop at that place later, when nobody continues it.
            self.site.restart_service(service, "");
        }
        has_met
    }

    /// Waits until every service acknowledges again. Returns how long that took.
    pub fn await_acknowledged(&self) -> Option<Duration> {
        let (lifted, lifted_ms) = (Instant::now(), self.watch.now_ms());
        let all_go_on = || {
            self.site.revive_services();
            let last = &self.watch.last_acknowledged_ms;
            (0..2).all(|service| last[service].load(Ordering::Relaxed) > lifted_ms)
        };
        while !all_go_on() {
            if lifted.elapsed() > CALM {
                self.watch.note(Law::Settles, "no service acknowledged within 31 s of a fault's end".into());
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
        self.watch.note(Law::Settles, "nothing was merged within 31 s of a fault's end".into());
        None
    }
}

/// Runs one round and checks every law.
pub fn run(plan: Plan, postgres: &Postgres, seed: u64) -> Report {
    let build = |batch_max, shards| Build { mistake: plan.mistake, batch_max, shards };
    let site = match plan.setup {
        Setup::Servers(_) => Site::servers(postgres, build(BATCH_MAX, 4)),
        Setup::Embedded(_) => Site::embedded(build(BATCH_MAX, 4)),
        Setup::Backlog => Site::servers(postgres, build(backlog::BATCH_MAX, 1)),
    };
    let began = Instant::now();
    let (watch, report) = (Watch::new(began), Mutex::new(Report::default()));
    let round = Round {
        site: &site,
        postgres,
        watch: &watch,
        report: &report,
        calm: AtomicBool::new(false),
        began,
        plan,
    };
    let mut seeds = Rng(seed);
    let mut rng = || Rng(seeds.next());
    let writer = |name: String| Writer {
        name,
        users: plan.users,
        began,
        addresses: &site.addresses,
        watch: &watch,
        agent: agent(),
        record: Record::default(),
    };
    let (record, attempts): (_, Vec<_>) = std::thread::scope(|scope| {
        let mut records: Vec<_> = (0..WRITERS)
            .map(|number| (writer(format!("w{number}")), rng()))
            .map(|(writer, rng)| scope.spawn(move || writer.work(rng)))
            .collect();
        let steady = |rng: Rng, number: usize| (writer(format!("wr{number}")), rng);
        // What one process remembers must not go back; a service that is killed remembers nothing.
        let lives = !matches!(plan.setup, Setup::Embedded(_));
        records.extend((0..READERS).map(|number| {
            let (reader, rng) = steady(rng(), number);
            let site = &site;
            scope.spawn(move || readers::read(reader, site, STEADY, lives, rng))
        }));
        let (world, token) = (&site.world, site.admin_token.as_str());
        let mut posts: Vec<String> = (QUIET_POSTS..POSTS).take(plan.moderated).map(post).collect();
        if matches!(plan.setup, Setup::Backlog) {
            posts.extend(backlog::POSTS[..2].iter().map(|post| (*post).to_owned()));
        }
        let moderators: Vec<_> = (0..MODERATORS)
            .map(|number| {
                let (posts, addresses) = (posts.clone(), site.admin_addresses.clone());
                Moderator::new(number, world, &watch, posts, addresses, token, rng())
            })
            .map(|moderator| scope.spawn(move || moderator.work()))
            .collect();
        let faults = rng();
        let troubled = scope.spawn(|| match plan.setup {
            Setup::Servers(shapes) => servers::trouble(&round, faults, shapes),
            Setup::Embedded(shapes) => embedded::trouble(&round, faults, shapes),
            Setup::Backlog => backlog::trouble(&round, faults),
        });
        let troubled = troubled.join();
        watch.stop();
        let records = records.into_iter().map(|one| one.join().expect("a writer survives every answer"));
        let record = records.fold(Record::default(), Record::join);
        let attempts = moderators.into_iter();
        let attempts =
            attempts.flat_map(|one| one.join().expect("a moderator survives every answer")).collect();
        troubled.unwrap_or_else(|e| std::panic::resume_unwind(e));
        (record, attempts)
    });
    let mut report = report.into_inner().expect("the lock is not poisoned");
    let mut findings = Findings::default();
    settle(&site, &mut report, &mut findings);
    findings.add(oracle::check(&site.world, &record, &attempts));
    check_cache(&site, &mut findings);
    report.count(&watch);
    findings.add(watch.into_findings());
    if findings.laws().contains(&Law::Answered) {
        site.errors().into_iter().for_each(|error| findings.note(Law::Answered, error));
    }
    report.findings = findings;
    report.rounds = 1;
    report
}

/// The backlog empties by itself: no program is started for it but the one service on a file, which a supervisor starts
/// again when it has died.
fn settle(site: &Site, report: &mut Report, findings: &mut Findings) {
    let dead = site.dead();
    findings.check(Law::Settles, dead.is_empty(), || format!("not killed, and ended: {dead:?}"));
    site.revive_services();
    let began = Instant::now();
    // Held ratings that were sent late are released at the next ticks, which is entries again.
    let overdue = "select count(*) from held where user_id like 'late%' and status = 'held'";
    let waits = || {
        let status = site.world.cli(&["status", "--json"]);
        status.code != 0 || site.world.db().count(overdue) > 0 || status.json()["waiting"] != 0
    };
    while waits() {
        if began.elapsed() > CALM {
            let (status, held) = (site.world.cli(&["status", "--json"]), site.world.db().count(overdue));
            let text =
                format!("the backlog was not empty within a tick and 30 s: {held} overdue, {status:?}");
            findings.note(Law::Settles, text);
            // What follows is about other laws.
            site.world.cli(&["flush"]);
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    report.note("(calm) until the backlog was empty", true, Some(began.elapsed()));
}

/// Waits until something is so; `false` if it is not for a while.
pub fn await_short(is: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !is() {
        if began.elapsed() > Duration::from_secs(4) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Every service shows the committed state.
fn check_cache(site: &Site, findings: &mut Findings) {
    let stored: Vec<(String, i64)> = site.world.db().all("select post_id, count from averages");
    for number in 0..site.services.len() {
        let api = site.service(number).http();
        for number in 0..POSTS {
            let id = post(number);
            let count = stored.iter().find(|(post, _)| *post == id).map_or(0, |(_, count)| *count);
            let began = Instant::now();
            loop {
                let shown = api.try_get(&format!("/api/posts/{id}"));
                let shown = shown.map(|shown| (shown.status, shown.json()["count"].clone()));
                if shown.as_ref().is_ok_and(|shown| *shown == (200, count.into())) {
                    break;
                }
                if began.elapsed() > CACHE {
                    let seen =
                        format!("a service shows {id} as {shown:?} and not with the committed {count}");
                    findings.note(Law::Cache, seen);
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
