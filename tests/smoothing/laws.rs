//! The eleven laws of docs/SMOOTHING.md, each a property of random logs under random knobs.
//!
//! A failure prints the smallest failing log that proptest found. `PROPTEST_CASES=20000` searches longer.

use std::collections::{BTreeMap, BTreeSet};

use damper::model::{Score, Time};
use damper::smoothing::{Average, Lane, LaneName, Recount, UserState};
use proptest::prelude::*;

use crate::log::*;

/// The largest difference between two scores.
const WIDTH: f64 = 5.0;

/// Optimized, a law takes a millisecond or two a case, so there are ten thousand; PROPTEST_CASES sets another number. No file
/// beside the tests remembers a failure: it becomes a separate test.
pub fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    let times = if cfg!(debug_assertions) { 1 } else { 40 };
    ProptestConfig { cases: usual.cases.saturating_mul(times), failure_persistence: None, ..usual }
}

/// G of law 1: the factor by which a post's room may grow between two times.
fn growth(post: &Post, from: Time, to: Time) -> f64 {
    if to <= from {
        return 1.0;
    }
    let born = post.average.born.unwrap();
    let day = |ms: i64| ms as f64 / DAY_MS as f64;
    let (age1, age2) = (day(from.ms() - born.ms()), day(to.ms() - born.ms()));
    let doubling = post.params.knobs().max_doubling_days;
    let grown = doubling / std::f64::consts::LN_2;
    let young = age2.min(grown) / age1.min(grown);
    let after = (age2.max(grown) - age1.max(grown)) / doubling;
    young * after.exp2() * ((age2 - age1) / doubling).exp2()
}

/// What rounding may do to a mean: some of the largest count that there can have been, and of the clocks that
/// the rows' weights are read from, over the least that divides.
pub fn noise(log: &[Entry], post: &Post) -> f64 {
    let clock = post.average.calm.clock.max(post.average.surge.clock);
    1e-16 * (20.0 + log.len() as f64) * (10.0 + clock) / post.params.knobs().seed_weight
}

/// Every bit of the state. −0 differs from 0.
fn bits(average: &Average) -> Vec<u64> {
    let lane = |l: &Lane| {
        let floats = [l.vested, l.settled_count, l.settled_sum, l.clock].map(f64::to_bits);
        [&[l.count, l.sum], &floats[..]].concat()
    };
    let time = |t: Option<Time>| t.map_or([0, 0], |t| [1, t.ms() as u64]);
    [
        &lane(&average.calm)[..],
        &lane(&average.surge),
        &average.histogram,
        &[average.intensity.to_bits()],
        &time(average.born),
        &time(average.last),
    ]
    .concat()
}

/// What is kept of the users, every bit of it. A user of whom nothing is kept is left out.
fn users(post: &Post) -> Vec<(u16, String, Vec<u64>)> {
    let kept = post.users.iter().filter(|(_, user)| **user != UserState::default());
    kept.map(|(id, user)| (*id, format!("{user:?}"), floats(user).map(f64::to_bits).collect())).collect()
}

/// Every float of a user.
fn floats(user: &UserState) -> impl Iterator<Item = f64> + use<> {
    let row =
        user.rated.map(|rated| [rated.row.vest_clock, rated.row.unvested_sum, rated.row.unvested_count]);
    let clocks =
        [user.held.map(|held| held.arrival.vest_clock), user.mark.map(|mark| mark.arrival.vest_clock)];
    row.into_iter().flatten().chain(clocks.into_iter().flatten())
}

/// The lane of a user's presence, unless it is that of an excluded row, whose weight rests.
fn presence(user: &UserState) -> Option<LaneName> {
    match (user.held, user.rated, user.mark) {
        (Some(held), ..) => Some(held.arrival.lane),
        (None, Some(rated), _) => (!rated.is_excluded).then_some(rated.row.lane),
        (None, None, mark) => mark.map(|mark| mark.arrival.lane),
    }
}

/// The score that an entry gives.
fn given(entry: &Entry) -> Option<Score> {
    match entry.op {
        Op::Rate(score) | Op::Hold(score) => Some(score),
        _ => None,
    }
}

/// The entry with another score.
fn scored(entry: &Entry, change: impl Fn(u8) -> u8) -> Entry {
    let change = |score: Score| Score::parse(change(score.get()).into()).unwrap();
    let op = match entry.op {
        Op::Rate(score) => Op::Rate(change(score)),
        Op::Hold(score) => Op::Hold(change(score)),
        op => op,
    };
    Entry { op, ..*entry }
}

/// The average after a round trip through a store: floats as their eight bytes.
fn stored_and_loaded(average: &Average) -> Average {
    let float = |value: f64| f64::from_le_bytes(value.to_le_bytes());
    let lane = |l: &Lane| Lane {
        count: l.count,
        sum: l.sum,
        vested: float(l.vested),
        settled_count: float(l.settled_count),
        settled_sum: float(l.settled_sum),
        clock: float(l.clock),
    };
    Average {
        calm: lane(&average.calm),
        surge: lane(&average.surge),
        histogram: average.histogram,
        intensity: float(average.intensity),
        born: average.born.map(|t| Time::from_ms(t.ms())),
        last: average.last.map(|t| Time::from_ms(t.ms())),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_1_growth_is_bounded(params in params(), log in log(), wait_ms in 0..100 * DAY_MS) {
        let mut post = Post::new(params);
        let mut taken = BTreeMap::new();
        for entry in &log {
            let before = post.clone();
            let is_change = post.apply(entry);
            let (Some(from), Some(to)) = (before.average.last, post.average.last) else { continue };

            // The effect of time.
            let now = before.average.at(to, &params);
            let room = post.room(&now);
            let bound = before.room(&before.average) * growth(&before, from, to);
            prop_assert!(room <= bound * (1.0 + 1e-9), "{room} > {bound}");

            // The effect of the entry at its moment, given what each removal took.
            let change = post.room(&post.average) - room;
            let took = before.vested_of(entry.user, &now);
            match entry.op {
                Op::Restore if is_change => {
                    let took: f64 = taken[&entry.user];
                    prop_assert!((change - took).abs() < 1e-9, "restore raised {change}, not {took}");
                }
                Op::Withdraw | Op::Exclude if is_change => {
                    prop_assert!((change + took).abs() < 1e-9, "removal took {change}, not {took}");
                    taken.insert(entry.user, took);
                }
                _ => prop_assert!(change < 1e-9, "{:?} raised by {change}", entry.op),
            }
        }
        if let Some(last) = post.average.last {
            let later = last.plus_ms(wait_ms);
            let bound = post.room(&post.average) * growth(&post, last, later);
            prop_assert!(post.room(&post.average.at(later, &params)) <= bound * (1.0 + 1e-9));
        }
    }

    #[test]
    fn law_2_influence_is_bounded(
        params in params(), log in log(), arrivals in arrivals(),
        wait_ms in 0..20 * DAY_MS, more_ms in 0..20 * DAY_MS,
    ) {
        let mut post = Post::fold(params, &log);
        let Some(last) = post.average.last else { return Ok(()) };
        let t1 = last.plus_ms(wait_ms);
        let first = post.average.at(t1, &params);
        let Some(y1) = first.smoothed_mean(&params) else { return Ok(()) };
        let (room, settled, seed) = (post.room(&first), settled_count(&first), params.knobs().seed_weight);
        for entry in &moved(&arrivals, t1.ms() - START.ms()) {
            // A time clamped to the last entry must not lie before the first reading.
            post.apply(&Entry { at: entry.at.max(t1), ..*entry });
            // An entry that changes nothing does not advance.
            let now = post.average.last.unwrap().max(t1);
            for t2 in [now, now.plus_ms(more_ms)] {
                let y2 = post.mean_at(t2).unwrap();
                let u = room * (growth(&post, t1, t2) - 1.0);
                let bound = WIDTH * (u + seed) / (settled + seed);
                // From age 0 on the bound is infinite.
                let bound = bound + 1e-12 + noise(&log, &post);
                prop_assert!((y2 - y1).abs() <= bound, "{y1} -> {y2}, {bound}");
            }
            for row in post.counted() {
                let (a, b) = (row.unvested_sum, row.unvested_count);
                let reach = a.abs().max((a - WIDTH * b).abs());
                prop_assert!(reach <= WIDTH + 1e-9 && (0.0..=1.0 + 1e-12).contains(&b), "{row:?}");
            }
        }
    }

    #[test]
    fn law_3_a_merge_steps_by_the_seed_only(
        params in params(), log in log(), wait_ms in 0..20 * DAY_MS,
        batch in prop::collection::vec((0..2_000_u16, score()), 1..200),
    ) {
        let mut post = Post::fold(params, &log);
        let Some(last) = post.average.last else { return Ok(()) };
        let at = last.plus_ms(wait_ms);
        let before = post.average.at(at, &params);
        let Some(mean) = before.smoothed_mean(&params) else { return Ok(()) };
        let seed = params.knobs().seed_weight;
        let bound = WIDTH * seed / (settled_count(&before) + seed);
        for (user, score) in batch {
            post.apply(&Entry { at, is_stated: false, user, op: Op::Rate(score) });
            let step = (post.mean_at(at).unwrap() - mean).abs();
            prop_assert!(step <= bound + noise(&log, &post), "{step} > {bound}");
        }
    }

    #[test]
    fn law_4_the_smoothed_mean_ends_at_the_raw_mean(params in params(), log in log()) {
        let post = Post::fold(params, &log);
        let Some(last) = post.average.last else { return Ok(()) };
        // Far enough for the slowest knobs; on the way the settled count only grows.
        let mut settled = settled_count(&post.average);
        for power in 0..16 {
            let later = post.average.at(last.plus_ms(10_i64.pow(power)), &params);
            prop_assert!(settled_count(&later) >= settled - 1e-9);
            settled = settled_count(&later);
        }
        let end = post.average.at(last.plus_ms(10_i64.pow(15)), &params);
        let tolerance = 1e-9 * (1.0 + end.count() as f64);
        prop_assert!((settled_count(&end) - end.count() as f64).abs() < tolerance);
        prop_assert!((settled_sum(&end) - end.sum() as f64).abs() < tolerance);
        prop_assert!(end.unvested() >= 0.0 && end.unvested() < tolerance);
        if let (Some(smoothed), Some(raw)) = (end.smoothed_mean(&params), end.raw_mean()) {
            prop_assert!((smoothed - raw).abs() < 1e-9, "{smoothed} {raw}");
        }
    }

    #[test]
    fn law_5_the_mean_lies_among_the_scores_and_follows_each(
        params in params(), log in log(), pick in any::<prop::sample::Index>(), wait_ms in 0..60 * DAY_MS,
    ) {
        // The same log with the rating of one user who rates once raised.
        let rates = |user: u16| log.iter().filter(|entry| entry.user == user && given(entry).is_some()).count();
        let once: Vec<usize> =
            (0..log.len()).filter(|i| given(&log[*i]).is_some() && rates(log[*i].user) == 1).collect();
        let raised = if once.is_empty() { usize::MAX } else { *pick.get(&once) };
        let (mut post, mut higher) = (Post::new(params), Post::new(params));
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut slack = 1e-12;
        for (i, entry) in log.iter().enumerate() {
            post.apply(entry);
            higher.apply(&if i == raised { scored(entry, |score| (score + 1).min(5)) } else { *entry });
            if let Some(score) = given(entry) {
                low = low.min(f64::from(score.get()));
                high = high.max(f64::from(score.get()));
            }
            if matches!(entry.op, Op::Withdraw | Op::Exclude) {
                // A large lane that is taken out leaves its rounding to the few ratings that stay.
                slack = 1e-12 + noise(&log, &post);
            }
            for at in [entry.at, entry.at.plus_ms(wait_ms)] {
                let means = (post.mean_at(at), higher.mean_at(at));
                let (Some(mean), Some(mean_higher)) = means else { continue };
                prop_assert!(low - slack <= mean && mean <= high + slack, "{mean} is outside {low}..={high}");
                prop_assert!(mean_higher >= mean - slack, "raising a rating: {mean} -> {mean_higher}");
            }
        }
        // But for edits, the pace depends on counts and times only: no other score moves a lane, a clock or a vested mass.
        let pace = |post: &Post| {
            [post.average.calm, post.average.surge].map(|l| (l.count, l.vested.to_bits(), l.clock.to_bits()))
        };
        prop_assert_eq!(pace(&post), pace(&higher));
    }

    #[test]
    fn law_5_praise_and_blame_are_treated_alike(params in params(), log in log(), wait_ms in 0..60 * DAY_MS) {
        let (mut post, mut mirrored) = (Post::new(params), Post::new(params));
        for entry in &log {
            post.apply(entry);
            mirrored.apply(&scored(entry, |score| 5 - score));
            // Rounding must not decide on the lane: a tie is met by few logs.
            prop_assume!((post.average.intensity - post.average.surge_above(&params)).abs() > 1e-9);
            for at in [entry.at, entry.at.plus_ms(wait_ms)] {
                let (mean, other) = (post.mean_at(at), mirrored.mean_at(at));
                let sum = mean.zip(other).map_or(WIDTH, |(mean, other)| mean + other);
                prop_assert!((sum - WIDTH).abs() < 1e-9 + noise(&log, &post), "{mean:?} {other:?}");
            }
        }
    }

    #[test]
    fn law_6_reads_and_batches_change_no_bit(
        params in params(), log in log(),
        looks in prop::collection::vec((any::<bool>(), any::<bool>(), -DAY_MS..DAY_MS), 1..50),
    ) {
        let whole = Post::fold(params, &log);
        let mut cut = Post::new(params);
        for (entry, (read, cut_here, ahead_ms)) in log.iter().zip(looks.iter().cycle()) {
            if *read {
                // Readers may look at any time, past or future.
                let seen = cut.average.at(entry.at.plus_ms(*ahead_ms), &params);
                let _ = (seen.smoothed_mean(&params), seen.unvested(), seen.is_crowded(&params));
                let again = seen.at(entry.at.plus_ms(*ahead_ms), &params);
                prop_assert_eq!(bits(&seen), bits(&again));
            }
            if *cut_here {
                cut.average = stored_and_loaded(&cut.average);
            }
            cut.apply(entry);
        }
        prop_assert_eq!(bits(&whole.average), bits(&cut.average));
        prop_assert_eq!(users(&whole), users(&cut));
    }

    #[test]
    fn law_7_rows_suffice(params in params(), log in log(), wait_ms in 0..60 * DAY_MS) {
        let mut post = Post::new(params);
        for (i, entry) in log.iter().enumerate() {
            post.apply(entry);
            if i % 16 != 0 && i + 1 < log.len() {
                continue;
            }
            // The rows do not change without new ratings, so they confirm a later reading too.
            for average in [post.average, post.average.at(entry.at.plus_ms(wait_ms), &params)] {
                let mut recount = Recount::new(average.calm.clock, average.surge.clock);
                post.counted().for_each(|row| recount.add(row));
                prop_assert_eq!(recount.differences(&average), vec![]);
                prop_assert_eq!(average.count(), post.counted().count() as u64);
            }
        }
    }

    #[test]
    fn law_8_time_is_clamped_and_nothing_is_lost_to_infinity(
        params in params(), log in log(),
        times in prop::collection::vec(
            prop_oneof![
                any::<i64>(),
                Just(i64::MIN),
                Just(i64::MAX),
                -1_000..1_000_i64,
                START.ms() - DAY_MS..START.ms() + 400 * DAY_MS,
            ],
            1..30,
        ),
        wild in any::<bool>(),
    ) {
        let mut post = Post::new(params);
        for (entry, time) in log.iter().zip(times.iter().cycle()) {
            let entry = if wild { Entry { at: Time::from_ms(*time), ..*entry } } else { *entry };
            let before = post.clone();
            post.apply(&entry);
            // An entry that states its time goes by its own.
            if let Some(last) = before.average.last.filter(|last| entry.at < *last && !entry.is_stated) {
                let mut clamped = before;
                clamped.apply(&Entry { at: last, ..entry });
                prop_assert_eq!(bits(&post.average), bits(&clamped.average));
                prop_assert_eq!(post.average.last, Some(last));
            }
            let later = post.average.at(Time::from_ms(*time), &params);
            prop_assert!(later.last >= post.average.last);
            for average in [&post.average, &later] {
                for lane in [&average.calm, &average.surge] {
                    let count = lane.count as f64;
                    let largest = [lane.vested, lane.settled_count, lane.settled_sum / WIDTH, lane.clock];
                    for (figure, limit) in largest.into_iter().zip([count, count, count, f64::MAX]) {
                        prop_assert!(figure >= 0.0 && figure <= limit * (1.0 + 1e-12), "{lane:?}");
                        prop_assert!(figure.is_sign_positive(), "there is one zero: {lane:?}");
                    }
                }
                prop_assert!(average.intensity >= 0.0 && average.intensity.is_finite());
                prop_assert_eq!(average.histogram.iter().sum::<u64>(), average.count());
                prop_assert_eq!(average.smoothed_mean(&params).is_some(), average.count() > 0);
                prop_assert!(average.smoothed_mean(&params).is_none_or(f64::is_finite));
            }
            for figure in post.users.values().flat_map(floats) {
                prop_assert!(figure.is_finite() && figure.to_bits() != (-0.0_f64).to_bits(), "{:?}", post.users);
            }
        }
    }

    #[test]
    fn law_9_exclusion_is_reversible_and_no_lever(
        params in params(), log in log(), meanwhile in arrivals(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..20), wait_ms in 0..60 * DAY_MS,
    ) {
        let mut post = Post::fold(params, &log);
        let Some(last) = post.average.last else { return Ok(()) };
        let at = last.plus_ms(wait_ms);
        let counted: Vec<u16> = post.users.keys().copied().filter(|user| post.row(*user).is_some()).collect();
        if counted.is_empty() {
            return Ok(());
        }
        let users: BTreeSet<u16> = picks.iter().map(|pick| *pick.get(&counted)).collect();
        let now = post.average.at(at, &params);
        let mean = now.smoothed_mean(&params);
        let vested_then: f64 = users.iter().map(|user| post.vested_of(*user, &now)).sum();
        let all = |post: &mut Post, op: Op, at: Time| {
            users.iter().for_each(|user| assert!(post.apply(&Entry { at, is_stated: false, user: *user, op })));
        };

        // Excluded and restored at one moment: nothing has changed.
        let mut undone = post.clone();
        all(&mut undone, Op::Exclude, at);
        all(&mut undone, Op::Restore, at);
        let back = undone.mean_at(at);
        match (mean, back) {
            (Some(mean), Some(back)) => {
                prop_assert!((mean - back).abs() < 1e-9 + noise(&log, &post), "{mean} {back}");
            }
            (mean, back) => prop_assert_eq!(mean, back),
        }

        // Excluded, others rate meanwhile, restored: no more vested than at the exclusion.
        all(&mut post, Op::Exclude, at);
        for entry in moved(&meanwhile, at.ms() - START.ms()).iter().filter(|entry| !users.contains(&entry.user)) {
            post.apply(entry);
        }
        let later = post.average.last.unwrap().plus_ms(wait_ms);
        let before = post.average.at(later, &params);
        all(&mut post, Op::Restore, later);
        let raised = vested(&post.average) - vested(&before);
        let tolerance = 1e-9 * (1.0 + users.len() as f64);
        prop_assert!((raised - vested_then).abs() < tolerance, "{raised} {vested_then}");
    }

    #[test]
    fn law_10_one_user_is_one_arrival(params in params(), log in log(), mine in log(), step in 1..9_usize) {
        // One user does what a second log says, between the entries of the first.
        const ME: u16 = u16::MAX;
        let mut mine = mine.iter().map(|entry| Entry { user: ME, ..*entry });
        let mixed = log.chunks(step).flat_map(|others| others.iter().copied().chain(mine.next()));
        let (mut post, mut allowed, mut raised) = (Post::new(params), 1.0, 0.0);
        for entry in mixed.collect::<Vec<_>>() {
            let (before, presence) = (post.average, post.users.get(&ME).and_then(presence));
            if !post.apply(&entry) {
                continue;
            }
            // Some entries change what is kept of a user, and do not let time go by.
            let now = before.at(post.average.last.unwrap_or(entry.at), &params);
            if let Some(lane) = presence {
                allowed += lane_of(&now, lane).clock - lane_of(&before, lane).clock;
            }
            if entry.user == ME {
                raised += post.average.intensity - now.intensity;
                allowed += f64::from(u8::from(matches!(entry.op, Op::Release | Op::Reject)));
            }
            prop_assert!(raised <= allowed + 1e-9, "{raised} > {allowed} after {entry:?}");
        }
    }

    #[test]
    fn law_11_a_repeated_entry_changes_no_bit(params in params(), log in log(), later_ms in 0..DAY_MS) {
        let mut post = Post::new(params);
        for entry in &log {
            let is_change = post.apply(entry);
            if !is_change || !entry.op.is_wish() {
                continue;
            }
            let (average, user) = (bits(&post.average), format!("{:?}", post.users[&entry.user]));
            prop_assert!(!post.apply(&Entry { at: entry.at.plus_ms(later_ms), ..*entry }), "{entry:?}");
            prop_assert_eq!(average, bits(&post.average));
            prop_assert_eq!(user, format!("{:?}", post.users[&entry.user]));
        }
    }

    #[test]
    fn law_11_a_file_may_be_sent_again(params in params(), log in log(), cut in any::<prop::sample::Index>()) {
        // Of several entries of a user with one time a file has the last only.
        let stated = |entry: &&Entry| entry.op.is_wish();
        let by_time: BTreeMap<_, _> =
            log.iter().filter(stated).map(|entry| ((entry.at, entry.user), Entry { is_stated: true, ..*entry })).collect();
        let file: Vec<Entry> = by_time.into_values().collect();
        let once = Post::fold(params, &file);
        let from = if file.is_empty() { 0 } else { cut.index(file.len()) };
        // Whole, and a piece of it that overlaps.
        for again in [&file[..], &file[from..]] {
            let mut post = once.clone();
            for entry in again {
                prop_assert!(!post.apply(entry), "{entry:?}");
            }
            prop_assert_eq!(bits(&once.average), bits(&post.average));
            prop_assert_eq!(users(&once), users(&post));
        }
    }
}
