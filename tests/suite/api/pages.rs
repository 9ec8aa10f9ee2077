//! Pages and series at their edges: ties, cursors that belong elsewhere, edits and withdrawals.

use std::collections::BTreeSet;

use serde_json::json;

use super::{now, time, until_count};
use crate::support::http::Http;
use crate::support::in_both_setups;
use crate::support::world::{World, create_all};

in_both_setups!(
    posts_of_one_moment_are_met_once_each,
    a_cursor_belongs_to_its_sort,
    a_list_tells_what_the_post_tells_but_for_the_histogram,
    a_series_counts_edits_as_arrivals_and_not_what_was_withdrawn,
);

/// The ids of a list, page after page; `meanwhile` happens after the first page.
fn walk(api: &Http, sort: &str, limit: usize, meanwhile: impl FnOnce()) -> Vec<String> {
    let (mut ids, mut cursor, mut meanwhile) = (Vec::new(), String::new(), Some(meanwhile));
    loop {
        let page = api.get(&format!("/api/posts?sort={sort}&limit={limit}{cursor}")).expect(200);
        let found = page["posts"].as_array().expect("a list");
        ids.extend(found.iter().map(|post| post["id"].as_str().expect("a text").to_owned()));
        assert!(ids.len() <= 1_000, "a list without an end");
        if let Some(meanwhile) = meanwhile.take() {
            meanwhile();
        }
        let Some(next) = page["next_cursor"].as_str() else { return ids };
        assert_eq!(found.len(), limit, "only the last page is shorter");
        cursor = format!("&cursor={next}");
    }
}

fn posts_of_one_moment_are_met_once_each(world: World) {
    const COUNT: usize = 130;
    let lines = (0..COUNT).map(|i| format!("post{i},ann,{},1700000000\n", i % 6));
    world.import(&lines.collect::<String>());
    world.flush();
    let service = world.start_api();
    let api = service.http();
    let moments: BTreeSet<String> = api.get("/api/posts?limit=100").expect(200)["posts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|post| post["created_at"].to_string())
        .collect();
    assert_eq!(moments.len(), 1, "an import makes its posts at one moment");
    let mut made: BTreeSet<String> = (0..COUNT).map(|i| format!("post{i}")).collect();
    for limit in [1, 13, 100] {
        let late = format!("late{limit}");
        let met = walk(&api, "new", limit, || drop(api.create(&late)));
        assert_eq!(met.len(), made.len(), "{met:?}");
        assert_eq!(BTreeSet::from_iter(met), made, "the post that was made meanwhile moves nothing");
        made.insert(late);
        let met = walk(&api, "top", limit, || ());
        assert_eq!(met.len(), made.len(), "{met:?}");
        assert_eq!(BTreeSet::from_iter(met), made);
    }
}

fn a_cursor_belongs_to_its_sort(world: World) {
    let service = world.start_api();
    let api = service.http();
    create_all(&api, &["a", "b", "c"]);
    for (sort, other) in [("new", "top"), ("top", "new")] {
        let page = api.get(&format!("/api/posts?sort={sort}&limit=1")).expect(200);
        let cursor = page["next_cursor"].as_str().expect("there are more");
        let refused = api.get(&format!("/api/posts?sort={other}&cursor={cursor}"));
        let problem = refused.problem(422, "invalid-cursor");
        assert_eq!(problem["parameter"], "cursor");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains("another sort")),
            "{problem}"
        );
        let rest = api.get(&format!("/api/posts?sort={sort}&limit=2&cursor={cursor}")).expect(200);
        assert_eq!(rest["posts"].as_array().map(Vec::len), Some(2), "another limit is no matter");
        for forged in [&cursor[1..], &cursor[2..], &format!("{cursor}20"), "n", "6e", "0"] {
            let refused = api.get(&format!("/api/posts?sort={sort}&cursor={forged}"));
            assert_eq!(refused.problem(422, "invalid-cursor")["parameter"], "cursor", "{forged}");
        }
    }
}

fn a_list_tells_what_the_post_tells_but_for_the_histogram(world: World) {
    let service = world.start_api();
    let api = service.http();
    world.import("settled,ann,5,1600000000\nsettled,bob,2,1610000000\n");
    create_all(&api, &["fresh", "unrated"]);
    api.rate("fresh", "ann", 0);
    world.flush();
    until_count(&service, "fresh", 1);
    api.rate("settled", "ann", 1);
    for sort in ["new", "top"] {
        let list = api.get(&format!("/api/posts?sort={sort}&user_id=ann")).expect(200);
        let posts = list["posts"].as_array().expect("a list");
        assert_eq!(posts.len(), 3);
        for post in posts {
            let mut alone = api.post_as(post["id"].as_str().expect("a text"), "ann");
            alone.as_object_mut().expect("an object").remove("histogram").expect("a post alone has it");
            assert_eq!(post, &alone);
        }
    }
}

fn a_series_counts_edits_as_arrivals_and_not_what_was_withdrawn(world: World) {
    let service = world.start_api();
    let api = service.http();
    let begin = now().ms() / 1_000 - 100 * 86_400;
    let line = |day: i64, user: i64| format!("p,u{user},{},{}\n", (day + day / 30) % 6, begin + day * 86_400);
    let first: String = (0..30).map(|day| line(day, day)).collect();
    let edits: String = (30..35).map(|day| line(day, day - 30)).collect();
    world.import(&(first + &edits));
    let withdrawal = api.delete("/api/posts/p/rate?user_id=u29").expect(202);
    world.flush();
    let post = until_count(&service, "p", 29);
    for (query, count) in [("", 200), ("?points=2", 2), ("?points=1000", 1_000)] {
        let series = api.get(&format!("/api/posts/p/history{query}")).expect(200);
        let points = series["points"].as_array().expect("a list");
        assert_eq!(points.len(), count);
        let arrivals: u64 = points.iter().map(|point| point["arrivals"].as_u64().expect("a number")).sum();
        assert_eq!(arrivals, 35, "thirty ratings and five edits");
        let (before, end) = (&points[count - 2], &points[count - 1]);
        assert_eq!((&before["count"], &end["count"]), (&json!(30), &json!(29)));
        assert_eq!((&end["at"], &end["at"]), (&withdrawal["accepted_at"], &post["as_of"]));
        assert_eq!((&end["average"], &end["raw_average"]), (&post["average"], &post["raw_average"]));
        let times: Vec<i64> = points.iter().map(|point| time(&point["at"]).ms()).collect();
        let steps: BTreeSet<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.last().unwrap() - steps.first().unwrap() <= 1, "even to the millisecond: {steps:?}");
    }
    for query in ["points=x", "points=-1", "points=1.5", "points=", "points=1&points=2", "user_id=ann"] {
        api.get(&format!("/api/posts/p/history?{query}")).problem(422, "invalid-query");
    }
}
