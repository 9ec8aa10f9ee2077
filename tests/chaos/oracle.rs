//! The oracle: reads the whole log without Damper, folds it in one piece, and compares.
//!
//! Redis' append-only file keeps every XADD with its id (rewriting is off). A trigger on the SQLite file
//! keeps a copy of every row that the buffer ever had. Damper reads neither.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use damper::entry::{Entry, Position};
use damper::merge::PostState;
use damper::merge::{Key, Rating};
use damper::model::{PostId, UserId};
use damper::smoothing::Params;

use crate::naive;
use crate::support::log::{Folded, bits, row_bits};
use crate::support::world::World;
use crate::writers::{Record, post};

/// The counts of a check.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Acknowledged entries missing from the log, or pairs with an impossible end state.
    pub lost: u64,
    /// Entries in the log more often than acknowledged or unanswered, or twice in the averages.
    pub doubled: u64,
    /// Other broken laws, in words.
    pub broken: Vec<String>,
    /// Entries in the log.
    pub logged: u64,
}

/// The complete log as appended, shard by shard, in order.
pub type Log = BTreeMap<u16, Vec<(Position, Vec<u8>)>>;

/// The table that keeps a copy of the SQLite buffer.
pub const TEE: &str = "create table oracle_log (position integer primary key, payload blob not null);
     create trigger oracle_tee after insert on buffer begin
         insert into oracle_log values (new.position, new.payload);
     end";

/// The complete log of this world.
pub fn log_of(world: &World) -> Log {
    if world.is_embedded() {
        let rows: Vec<(i64, Vec<u8>)> =
            world.db().all("select position, payload from oracle_log order by position");
        let lines = rows.into_iter().map(|(row, payload)| (Position::new(0, row as u64), payload));
        return BTreeMap::from([(0, lines.collect())]);
    }
    let folder = world.redis().path().join("appendonlydir");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("an append-only file").flatten().map(|file| file.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "aof"));
    files.sort();
    let mut log = Log::new();
    for file in files {
        read_commands(&file, &mut log);
    }
    log
}

/// Extracts the XADDs from an append-only file. A kill may have cut the last command short.
fn read_commands(file: &Path, log: &mut Log) {
    let bytes = std::fs::read(file).expect("the file is readable");
    let mut rest = bytes.as_slice();
    while let Some(words) = next_command(&mut rest) {
        let [b"XADD", key, .., id, b"e", payload] = words.as_slice() else { continue };
        let shard = std::str::from_utf8(key).ok().and_then(|key| key.split(['{', '}']).nth(1)?.parse().ok());
        let position = std::str::from_utf8(id).ok().and_then(Position::parse);
        let (Some(shard), Some(position)) = (shard, position) else { panic!("an XADD of another kind") };
        log.entry(shard).or_default().push((position, payload.to_vec()));
    }
}

fn next_command<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    // Annotations in the file begin with #.
    while rest.first() == Some(&b'#') {
        next_line(rest)?;
    }
    let count: usize = number(next_line(rest)?.strip_prefix(b"*")?)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length: usize = number(next_line(rest)?.strip_prefix(b"$")?)?;
        let word = rest.get(..length)?;
        *rest = rest.get(length + 2..)?;
        words.push(word);
    }
    Some(words)
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Some(line)
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Checks L1 to L5 and L8 of a world that has drained everything.
pub fn check(world: &World, record: &Record) -> Findings {
    let mut findings = Findings::default();
    let (entries, poison) = read_log(world, &mut findings);
    check_acknowledged(record, &entries, &mut findings);
    check_pairs(world, record, &mut findings);
    check_figures(world, &entries, poison, &mut findings);
    findings
}

/// The same for a world whose writers were not recorded: it can only be checked against the log.
pub fn check_log(world: &World) -> Findings {
    let mut findings = Findings::default();
    let (entries, poison) = read_log(world, &mut findings);
    check_figures(world, &entries, poison, &mut findings);
    findings
}

/// The log's entries, and the number of lines without a valid entry.
fn read_log(world: &World, findings: &mut Findings) -> (Vec<Entry>, u64) {
    let (mut entries, mut poison) = (Vec::new(), 0);
    for lines in log_of(world).values() {
        if !lines.is_sorted_by(|a, b| a.0 < b.0) {
            findings.broken.push("L1: positions that do not grow".into());
        }
        for (_, payload) in lines {
            match Entry::decode(payload) {
                Ok(entry) => entries.push(entry),
                Err(_) => poison += 1,
            }
        }
    }
    findings.logged = entries.len() as u64 + poison;
    (entries, poison)
}

/// L1, L2: every acknowledged entry is in the log, as often as it was acknowledged.
fn check_acknowledged(record: &Record, entries: &[Entry], findings: &mut Findings) {
    let mut logged: HashMap<(&str, &str, Option<i64>, i64), u32> = HashMap::new();
    for entry in entries {
        let score = entry.action.score().map(|score| i64::from(score.get()));
        *logged.entry((entry.post.as_str(), entry.user.as_str(), score, entry.at.ms())).or_default() += 1;
    }
    for (((number, user), wish, at), times) in &record.acknowledged {
        let found = logged.get(&(post(*number).as_str(), user.as_str(), *wish, *at)).copied().unwrap_or(0);
        findings.lost += u64::from(times.saturating_sub(found));
        findings.doubled += u64::from(found.saturating_sub(*times));
    }
}

/// L3: the end state is the last acknowledged wish, or a later one without an answer.
fn check_pairs(world: &World, record: &Record, findings: &mut Findings) {
    let rows: Vec<(String, String, i64)> =
        world.db().all("select post_id, user_id, cast(score as bigint) from ratings");
    let mut rows: HashMap<(String, String), i64> =
        rows.into_iter().map(|(post, user, score)| ((post, user), score)).collect();
    for ((number, user), known) in &record.pairs {
        let stands = rows.remove(&(post(*number), user.clone()));
        let may_stand = match known.acknowledged {
            Some(wish) => stands == wish || known.unknown.contains(&stands),
            None => stands.is_none() || known.unknown.contains(&stands),
        };
        if !may_stand {
            findings.lost += 1;
            findings
                .broken
                .push(format!("L3: {stands:?} stands for post{number} {user}, known is {known:?}"));
        }
    }
    if !rows.is_empty() {
        findings.broken.push(format!("L2: {} ratings of pairs that no writer wrote", rows.len()));
    }
}

/// L2, L4, L5, L8: figures equal a recount in plain SQL, the balance holds, and the averages are the fold of
/// the log.
fn check_figures(world: &World, entries: &[Entry], poison: u64, findings: &mut Findings) {
    let counted =
        "select post_id, count(*), cast(sum(score) as bigint) from ratings group by post_id order by 1";
    let stored = "select post_id, count, sum from averages where count > 0 order by 1";
    let counted: Vec<(String, i64, i64)> = world.db().all(counted);
    let stored: Vec<(String, i64, i64)> = world.db().all(stored);
    if counted != stored {
        findings.doubled += 1;
        findings.broken.push(format!("L2: averages {stored:?}, rows {counted:?}"));
    }
    let verified = world.cli(&["verify"]);
    if verified.code != 0 {
        findings.broken.push(format!("L2: damper verify: {}{}", verified.out, verified.err));
    }
    let status = world.cli(&["status", "--json"]).expect(0).json();
    let figure = |name: &str| status[name].as_u64().unwrap_or(u64::MAX);
    let expected = (entries.len() as u64 + poison, entries.len() as u64, poison, 0, 0);
    let found =
        (figure("accepted"), figure("applied"), figure("quarantined"), figure("waiting"), figure("lost"));
    if found != expected || status["balanced"] != true {
        findings.broken.push(format!("L4: {found:?} instead of {expected:?}: {status}"));
    }
    check_fold(world, entries, findings);
}

fn check_fold(world: &World, entries: &[Entry], findings: &mut Findings) {
    let params: Params = world.config().params().expect("the world's parameters are right");
    let folded = Folded::of(entries, &params);
    let ids: Vec<_> = folded.averages.keys().cloned().collect();
    let users: BTreeSet<UserId> = folded.rows.keys().map(|(_, user)| user.clone()).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (states, rows) =
        runtime.expect("a runtime").block_on(read(world, users.into_iter().collect(), ids.clone()));
    for (id, state) in ids.iter().zip(states) {
        let average = state.expect("a rated post exists").average;
        if bits(&average) != bits(&folded.averages[id]) {
            findings.broken.push(format!("L5: the average of {id} is not the fold of the log"));
        }
        // It takes all ratings by themselves at every entry, so one post of each round has to do.
        if Some(id) == ids.first() {
            let naive = naive::Post::of_log(&params, entries.iter().filter(|entry| entry.post == *id));
            if let Some(difference) = naive.difference(&average, &params) {
                findings.broken.push(format!("L5: {id} differs from the naive reference: {difference}"));
            }
        }
        let mean = average.smoothed_mean(&params);
        if mean.is_some_and(|mean| !(0.0..=5.0).contains(&mean)) {
            findings.broken.push(format!("L8: {id} has the mean {mean:?}"));
        }
    }
    let equals = |(key, row)| rows.get(key).is_some_and(|stored| row_bits(&stored.row) == row_bits(row));
    let differing = folded.rows.iter().filter(|&row| !equals(row)).count();
    if differing > 0 || rows.len() != folded.rows.len() {
        findings.broken.push(format!("L5: {differing} rows are not the fold of the log"));
    }
}

async fn read(
    world: &World,
    users: Vec<UserId>,
    posts: Vec<PostId>,
) -> (Vec<Option<PostState>>, HashMap<Key, Rating>) {
    let store = world.store().await;
    let mut rows = HashMap::new();
    for user in users {
        let found = store.ratings_of(&user, &posts).await.expect("rows are read");
        let found = posts.iter().zip(found).filter_map(|(post, row)| Some((post.clone(), row?)));
        rows.extend(found.map(|(post, row)| ((post, user.clone()), row)));
    }
    (store.posts(&posts).await.expect("posts are read"), rows)
}
