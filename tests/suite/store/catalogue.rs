//! Posts as the store keeps them, the lists they stand in, and the record of drains.

use damper::model::post::Post;
use damper::model::{Time, UserId};
use damper::store::{Added, DrainRun, PageKey, Sort, Store, Trigger};

use super::Ledger;
use crate::support::in_both_setups;
use crate::support::log::{START, entry, post_id, posts};
use crate::support::world::World;

in_both_setups!(async
    posts_are_added_once_and_keep_their_texts,
    posts_are_told_in_the_order_asked,
    long_contents_are_left_out_where_they_are_not_needed,
    the_newest_are_listed_first_a_page_at_a_time,
    the_highest_are_listed_first_and_the_unrated_last,
    drains_are_kept_newest_first,
    an_author_makes_so_many_posts_a_day,
);

async fn posts_are_added_once_and_keep_their_texts(world: World) {
    let store = world.store().await;
    let post = Post {
        id: post_id("p"),
        title: "A \"quoted\" ' title; drop table posts; -- ☃".into(),
        content: Some("line one\nline two\u{1}\t\\ 𝄞".into()),
        created_by: Some(UserId::parse("ann").unwrap()),
        repost_of: None,
        reposts: 0,
        created_at: START,
        revision: 1,
    };
    assert_eq!(store.add_posts(std::slice::from_ref(&post)).await.unwrap(), 1);
    let impostor = Post { title: "Another".into(), created_at: START.plus_ms(1), ..post.clone() };
    let twice = [impostor, posts(&["q"]).remove(0), posts(&["q"]).remove(0)];
    assert_eq!(store.add_posts(&twice).await.unwrap(), 1, "only q is new, and once");
    assert_eq!(store.add_posts(&[]).await.unwrap(), 0);
    let found = store.posts(&[post_id("p"), post_id("q")]).await.unwrap();
    assert_eq!(found[0].as_ref().map(|state| &state.post), Some(&post));
    assert_eq!(found[1].as_ref().map(|state| &state.post), posts(&["q"]).first());
    assert_eq!(store.count_posts().await.unwrap(), 2);
}

async fn posts_are_told_in_the_order_asked(world: World) {
    let store = world.store().await;
    store.add_posts(&posts(&["b", "a", "B"])).await.unwrap();
    let asked = ["B", "nobody-made-it", "a", "b", "a"].map(post_id);
    let found = store.posts(&asked).await.unwrap();
    let found: Vec<_> =
        found.iter().map(|state| state.as_ref().map(|state| state.post.id.as_str())).collect();
    assert_eq!(found, [Some("B"), None, Some("a"), Some("b"), Some("a")]);
    assert!(store.posts(&[]).await.unwrap().is_empty());
}

async fn long_contents_are_left_out_where_they_are_not_needed(world: World) {
    let store = world.store().await;
    let with = |id: &str, content: Option<String>| Post { content, ..posts(&[id]).remove(0) };
    // Bytes, not characters.
    let made = [with("fits", Some("é".repeat(5))), with("long", Some("é".repeat(6))), with("none", None)];
    store.add_posts(&made).await.unwrap();
    let found = store.posts_cut(&["none", "long", "fits", "missing"].map(post_id), 10).await.unwrap();
    let found: Vec<_> = found
        .into_iter()
        .map(|found| found.map(|(state, is_cut)| (state.post.title, state.post.content, is_cut)))
        .collect();
    let fits = Some(("fits".to_owned(), Some("ééééé".to_owned()), false));
    assert_eq!(found, [Some(("none".into(), None, false)), Some(("long".into(), None, true)), fits, None]);
}

/// All pages of a list, each of at most three.
async fn walk(store: &Store, sort: Sort) -> Vec<String> {
    let (mut listed, mut after): (Vec<String>, Option<PageKey>) = (Vec::new(), None);
    loop {
        let page = store.page(sort, None, after.as_ref(), 3).await.unwrap();
        assert!(page.iter().all(|key| key.sort() == sort));
        listed.extend(page.iter().map(|key| key.post().to_string()));
        match page.into_iter().nth(2) {
            Some(last) => after = Some(last),
            None => return listed,
        }
    }
}

async fn the_newest_are_listed_first_a_page_at_a_time(world: World) {
    let store = world.store().await;
    assert!(walk(&store, Sort::New).await.is_empty());
    // Four of one moment: pages part them by their ids.
    let mut all = posts(&["a", "C", "b", "~", "new", "old", "newest"]);
    all[4].created_at = START.plus_ms(1);
    all[5].created_at = START.plus_ms(-1);
    all[6].created_at = START.plus_ms(2);
    store.add_posts(&all).await.unwrap();
    assert_eq!(walk(&store, Sort::New).await, ["newest", "new", "~", "b", "a", "C", "old"]);
}

async fn the_highest_are_listed_first_and_the_unrated_last(world: World) {
    let ids = ["a", "b", "c", "d", "e", "f", "g"];
    let mut ledger = Ledger::with_posts(&world, &ids).await;
    assert_eq!(walk(&ledger.store, Sort::Top).await.len(), 7);
    let scores = [("a", 2), ("b", 0), ("c", 5), ("d", 2), ("e", 4)];
    let log: Vec<_> = scores.iter().map(|(post, score)| entry(post, "ann", Some(*score), START)).collect();
    ledger.commit(&log).await;
    assert_eq!(walk(&ledger.store, Sort::Top).await, ["c", "e", "d", "a", "b", "g", "f"]);
    ledger.commit(&[entry("c", "ann", None, START), entry("f", "ann", Some(3), START)]).await;
    assert_eq!(walk(&ledger.store, Sort::Top).await, ["e", "f", "d", "a", "b", "g", "c"]);
}

async fn drains_are_kept_newest_first(world: World) {
    let store = world.store().await;
    assert!(store.drains(5).await.unwrap().is_empty());
    let run = |applied, trigger, error: Option<&str>| DrainRun {
        started_at: START.plus_ms(applied as i64),
        trigger,
        applied,
        quarantined: 2,
        batches: 3,
        duration_ms: 4,
        error: error.map(str::to_owned),
    };
    let runs =
        [run(1, Trigger::Tick, None), run(2, Trigger::Flush, Some("no answer")), run(3, Trigger::Tick, None)];
    for run in &runs {
        store.record_drain(run).await.unwrap();
    }
    let newest = store.drains(2).await.unwrap();
    assert_eq!(newest, [runs[2].clone(), runs[1].clone()]);
    assert_eq!(store.drains(10).await.unwrap().len(), 3);
}

async fn an_author_makes_so_many_posts_a_day(world: World) {
    const DAY_MS: i64 = 86_400_000;
    let store = world.store().await;
    let ann = UserId::parse("ann").unwrap();
    let midnight = Time::from_ms(START.ms().div_euclid(DAY_MS) * DAY_MS);
    let mut made = 0;
    let mut add = async |at: Time, per_day: Option<u32>| {
        made += 1;
        let post =
            Post { created_by: Some(ann.clone()), created_at: at, ..posts(&[&format!("p{made}")]).remove(0) };
        store.add_post(&post, per_day).await.unwrap()
    };
    let last = midnight.plus_ms(DAY_MS - 1);
    assert_eq!(add(midnight, Some(2)).await, Added::Done);
    assert_eq!(add(last, Some(2)).await, Added::Done);
    assert_eq!(add(last, Some(2)).await, Added::Limited);
    let tomorrow = midnight.plus_ms(DAY_MS);
    assert_eq!(add(tomorrow, Some(2)).await, Added::Done, "a new day");
    // A clock that is behind does not begin the day before anew.
    assert_eq!(add(last, Some(2)).await, Added::Done);
    assert_eq!(add(last, Some(2)).await, Added::Limited);
    assert_eq!(add(tomorrow, Some(2)).await, Added::Limited);
    assert_eq!(add(tomorrow, None).await, Added::Done, "without a limit nobody counts");
    assert_eq!(store.count_posts().await.unwrap(), 5, "the refused ones are not there");
}
