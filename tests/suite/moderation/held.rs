//! Held ratings: none of them counts before it is approved or released.

use std::sync::Arc;

use damper::App;
use damper::entry::{Action, Entry, Hold, Position, Ruling, Terms, Which, Window};
use damper::error::Error;
use damper::model::{Score, Time};

use damper::smoothing::{Average, UserState, When};
use serde_json::json;

use super::{DAY_MS, HOUR_MS, NOW, append, decide, decision, hours, rated, tick, user};
use crate::support::in_both_setups;
use crate::support::log::{START, bits, entry, post_id};
use crate::support::world::World;

mod library {
    use super::*;

    in_both_setups!(async
        a_held_rating_is_an_arrival_until_it_is_approved_and_counts_once,
        a_new_rating_replaces_a_held_one_and_is_held,
        a_withdrawal_removes_the_held_rating_too,
        only_ratings_for_the_surge_lane_are_held,
        an_excluded_held_rating_is_neither_approved_nor_released,
        a_frozen_post_takes_an_approval,
        an_undecided_rating_is_released,
        a_tick_releases_at_most_a_thousand,
        a_retry_does_not_replace_a_rating_held_since,
        an_entry_older_than_a_rejected_rating_does_not_count,
        a_repeat_does_not_forget_what_was_rejected,
        a_drain_that_is_killed_in_the_middle_of_an_approval_leaves_the_same,
    );
}

mod both {
    #[tokio::test(flavor = "multi_thread")]
    async fn holds_and_decisions_come_out_the_same_however_the_log_is_cut() {
        super::holds_and_decisions_come_out_the_same_however_the_log_is_cut().await;
    }
}

const ALWAYS: Ruling = Ruling::Hold(Some(Hold::Always));

fn approve(id: &str) -> Ruling {
    Ruling::Approve(Which::User(user(id)))
}

/// The post's histogram, and its numbers of held and excluded ratings.
async fn counts(app: &App) -> ([u64; Score::COUNT], u64, u64) {
    app.drainer().drain_post(&post_id("p"), NOW).await.unwrap();
    let found = app.reader().posts(&[post_id("p")], None, NOW).await.unwrap();
    (found[0].average.histogram, found[0].standing.held, found[0].standing.excluded)
}

async fn average(world: &World) -> Average {
    world.store().await.posts(&[post_id("p")]).await.unwrap().remove(0).expect("it is there").average
}

/// A post that holds everything, and one rating of it by `u`, an hour before [`NOW`].
async fn holding(world: &World, score: i64) -> Arc<App> {
    let app = rated(world, &[]).await;
    append(&app, ALWAYS, START).await;
    app.intake().append_all(vec![entry("p", "u", Some(score), NOW.plus_ms(-HOUR_MS))], None).await.unwrap();
    app
}

async fn a_held_rating_is_an_arrival_until_it_is_approved_and_counts_once(world: World) {
    let app = holding(&world, 4).await;
    assert_eq!(counts(&app).await, ([0; 6], 1, 0));
    let (mut expected, mut u) = (Average::default(), UserState::default());
    let when = When { at: NOW.plus_ms(-HOUR_MS), is_stated: false };
    u.hold(&mut expected, Score::parse(4).unwrap(), when, app.params());
    assert_eq!(bits(&average(&world).await), bits(&expected));
    let (_, decided) = decide(&app, approve("u"), NOW).await;
    assert_eq!((decided.outcome.touched, decided.outcome.after.count), (1, 1));
    u.release(&mut expected, NOW, app.params());
    assert_eq!(bits(&average(&world).await), bits(&expected), "it arrived when it was held");
    let (_, twice) = decide(&app, approve("u"), NOW.plus_ms(1)).await;
    assert!(twice.outcome.refused.is_some_and(|why| why.contains("no rating of u is held")));
    assert_eq!(counts(&app).await, ([0, 0, 0, 0, 1, 0], 0, 0));
    let never =
        app.moderation().decisions().decide(&post_id("p"), &user("mo"), decision(approve("v")), NOW).await;
    assert!(matches!(never, Err(Error::NotFound(_))), "{never:?}");
    world.assert_consistent();
}

async fn a_new_rating_replaces_a_held_one_and_is_held(world: World) {
    let app = rated(&world, &[2]).await;
    append(&app, ALWAYS, NOW).await;
    let again = |score, ms| entry("p", "u0", Some(score), NOW.plus_ms(ms));
    app.intake().append_all(vec![again(5, 1), again(4, 2)], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 1, 0), "what counted goes on counting");
    // While a rating is held, new ones are held too, whatever the policy is now.
    append(&app, Ruling::Hold(Some(Hold::Off)), NOW.plus_ms(3)).await;
    app.intake().append_all(vec![again(1, 4)], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 1, 0));
    decide(&app, approve("u0"), NOW.plus_ms(5)).await;
    assert_eq!(counts(&app).await, ([0, 1, 0, 0, 0, 0], 0, 0));
    append(&app, ALWAYS, NOW.plus_ms(6)).await;
    app.intake().append_all(vec![again(0, 7)], None).await.unwrap();
    let (_, rejected) = decide(&app, Ruling::Reject(Which::User(user("u0"))), NOW.plus_ms(8)).await;
    assert_eq!(rejected.outcome.touched, 1);
    assert_eq!(counts(&app).await, ([0, 1, 0, 0, 0, 0], 0, 0), "what counted goes on counting");
    world.assert_consistent();
}

async fn a_withdrawal_removes_the_held_rating_too(world: World) {
    let app = rated(&world, &[2]).await;
    append(&app, ALWAYS, NOW).await;
    let entries = [
        entry("p", "u0", Some(5), NOW.plus_ms(1)),
        entry("p", "v", Some(5), NOW.plus_ms(2)),
        entry("p", "u0", None, NOW.plus_ms(3)),
    ];
    app.intake().append_all(entries.to_vec(), None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 1, 0));
    app.intake().append_all(vec![entry("p", "v", None, NOW.plus_ms(4))], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 0, 0));
    assert_eq!(world.db().count("select count(*) from held"), 0);
    world.assert_consistent();
}

async fn only_ratings_for_the_surge_lane_are_held(world: World) {
    let honest: Vec<Entry> =
        (0..60).map(|i| entry("p", &format!("u{i}"), Some(4), START.plus_ms(i * DAY_MS))).collect();
    let bomb = (0..50).map(|i| entry("p", &format!("b{i}"), Some(0), NOW.plus_ms(i * 1_000)));
    let log: Vec<Entry> = honest.into_iter().chain(bomb).collect();
    let app = rated(&world, &[]).await;
    append(&app, Ruling::Hold(Some(Hold::Surge)), START).await;
    app.intake().append_all(log.clone(), None).await.unwrap();
    let (histogram, held, _) = counts(&app).await;
    let average = average(&world).await;
    assert_eq!((average.surge.count, average.count() + held), (0, 110));
    // The bomb's ratings that would not take the surge lane count.
    let mut unheld = Average::default();
    for entry in &log {
        let (score, when) = (entry.action.score().expect("a score"), When { at: entry.at, is_stated: false });
        UserState::default().rate(&mut unheld, score, when, app.params());
    }
    assert_eq!((held, histogram[4]), (unheld.surge.count, 60));
    assert!(held > 40, "{held}");
    let window = Window::new(NOW, NOW.plus_ms(DAY_MS), Vec::new(), NOW.plus_ms(DAY_MS)).unwrap();
    let (_, rejected) = decide(&app, Ruling::Reject(Which::Window(window)), NOW.plus_ms(DAY_MS)).await;
    assert_eq!((rejected.outcome.touched, counts(&app).await.1), (held, 0));
    world.assert_consistent();
}

async fn an_excluded_held_rating_is_neither_approved_nor_released(world: World) {
    let app = rated(&world, &[1, 1]).await;
    append(&app, ALWAYS, START.plus_ms(2 * HOUR_MS)).await;
    let at = |hours| START.plus_ms(hours * HOUR_MS);
    let entries = [entry("p", "u0", Some(5), at(3)), entry("p", "v", Some(5), at(4))];
    app.intake().append_all(entries.to_vec(), None).await.unwrap();
    let preview = Window::new(at(0), at(10), Vec::new(), NOW).unwrap();
    counts(&app).await;
    let preview = app.moderation().preview(&post_id("p"), &user("mo"), preview, NOW).await.unwrap();
    assert_eq!((preview.outcome.touched, preview.outcome.held, preview.users), (2, 2, 3));
    let (id, decided) = decide(&app, hours(0, 10), NOW).await;
    assert_eq!((decided.outcome.touched, decided.outcome.held), (2, 2));
    assert_eq!(counts(&app).await, ([0; 6], 0, 4));
    let all = Which::Window(Window::open(None, None, Vec::new(), NOW).unwrap());
    let (_, approved) = decide(&app, Ruling::Approve(all), NOW.plus_ms(1)).await;
    assert_eq!((approved.outcome.touched, approved.outcome.refused), (0, None));
    tick(&app, NOW.plus_ms(2)).await;
    assert_eq!(counts(&app).await, ([0; 6], 0, 4), "long after, nothing is released");
    // A new rating is held for itself.
    app.intake().append_all(vec![entry("p", "v", Some(3), NOW.plus_ms(3))], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 1, 3));
    let (_, undone) = decide(&app, Ruling::Undo(id), NOW.plus_ms(4)).await;
    assert_eq!((undone.outcome.touched, undone.outcome.held), (2, 1));
    assert_eq!(counts(&app).await, ([0, 2, 0, 0, 0, 0], 2, 0));
    world.assert_consistent();
}

async fn a_frozen_post_takes_an_approval(world: World) {
    let app = holding(&world, 3).await;
    append(&app, Ruling::Freeze, NOW).await;
    let (_, decided) = decide(&app, approve("u"), NOW.plus_ms(1)).await;
    assert_eq!((decided.outcome.touched, counts(&app).await.0), (1, [0, 0, 0, 1, 0, 0]));
}

async fn an_undecided_rating_is_released(world: World) {
    // Only a worker whose clock is right appends a release.
    let now = Time::from(chrono::Utc::now());
    let ago = |hours: i64| now.plus_ms(-hours * HOUR_MS);
    let app = rated(&world, &[]).await;
    append(&app, ALWAYS, START).await;
    let rate = |user: &str, score, at| entry("p", user, Some(score), at);
    let both = vec![rate("u", 2, ago(72).plus_ms(-1)), rate("v", 3, ago(71))];
    app.intake().append_all(both, None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 2, 0));
    assert_eq!(app.moderation().released_at(ago(71)), Some(now.plus_ms(HOUR_MS)));
    let held = async || {
        let held = world.store().await.held_of(&user("u"), &[post_id("p")]).await.unwrap().remove(0);
        held.expect("it is held").position
    };
    let first = held().await;
    // Two workers at once append the same release twice, before either merges it.
    let (one, two) = (world.app().await, world.app().await);
    for worker in [&one, &two] {
        worker.moderation().decisions().release_overdue(now).await;
    }
    assert_eq!(world.status()["waiting"], 2, "each has appended it");
    tokio::join!(tick(&one, now), tick(&two, now));
    // Another process sees the changes of these two within a second.
    let app = world.app().await;
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 1, 0), "the other's time has not come");
    let audit = app.moderation().audit_page(None, None, None, 10).await.unwrap().items;
    assert_eq!(audit.len(), 1, "the only decision is the policy");
    // A late release does not apply to a rating held since.
    app.intake().append_all(vec![rate("u", 5, now)], None).await.unwrap();
    tick(&app, now).await;
    assert_ne!(held().await, first);
    let release = Entry::new(post_id("p"), user("u"), now, Action::Release(first));
    app.intake().append_all(vec![release], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 2, 0));
    world.assert_consistent();
    // 0 means never.
    let never = world.with("moderation.hold_release_hours", 0);
    let app = never.app().await;
    app.intake().append_all(vec![rate("w", 4, ago(10_000))], None).await.unwrap();
    tick(&app, now).await;
    assert_eq!((counts(&app).await.1, app.moderation().released_at(now)), (3, None));
}

async fn a_tick_releases_at_most_a_thousand(world: World) {
    let now = Time::from(chrono::Utc::now());
    let app = rated(&world, &[]).await;
    append(&app, ALWAYS, START).await;
    let old = now.plus_ms(-100 * HOUR_MS);
    let many = (0..1_500).map(|i| entry("p", &format!("u{i}"), Some(3), old.plus_ms(i)));
    app.intake().append_all(many.collect(), None).await.unwrap();
    for (counted, held) in [(0, 1_500), (1_000, 500), (1_500, 0), (1_500, 0)] {
        assert_eq!(counts(&app).await, ([0, 0, 0, counted, 0, 0], held, 0));
        tick(&app, now).await;
    }
    world.assert_consistent();
}

async fn a_retry_does_not_replace_a_rating_held_since(world: World) {
    let app = holding(&world, 5).await;
    counts(&app).await;
    let retry = Entry { origin: Some(Position::new(0, 1)), ..entry("p", "u", Some(0), START) };
    app.intake().append_all(vec![retry], None).await.unwrap();
    decide(&app, approve("u"), NOW).await;
    assert_eq!(counts(&app).await, ([0, 0, 0, 0, 0, 1], 0, 0), "the newer one");
}

async fn an_entry_older_than_a_rejected_rating_does_not_count(world: World) {
    let app = rated(&world, &[2]).await;
    append(&app, ALWAYS, NOW).await;
    app.intake()
        .append_all(vec![entry("p", "u0", Some(5), NOW), entry("p", "v", Some(5), NOW)], None)
        .await
        .unwrap();
    for rejected in ["u0", "v"] {
        decide(&app, Ruling::Reject(Which::User(user(rejected))), NOW.plus_ms(1)).await;
    }
    append(&app, Ruling::Hold(None), NOW.plus_ms(2)).await;
    let retry = |user: &str| Entry { origin: Some(Position::new(0, 1)), ..entry("p", user, Some(0), START) };
    app.intake().append_all(vec![retry("u0"), retry("v")], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 1, 0, 0, 0], 0, 0), "both wanted something newer");
    world.assert_consistent();
}

async fn a_repeat_does_not_forget_what_was_rejected(world: World) {
    let app = rated(&world, &[2]).await;
    append(&app, hours(-1, 1), NOW).await;
    append(&app, ALWAYS, NOW.plus_ms(1)).await;
    app.intake().append_all(vec![entry("p", "u0", Some(0), NOW.plus_ms(2))], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 1, 1));
    let held = world.store().await.held_of(&user("u0"), &[post_id("p")]).await.unwrap().remove(0).unwrap();
    decide(&app, Ruling::Reject(Which::User(user("u0"))), NOW.plus_ms(3)).await;
    append(&app, Ruling::Hold(None), NOW.plus_ms(4)).await;
    // The excluded rating's own score changes nothing; then the request of the rejected one comes once more.
    let repeat = entry("p", "u0", Some(2), NOW.plus_ms(5));
    let retry = Entry { origin: Some(held.position), ..entry("p", "u0", Some(0), NOW.plus_ms(2)) };
    app.intake().append_all(vec![repeat, retry], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 0, 1), "it was rejected");
    world.assert_consistent();
}

async fn holds_and_decisions_come_out_the_same_however_the_log_is_cut() {
    let mut outcomes = Vec::new();
    for is_embedded in [true, false] {
        for batch in [1, 4, 20_000] {
            let world = if is_embedded { World::embedded() } else { World::servers() };
            let world = world.with("drain.batch_max", batch);
            let app = rated(&world, &[0, 5, 1]).await;
            let at = |seconds: i64| NOW.plus_ms(seconds * 1_000);
            let young = Terms { is_too_young: true, ..Terms::default() };
            let always = Terms { hold: Hold::Always, ..Terms::default() };
            let rate = |user: &str, score, seconds, terms| Entry {
                terms,
                ..entry("p", user, Some(score), at(seconds))
            };
            app.intake()
                .append_all(vec![rate("y", 0, 0, young), rate("a", 1, 1, always)], None)
                .await
                .unwrap();
            append(&app, Ruling::Hold(Some(Hold::Surge)), at(2)).await;
            app.intake()
                .append_all((0..20).map(|i| rate(&format!("b{i}"), 0, 3 + i, always)).collect(), None)
                .await
                .unwrap();
            append(&app, approve("y"), at(30)).await;
            let gone = entry("p", "b17", None, at(33));
            let again = vec![rate("y", 3, 31, young), rate("b19", 4, 32, always), gone];
            app.intake().append_all(again, None).await.unwrap();
            let window = Window::new(at(0), at(20), Vec::new(), at(40)).unwrap();
            append(&app, Ruling::Exclude(window.clone()), at(40)).await;
            append(&app, Ruling::Reject(Which::User(user("b18"))), at(41)).await;
            append(&app, Ruling::Approve(Which::Window(Window { to: at(60), ..window })), at(42)).await;
            let flushed = world.flush();
            assert_eq!((&flushed["quarantined"], &world.status()["waiting"]), (&json!(0), &json!(0)));
            let state = world.store().await.posts(&[post_id("p")]).await.unwrap().remove(0).unwrap();
            let rows: Vec<(String, String)> =
                world.db().all("select user_id, status from held order by user_id");
            let rated: Vec<(String, String)> =
                world.db().all("select user_id, status from ratings order by user_id");
            assert!(state.standing.excluded > 0 && !rows.is_empty(), "{:?} {rows:?}", state.standing);
            outcomes.push((bits(&state.average), state.standing, rows, rated));
            world.assert_consistent();
        }
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
}

async fn a_drain_that_is_killed_in_the_middle_of_an_approval_leaves_the_same(world: World) {
    let app = rated(&world, &[5]).await;
    append(&app, ALWAYS, START).await;
    let bulk = (0..12_000).map(|i| entry("p", &format!("h{i:05}"), Some(i % 6), NOW.plus_ms(i)));
    app.intake().append_all(bulk.collect(), None).await.unwrap();
    assert_eq!(counts(&app).await.1, 12_000);
    let all = Window::open(None, None, Vec::new(), NOW.plus_ms(DAY_MS)).unwrap();
    append(&app, Ruling::Approve(Which::Window(all)), NOW.plus_ms(DAY_MS)).await;
    for (place, pass) in [("bulk.paged", 2), ("bulk.walked", 1)] {
        world.flush_killed_at(place, pass);
        assert_eq!(world.db().count("select held from posts"), 12_000, "readers see nothing of it");
        world.cli(&["verify"]).expect(0);
    }
    app.drainer().drain_post(&post_id("p"), NOW.plus_ms(DAY_MS)).await.unwrap();
    assert_eq!(counts(&app).await, ([2_000, 2_000, 2_000, 2_000, 2_000, 2_001], 0, 0));
    world.assert_consistent();
}
