//! The oracle at a run's end: a single-threaded fold of the copied log must equal the tables.
//!
//! This fold knows no batches, checkpoints or retries, only the arithmetic. Figures are compared bit by bit; and, so that the
//! arithmetic is not only compared with itself, with the naive reference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use damper::entry::{Action, Entry, Position, Shard};
use damper::merge::Key;
use damper::model::{PostId, Time};
use damper::smoothing::{Average, Effect, Params, Row, UserState, When};

use crate::naive;
use crate::tables::REFUSED_USER;
use crate::world::World;

const DAY_MS: i64 = 24 * 3_600_000;

/// The result of folding the log.
#[derive(Default)]
struct Folded {
    averages: BTreeMap<PostId, (Average, Position)>,
    users: BTreeMap<Key, (UserState, Position)>,
    arrivals: BTreeMap<PostId, u64>,
    /// The entries that were applied, by post.
    applied: BTreeMap<PostId, Vec<Entry>>,
    poison: BTreeSet<(Shard, Position)>,
}

impl Folded {
    fn of(world: &World, params: &Params) -> Self {
        let mut folded = Self::default();
        for (shard, lines) in world.oracle.lines.iter().enumerate() {
            let mut has_quarantined = false;
            for (position, bytes) in lines {
                let entry = Entry::decode(bytes).ok();
                // A withdrawal of nothing is kept, and so refused, only where something was quarantined before.
                let is_refused = |entry: &Entry| {
                    let is_kept = entry.action != Action::Withdraw || has_quarantined;
                    entry.user.as_str() == REFUSED_USER && is_kept
                };
                let is_wanted =
                    |entry: &Entry| world.tables.posts.contains_key(&entry.post) && !is_refused(entry);
                match entry.filter(is_wanted) {
                    Some(entry) => {
                        folded.apply(&entry, *position, params);
                        folded.applied.entry(entry.post.clone()).or_default().push(entry);
                    }
                    None => {
                        has_quarantined = true;
                        folded.poison.insert((Shard(shard as u16), *position));
                    }
                }
            }
        }
        folded
    }

    fn apply(&mut self, entry: &Entry, position: Position, params: &Params) {
        let (average, version) = self.averages.entry(entry.post.clone()).or_default();
        *version = position;
        let (user, place) = self.users.entry((entry.post.clone(), entry.user.clone())).or_default();
        let when = When { at: entry.at, is_stated: entry.terms.is_stated };
        match entry.action {
            Action::Rate(score) => {
                let effect = user.rate(average, score, when, params);
                if effect != Effect::Nothing {
                    *place = position;
                }
                *self.arrivals.entry(entry.post.clone()).or_default() += u64::from(effect == Effect::Change);
            }
            Action::Decide(_) | Action::Release(_) | Action::Adopt(_) => {
                panic!("the simulation has no decisions")
            }
            Action::Withdraw => drop(user.withdraw(average, when, params)),
        }
    }

    /// The rows that are left.
    fn rows(&self) -> BTreeMap<Key, (Row, Time, Position)> {
        let rated = self.users.iter().filter_map(|(key, (user, place))| {
            user.rated.map(|rated| (key.clone(), (rated.row, rated.rated_at, *place)))
        });
        rated.collect()
    }
}

/// Every figure of an average as bits, so that equality is exact.
fn bits((average, version): &(Average, Position)) -> Vec<u64> {
    let mut bits = vec![version.high, version.low, average.intensity.to_bits()];
    for lane in [&average.calm, &average.surge] {
        bits.extend([lane.count, lane.sum]);
        bits.extend([lane.clock, lane.vested, lane.settled_count, lane.settled_sum].map(f64::to_bits));
    }
    bits.extend([average.born, average.last].map(|time| time.map_or(u64::MAX, |time| time.ms() as u64)));
    bits.extend(average.histogram);
    bits
}

fn row_bits((row, at, position): (Row, Time, Position)) -> Vec<u64> {
    let floats = [row.vest_clock, row.unvested_sum, row.unvested_count];
    let place = [row.lane as u64, u64::from(row.score.get()), at.ms() as u64, position.high, position.low];
    floats.map(f64::to_bits).into_iter().chain(place).collect()
}

fn same<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    found: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
) -> Result<(), String> {
    match found.iter().find(|(key, value)| wanted.get(key) != Some(value)) {
        Some((key, value)) => Err(format!("{what} of {key:?}: {value:?}, not {:?}", wanted.get(key))),
        None if found.len() < wanted.len() => Err(format!("{what}: {} of {}", found.len(), wanted.len())),
        None => Ok(()),
    }
}

/// Whether a mean lies within the scale, up to the rounding that the fifth law of docs/SMOOTHING.md allows.
pub fn is_a_score(mean: f64) -> bool {
    (-1e-12..=5.0 + 1e-12).contains(&mean)
}

/// Checks a world in which every appended entry has been drained. Its digest goes into the trace.
pub fn judge(world: &mut World, params: &Params) -> Result<(), String> {
    for (log, checkpoint) in world.logs.iter().zip(&world.tables.checkpoints) {
        let waiting = log.backlog(checkpoint.position).waiting;
        if waiting > 0 {
            return Err(format!("{waiting} entries still wait after the last drain"));
        }
    }
    let (folded, tables) = (Folded::of(world, params), &world.tables);
    let averages = tables.averages.iter().map(|(post, average)| (post, bits(average))).collect();
    same("average", &averages, &folded.averages.iter().map(|(p, average)| (p, bits(average))).collect())?;
    for (post, entries) in &folded.applied {
        let (average, naive) = (&tables.averages[post].0, naive::Post::of_log(params, entries.iter()));
        if let Some(difference) = naive.difference(average, params) {
            return Err(format!("{post} differs from the naive reference: {difference}"));
        }
    }
    let kept = tables.ratings.iter().map(|(key, r)| (key, row_bits((r.row, r.rated_at, r.position))));
    let rows: BTreeMap<_, _> = kept.collect();
    same("rating", &rows, &folded.rows().iter().map(|(key, row)| (key, row_bits(*row))).collect())?;
    let mut arrivals = BTreeMap::new();
    for ((post, _), ratings) in tables.history.iter().filter(|(_, ratings)| **ratings > 0) {
        *arrivals.entry(post.clone()).or_default() += ratings;
    }
    same("arrivals", &arrivals, &folded.arrivals)?;
    let quarantined: BTreeSet<_> = tables.quarantine.keys().copied().collect();
    if quarantined != folded.poison {
        return Err(format!("{} entries in quarantine, not {}", quarantined.len(), folded.poison.len()));
    }
    for (key, wishes) in world.oracle.wishes.iter().filter(|((_, user), _)| user.as_str() != REFUSED_USER) {
        let (score, candidates) = (tables.ratings.get(key).map(|r| r.row.score), wishes.candidates());
        if !candidates.contains(&score) {
            return Err(format!("{key:?} ended as {score:?}, which is none of {candidates:?}"));
        }
    }
    for (post, (average, _)) in &tables.averages {
        for days in [0, 1, 400] {
            let at = average.last.unwrap_or_default().max(world.now).plus_ms(days * DAY_MS);
            let mean = average.at(at, params).smoothed_mean(params);
            if mean.is_some_and(|mean| !is_a_score(mean)) {
                return Err(format!("the published mean of {post} is {mean:?}"));
            }
        }
    }
    let figures: Vec<u64> = averages.into_values().chain(rows.into_values()).flatten().collect();
    world.trace.add(&figures);
    Ok(())
}
