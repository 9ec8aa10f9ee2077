//! The drain: exact, bit for bit the same for every cut of the log, and safe to run by any process at any
//! time.

mod glide;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use damper::App;
use damper::app::drain::{DrainOrder, Drained, Progress};
use damper::app::upkeep::Retries;
use damper::entry::{Entry, Position, Terms};
use damper::model::{PostId, Time};
use damper::store::Trigger;

use crate::support::log::{Folded, POSTS, START, bits, entry, latest, post_id, posts, row_bits, synthetic};
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(async
    the_averages_are_those_of_the_log_folded_in_one_piece,
    a_log_in_batches_of_one_gives_the_same,
    a_log_drained_by_many_flushes_gives_the_same,
    drains_at_once_leave_counts_exact,
    the_balance_holds_at_every_look,
    an_entry_that_cannot_be_applied_does_not_affect_its_neighbours,
    a_drain_reports_its_work,
    a_drain_that_is_out_of_time_leaves_the_rest_to_the_next,
    a_drain_that_is_stopped_ends_between_batches,
    the_longest_log_is_drained_first,
    a_drain_leaves_nothing_in_the_log,
    marks_of_withdrawals_that_no_longer_matter_are_forgotten,
);

const DAY_MS: i64 = 86_400_000;
/// When the tests drain: a year after their logs begin.
const NOW: Time = START.plus_ms(365 * DAY_MS);

/// Creates the posts of the synthetic logs and appends `log`.
async fn submit(app: &App, log: &[Entry]) {
    app.catalogue().ensure_posts(posts(&POSTS)).await.unwrap();
    app.intake().append_all(log.to_vec(), None).await.unwrap();
}

/// A drain that must succeed.
async fn drain(app: &App) -> Drained {
    let drained = app.drainer().drain(NOW, &DrainOrder::quiet(Trigger::Flush)).await;
    assert!(drained.failure.is_none() && drained.complete, "{drained:?}");
    drained
}

/// Checks that every figure of every average, rating row and hour equals the pure fold of `log`.
async fn assert_bit_for_bit(world: &World, app: &App, log: &[Entry]) {
    let store = world.store().await;
    let folded = Folded::of(log, app.params());
    let ids: Vec<PostId> = folded.averages.keys().cloned().collect();
    let states: Vec<_> = store.posts(&ids).await.unwrap().into_iter().flatten().collect();
    assert!(
        !ids.is_empty() && states.len() == ids.len(),
        "{} of {} posts are there",
        states.len(),
        ids.len()
    );
    for (state, (id, average)) in states.iter().zip(&folded.averages) {
        assert_eq!(state.post.id, *id);
        assert_eq!(bits(&state.average), bits(average), "{}", state.post.id);
        let hours = store.hours_since(&state.post.id, Time::from_ms(0)).await.unwrap();
        assert_eq!(bits(&hours.last().expect("it was rated").average), bits(average));
        assert_eq!(hours.iter().map(|hour| hour.arrivals).sum::<u64>(), folded.arrivals[&state.post.id]);
    }
    for ((post, user), row) in &folded.rows {
        let stored = store.ratings_of(user, std::slice::from_ref(post)).await.unwrap()[0];
        assert_eq!(stored.map(|stored| row_bits(&stored.row)), Some(row_bits(row)), "{post} {user}");
    }
    world.assert_exact(&latest(log));
}

async fn the_averages_are_those_of_the_log_folded_in_one_piece(world: World) {
    let (app, log) = (world.app().await, synthetic(1, 4_000));
    submit(&app, &log).await;
    let drained = drain(&app).await;
    assert_eq!((drained.applied, drained.quarantined), (4_000, 0));
    let bombed = &Folded::of(&log, app.params()).averages[&post_id("bombed")];
    assert!(bombed.surge.count > 500 && bombed.calm.count > 100, "the log has both lanes: {bombed:?}");
    assert_bit_for_bit(&world, &app, &log).await;
}

async fn a_log_in_batches_of_one_gives_the_same(world: World) {
    let world = world.with("drain.batch_max", 1);
    let (app, log) = (world.app().await, synthetic(2, 400));
    submit(&app, &log).await;
    assert_eq!(drain(&app).await.batches, 400);
    assert_bit_for_bit(&world, &app, &log).await;
}

async fn a_log_drained_by_many_flushes_gives_the_same(world: World) {
    let world = world.with("drain.batch_max", 23);
    let (app, log) = (world.app().await, synthetic(3, 2_000));
    for (i, part) in log.chunks(37).enumerate() {
        submit(&app, part).await;
        // Now and then another process drains, and the clock has moved forwards or backwards.
        let hours = (i % 7) as i64 - 3;
        let other = if i % 5 == 0 { world.app().await } else { app.clone() };
        let now = NOW.plus_ms(hours * 3_600_000);
        assert!(other.drainer().drain(now, &DrainOrder::quiet(Trigger::Tick)).await.failure.is_none());
    }
    assert_bit_for_bit(&world, &app, &log).await;
}

async fn drains_at_once_leave_counts_exact(world: World) {
    let world = world.with("drain.batch_max", 40);
    let (one, other) = (world.app().await, world.app().await);
    let log = synthetic(4, 3_000);
    submit(&one, &log).await;
    let drains = [&one, &other, &one, &other];
    let (begun, runtime) = (AtomicUsize::new(0), tokio::runtime::Handle::current());
    // Each has looked at its first shard before any of them merges something.
    let beside_the_others = |app: &App| {
        let waits = AtomicBool::new(true);
        let progress = |_| {
            if waits.swap(false, Ordering::SeqCst) {
                begun.fetch_add(1, Ordering::SeqCst);
                until("the other drains to begin", || begun.load(Ordering::SeqCst) == drains.len());
            }
        };
        let order = DrainOrder { progress: &progress, ..DrainOrder::quiet(Trigger::Flush) };
        runtime.block_on(app.drainer().drain(NOW, &order))
    };
    let drained = std::thread::scope(|scope| {
        drains.map(|app| scope.spawn(|| beside_the_others(app))).map(|drain| drain.join().expect("no panic"))
    });
    assert!(drained.iter().all(|drained| drained.failure.is_none() && drained.complete), "{drained:?}");
    let applied: u64 = drained.iter().map(|drained| drained.applied).sum();
    assert_eq!(applied, 3_000, "each entry by one of them");
    assert_bit_for_bit(&world, &one, &log).await;
}

async fn the_balance_holds_at_every_look(world: World) {
    let world = world.with("drain.batch_max", 25);
    let (app, looker, log) = (world.app().await, world.app().await, synthetic(5, 2_000));
    app.catalogue().ensure_posts(posts(&POSTS)).await.unwrap();
    let appended = AtomicU64::new(0);
    let working = async {
        for part in log.chunks(250) {
            app.intake().append_all(part.to_vec(), None).await.unwrap();
            appended.fetch_add(part.len() as u64, Ordering::SeqCst);
            drain(&app).await;
        }
    };
    let (mut looks, mut accepted) = (0, 0);
    let looking = async {
        loop {
            let (balance, holds) = looker.drainer().balance().await.unwrap();
            assert!(holds, "{balance:?}");
            assert!(balance.accepted >= accepted, "{balance:?} after {accepted}");
            (looks, accepted) = (looks + 1, balance.accepted);
        }
    };
    tokio::select! {
        () = working => {}
        () = looking => {}
    }
    assert!(looks >= 10, "{looks} looks");
    let (balance, holds) = looker.drainer().balance().await.unwrap();
    assert!(holds);
    let found = (balance.accepted, balance.applied, balance.quarantined, balance.waiting);
    assert_eq!((found, balance.oldest_waiting_at), ((2_000, 2_000, 0, 0), None));
}

async fn an_entry_that_cannot_be_applied_does_not_affect_its_neighbours(world: World) {
    let world = world.with("drain.batch_max", 7);
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&POSTS)).await.unwrap();
    let log = synthetic(6, 300);
    let mut unknown = 0;
    for (i, good) in log.iter().enumerate() {
        let mut entries = vec![good.clone()];
        if i % 10 == 0 {
            entries.insert(0, entry("missing", &format!("u{i}"), Some(0), good.at));
            unknown += 1;
        }
        app.intake().append_all(entries, None).await.unwrap();
    }
    let drained = drain(&app).await;
    assert_eq!((drained.applied, drained.quarantined), (300, unknown));
    let rows = "select count(*) from quarantine where reason like '%no post missing%'";
    assert_eq!(world.db().count(rows), unknown as i64);
    assert_bit_for_bit(&world, &app, &log).await;
    let status = world.status();
    assert_eq!(status["quarantined"], unknown);
}

async fn a_drain_reports_its_work(world: World) {
    let world = world.with("drain.batch_max", 10);
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&["risen", "fallen", "new", "silent"])).await.unwrap();
    let rate = |post: &str, users: std::ops::Range<i64>, score, days| {
        let rated = |user| entry(post, &format!("u{user}"), Some(score), START.plus_ms(days * DAY_MS + user));
        users.map(rated).collect::<Vec<_>>()
    };
    let old = [rate("risen", 0..30, 1, 0), rate("fallen", 0..30, 5, 0), rate("silent", 0..3, 3, 0)].concat();
    app.intake().append_all(old, None).await.unwrap();
    drain(&app).await;
    let new =
        [rate("risen", 30..45, 5, 200), rate("fallen", 0..30, 0, 200), rate("new", 0..2, 4, 200)].concat();
    app.intake().append_all(new, None).await.unwrap();
    let (begun, merged) = (AtomicU64::new(0), AtomicU64::new(0));
    let order = DrainOrder {
        progress: &|step| match step {
            Progress::Begun(waiting) => drop(begun.fetch_add(waiting, Ordering::SeqCst)),
            Progress::Merged(entries) => drop(merged.fetch_add(entries, Ordering::SeqCst)),
        },
        ..DrainOrder::quiet(Trigger::Flush)
    };
    let drained = app.drainer().drain(NOW, &order).await;
    assert_eq!((begun.into_inner(), merged.into_inner()), (47, 47), "progress sums up");
    assert_eq!((drained.applied, drained.posts), (47, 3));
    assert!(drained.batches >= 5 && drained.failure.is_none(), "{drained:?}");
    let order: Vec<&str> = drained.moves.iter().map(|moved| moved.post_id.as_str()).collect();
    assert_eq!(order, ["fallen", "risen", "new"], "the largest move first, a first rating moves nothing");
    let (fallen, risen, new) = (&drained.moves[0], &drained.moves[1], &drained.moves[2]);
    assert!(fallen.before > fallen.after && risen.before < risen.after);
    assert_eq!(
        (fallen.published.raw_average, fallen.published.count),
        (Some(0.0), 30),
        "edits, each of them"
    );
    assert_eq!((risen.published.count, new.before, new.published.raw_average), (45, None, Some(4.0)));
    assert_eq!(drain(&app).await.batches, 0, "nothing is left");
}

async fn a_drain_that_is_out_of_time_leaves_the_rest_to_the_next(world: World) {
    let (app, log) = (world.app().await, synthetic(8, 500));
    submit(&app, &log).await;
    let late = DrainOrder { until: Some(Instant::now()), ..DrainOrder::quiet(Trigger::Tick) };
    let drained = app.drainer().drain(NOW, &late).await;
    assert_eq!((drained.applied, drained.complete), (0, false));
    assert!(drained.failure.is_none(), "running out of time is not an error");
    assert_eq!(world.status()["waiting"], 500);
    drain(&app).await;
    assert_bit_for_bit(&world, &app, &log).await;
}

async fn a_drain_that_is_stopped_ends_between_batches(world: World) {
    let world = world.with("drain.batch_max", 10).with("shards", 1);
    let (app, log) = (world.app().await, synthetic(9, 500));
    submit(&app, &log).await;
    let batches = Mutex::new(0);
    let order = DrainOrder {
        stop: &|| *batches.lock().unwrap() == 3,
        progress: &|step| {
            if let Progress::Merged(_) = step {
                *batches.lock().unwrap() += 1;
            }
        },
        ..DrainOrder::quiet(Trigger::Flush)
    };
    let drained = app.drainer().drain(NOW, &order).await;
    assert_eq!((drained.applied, drained.batches, drained.complete), (30, 3, false));
    assert_eq!(world.drained(), 30);
    drain(&app).await;
    assert_bit_for_bit(&world, &app, &log).await;
}

async fn the_longest_log_is_drained_first(world: World) {
    let world = world.with("shards", 4).with("drain.parallel_max", 1).with("drain.batch_max", 50);
    let (app, log) = (world.app().await, synthetic(12, 600));
    submit(&app, &log).await;
    let lengths = Mutex::new(Vec::new());
    let order = DrainOrder {
        progress: &|step| {
            if let Progress::Begun(waiting) = step {
                lengths.lock().unwrap().push(waiting);
            }
        },
        ..DrainOrder::quiet(Trigger::Flush)
    };
    assert!(app.drainer().drain(NOW, &order).await.complete);
    let lengths = lengths.into_inner().unwrap();
    assert_eq!(lengths.iter().sum::<u64>(), 600);
    assert!(lengths.is_sorted_by(|longer, shorter| longer >= shorter), "{lengths:?}");
    assert_bit_for_bit(&world, &app, &log).await;
}

async fn a_drain_leaves_nothing_in_the_log(world: World) {
    let app = world.app().await;
    submit(&app, &synthetic(10, 300)).await;
    drain(&app).await;
    if world.is_embedded() {
        assert_eq!(world.db().count("select count(*) from buffer"), 0);
    } else {
        let left = (0..16).map(|shard| format!("damper:{{{shard}}}:ratings"));
        let left: i64 = left.map(|stream| world.redis().command(&["XLEN", &stream]).int()).sum();
        assert_eq!(left, 0);
        let notes = world.redis().command(&["KEYS", "damper:{*}:*notes"]);
        assert_eq!(notes, crate::support::redis::Reply::List(vec![]), "and no note for readers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_set_ups_give_the_same_averages_bit_for_bit() {
    let mut found = Vec::new();
    for world in [World::embedded(), World::servers()] {
        let (app, log) = (world.app().await, synthetic(11, 2_500));
        submit(&app, &log).await;
        drain(&app).await;
        let states = world.store().await.posts(&POSTS.map(post_id)).await.unwrap();
        let averages: BTreeMap<_, _> =
            states.into_iter().flatten().map(|state| (state.post.id.clone(), bits(&state.average))).collect();
        found.push(averages);
    }
    assert_eq!(found[0].len(), POSTS.len());
    assert_eq!(found[0], found[1]);
}

async fn marks_of_withdrawals_that_no_longer_matter_are_forgotten(world: World) {
    let world = world.with("smoothing.vest_half_life_hours", 1);
    let app = world.app().await;
    let (old, recent) = (NOW.plus_ms(-10 * DAY_MS), NOW.plus_ms(-DAY_MS));
    let log: Vec<Entry> = [("ann", old), ("bob", old), ("eve", recent)]
        .into_iter()
        .flat_map(|(user, at)| [entry("quiet", user, Some(5), at), entry("quiet", user, None, at.plus_ms(1))])
        .collect();
    submit(&app, &log).await;
    drain(&app).await;
    let left = || {
        let rows: Vec<(String,)> = world.db().all("select user_id from withdrawals order by user_id");
        rows.into_iter().map(|(user,)| user).collect::<Vec<_>>()
    };
    assert_eq!(left(), ["ann", "bob", "eve"]);
    // What may still be retried is older.
    assert_eq!(app.upkeep().forget_marks(Retries::From(Position::START), NOW).await.unwrap(), 0);
    assert_eq!(app.upkeep().forget_marks(Retries::Many, NOW).await.unwrap(), 0);
    assert_eq!(app.upkeep().retries().await.unwrap(), Retries::None);
    assert_eq!(app.upkeep().forget_marks(Retries::None, NOW).await.unwrap(), 2);
    assert_eq!(left(), ["eve"], "some of it has yet to vest");
    // What is forgotten is new again: an old file brings a withdrawn rating back. One that is remembered does not.
    let stated = |user, at| {
        let terms = Terms { is_stated: true, ..Terms::default() };
        Entry { terms, ..entry("quiet", user, Some(5), at) }
    };
    submit(&app, &[stated("ann", old), stated("eve", recent)]).await;
    drain(&app).await;
    let rated: Vec<(String,)> = world.db().all("select user_id from ratings");
    assert_eq!(rated, [("ann".to_owned(),)]);
    // An entry for a post that does not exist waits in the quarantine.
    submit(&app, &[entry("nowhere", "ann", Some(5), NOW)]).await;
    app.drainer().drain(NOW, &DrainOrder::quiet(Trigger::Flush)).await;
    assert!(matches!(app.upkeep().retries().await.unwrap(), Retries::From(_)));
    let later = NOW.plus_ms(30 * DAY_MS);
    let gone = app.upkeep().forget_marks(app.upkeep().retries().await.unwrap(), later).await.unwrap();
    assert_eq!((gone, left().len()), (1, 0), "the mark is older than what waits");
    world.assert_consistent();
}
