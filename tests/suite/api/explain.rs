//! What a number is made of, the number for other sites, and many posts at once.

use serde_json::{Value, json};

use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    an_explanation_holds_every_figure_and_they_add_up,
    a_search_engine_reads_the_published_mean,
    a_badge_is_an_image_of_the_published_mean,
    many_posts_are_read_by_their_ids,
    a_page_links_to_the_next,
);

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Three months of fours and fives, then a bomb of zeros within an hour.
fn bombed(world: &World) {
    let calm = (0..270i64).map(|i| format!("p,u{i},{},{}\n", 4 + i % 2, 1_780_000_000 + i * 28_800));
    let bomb = (0..500i64).map(|i| format!("p,bomb{i},0,{}\n", 1_780_000_000 + 270 * 28_800 + i * 7));
    world.import(&calm.chain(bomb).collect::<String>());
    world.flush();
}

fn an_explanation_holds_every_figure_and_they_add_up(world: World) {
    bombed(&world);
    let service = world.start_api();
    let api = service.http();
    let (post, told) = (api.read("p"), api.get("/api/posts/p/explain"));
    assert!(told.header("cache-control").starts_with("public, max-age="));
    let told = told.expect(200);
    for figure in ["average", "raw_average", "count", "histogram", "crowded", "early", "as_of", "next_tick"] {
        assert_eq!(told[figure], post[figure], "{figure}");
    }
    let lanes = |figure: &str| number(&told["calm"][figure]) + number(&told["surge"][figure]);
    for figure in ["count", "sum", "settled_count", "settled_sum", "unvested"] {
        assert!((lanes(figure) - number(&told[figure])).abs() < 1e-9, "{figure}: {told}");
    }
    assert!(number(&told["surge"]["count"]) > 300.0, "most of the bomb took the surge lane: {told}");
    let seed = number(&told["parameters"]["seed_weight"]);
    let computed = (number(&told["settled_sum"]) + seed * number(&told["raw_average"]))
        / (number(&told["settled_count"]) + seed);
    assert!((computed - number(&told["average"])).abs() < 1e-9, "the formula gives {computed}: {told}");
    assert_eq!(told["born_at"], "2026-05-28T20:26:40.000Z");
    api.create("q");
    let new = api.get("/api/posts/q/explain").expect(200);
    assert_eq!((&new["average"], &new["count"], &new["born_at"]), (&Value::Null, &json!(0), &Value::Null));
    api.get("/api/posts/none/explain").problem(404, "not-found");
}

fn a_search_engine_reads_the_published_mean(world: World) {
    bombed(&world);
    let service = world.start_api();
    let api = service.http();
    let answer = api.get("/api/posts/p/aggregate-rating");
    assert_eq!(answer.header("content-type"), "application/ld+json");
    let told = answer.expect(200);
    assert_eq!(
        (&told["@context"], &told["@type"]),
        (&json!("https://schema.org"), &json!("AggregateRating"))
    );
    assert_eq!((&told["ratingValue"], &told["ratingCount"]), (&api.read("p")["average"], &json!(770)));
    assert_eq!((&told["bestRating"], &told["worstRating"]), (&json!(5), &json!(0)));
    assert_eq!(told["itemReviewed"]["identifier"], "p");
    api.create("q");
    api.get("/api/posts/q/aggregate-rating").problem(404, "no-ratings");
}

fn a_badge_is_an_image_of_the_published_mean(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.post("/api/posts", &json!({"id": "p", "title": "<script>alert(1)</script>"})).expect(201);
    let image = api.get("/api/posts/p/badge.svg");
    assert_eq!((image.status, image.header("content-type")), (200, "image/svg+xml"));
    assert!(image.text.starts_with("<svg ") && image.text.contains("no ratings"), "{}", image.text);
    assert!(
        !image.text.contains("script")
            && image.header("content-security-policy").contains("default-src 'none'")
    );
    api.rate("p", "ann", 4);
    world.flush();
    crate::support::until("the badge to show it", || {
        api.get("/api/posts/p/badge.svg").text.contains("★ 4.0 of 5 · 1 rating<")
    });
}

fn many_posts_are_read_by_their_ids(world: World) {
    let service = world.start_api();
    let api = service.http();
    for post in ["a", "b", "batch"] {
        api.create(post);
    }
    api.rate("b", "ann", 3);
    let read = |body: Value| api.post("/api/posts/batch", &body);
    let found = read(json!({"ids": ["b", "none", "a", "b"], "user_id": "ann"})).expect(200);
    let ids: Vec<&Value> = found["posts"].as_array().expect("posts").iter().map(|post| &post["id"]).collect();
    assert_eq!(ids, ["b", "a", "b"]);
    assert_eq!(found["missing"], json!(["none"]));
    assert_eq!(found["posts"][0]["my_rating"], json!({"score": 3, "pending": true}));
    assert_eq!(found["posts"][1]["my_rating"], Value::Null);
    assert!(found["posts"][0].get("histogram").is_none());
    let many: Vec<String> = (0..101).map(|i| format!("p{i}")).collect();
    assert_eq!(read(json!({"ids": many})).problem(422, "limit-out-of-range")["pointer"], "/ids");
    assert_eq!(read(json!({"ids": &many[..100]})).expect(200)["missing"].as_array().map(Vec::len), Some(100));
    read(json!({"ids": []})).problem(422, "limit-out-of-range");
    assert_eq!(read(json!({"ids": ["a", "b c"]})).problem(422, "invalid-id")["pointer"], "/ids/1");
    assert_eq!(
        read(json!({"ids": ["a"], "user_id": "b c"})).problem(422, "invalid-id")["pointer"],
        "/user_id"
    );
    assert_eq!(api.read("batch")["id"], "batch", "a post may bear the route's name");
    api.rate("batch", "ann", 1);
}

fn a_page_links_to_the_next(world: World) {
    let service = world.start_api();
    let api = service.http();
    for i in 0..5 {
        api.create(&format!("p{i}"));
    }
    let (mut path, mut seen) = ("/api/posts?limit=2&user_id=a%2Bb".to_owned(), 0);
    loop {
        let page = api.get(&path);
        let body = page.expect(200);
        seen += body["posts"].as_array().map_or(0, Vec::len);
        let link = page.header("link");
        assert_eq!(link.is_empty(), body["next_cursor"].is_null());
        let Some(next) = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) else {
            break;
        };
        assert!(next.contains("limit=2") && next.contains("user_id=a%2Bb"), "{next}");
        path = next.to_owned();
    }
    assert_eq!(seen, 5);
}
