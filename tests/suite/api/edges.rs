//! The API at its edges: exact limits, ties and races, and what other processes do meanwhile.

use damper::model::Time;
use serde_json::{Value, json};

use super::{metric, now, time, until_count};
use crate::support::http::JSON;
use crate::support::process::{Process, Program};
use crate::support::world::{EVERY_SECOND, World, create_all};
use crate::support::{in_both_setups, until, until_some};

in_both_setups!(
    of_many_who_make_one_post_at_once_one_succeeds,
    a_post_that_was_unknown_is_found_once_another_process_has_made_it,
    whoever_flushed_sees_the_rating_count_at_once,
    of_many_who_read_at_once_each_sees_the_own_rating,
    a_post_whose_only_rating_is_withdrawn_is_as_if_never_rated,
    an_id_that_is_none_is_refused_by_every_call,
    a_body_may_be_as_long_as_the_limit_and_no_longer,
    a_text_is_as_long_as_its_characters_however_they_are_written,
    a_refused_content_type_is_told_the_one_that_is_taken,
    an_answer_is_kept_until_the_tick_and_no_longer,
    a_tick_alone_changes_the_tag,
    what_one_user_has_waiting_changes_nothing_for_the_others,
    a_worker_alone_has_a_listener_of_its_own,
);

fn of_many_who_make_one_post_at_once_one_succeeds(world: World) {
    let count = if world.is_embedded() { 1 } else { 2 };
    let services: Vec<Process> = (0..count).map(|_| world.start_api()).collect();
    for round in 0..5 {
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..6)
                .map(|caller| {
                    let api = services[caller % count].http();
                    let body = json!({"id": format!("p{round}"), "title": format!("by {caller}")});
                    scope.spawn(move || api.post("/api/posts", &body).status)
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        let made: Vec<usize> = (0..6).filter(|caller| statuses[*caller] == 201).collect();
        assert_eq!(made.len(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 5, "{statuses:?}");
        for service in &services {
            let post = service.http().read(&format!("p{round}"));
            assert_eq!(post["title"], format!("by {}", made[0]), "the first one's stays");
        }
    }
}

fn a_post_that_was_unknown_is_found_once_another_process_has_made_it(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.get("/api/posts/p").problem(404, "not-found");
    api.post("/api/posts/p/rate", &json!({"user_id": "bob", "score": 1})).problem(404, "not-found");
    world.import("p,ann,5,1700000000\n");
    until("the post to be found", || api.get("/api/posts/p").status == 200);
    api.rate("p", "bob", 1);
    // The process itself need not wait.
    api.get("/api/posts/q").problem(404, "not-found");
    api.create("q");
    api.rate("q", "bob", 1);
    assert_eq!(api.read("q")["id"], "q");
}

fn whoever_flushed_sees_the_rating_count_at_once(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let mut histogram = [0; 6];
    // Zero is a score like any other: the new one, and the old one.
    for score in [5, 0, 4] {
        api.rate("p", "ann", score);
        // Now the post is near the reader, as it was before.
        let pending = api.post_as("p", "ann");
        assert_eq!(pending["my_rating"], json!({"score": score, "pending": true}));
        assert_eq!(pending["histogram"], json!(histogram), "what counts is still the old one");
        world.flush();
        let merged = api.post_as("p", "ann");
        histogram = [0; 6];
        histogram[score as usize] = 1;
        assert_eq!(merged["my_rating"], json!({"score": score, "pending": false}));
        assert_eq!((&merged["count"], &merged["histogram"]), (&json!(1), &json!(histogram)));
        assert_eq!(merged["raw_average"], score as f64);
        assert!(merged["average"].as_f64().is_some_and(|mean| (0.0..=5.0).contains(&mean)), "{merged}");
    }
    world.assert_exact(&[(("p".into(), "ann".into()), 4)].into());
}

fn of_many_who_read_at_once_each_sees_the_own_rating(world: World) {
    let service = world.start_api();
    let posts = ["p", "q"];
    create_all(&service.http(), &posts);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..12)
            .map(|reader| {
                let api = service.http();
                scope.spawn(move || {
                    for i in 0..25 {
                        let (post, score) = (posts[(reader + i) % 2], (reader + i) as i64 % 6);
                        let user = format!("u{reader}");
                        api.rate(post, &user, score);
                        // It waits, or was merged a moment ago.
                        assert_eq!(api.post_as(post, &user)["my_rating"]["score"], score, "{user} on {post}");
                        let other = format!("u{reader}-without");
                        assert_eq!(api.post_as(post, &other)["my_rating"], Value::Null);
                    }
                })
            })
            .collect();
        while !readers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            world.flush();
        }
    });
}

fn a_post_whose_only_rating_is_withdrawn_is_as_if_never_rated(world: World) {
    let service = world.start_api();
    let api = service.http();
    let unrated = api.create("p");
    let withdraw = || drop(api.delete("/api/posts/p/rate?user_id=ann").expect(202));
    let mine = || api.post_as("p", "ann")["my_rating"].clone();
    // Withdrawn while the rating itself waits.
    api.rate("p", "ann", 0);
    withdraw();
    assert_eq!(mine(), json!({"score": null, "pending": true}));
    world.flush();
    until("the withdrawal to be merged", || mine().is_null());
    // Withdrawn after it counted.
    api.rate("p", "ann", 0);
    world.flush();
    until_count(&service, "p", 1);
    withdraw();
    assert_eq!(mine(), json!({"score": null, "pending": true}));
    assert_eq!(api.read("p")["count"], 1, "it counts until the withdrawal is merged");
    world.flush();
    let post = until_count(&service, "p", 0);
    for figure in
        ["average", "raw_average", "count", "phasing_in", "histogram", "my_rating", "crowded", "early"]
    {
        assert_eq!(post[figure], unrated[figure], "{figure}");
    }
    world.assert_exact(&[].into());
    // And rated again.
    api.rate("p", "ann", 2);
    world.flush();
    assert_eq!(until_count(&service, "p", 1)["raw_average"], 2.0);
    assert_eq!(world.status()["quarantined"], 0);
}

fn an_id_that_is_none_is_refused_by_every_call(world: World) {
    let service = world.start_api();
    let api = service.http();
    let rating = json!({"user_id": "ann", "score": 5}).to_string();
    let calls = |id: &str| {
        let post = format!("/api/posts/{id}");
        [
            api.get(&post),
            api.get(&format!("{post}/history")),
            api.send("POST", &format!("{post}/rate"), &[JSON], Some(rating.as_bytes())),
            api.delete(&format!("{post}/rate?user_id=ann")),
        ]
    };
    let long = "x".repeat(65);
    for id in ["a%20b", "a%2Fb", "a%00b", "%D9%A3", "%7Bp%7D", "a%0D%0Ab", "%2E", "%2E%2E", "%25", &long] {
        for answer in calls(id) {
            assert_eq!(answer.problem(422, "invalid-id")["parameter"], "id", "{id}");
        }
    }
    for answer in calls("%FF") {
        answer.problem(400, "malformed-path");
    }
    for answer in calls(&long[1..]) {
        answer.problem(404, "not-found");
    }
    let status = world.status();
    assert_eq!((&status["accepted"], &status["posts"]), (&json!(0), &json!(0)));
}

fn a_body_may_be_as_long_as_the_limit_and_no_longer(world: World) {
    const LIMIT: usize = 2_000;
    let world = world.with("api.body_bytes_max", LIMIT);
    let service = world.start_api();
    let api = service.http();
    let send = |path: &str, body: Value, length: usize| {
        let body = format!("{:length$}", body.to_string());
        assert_eq!(body.len(), length);
        api.send("POST", path, &[JSON], Some(body.as_bytes()))
    };
    let post = json!({"id": "p", "title": "T"});
    send("/api/posts", post.clone(), LIMIT + 1).problem(413, "body-too-large");
    api.get("/api/posts/p").problem(404, "not-found");
    send("/api/posts", post, LIMIT).expect(201);
    let rating = json!({"user_id": "ann", "score": 5});
    send("/api/posts/p/rate", rating.clone(), LIMIT + 1).problem(413, "body-too-large");
    assert_eq!(api.post_as("p", "ann")["my_rating"], Value::Null);
    send("/api/posts/p/rate", rating, LIMIT).expect(202);
    assert_eq!(world.status()["accepted"], 1);
}

fn a_text_is_as_long_as_its_characters_however_they_are_written(world: World) {
    let service = world.start_api();
    let api = service.http();
    for (escape, text) in [(r"\u00e9", "é"), (r"\ud83d\ude00", "😀"), ("é", "é")] {
        let body = |chars: usize| {
            let (title, content) = (escape.repeat(300), escape.repeat(chars));
            format!(r#"{{"title":"{title}","content":"{content}"}}"#)
        };
        let made = api.send("POST", "/api/posts", &[JSON], Some(body(20_000).as_bytes())).expect(201);
        assert_eq!(made["content"], text.repeat(20_000));
        let longer = api.send("POST", "/api/posts", &[JSON], Some(body(20_001).as_bytes()));
        assert_eq!(longer.problem(422, "invalid-text")["pointer"], "/content");
    }
}

fn a_refused_content_type_is_told_the_one_that_is_taken(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    for path in ["/api/posts", "/api/posts/p/rate"] {
        for media in ["text/plain", "application/x-www-form-urlencoded", "application/json5", ""] {
            let body = json!({"user_id": "ann", "score": 5}).to_string();
            let answer = api.send("POST", path, &[("content-type", media)], Some(body.as_bytes()));
            let problem = answer.problem(415, "unsupported-media-type");
            let detail = problem["detail"].as_str().expect("a text");
            assert!(detail.contains("send application/json"), "{media:?}: {detail}");
        }
    }
    assert_eq!(api.post_as("p", "ann")["my_rating"], Value::Null);
}

fn an_answer_is_kept_until_the_tick_and_no_longer(world: World) {
    let world = world.with("tick", "0 */5 * * * *");
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let next_tick = || time(&api.read("p")["next_tick"]);
    let look = || {
        let (next, before) = (next_tick(), now());
        let whole = api.get("/api/posts/p");
        let known = api.send("GET", "/api/posts/p", &[("if-none-match", whole.header("etag"))], None);
        let after = now();
        (next_tick() == next).then_some((next, before, [whole, known], after))
    };
    let (next, before, answers, after) = until_some("a look with no tick in its middle", look);
    let seconds_left = |at: Time| (next.ms() - at.ms()) / 1_000;
    for (answer, status) in answers.iter().zip([200, 304]) {
        assert_eq!(answer.status, status, "{}", answer.text);
        let kept = answer.header("cache-control").strip_prefix("public, max-age=").expect("public");
        let kept: i64 = kept.parse().expect("a number of seconds");
        assert!((0..=seconds_left(before)).contains(&kept), "{kept} s from {before} reach beyond {next}");
        assert!(kept >= seconds_left(after), "{kept} s from {after} end long before {next}");
    }
}

fn a_tick_alone_changes_the_tag(world: World) {
    let world = world.with("tick", EVERY_SECOND);
    let service = world.start_api();
    let api = service.http();
    let unrated = api.create("p");
    let first = api.get("/api/posts/p");
    assert_eq!(first.header("cache-control"), "public, max-age=0", "less than a second is left");
    let tag = first.header("etag");
    until("a tick to pass", || {
        let answer = api.send("GET", "/api/posts/p", &[("if-none-match", tag)], None);
        answer.status != 304 && time(&answer.expect(200)["as_of"]) > time(&unrated["as_of"])
    });
}

fn what_one_user_has_waiting_changes_nothing_for_the_others(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let tag = api.get("/api/posts/p").header("etag").to_owned();
    let again = |path: &str| api.send("GET", path, &[("if-none-match", &tag)], None);
    api.rate("p", "ann", 4);
    assert_eq!(again("/api/posts/p?user_id=ann").expect(200)["my_rating"]["score"], 4);
    let nobodys = again("/api/posts/p");
    assert_eq!((nobodys.status, nobodys.text.as_str(), nobodys.header("etag")), (304, "", &*tag));
    assert!(nobodys.header("cache-control").starts_with("public, max-age="));
    let bobs = again("/api/posts/p?user_id=bob");
    assert_eq!((bobs.status, bobs.header("cache-control")), (304, "private, no-cache"));
    world.flush();
    until("everybody to see the rating", || {
        let answer = again("/api/posts/p");
        answer.status != 304 && answer.expect(200)["count"] == 1
    });
}

fn a_worker_alone_has_a_listener_of_its_own(world: World) {
    let world = world.with("tick", EVERY_SECOND).with("worker_listen", "127.0.0.1:0");
    world.import("p,ann,5,1700000000\np,bob,1,1700000000\n");
    let worker = world.start(Program::Worker);
    let listener = worker.admin();
    for probe in ["/livez", "/readyz"] {
        let answer = listener.get(probe);
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"), "{probe}");
    }
    for path in ["/api/posts", "/api/posts/p", "/api/posts/p/history"] {
        listener.get(path).problem(404, "no-such-route");
    }
    let tick = r#"damper_drains_total{outcome="complete",trigger="tick"}"#;
    until("a tick's drain to be counted", || metric(&listener, tick).is_some_and(|drains| drains >= 1.0));
    until("the ratings to be merged", || metric(&listener, "damper_applied_total") == Some(2.0));
    let page = listener.get("/metrics").text;
    for (name, kind) in [
        ("accepted_total", "counter"),
        ("applied_total", "counter"),
        ("quarantined_total", "counter"),
        ("waiting", "gauge"),
        ("oldest_waiting_seconds", "gauge"),
        ("drains_total", "counter"),
        ("drain_seconds", "histogram"),
    ] {
        assert!(page.contains(&format!("# TYPE damper_{name} {kind}\n")), "{name} in {page}");
    }
}
