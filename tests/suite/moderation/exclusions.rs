//! Exclusions, through the library and on any clock: what they cover, and what an undo restores.

use damper::entry::{Entry, Position, Ruling, Terms};
use damper::error::Error;
use damper::model::Time;
use serde_json::json;

use super::{DAY_MS, HOUR_MS, NOW, append, counts, decide, decision, hours, rated, user};
use crate::support::in_both_setups;
use crate::support::log::{START, bits, entry, post_id, posts};
use crate::support::world::World;

in_both_setups!(async
    ratings_in_two_exclusions_return_when_both_are_undone,
    a_new_rating_or_a_withdrawal_ends_the_exclusion,
    a_bomb_has_vested_no_further_when_its_exclusion_is_undone_a_week_later,
    later_ratings_are_not_covered,
    a_retry_from_before_an_exclusion_is_covered,
    a_waiting_exclusion_can_be_undone,
    a_retry_that_comes_too_late_creates_no_post,
    decisions_apply_in_log_order_however_it_is_cut,
);

async fn ratings_in_two_exclusions_return_when_both_are_undone(world: World) {
    let app = rated(&world, &[0, 1, 2, 3, 4, 5]).await;
    let (first, decided) = decide(&app, hours(0, 4), NOW).await;
    assert_eq!(decided.outcome.touched, 4);
    let (second, decided) = decide(&app, hours(2, 6), NOW.plus_ms(1)).await;
    assert_eq!(decided.outcome.touched, 2, "the others are out already");
    assert_eq!(counts(&app).await, ([0; 6], 6));
    let (_, decided) = decide(&app, Ruling::Undo(first), NOW.plus_ms(2)).await;
    assert_eq!(decided.outcome.touched, 2, "the second still covers the others");
    assert_eq!(counts(&app).await, ([1, 1, 0, 0, 0, 0], 4));
    let (_, decided) = decide(&app, Ruling::Undo(second), NOW.plus_ms(3)).await;
    assert_eq!(decided.outcome.touched, 4);
    assert_eq!(counts(&app).await, ([1; 6], 0));
    let again = app
        .moderation()
        .decisions()
        .decide(&post_id("p"), &user("mo"), decision(Ruling::Undo(second)), NOW)
        .await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    // An undo that comes too late changes nothing, and is recorded.
    let (_, decided) = decide(&app, Ruling::Undo(second), NOW.plus_ms(4)).await;
    assert!(decided.outcome.refused.is_some_and(|why| why.contains("already")));
    assert_eq!(counts(&app).await, ([1; 6], 0));
    world.assert_consistent();
}

async fn a_new_rating_or_a_withdrawal_ends_the_exclusion(world: World) {
    let app = rated(&world, &[0, 0, 0, 5]).await;
    let (id, _) = decide(&app, hours(0, 3), NOW).await;
    let again = [entry("p", "u0", Some(4), NOW.plus_ms(1)), entry("p", "u1", None, NOW.plus_ms(2))];
    app.intake().append_all(again.to_vec(), None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 0, 0, 0, 1, 1], 1), "a new rating, and nothing");
    let (_, decided) = decide(&app, Ruling::Undo(id), NOW.plus_ms(3)).await;
    assert_eq!(decided.outcome.touched, 1, "only the user who did neither");
    assert_eq!(counts(&app).await, ([1, 0, 0, 0, 1, 1], 0));
    world.assert_consistent();
}

async fn a_bomb_has_vested_no_further_when_its_exclusion_is_undone_a_week_later(world: World) {
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&["p"])).await.unwrap();
    let honest = (0..200).map(|i| entry("p", &format!("u{i}"), Some(5), START.plus_ms(i * 12 * HOUR_MS)));
    app.intake().append_all(honest.collect(), None).await.unwrap();
    let bombed_at = START.plus_ms(100 * DAY_MS);
    let bomb = (0..200).map(|i| entry("p", &format!("b{i}"), Some(0), bombed_at.plus_ms(i * 1_000)));
    app.intake().append_all(bomb.collect(), None).await.unwrap();
    let state = async || {
        world.store().await.posts(&[post_id("p")]).await.unwrap().remove(0).expect("it is there").average
    };
    let vested = |average: damper::smoothing::Average| average.count() as f64 - average.unvested();
    let after_a_day = bombed_at.plus_ms(DAY_MS);
    app.drainer().drain_post(&post_id("p"), after_a_day).await.unwrap();
    let mean = |average: damper::smoothing::Average| average.smoothed_mean(app.params()).expect("a mean");
    let before = state().await.at(after_a_day, app.params());
    assert!(mean(before) < 4.99, "the bomb moves it: {}", mean(before));
    let week = (100 * 24, 100 * 24 + 1);
    let (id, decided) = decide(&app, hours(week.0, week.1), after_a_day).await;
    assert_eq!((decided.outcome.touched, decided.outcome.after.average), (200, Some(5.0)));
    let without = state().await;
    let later = after_a_day.plus_ms(7 * DAY_MS);
    let waited = state().await.at(later, app.params());
    let (_, decided) = decide(&app, Ruling::Undo(id), later).await;
    assert_eq!(decided.outcome.touched, 200);
    let back = state().await;
    // As much as the bomb had vested when it was excluded, and no more (law 9).
    let (share, raised) = (vested(before) - vested(without), vested(back) - vested(waited));
    assert!((raised - share).abs() < 1e-6, "{raised} beside {share}");
    assert!(mean(back) > mean(before) - 1e-6, "{} beside {}", mean(back), mean(before));
    world.assert_consistent();
}

async fn later_ratings_are_not_covered(world: World) {
    let app = rated(&world, &[0, 0]).await;
    decide(&app, hours(0, 10), NOW).await;
    // An import adds more ratings of the same hours.
    app.intake().append_all(vec![entry("p", "late", Some(1), START.plus_ms(HOUR_MS))], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0, 1, 0, 0, 0, 0], 2));
    let (_, decided) = decide(&app, hours(0, 10), NOW.plus_ms(1)).await;
    assert_eq!(decided.outcome.touched, 1, "it lies in the next one's window");
    world.assert_consistent();
}

async fn a_retry_from_before_an_exclusion_is_covered(world: World) {
    let app = rated(&world, &[0, 0]).await;
    let (id, _) = decide(&app, hours(0, 10), NOW).await;
    // As a retry from the quarantine: with its original position.
    let late =
        Entry { origin: Some(Position::new(0, 1)), ..entry("p", "late", Some(1), START.plus_ms(HOUR_MS)) };
    app.intake().append_all(vec![late], None).await.unwrap();
    assert_eq!(counts(&app).await, ([0; 6], 3));
    world.assert_consistent();
    let (_, decided) = decide(&app, Ruling::Undo(id), NOW.plus_ms(1)).await;
    assert_eq!((decided.outcome.touched, counts(&app).await), (3, ([2, 1, 0, 0, 0, 0], 0)));
    world.assert_consistent();
}

async fn a_waiting_exclusion_can_be_undone(world: World) {
    let app = rated(&world, &[0, 5]).await;
    let (post, by, now) = (post_id("p"), user("mo"), Time::from(chrono::Utc::now()));
    let waiting = app
        .moderation()
        .decisions()
        .decide(&post, &by, decision(hours(0, 10)), now)
        .await
        .expect("it is taken");
    assert_eq!(world.status()["waiting"], 3, "nothing is merged yet");
    let undo = app
        .moderation()
        .decisions()
        .decide(&post, &by, decision(Ruling::Undo(waiting)), now)
        .await
        .expect("it is taken, too");
    let undone = app.moderation().decisions().outcome(&post, undo, now).await.expect("an outcome");
    assert_eq!((undone.outcome.touched, undone.outcome.refused), (2, None));
    assert_eq!(counts(&app).await, ([1, 0, 0, 0, 0, 1], 0));
    let beyond = Position::new(u64::MAX, 0);
    let never = app.moderation().decisions().decide(&post, &by, decision(Ruling::Undo(beyond)), now).await;
    assert!(matches!(never, Err(Error::NotFound(_))), "{never:?}");
}

async fn a_retry_that_comes_too_late_creates_no_post(world: World) {
    let app = world.app().await;
    let terms = Terms { creates_post: true, ..Terms::default() };
    let made = |score, origin| Entry { terms, origin, ..entry("p", "u", score, START) };
    // The rating is quarantined, since its post does not exist, and retried later on other terms.
    let rating = Entry { terms: Terms::default(), ..made(Some(5), None) };
    app.intake().append_all(vec![rating, made(None, None)], None).await.unwrap();
    app.drainer().drain_post(&post_id("p"), NOW).await.unwrap();
    app.intake().append_all(vec![made(Some(5), Some(Position::new(0, 1)))], None).await.unwrap();
    app.drainer().drain_post(&post_id("p"), NOW).await.unwrap();
    assert_eq!(world.db().count("select count(*) from posts"), 0, "the user wanted something else since");
    let status = world.status();
    assert_eq!((&status["applied"], &status["quarantined"]), (&json!(2), &json!(1)));
}

/// Ratings and decisions, one after the other, appended before anything is drained.
async fn decisions_apply_in_log_order_however_it_is_cut(world: World) {
    let mut outcomes = Vec::new();
    for batch in [1, 3, 20_000] {
        let world = match world.is_embedded() {
            true => World::embedded(),
            false => World::servers(),
        };
        let world = world.with("drain.batch_max", batch);
        let app = rated(&world, &[0, 5, 0, 5, 0, 5, 1]).await;
        let post = post_id("p");
        append(&app, hours(0, 3), NOW).await;
        app.intake()
            .append_all(
                vec![entry("p", "u0", Some(2), NOW.plus_ms(1)), entry("p", "v", Some(3), NOW.plus_ms(2))],
                None,
            )
            .await
            .unwrap();
        append(&app, Ruling::Freeze, NOW.plus_ms(3)).await;
        append(&app, hours(1, 5), NOW.plus_ms(4)).await;
        app.intake().append_all(vec![entry("p", "u1", None, NOW.plus_ms(5))], None).await.unwrap();
        let flushed = world.flush();
        assert_eq!(flushed["applied"], 13, "{flushed}");
        let state = world.store().await.posts(&[post]).await.unwrap().remove(0).expect("it is there");
        assert!(state.standing.is_frozen);
        let rows: Vec<(String, String)> =
            world.db().all("select user_id, status from ratings order by user_id");
        outcomes.push((bits(&state.average), state.standing.excluded, rows));
        world.assert_consistent();
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
}
