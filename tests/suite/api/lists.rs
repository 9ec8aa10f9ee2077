//! Lists of posts and the series behind a chart.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{now, time, until_count};
use crate::support::http::Http;
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    a_walk_through_the_newest_meets_each_post_once,
    a_walk_through_the_highest_goes_down_and_meets_each_post_once,
    a_list_shows_each_post_with_the_callers_own_rating,
    a_page_has_as_many_posts_as_asked_for,
    a_series_adds_up_to_what_is_published,
);

/// All posts of a list, page after page.
fn walk(api: &Http, sort: &str, limit: usize) -> Vec<Value> {
    let (mut posts, mut cursor): (Vec<Value>, String) = (Vec::new(), String::new());
    for _ in 0..100 {
        let page = api.get(&format!("/api/posts?sort={sort}&limit={limit}{cursor}")).expect(200);
        let found = page["posts"].as_array().expect("a list");
        assert!(!found.is_empty() || posts.is_empty(), "an empty page has no page before it");
        posts.extend(found.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(found.len(), limit, "only the last page is shorter");
                cursor = format!("&cursor={next}");
            }
            None => return posts,
        }
    }
    panic!("a list without an end");
}

fn ids(posts: &[Value]) -> Vec<&str> {
    posts.iter().map(|post| post["id"].as_str().expect("a text")).collect()
}

fn create_some(api: &Http, count: usize) -> BTreeSet<String> {
    let ids: BTreeSet<String> = (0..count).map(|i| format!("post{}", i * 7 % count)).collect();
    ids.iter().for_each(|id| drop(api.create(id)));
    ids
}

fn a_walk_through_the_newest_meets_each_post_once(world: World) {
    let service = world.start_api();
    let api = service.http();
    assert_eq!(api.get("/api/posts").expect(200), json!({"posts": [], "next_cursor": null}));
    let made = create_some(&api, 25);
    // As many on the last page as on all others, and fewer.
    for limit in [5, 7, 100] {
        let posts = walk(&api, "new", limit);
        assert_eq!(posts.len(), 25);
        assert_eq!(ids(&posts).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), made);
        let times: Vec<_> = posts.iter().map(|post| time(&post["created_at"])).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    }
    assert_eq!(
        ids(&walk(&api, "new", 100)),
        ids(api.get("/api/posts?limit=100").json()["posts"].as_array().unwrap())
    );
}

fn a_walk_through_the_highest_goes_down_and_meets_each_post_once(world: World) {
    let service = world.start_api();
    let api = service.http();
    create_some(&api, 20);
    for i in 0..12 {
        api.rate(&format!("post{i}"), "ann", i % 6);
    }
    world.flush();
    until_count(&service, "post11", 1);
    for limit in [3, 4, 20] {
        let posts = walk(&api, "top", limit);
        let distinct: BTreeSet<&str> = ids(&posts).into_iter().collect();
        assert_eq!((posts.len(), distinct.len()), (20, 20));
        let averages: Vec<f64> = posts.iter().map(|post| post["average"].as_f64().unwrap_or(-1.0)).collect();
        assert!(averages.is_sorted_by(|a, b| a >= b), "{averages:?}");
        assert_eq!(averages.iter().filter(|average| **average < 0.0).count(), 8, "the unrated come last");
    }
}

fn a_list_shows_each_post_with_the_callers_own_rating(world: World) {
    let service = world.start_api();
    let api = service.http();
    create_some(&api, 3);
    api.rate("post0", "ann", 0);
    world.flush();
    until_count(&service, "post0", 1);
    api.rate("post1", "ann", 5);
    api.rate("post1", "bob", 1);
    let list = api.get("/api/posts?user_id=ann").expect(200);
    assert_eq!(list["posts"].as_array().map(Vec::len), Some(3));
    for post in list["posts"].as_array().expect("a list") {
        let expected = match post["id"].as_str().expect("a text") {
            "post0" => json!({"score": 0, "pending": false}),
            "post1" => json!({"score": 5, "pending": true}),
            _ => Value::Null,
        };
        assert_eq!(post["my_rating"], expected, "{post}");
        for name in ["title", "content", "created_by", "average", "count", "created_at"] {
            assert!(post.get(name).is_some(), "{name} in {post}");
        }
    }
    let nobody = api.get("/api/posts").expect(200);
    let theirs: Vec<&Value> =
        nobody["posts"].as_array().expect("a list").iter().map(|post| &post["my_rating"]).collect();
    assert_eq!(theirs, [&Value::Null; 3]);
}

fn a_page_has_as_many_posts_as_asked_for(world: World) {
    let service = world.start_api();
    let api = service.http();
    create_some(&api, 22);
    let count =
        |query: &str| api.get(&format!("/api/posts{query}")).expect(200)["posts"].as_array().unwrap().len();
    assert_eq!([count(""), count("?limit=1"), count("?limit=21"), count("?limit=100")], [20, 1, 21, 22]);
}

fn a_series_adds_up_to_what_is_published(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let empty = api.get("/api/posts/p/history").expect(200);
    assert_eq!(empty, json!({"post_id": "p", "points": []}));
    let begin = now().ms() / 1_000 - 100 * 86_400;
    world.import(&(0..50).map(|i| format!("p,u{i},{},{}\n", i % 6, begin + i * 86_400)).collect::<String>());
    world.flush();
    let post = until_count(&service, "p", 50);
    for asked in [1, 7, 1_000] {
        let series = api.get(&format!("/api/posts/p/history?points={asked}")).expect(200);
        let points = series["points"].as_array().expect("a list");
        assert_eq!(points.len(), asked);
        let arrivals: u64 = points.iter().map(|point| point["arrivals"].as_u64().expect("a number")).sum();
        assert_eq!(arrivals, 50);
        let times: Vec<_> = points.iter().map(|point| time(&point["at"])).collect();
        assert!(times.is_sorted_by(|a, b| a < b));
        let end = points.last().expect("a point");
        for figure in ["average", "raw_average", "count"] {
            assert_eq!(end[figure], post[figure], "{figure}");
        }
        assert_eq!(end["at"], post["as_of"]);
    }
}
