//! The oracle: refolds the whole log without Damper, and compares it with what was answered and with what is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use damper::entry::{Action, Entry, Position};
use damper::merge::{Decided, HeldRating, PostState, Rating};
use damper::model::{PostId, Time, UserId};
use damper::smoothing::Params;

use crate::attempt::Attempt;
use crate::fold::{Fold, Folded, User};
use crate::law::{Findings, Law};
use crate::support::log::bits;
use crate::support::until_some;
use crate::support::world::World;
use crate::tee::log_of;
use crate::writers::{Record, is_quiet, post, users_name};

/// The posts that the naive arithmetic follows: it takes all ratings by themselves at every entry, so two have to do.
/// The first is left alone by moderators, the second is not.
const MIRRORED: [&str; 2] = ["post2", "post5"];
/// Rows and decisions asked for at once.
const PAGE: usize = 5_000;

/// The entries of a log, with their shard and position, and how many of its lines are none.
struct Logged {
    entries: Vec<(u16, Position, Entry)>,
    poison: u64,
}

/// Checks the laws of a world that has drained everything.
pub fn check(world: &World, record: &Record, attempts: &[Attempt]) -> Findings {
    let mut findings = Findings::default();
    let log = read_log(world, &mut findings);
    check_acknowledged(record, &log, &mut findings);
    check_pairs(world, record, &log, &mut findings);
    check_decided(attempts, &log, &mut findings);
    check_figures(world, &log, &mut findings);
    findings
}

/// The same for a world whose writers were not recorded: it can only be checked against the log.
pub fn check_log(world: &World) -> Findings {
    let mut findings = Findings::default();
    let log = read_log(world, &mut findings);
    check_figures(world, &log, &mut findings);
    findings
}

fn read_log(world: &World, findings: &mut Findings) -> Logged {
    let mut log = Logged { entries: Vec::new(), poison: 0 };
    for (shard, lines) in log_of(world) {
        let grows = lines.is_sorted_by(|a, b| a.0 < b.0);
        findings.check(Law::Acknowledged, grows, || "positions that do not grow".into());
        for (position, payload) in lines {
            match Entry::decode(&payload) {
                Ok(entry) => log.entries.push((shard, position, entry)),
                Err(_) => log.poison += 1,
            }
        }
    }
    let is_decision = |(.., entry): &&(u16, Position, Entry)| matches!(entry.action, Action::Decide(_));
    findings.logged = log.entries.len() as u64 + log.poison;
    findings.decisions = log.entries.iter().filter(is_decision).count() as u64;
    log
}

/// Every acknowledged wish is in the log, as often as it was acknowledged.
fn check_acknowledged(record: &Record, log: &Logged, findings: &mut Findings) {
    let mut logged: HashMap<(&str, &str, Option<i64>, i64), u32> = HashMap::new();
    for (.., entry) in log.entries.iter().filter(|(.., entry)| entry.action.is_wish()) {
        let score = entry.action.score().map(|score| i64::from(score.get()));
        *logged.entry((entry.post.as_str(), entry.user.as_str(), score, entry.at.ms())).or_default() += 1;
    }
    let (mut lost, mut doubled) = (Vec::new(), Vec::new());
    for (wish @ ((number, user), score, at), times) in &record.acknowledged {
        let found = logged.get(&(post(*number).as_str(), user.as_str(), *score, *at)).copied().unwrap_or(0);
        lost.extend((0..times.saturating_sub(found)).map(|_| wish));
        doubled.extend((0..found.saturating_sub(*times)).map(|_| wish));
    }
    findings.lost += lost.len() as u64;
    findings.doubled += doubled.len() as u64;
    for (what, wishes) in [("missing", lost), ("there more often than it was acknowledged", doubled)] {
        findings.check(Law::Acknowledged, wishes.is_empty(), || {
            format!("{} acknowledged wishes are {what}, the first is {:?}", wishes.len(), wishes[0])
        });
    }
}

/// The end state of a pair is the last acknowledged wish, or a later one without an answer. Where moderators hold and
/// reject, it is the log that must say so.
fn check_pairs(world: &World, record: &Record, log: &Logged, findings: &mut Findings) {
    let mut stands: HashMap<(String, String), i64> = HashMap::new();
    for (.., entry) in &log.entries {
        let key = (entry.post.to_string(), entry.user.to_string());
        match &entry.action {
            Action::Rate(score) => drop(stands.insert(key, i64::from(score.get()))),
            Action::Withdraw => drop(stands.remove(&key)),
            _ => {}
        }
    }
    check_order(log, findings);
    let rows: Vec<(String, String, i64)> =
        world.db().all("select post_id, user_id, cast(score as bigint) from ratings");
    let is_quiet_post = |name: &str| (0..).take_while(|n| is_quiet(*n)).any(|n| post(n) == name);
    stands.retain(|(name, _), _| !is_quiet_post(name));
    let rows = rows.into_iter().filter(|(name, ..)| is_quiet_post(name));
    stands.extend(rows.map(|(post, user, score)| ((post, user), score)));
    for ((number, user), known) in &record.pairs {
        let stands = stands.remove(&(post(*number), user.clone()));
        if !known.may_be(stands) {
            findings.lost += 1;
            findings.note(
                Law::LatestWins,
                format!("{stands:?} stands for post{number} {user}, known is {known:?}"),
            );
        }
    }
    let foreign: Vec<_> = stands.into_keys().filter(|(_, user)| users_name(user)).collect();
    findings.check(Law::Recount, foreign.is_empty(), || format!("pairs that no writer wrote: {foreign:?}"));
}

/// A pair has one open request at a time, so what was accepted earlier stands earlier in the log. An append that took effect
/// after its deadline would stand behind a later one that was acknowledged.
fn check_order(log: &Logged, findings: &mut Findings) {
    let mut last: HashMap<(&PostId, &UserId), (Time, Position)> = HashMap::new();
    for (_, position, entry) in &log.entries {
        if !entry.action.is_wish() || !users_name(entry.user.as_str()) {
            continue;
        }
        let before = last.insert((&entry.post, &entry.user), (entry.at, *position));
        let is_late = before.is_some_and(|(at, _)| at > entry.at);
        findings.check(Law::LatestWins, !is_late, || {
            format!("{entry:?} at {position} stands behind a later one, {before:?}")
        });
    }
}

/// A decision is in the log as often as its answers say: once, perhaps, or never.
fn check_decided(attempts: &[Attempt], log: &Logged, findings: &mut Findings) {
    let mut logged: HashMap<&str, Vec<String>> = HashMap::new();
    for (_, position, entry) in &log.entries {
        if let Action::Decide(decision) = &entry.action {
            logged.entry(decision.reason.as_str()).or_default().push(position.to_string());
        }
    }
    for attempt in attempts {
        let found = logged.remove(attempt.reason.as_str()).unwrap_or_default();
        let missing = attempt.ids.iter().filter(|id| !found.contains(id)).count() as u64;
        let times = found.len() as u64;
        findings.lost += missing;
        findings.doubled += times.saturating_sub(attempt.most);
        let is_right = missing == 0 && attempt.may_be_logged(times);
        findings.check(Law::Decided, is_right, || format!("{attempt:?} is in the log as {found:?}"));
    }
    findings.check(Law::Decided, logged.is_empty(), || format!("decided by no moderator: {logged:?}"));
}

/// Figures equal a recount in plain SQL, the balance holds, and what is stored is the fold of the log.
fn check_figures(world: &World, log: &Logged, findings: &mut Findings) {
    let counted = "select post_id, count(*), cast(sum(score) as bigint) from ratings
                   where status = 'counted' group by post_id order by 1";
    let stored = "select post_id, count, sum from averages where count > 0 order by 1";
    let counted: Vec<(String, i64, i64)> = world.db().all(counted);
    let stored: Vec<(String, i64, i64)> = world.db().all(stored);
    if counted != stored {
        findings.doubled += 1;
        findings.note(Law::Recount, format!("averages {stored:?}, rows {counted:?}"));
    }
    let verified = world.cli(&["verify"]);
    let says = || format!("damper verify: {}{}", verified.out, verified.err);
    findings.check(Law::Recount, verified.code == 0, says);
    let status = until_some("a status", || {
        let status = world.cli(&["status", "--json"]);
        (status.code == 0).then(|| status.json())
    });
    let figure = |name: &str| status[name].as_u64().unwrap_or(u64::MAX);
    let entries = log.entries.len() as u64;
    let expected = (entries + log.poison, entries, log.poison, 0, 0);
    let found =
        (figure("accepted"), figure("applied"), figure("quarantined"), figure("waiting"), figure("lost"));
    let holds = found == expected && status["balanced"] == true;
    findings.check(Law::Balance, holds, || format!("{found:?} instead of {expected:?}: {status}"));
    check_fold(world, log, findings);
}

fn check_fold(world: &World, log: &Logged, findings: &mut Findings) {
    let params: Params = world.config().params().expect("the world's parameters are right");
    let mut fold = Fold::new(&params, &MIRRORED);
    log.entries.iter().for_each(|(shard, position, entry)| fold.apply(*shard, *position, entry));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let ids: Vec<PostId> = fold.posts.keys().cloned().collect();
    let (stored, decided) = runtime.expect("a runtime").block_on(read(world, &ids));
    for (id, folded) in &fold.posts {
        match stored.get(id) {
            None => findings.note(Law::Fold, format!("{id} is not stored")),
            Some(stored) => check_post(id, folded, stored, &params, findings),
        }
    }
    check_outcomes(&fold, &decided, findings);
}

fn check_post(id: &PostId, folded: &Folded, stored: &Stored, params: &Params, findings: &mut Findings) {
    let PostState { average, version, standing, .. } = &stored.state;
    let is_fold = bits(average) == bits(&folded.average) && *version == folded.version;
    findings.check(Law::Fold, is_fold, || {
        format!("the average of {id} is not the fold of the log: {average:?} instead of {:?}", folded.average)
    });
    let stands = (standing.held, standing.excluded, standing.hold, standing.is_frozen);
    let (held, excluded) = folded.under_review();
    let expected = (held, excluded, folded.hold, folded.is_frozen);
    findings.check(Law::Fold, stands == expected, || format!("{id} has {stands:?}, not {expected:?}"));
    let differing: Vec<&UserId> =
        folded.users.iter().filter(|(user, kept)| !stored.is(user, kept)).map(|(user, _)| user).collect();
    let known = |user: &&UserId| folded.users.contains_key(*user);
    let is_whole = stored.ratings.keys().chain(stored.held.keys()).all(|user| known(&user));
    findings.check(Law::Fold, differing.is_empty() && is_whole, || {
        format!(
            "{} users of {id} differ from the fold of the log, the first is {:?}",
            differing.len(),
            differing.first()
        )
    });
    if let Some(mirror) = &folded.mirror {
        let difference = mirror.post.difference(average, params);
        findings.check(Law::Fold, difference.is_none(), || {
            format!("{id} differs from the naive arithmetic: {difference:?}")
        });
    }
    let mean = average.smoothed_mean(params);
    let is_within = mean.is_none_or(|mean| (0.0..=5.0).contains(&mean));
    findings.check(Law::Bound, is_within, || format!("{id} has the mean {mean:?}"));
}

/// The audit has a row for each decision of the log, with the outcome that the fold has.
fn check_outcomes(fold: &Fold<'_>, decided: &[Decided], findings: &mut Findings) {
    let mut unseen: BTreeSet<_> = fold.outcomes.keys().map(|(_, position)| *position).collect();
    for row in decided {
        unseen.remove(&row.position);
        let mut same = fold.outcomes.iter().filter(|((_, position), _)| *position == row.position);
        let is_same = |expected: &crate::fold::Outcome| {
            let outcome = &row.outcome;
            let found = (outcome.touched, outcome.held, outcome.refused.is_some(), outcome.after);
            found == (expected.touched, expected.held, expected.is_refused, expected.after)
        };
        // Two shards may have the same position.
        let holds = same.any(|(_, expected)| is_same(expected));
        findings
            .check(Law::Fold, holds, || format!("a decision came out otherwise than in the fold: {row:?}"));
    }
    let holds = unseen.is_empty() && decided.len() == fold.outcomes.len();
    findings.check(Law::Fold, holds, || {
        format!(
            "{} rows in the audit for {} decisions, without {unseen:?}",
            decided.len(),
            fold.outcomes.len()
        )
    });
}

/// A post as it is stored, with everything that is kept of its users.
struct Stored {
    state: PostState,
    ratings: BTreeMap<UserId, Rating>,
    held: BTreeMap<UserId, HeldRating>,
}

impl Stored {
    /// Whether this is what is stored of the user, to the bit.
    fn is(&self, user: &UserId, kept: &User) -> bool {
        let rated = self.ratings.get(user).map(|it| {
            let floats = [it.row.vest_clock, it.row.unvested_sum, it.row.unvested_count].map(f64::to_bits);
            (it.row.score, it.row.lane.as_str(), floats, it.rated_at, it.is_excluded, it.position)
        });
        let expected = kept.state.rated.map(|it| {
            let floats = [it.row.vest_clock, it.row.unvested_sum, it.row.unvested_count].map(f64::to_bits);
            (it.row.score, it.row.lane.as_str(), floats, it.rated_at, it.is_excluded, kept.rated_by)
        });
        let held = self
            .held
            .get(user)
            .map(|it| (it.score, it.arrival.vest_clock.to_bits(), it.rated_at, it.is_excluded, it.position));
        let expected_held = kept
            .state
            .held
            .map(|it| (it.score, it.arrival.vest_clock.to_bits(), it.rated_at, it.is_excluded, kept.held_by));
        rated == expected && held == expected_held
    }
}

async fn read(world: &World, ids: &[PostId]) -> (HashMap<PostId, Stored>, Vec<Decided>) {
    let store = world.store().await;
    let mut stored = HashMap::new();
    for (id, state) in ids.iter().zip(store.posts(ids).await.expect("posts are read")) {
        let Some(state) = state else { continue };
        let mut all = Stored { state, ratings: BTreeMap::new(), held: BTreeMap::new() };
        loop {
            let after = all.ratings.last_key_value().map(|(user, _)| user.clone());
            let page = store.ratings_page(id, after.as_ref(), PAGE).await.expect("ratings are read");
            let is_last = page.len() < PAGE;
            all.ratings.extend(page);
            if is_last {
                break;
            }
        }
        loop {
            let after = all.held.last_key_value().map(|(user, _)| (id.clone(), user.clone()));
            let page = store.held_page(Some(id), after.as_ref(), PAGE, true).await.expect("held ratings");
            let is_last = page.len() < PAGE;
            all.held.extend(page.into_iter().map(|((_, user), held)| (user, held)));
            if is_last {
                break;
            }
        }
        stored.insert(id.clone(), all);
    }
    let mut decided: Vec<Decided> = Vec::new();
    for id in ids {
        let mut after = None;
        loop {
            let page = store.audit_page(Some(id), None, after, PAGE).await.expect("the audit is read");
            let is_last = page.len() < PAGE;
            let shard = |row: &Decided| damper::entry::Shard::of(&row.post, shards(world));
            after = page.last().map(|row| (row.position, shard(row)));
            decided.extend(page);
            if is_last {
                break;
            }
        }
    }
    (stored, decided)
}

fn shards(world: &World) -> u16 {
    if world.is_embedded() { 1 } else { world.config().shards }
}
