//! The audit counts anew: silent on what is sound, and by name on what is not, over any number of pages.

use std::collections::BTreeMap;

use damper::store::{Recounted, Store, VERIFY_POSTS};

use super::Ledger;
use crate::support::in_both_setups;
use crate::support::log::{POSTS, START, entry, post_id, synthetic};
use crate::support::world::World;

in_both_setups!(async
    a_sound_store_has_no_differences,
    a_changed_score_is_named,
    a_changed_average_is_named,
    a_missing_rating_and_a_missing_average_are_named,
    one_post_is_audited_without_its_neighbours,
    every_post_of_many_pages_is_audited_once,
);

/// What an audit says of each post: how many ratings, and which figures differ.
async fn audit(store: &Store, post: Option<&str>) -> Vec<(String, u64, Vec<&'static str>)> {
    let mut audited = Vec::new();
    let post = post.map(post_id);
    let mut each = |found: Recounted| {
        let figures = found.differences.iter().map(|difference| difference.figure).collect();
        audited.push((found.post.to_string(), found.ratings, figures));
    };
    store.verify(post.as_ref(), &mut each).await.unwrap();
    audited
}

/// The differing figures by post.
async fn differences(store: &Store) -> BTreeMap<String, Vec<&'static str>> {
    let audited = audit(store, None).await.into_iter();
    audited.filter(|(_, _, figures)| !figures.is_empty()).map(|(post, _, figures)| (post, figures)).collect()
}

async fn ledger_with_a_log(world: &World) -> Ledger {
    let mut ledger = Ledger::with_posts(world, &POSTS).await;
    for chunk in synthetic(3, 1_500).chunks(400) {
        ledger.commit(chunk).await;
    }
    ledger
}

async fn a_sound_store_has_no_differences(world: World) {
    assert_eq!(audit(&*world.store().await, None).await, []);
    let ledger = ledger_with_a_log(&world).await;
    let audited = audit(&ledger.store, None).await;
    assert_eq!(audited.len(), POSTS.len());
    assert!(audited.iter().all(|(_, ratings, figures)| *ratings > 0 && figures.is_empty()), "{audited:?}");
    let ratings = world.db().count("select count(*) from ratings") as u64;
    assert_eq!(audited.iter().map(|(_, ratings, _)| ratings).sum::<u64>(), ratings);
}

async fn a_changed_score_is_named(world: World) {
    let ledger = ledger_with_a_log(&world).await;
    world.db().change(
        "update ratings set score = 5 where (post_id, user_id) in
         (select post_id, user_id from ratings where post_id = 'bombed' and user_id like 'bomber%' limit 1)",
    );
    let found = differences(&ledger.store).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["bombed"]);
    for figure in ["histogram 0", "histogram 5"] {
        assert!(found["bombed"].contains(&figure), "{found:?}");
    }
}

async fn a_changed_average_is_named(world: World) {
    let ledger = ledger_with_a_log(&world).await;
    for (change, figure) in [
        ("calm_count = calm_count + 1", "calm count"),
        ("surge_sum = surge_sum + 1", "surge sum"),
        ("count_3 = count_3 + 1", "histogram 3"),
        ("calm_vested = calm_vested + 0.001", "calm vested"),
        ("calm_settled_count = calm_settled_count - 0.001", "calm settled_count"),
        ("surge_settled_sum = surge_settled_sum + 0.001", "surge settled_sum"),
    ] {
        let back = change.replace(" + ", " ! ").replace(" - ", " + ").replace(" ! ", " - ");
        world.db().change(&format!("update averages set {change} where post_id = 'bombed'"));
        let found = differences(&ledger.store).await;
        assert_eq!(found, BTreeMap::from([("bombed".to_owned(), vec![figure])]), "{change}");
        world.db().change(&format!("update averages set {back} where post_id = 'bombed'"));
    }
    assert!(differences(&ledger.store).await.is_empty());
}

async fn a_missing_rating_and_a_missing_average_are_named(world: World) {
    let ledger = ledger_with_a_log(&world).await;
    world.db().change(
        "delete from ratings where post_id = 'honest' and user_id =
                       (select min(user_id) from ratings where post_id = 'honest')",
    );
    // Among the others in the order of ids, and behind the last of them.
    for orphan in ["m-orphan", "~~"] {
        world.db().change(&format!(
            "insert into ratings select '{orphan}', user_id, score, status, lane, rated_at, position,
             vest_clock, unvested_sum, unvested_count from ratings where post_id = 'quiet' limit 1"
        ));
    }
    let found = differences(&ledger.store).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["honest", "m-orphan", "~~"]);
    assert!(found.values().all(|figures| figures.iter().any(|figure| figure.ends_with(" count"))));
    assert_eq!(audit(&ledger.store, Some("~~")).await.len(), 1, "asked for alone it is found too");
}

async fn one_post_is_audited_without_its_neighbours(world: World) {
    // Neighbours in the order of bytes, and one the beginning of another.
    let ids = ["+", "-", ".a", "A", "a", "a+", "a-", "a-z", "a.", "a~", "aa", "b", "~"];
    let mut ledger = Ledger::with_posts(&world, &ids).await;
    for (i, id) in ids.iter().enumerate() {
        let ratings: Vec<_> = (0..=i).map(|n| entry(id, &format!("u{n}"), Some(3), START)).collect();
        ledger.commit(&ratings).await;
    }
    for (i, id) in ids.iter().enumerate() {
        let expected = [((*id).to_owned(), i as u64 + 1, vec![])];
        assert_eq!(audit(&ledger.store, Some(id)).await, expected);
    }
    assert_eq!(audit(&ledger.store, Some("never-rated")).await, []);
}

async fn every_post_of_many_pages_is_audited_once(world: World) {
    let count = 2 * VERIFY_POSTS + 100;
    let ids: Vec<String> = (0..count).map(|i| format!("post-{i:05}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut ledger = Ledger::with_posts(&world, &names).await;
    ledger.commit(&names.iter().map(|id| entry(id, "ann", Some(2), START)).collect::<Vec<_>>()).await;
    let audited = audit(&ledger.store, None).await;
    let expected: Vec<_> = ids.iter().map(|id| (id.clone(), 1, vec![])).collect();
    assert_eq!(audited, expected);
    // The last of a page, the first of the next, and the very last.
    let wrong = [VERIFY_POSTS - 1, VERIFY_POSTS, count - 1].map(|i| ids[i].clone());
    world.db().change(&format!(
        "update averages set calm_sum = calm_sum + 1 where post_id in ('{}')",
        wrong.join("', '")
    ));
    let found = differences(&ledger.store).await;
    assert_eq!(found.keys().cloned().collect::<Vec<_>>(), wrong);
}
