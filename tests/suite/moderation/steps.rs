//! Decisions over many ratings are merged in steps: other ratings are taken meanwhile, readers see nothing or all of it,
//! and a drain that is killed at any step comes out the same.

use std::time::Instant;

use damper::app::drain::DrainOrder;
use damper::entry::{Ruling, Window};
use damper::error::Error;
use damper::model::Time;
use damper::smoothing::Average;
use damper::store::Trigger;

use super::{append, user};
use crate::support::in_both_setups;
use crate::support::log::{bits, entry, post_id, posts};
use crate::support::world::World;

in_both_setups!(async
    an_exclusion_that_is_killed_at_every_step_comes_out_bit_for_bit_the_same,
    ratings_are_taken_while_an_exclusion_is_merged,
);

const FIRST: i64 = 1_790_000_000;

fn at(seconds: i64) -> Time {
    Time::from_ms((FIRST + seconds) * 1_000)
}

/// The exclusion of most of the ratings that [`rated`] leaves, at this moment.
const DECIDED: Time = Time::from_ms((FIRST + 1_000_000) * 1_000);

fn exclusion() -> Ruling {
    Ruling::Exclude(Window::new(at(1_000), at(500_000), Vec::new(), DECIDED).expect("a window"))
}

/// Rates the post by so many users, a second apart, and merges that.
fn rated(world: &World, ratings: i64) {
    let lines: String = (0..ratings).map(|i| format!("p,u{i},{},{}\n", i % 6, FIRST + i)).collect();
    world.import(&lines);
    world.flush();
}

/// What readers see of the post: its average, and how many ratings are under review.
async fn seen(world: &World) -> (Average, u64) {
    let state = world.store().await.posts(&[post_id("p")]).await.unwrap().remove(0).expect("it is there");
    (state.average, state.standing.under_review())
}

async fn an_exclusion_that_is_killed_at_every_step_comes_out_bit_for_bit_the_same(world: World) {
    let reference = World::embedded();
    let mut outcomes = Vec::new();
    for world in [&reference, &world] {
        rated(world, 12_000);
        let app = world.app().await;
        append(&app, exclusion(), DECIDED).await;
        if !std::ptr::eq(world, &reference) {
            let before = seen(world).await;
            for place in [
                "bulk.paged",
                "bulk.written",
                "bulk.stepped",
                "bulk.walked",
                "commit.swapped",
                "commit.written",
            ] {
                world.flush_killed_at(place, 1);
                assert_eq!(seen(world).await, before, "readers see nothing of it: {place}");
                assert_eq!(world.status()["waiting"], 1, "{place}");
                world.cli(&["verify"]).expect(0);
            }
            let step = "select cast(sum(step) as bigint) from checkpoints";
            assert!(world.db().count(step) > 0, "steps are kept");
            let window = Window::open(None, None, Vec::new(), DECIDED).unwrap();
            let preview = app.moderation().preview(&post_id("p"), &user("mo"), window, DECIDED).await;
            assert!(matches!(preview, Err(Error::Busy(_))), "{preview:?}");
        }
        app.drainer().drain_post(&post_id("p"), DECIDED).await.unwrap();
        let (average, under_review) = seen(world).await;
        let rows: Vec<(String, String)> =
            world.db().all("select user_id, status from ratings order by user_id");
        let newest =
            app.moderation().audit_page(Some(&post_id("p")), None, None, 1).await.unwrap().items.remove(0);
        outcomes.push((bits(&average), under_review, rows, newest.outcome));
        world.assert_consistent();
    }
    assert_eq!((outcomes[0].1, outcomes[0].3.touched), (11_000, 11_000));
    assert!(outcomes[0] == outcomes[1], "{:?} {:?}", outcomes[0].3, outcomes[1].3);
}

async fn ratings_are_taken_while_an_exclusion_is_merged(world: World) {
    const RATINGS: i64 = 60_000;
    // One shard: the rating of another post meets the decision at every server.
    let world = world.with("shards", 1).with("buffer.append_timeout_ms", 500);
    rated(&world, RATINGS);
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&["other"])).await.unwrap();
    append(&app, exclusion(), DECIDED).await;
    let (before, draining) = (seen(&world).await, app.clone());
    let draining = tokio::spawn(async move { draining.drainer().drain_post(&post_id("p"), DECIDED).await });
    let (store, mut taken, mut slowest) = (world.store().await, 0, 0);
    while !draining.is_finished() {
        let asked = Instant::now();
        let rating = entry("other", &format!("u{taken}"), Some(3), DECIDED);
        app.intake().append_all(vec![rating], None).await.expect("it is taken");
        slowest = slowest.max(asked.elapsed().as_millis());
        taken += 1;
        let state = store.posts(&[post_id("p")]).await.unwrap().remove(0).expect("it is there");
        let count = state.average.count();
        assert!(
            count == RATINGS as u64 && state.average == before.0 || count == 1_000,
            "half of it: {count}"
        );
    }
    draining.await.unwrap().unwrap();
    eprintln!("{taken} ratings were taken meanwhile, the slowest in {slowest} ms");
    assert!(taken > 10, "only {taken} were taken meanwhile");
    let rest = app.drainer().flush(DECIDED, &DrainOrder::quiet(Trigger::Flush)).await.unwrap();
    assert!(rest.waiting == 0 && seen(&world).await.1 == RATINGS as u64 - 1_000, "{rest:?}");
    world.assert_consistent();
}

/// The entry of a decision under way is kept with its steps.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_under_way_is_finished_though_the_log_came_back_without_it() {
    let world = World::servers().with("shards", 1);
    rated(&world, 12_000);
    let app = world.app().await;
    append(&app, exclusion(), DECIDED).await;
    world.flush_killed_at("bulk.stepped", 1);
    world.redis().command(&["FLUSHALL"]);
    app.intake().append_all(vec![entry("p", "later", Some(5), DECIDED)], None).await.unwrap();
    assert_eq!(world.status()["waiting"], 2, "it waits, though only the store has it any more");
    world.flush();
    assert_eq!(world.status()["lost"], 0, "it was merged");
    let (average, under_review) = seen(&world).await;
    assert_eq!((average.count(), under_review), (1_001, 11_000));
    world.assert_consistent();
}
