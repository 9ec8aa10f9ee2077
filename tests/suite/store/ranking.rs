//! The ranking follows posts that move without new ratings, a bounded number a tick, those first that lag most.

use damper::model::Time;

use super::{DAY_MS, Ledger};
use crate::support::in_both_setups;
use crate::support::log::{START, entry, post_id};
use crate::support::world::World;

in_both_setups!(async
    a_moving_post_is_ranked_by_what_is_published_later,
    a_bounded_number_is_ranked_and_the_oldest_first,
    a_post_that_stands_still_is_left_alone,
);

/// The ranking's value and moment of a post.
fn ranked(world: &World, post: &str) -> (f64, i64) {
    world.db().one(&format!("select smoothed, as_of from ranking where post_id = '{post}'"))
}

/// A post that fell from fives to zeros a moment before `as_of`.
async fn falling(ledger: &mut Ledger, post: &str, as_of: Time) {
    let old = (0..20).map(|i| entry(post, &format!("old{i}"), Some(5), START.plus_ms(i * DAY_MS)));
    ledger.as_of = as_of;
    ledger.commit(&old.collect::<Vec<_>>()).await;
    let new = (0..9).map(|i| entry(post, &format!("new{i}"), Some(0), as_of.plus_ms(-1)));
    ledger.commit(&new.collect::<Vec<_>>()).await;
}

async fn a_moving_post_is_ranked_by_what_is_published_later(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["p", "unrated"]).await;
    let then = START.plus_ms(60 * DAY_MS);
    falling(&mut ledger, "p", then).await;
    let published = async |at| {
        let average = ledger.store.posts(&[post_id("p")]).await.unwrap()[0].as_ref().unwrap().average;
        average.at(at, &ledger.params).smoothed_mean(&ledger.params).unwrap()
    };
    assert_eq!(ranked(&world, "p"), (published(then).await, then.ms()));
    let later = then.plus_ms(2 * DAY_MS);
    assert_eq!(ledger.store.rerank((later, &ledger.params), 10).await.unwrap(), 1);
    assert_eq!(ranked(&world, "p"), (published(later).await, later.ms()));
    assert!(published(later).await < published(then).await, "the post is falling");
    assert_eq!(ledger.store.rerank((later, &ledger.params), 10).await.unwrap(), 0, "that moment is done");
    assert_eq!(ranked(&world, "unrated"), (-1.0, 0));
}

async fn a_bounded_number_is_ranked_and_the_oldest_first(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["a", "b", "c"]).await;
    let moment = |days: i64| START.plus_ms((60 + days) * DAY_MS);
    for (post, days) in [("a", 2), ("b", 0), ("c", 1)] {
        falling(&mut ledger, post, moment(days)).await;
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        assert_eq!(ledger.store.rerank((moment(5), &ledger.params), 1).await.unwrap(), 1);
        let done = ["a", "b", "c"]
            .into_iter()
            .find(|post| ranked(&world, post).1 == moment(5).ms() && !order.contains(post));
        order.extend(done);
    }
    assert_eq!(order, ["b", "c", "a"]);
}

async fn a_post_that_stands_still_is_left_alone(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["p"]).await;
    let then = START.plus_ms(60 * DAY_MS);
    falling(&mut ledger, "p", then).await;
    // After ten years all has vested: ranked a last time, and never again.
    let settled = then.plus_ms(3_650 * DAY_MS);
    assert_eq!(ledger.store.rerank((settled, &ledger.params), 10).await.unwrap(), 1);
    let much_later = settled.plus_ms(DAY_MS);
    assert_eq!(ledger.store.rerank((much_later, &ledger.params), 10).await.unwrap(), 0);
    assert_eq!(ranked(&world, "p").1, settled.ms());
}
