//! Posts: how one is made, what it shows, and how long an answer may be kept.

use serde_json::{Value, json};

use super::{fields, now, time, until_count};
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    a_post_is_made_and_says_where_it_is,
    a_post_without_an_id_gets_one,
    a_posts_texts_come_back_as_they_went_in,
    a_post_shows_every_figure,
    an_answer_may_be_kept_until_the_next_tick,
    an_answer_changes_its_tag_with_everything_it_shows,
);

fn a_post_is_made_and_says_where_it_is(world: World) {
    let service = world.start_api();
    let api = service.http();
    let body = json!({"id": "film-1", "title": "A film", "content": "Long.", "created_by": "ann"});
    let before = now();
    let made = api.post("/api/posts", &body);
    let post = made.expect(201);
    assert_eq!(made.header("location"), "/api/posts/film-1");
    for name in ["id", "title", "content", "created_by"] {
        assert_eq!(post[name], body[name]);
    }
    assert!(time(&post["created_at"]) >= before);
    let mut read = api.read("film-1");
    for moving in ["as_of", "next_tick"] {
        read[moving] = post[moving].clone();
    }
    assert_eq!(read, post, "the answer is the post");
    let again = json!({"id": "film-1", "title": "Another film"});
    let refused = api.post("/api/posts", &again).problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("film-1"));
    assert_eq!(api.read("film-1")["title"], "A film");
}

fn a_post_without_an_id_gets_one(world: World) {
    let service = world.start_api();
    let api = service.http();
    let ids: Vec<String> = (0..2)
        .map(|_| {
            let made = api.post("/api/posts", &json!({"title": "T"}));
            let id = made.expect(201)["id"].as_str().expect("a text").to_owned();
            assert_eq!(made.header("location"), format!("/api/posts/{id}"));
            assert_eq!(api.read(&id)["content"], Value::Null);
            id
        })
        .collect();
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() >= 16), "{ids:?}");
}

fn a_posts_texts_come_back_as_they_went_in(world: World) {
    let service = world.start_api();
    let api = service.http();
    let title = "<script>alert('1')</script> \" ☃ 𝄞 {0}";
    let content = "one\ntwo\ttab \\ \u{1} '; drop table posts; --";
    api.post("/api/posts", &json!({"id": "p", "title": title, "content": content})).expect(201);
    let post = api.read("p");
    assert_eq!((&post["title"], &post["content"]), (&json!(title), &json!(content)));
    let (longest_title, longest_content) = ("é".repeat(300), "é".repeat(20_000));
    let body = json!({"id": "q", "title": longest_title, "content": longest_content});
    api.post("/api/posts", &body).expect(201);
    assert_eq!(api.read("q")["content"], longest_content);
}

fn a_post_shows_every_figure(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let unrated = api.read("p");
    assert_eq!(
        fields(&unrated),
        [
            "as_of",
            "average",
            "content",
            "count",
            "created_at",
            "created_by",
            "crowded",
            "early",
            "frozen",
            "histogram",
            "id",
            "my_rating",
            "next_tick",
            "phasing_in",
            "raw_average",
            "repost_of",
            "reposts",
            "title",
            "under_review"
        ]
    );
    let figures = |post: &Value| {
        ["average", "raw_average", "count", "phasing_in", "crowded", "early", "histogram"]
            .map(|f| post[f].clone())
    };
    let none =
        [json!(null), json!(null), json!(0), json!(0), json!(false), json!(true), json!([0, 0, 0, 0, 0, 0])];
    assert_eq!(figures(&unrated), none);
    // Forty settled ratings of four stars, a year ago, and twenty new ones of one star.
    let year_ago = now().ms() / 1_000 - 365 * 86_400;
    let old: String = (0..40).map(|i| format!("p,u{i},4,{}\n", year_ago + i * 86_400)).collect();
    let new: String = (0..20).map(|i| format!("p,n{i},1,{}\n", now().ms() / 1_000 - 20 + i)).collect();
    world.import(&format!("{old}{new}"));
    world.flush();
    let post = until_count(&service, "p", 60);
    assert_eq!(post["raw_average"], 3.0);
    assert_eq!(post["histogram"], json!([0, 20, 0, 0, 40, 0]));
    assert_eq!(
        (&post["phasing_in"], &post["crowded"], &post["early"]),
        (&json!(20), &json!(true), &json!(false))
    );
    let average = post["average"].as_f64().expect("a number");
    assert!(average > 3.9 && average < 4.0, "{average}: the new ones have hardly arrived");
    let (as_of, next) = (time(&post["as_of"]), time(&post["next_tick"]));
    assert!(as_of <= now() && now() < next);
}

fn an_answer_may_be_kept_until_the_next_tick(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let answer = api.get("/api/posts/p");
    let next = time(&answer.expect(200)["next_tick"]);
    let kept = answer.header("cache-control").strip_prefix("public, max-age=").expect("public, with an age");
    let left = (next.ms() - now().ms()) / 1_000;
    let kept: i64 = kept.parse().expect("a number of seconds");
    assert!((left..=left + 30).contains(&kept), "{kept} of {left}");
    let own = api.get("/api/posts/p?user_id=ann");
    assert_eq!((own.status, own.header("cache-control")), (200, "private, no-cache"));
    assert_eq!(api.get("/api/posts/none").header("cache-control"), "no-store", "an error is kept by nobody");
}

fn an_answer_changes_its_tag_with_everything_it_shows(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let path = "/api/posts/p?user_id=ann";
    let tag = |path: &str| api.get(path).header("etag").to_owned();
    let known = |path: &str, tag: &str| api.send("GET", path, &[("if-none-match", tag)], None);
    let mut tags = vec![tag(path)];
    api.rate("p", "ann", 4);
    tags.push(tag(path));
    api.rate("p", "ann", 0);
    tags.push(tag(path));
    api.delete("/api/posts/p/rate?user_id=ann").expect(202);
    tags.push(tag(path));
    api.rate("p", "ann", 4);
    world.flush();
    until_count(&service, "p", 1);
    tags.push(tag(path));
    let last = tags.last().expect("tags").clone();
    assert!(tags.iter().all(|tag| tag.starts_with("W/\"") || tag.starts_with('"')), "{tags:?}");
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 5, "{tags:?}");
    let strong = last.trim_start_matches("W/");
    for condition in [last.clone(), strong.to_owned(), format!("\"x\", {last}"), "*".to_owned()] {
        let answer = known(path, &condition);
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{condition}");
        assert_eq!((answer.header("etag"), answer.header("cache-control")), (&*last, "private, no-cache"));
    }
    for condition in ["\"x\"", "x", ""] {
        assert_eq!(known(path, condition).status, 200, "{condition}");
    }
    assert_ne!(tag("/api/posts/p"), last, "another reader sees something else");
    assert_eq!(known("/api/posts/p", &tag("/api/posts/p")).status, 304);
}
