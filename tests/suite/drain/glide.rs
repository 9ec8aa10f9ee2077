//! A bomb as readers see it: the published mean moves slowly, stays within the scores, and reaches the raw
//! mean.

use damper::App;
use damper::app::reading::OwnRating;
use damper::entry::Action;
use damper::model::{Score, Time, UserId};

use super::{DAY_MS, NOW, drain};
use crate::support::in_both_setups;
use crate::support::log::{entry, post_id, posts};
use crate::support::world::World;

in_both_setups!(async
    a_bomb_moves_the_published_mean_slowly_and_a_lasting_change_arrives,
    a_readers_own_rating_shows_at_once_and_counts_after_a_drain,
    a_flush_does_not_move_the_published_moment,
);

async fn published(app: &App, now: Time) -> f64 {
    let view = app.reader().post(&post_id("p"), None, now).await.unwrap();
    view.average.smoothed_mean(app.params()).expect("it is rated")
}

async fn a_bomb_moves_the_published_mean_slowly_and_a_lasting_change_arrives(world: World) {
    let world = world.with("tick", "0 */5 * * * *");
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&["p"])).await.unwrap();
    // Five a day for sixty days, then a thousand zeros within an hour.
    let born = NOW.plus_ms(-60 * DAY_MS);
    let honest =
        (0..300).map(|i| entry("p", &format!("u{i}"), Some(4 + i % 2), born.plus_ms(i * DAY_MS / 5)));
    app.intake().append_all(honest.collect(), None).await.unwrap();
    drain(&app).await;
    let before = published(&app, NOW).await;
    assert!((before - 4.5).abs() < 0.05, "{before}");
    let bomb = (0..1_000).map(|i| entry("p", &format!("b{i}"), Some(0), NOW.plus_ms(i * 3_000)));
    app.intake().append_all(bomb.collect(), None).await.unwrap();
    drain(&app).await;
    let view = app.reader().post(&post_id("p"), None, NOW).await.unwrap();
    assert_eq!((view.average.count(), view.average.sum()), (1_300, 1_350), "all of it counts, exactly");
    assert!(view.average.is_crowded(app.params()) && view.average.unvested() > 900.0);
    let after = async |days: i64| published(&app, NOW.plus_ms(DAY_MS / 24 + days * DAY_MS)).await;
    let day = after(1).await;
    assert!(day < before && day > before - 0.3, "{before} became {day} within a day");
    let (month, year) = (after(30).await, after(3_000).await);
    assert!(month < day && year < month, "{day} {month} {year}");
    assert!((year - 1_350.0 / 1_300.0).abs() < 1e-6, "{year}: in the end it is the raw mean");
}

async fn a_readers_own_rating_shows_at_once_and_counts_after_a_drain(world: World) {
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&["p"])).await.unwrap();
    let (post, ann) = (post_id("p"), UserId::parse("ann").unwrap());
    let now = Time::from(chrono::Utc::now());
    let own = async || app.reader().post(&post, Some(&ann), now).await.unwrap().own;
    let act = async |action| app.intake().submit(&post, &ann, action, now).await.unwrap();
    let shown = |score: Option<i64>, pending| {
        Some(OwnRating { score: score.map(|score| Score::parse(score).unwrap()), pending, held: false })
    };
    assert_eq!(own().await, None);
    let accepted = act(Action::Rate(Score::parse(0).unwrap())).await;
    assert_eq!((accepted.accepted_at, accepted.counts_from), (now, app.ticks().around(now).next));
    assert_eq!(own().await, shown(Some(0), true));
    drain(&app).await;
    assert_eq!(own().await, shown(Some(0), false));
    act(Action::Rate(Score::parse(5).unwrap())).await;
    assert_eq!(own().await, shown(Some(5), true));
    act(Action::Withdraw).await;
    assert_eq!(own().await, shown(None, true), "a withdrawal that waits");
    drain(&app).await;
    assert_eq!(own().await, None);
}

async fn a_flush_does_not_move_the_published_moment(world: World) {
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&["p"])).await.unwrap();
    app.intake()
        .append_all(vec![entry("p", "ann", Some(4), NOW.plus_ms(-400 * DAY_MS))], None)
        .await
        .unwrap();
    drain(&app).await;
    let tick = app.ticks().around(NOW).last;
    let view = async || app.reader().post(&post_id("p"), None, NOW).await.unwrap();
    assert_eq!(view().await.as_of, tick);
    // An entry from after the tick: the state's own time is published.
    let later = tick.plus_ms(DAY_MS);
    app.intake().append_all(vec![entry("p", "bob", Some(5), later)], None).await.unwrap();
    assert_eq!(view().await.as_of, tick, "nothing moves before a drain");
    drain(&app).await;
    assert_eq!((view().await.as_of, view().await.average.count()), (later, 2));
}
