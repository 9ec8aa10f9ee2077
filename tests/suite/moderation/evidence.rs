//! Evidence: arrivals, alerts for conspicuous posts, and the webhook for alerts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use damper::model::Time;
use ring::hmac;
use serde_json::{Value, json};

use super::{HOUR_MS, NOW, moderator, put, rated, tick};
use crate::support::http::Http;
use crate::support::in_both_setups;
use crate::support::log::{START, entry};
use crate::support::process::Program;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World};

const DAY_MS: i64 = 24 * HOUR_MS;

in_both_setups!(
    arrivals_are_counted_by_steps_scores_and_accounts,
    a_bomb_is_an_alert_whose_window_excludes_and_restores_it,
    a_held_bomb_is_an_alert_too,
    alerts_are_walked_page_by_page_the_newest_first,
    a_webhook_is_retried_until_the_site_answers,
);

mod library {
    use super::*;

    in_both_setups!(async an_alert_ends_with_a_tick_and_the_next_one_is_another);
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn time(ms: i64) -> Value {
    json!(Time::from_ms(ms))
}

fn line(post: &str, user: &str, score: i64, ms: i64) -> String {
    format!("{post},{user},{score},{}.{:03}\n", ms / 1_000, ms % 1_000)
}

/// Two months of ratings of `post`, one every four hours, up to three days before `end_ms`.
fn honest(post: &str, end_ms: i64) -> String {
    let rating = |i: i64| line(post, &format!("u{i}"), 4 + i % 2, end_ms - 3 * DAY_MS - i * 4 * HOUR_MS);
    (0..360).rev().map(rating).collect()
}

/// 300 zeros within the two clock hours before that of `end_ms`.
fn bomb(post: &str, end_ms: i64) -> String {
    let begin = end_ms / HOUR_MS * HOUR_MS - 2 * HOUR_MS;
    (0..300).map(|i| line(post, &format!("b{i}"), 0, begin + i * 20_000)).collect()
}

fn arrivals_are_counted_by_steps_scores_and_accounts(world: World) {
    let (world, service, admin) = moderator(world);
    let day = 1_700_006_400_000; // Midnight, 15 November 2023.
    let rated = [("old", 5, 0), ("ann", 0, 10), ("bob", 0, 70_000), ("cat", 3, HOUR_MS), ("ann", 1, DAY_MS)];
    let earlier = line("other", "old", 1, day - DAY_MS);
    world.import(&(earlier + &rated.map(|(user, score, ms)| line("p", user, score, day + ms)).concat()));
    let known = |user: &str, at: i64| {
        world.db().change(&format!(
            "insert into users (id, username, created_at) values ('{user}', '{user}', {at})"
        ));
    };
    known("bob", day - 8 * DAY_MS);
    known("cat", day - 6 * DAY_MS);
    world.flush();
    let ask = |query: &str| admin.get(&format!("/api/admin/posts/p/arrivals?{query}")).expect(200);
    let two_days = format!(
        "from={}&to={}",
        time(day).as_str().expect("a time"),
        time(day + 2 * DAY_MS).as_str().expect("a time")
    );
    let hours = ask(&two_days)["steps"].clone();
    // Only each user's latest rating counts: ann's is that of the second day.
    assert_eq!(
        hours,
        json!([
            {"at": time(day), "ratings": 2, "by_score": [1, 0, 0, 0, 0, 1], "never_rated_before": 0.5,
             "younger_than_a_week": 0.0, "known_accounts": 1},
            {"at": time(day + HOUR_MS), "ratings": 1, "by_score": [0, 0, 0, 1, 0, 0],
             "never_rated_before": 1.0, "younger_than_a_week": 1.0, "known_accounts": 1},
            {"at": time(day + DAY_MS), "ratings": 1, "by_score": [0, 1, 0, 0, 0, 0],
             "never_rated_before": 1.0, "younger_than_a_week": null, "known_accounts": 0},
        ])
    );
    let days = ask(&format!("{two_days}&by=day"))["steps"].clone();
    assert_eq!((&days[0]["ratings"], &days[1]["at"]), (&json!(3), &time(day + DAY_MS)));
    let minutes = ask(&format!("{two_days}&by=minute"))["steps"].clone();
    assert_eq!((&minutes[1]["at"], &minutes[1]["ratings"]), (&time(day + 60_000), &json!(1)));
    // Excluded and held ratings are arrivals too.
    let body = json!({"from": time(day), "to": time(day + HOUR_MS), "reason": "r"});
    admin.post("/api/admin/posts/p/exclusions", &body).expect(200);
    put(&admin, "/api/admin/posts/p/policy", &json!({"hold": "always", "reason": "r"})).expect(200);
    world.import(&line("p", "new", 2, day + 5));
    world.flush();
    let steps = ask(&two_days)["steps"].clone();
    assert_eq!((&steps[0]["ratings"], &steps[0]["by_score"][2]), (&json!(3), &json!(1)));
    assert_eq!(ask("")["steps"], json!([]), "without times it is the last three days");
    for (query, problem, parameter) in [
        ("by=week", "invalid-query", json!("by")),
        ("from=soon", "invalid-time", json!("from")),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "invalid-window", json!("from")),
        ("from=2020-01-01T00:00:00Z&by=minute", "invalid-window", json!("from")),
    ] {
        let problem_body = admin.get(&format!("/api/admin/posts/p/arrivals?{query}")).problem(422, problem);
        assert_eq!(problem_body["parameter"], parameter, "{query}: {problem_body}");
    }
    admin.get("/api/admin/posts/none/arrivals").problem(404, "not-found");
    drop(service);
}

fn alerts(admin: &Http) -> Vec<Value> {
    admin.get("/api/admin/alerts").expect(200)["alerts"].as_array().expect("alerts").clone()
}

/// The figures of a post that do not depend on the time or its name.
fn shown(api: &Http, post: &str) -> (Value, Value, Value) {
    let post = api.get(&format!("/api/posts/{post}")).expect(200);
    (post["count"].clone(), post["raw_average"].clone(), post["histogram"].clone())
}

fn a_bomb_is_an_alert_whose_window_excludes_and_restores_it(world: World) {
    let (world, service, admin) = moderator(world);
    let (api, now) = (service.http(), now_ms());
    world.import(&(honest("film", now) + &honest("quiet", now)));
    world.flush();
    let before = shown(&api, "film");
    assert_eq!(alerts(&admin), Vec::<Value>::new());
    world.import(&bomb("film", now));
    world.flush();
    until("the alert", || alerts(&admin).len() == 1);
    let hit = shown(&api, "film");
    let alert = alerts(&admin).remove(0);
    assert_eq!(
        (&alert["post_id"], &alert["crowded"], &alert["count"]),
        (&json!("film"), &json!(true), &json!(660))
    );
    let window = &alert["window"];
    // The first few ratings of a bomb are not yet a surge, but their hour is.
    assert_eq!((&window["arrivals"], &window["raw_average_before"]), (&json!(300), &before.1), "{alert}");
    let mut body = json!({"from": window["from"], "to": window["to"], "reason": "a bomb"});
    let path = "/api/admin/posts/film/exclusions";
    let preview = admin.post(&format!("{path}?preview=true"), &body).expect(200);
    assert_eq!((&preview["excluded"], &preview["users"]), (&json!(300), &json!(300)));
    body["reason"] = json!("as the alert suggests");
    let done = admin.post(path, &body).expect(200);
    assert_eq!((&done["excluded"], &done["after"]["raw_average"]), (&json!(300), &before.1));
    until("it to be seen", || shown(&api, "film") == before);
    world.assert_consistent();
    admin.delete(&format!("{path}/{}", done["id"].as_str().expect("an id"))).expect(200);
    until("it to be back", || shown(&api, "film") == hit);
    world.assert_consistent();
}

fn a_held_bomb_is_an_alert_too(world: World) {
    let (world, service, admin) = moderator(world);
    let (api, now) = (service.http(), now_ms());
    world.import(&honest("film", now));
    world.flush();
    let before = shown(&api, "film");
    put(&admin, "/api/admin/posts/film/policy", &json!({"hold": "surge", "reason": "a launch"})).expect(200);
    world.import(&bomb("film", now));
    world.flush();
    until("the alert", || alerts(&admin).len() == 1);
    let alert = alerts(&admin).remove(0);
    assert_eq!((&alert["surge"], &alert["crowded"]), (&json!(true), &json!(false)), "{alert}");
    let held = alert["under_review"].as_u64().expect("a number");
    assert!((270..300).contains(&held), "{alert}");
    let window = &alert["window"];
    let body = json!({"from": window["from"], "to": window["to"], "reason": "a bomb"});
    let done = admin.post("/api/admin/posts/film/exclusions", &body).expect(200);
    assert_eq!((&done["held"], &done["excluded"]), (&json!(held), &json!(300 - held)));
    until("it to be seen", || shown(&api, "film") == before);
    assert_eq!(admin.get("/api/admin/held").expect(200)["ratings"], json!([]));
    world.assert_consistent();
}

fn alerts_are_walked_page_by_page_the_newest_first(world: World) {
    let (world, service, admin) = moderator(world);
    let now = now_ms();
    // Within one flush each alert has its own start: the time of its last rating, or of the last tick.
    for post in ["a", "b", "c"] {
        world.import(&(honest(post, now) + &bomb(post, now)));
        world.flush();
    }
    until("all three", || alerts(&admin).len() == 3);
    let all = alerts(&admin);
    let mut walked = Vec::new();
    let mut path = "/api/admin/alerts?limit=1".to_owned();
    loop {
        let page = admin.get(&path);
        walked.extend(page.expect(200)["alerts"].as_array().expect("alerts").clone());
        match page.header("link").strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    let key = |alert: &Value| (alert["since"].clone().to_string(), alert["post_id"].clone().to_string());
    assert_eq!(walked.iter().map(key).collect::<Vec<_>>(), all.iter().map(key).collect::<Vec<_>>());
    assert!(all.windows(2).all(|pair| key(&pair[0]) > key(&pair[1])), "{all:?}");
    admin.get("/api/admin/alerts?cursor=00").problem(422, "invalid-cursor");
    drop(service);
}

/// A webhook request: its head, in lower case, and its body.
type WebhookRequest = (String, String);

/// A webhook site that fails at first and then accepts every request.
fn site() -> (String, Receiver<WebhookRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (send, requests) = channel();
    std::thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a reader"));
            let (mut head, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                head.push_str(&line.to_lowercase());
                line.clear();
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.and_then(|text| text.trim().parse().ok()).expect("a length")];
            reader.read_exact(&mut body).expect("a body");
            let status = if i == 0 { "500 Down" } else { "204 Fine" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("an answer");
            if send.send((head, String::from_utf8(body).expect("text"))).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/alerts"), requests)
}

fn a_webhook_is_retried_until_the_site_answers(world: World) {
    const SECRET: &str = "a webhook's secret that no one can guess";
    let (url, requests) = site();
    let now = now_ms();
    world.import(&honest("film", now));
    world.flush();
    let world = world
        .with("tick", EVERY_SECOND)
        .with("moderation.webhook_url", url)
        .with("moderation.webhook_secret", SECRET);
    let service = world.start(Program::Damper);
    world.import(&bomb("film", now));
    let wait = std::time::Duration::from_secs(60);
    let (first, again) =
        (requests.recv_timeout(wait).expect("a try"), requests.recv_timeout(wait).expect("another"));
    let header = |(head, _): &WebhookRequest, name: &str| {
        let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("no {name} in {head}")).trim().to_owned()
    };
    assert_eq!(header(&first, "webhook-id"), header(&again, "webhook-id"), "the same alert");
    let body: Value = serde_json::from_str(&again.1).expect("JSON");
    assert_eq!((&body["type"], &body["data"]["post_id"]), (&json!("post.alert"), &json!("film")));
    assert!(body["data"]["window"]["from"].is_string(), "{body}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let (id, at) = (header(&again, "webhook-id"), header(&again, "webhook-timestamp"));
    let signature = hmac::sign(&key, format!("{id}.{at}.{}", again.1).as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(signature));
    assert_eq!(header(&again, "webhook-signature"), signature.to_lowercase());
    until("it is marked", || {
        world.db().count("select count(*) from ranking where told_at = alerted_at") == 1
    });
    let ticks = || world.db().count("select count(*) from drains where started_by = 'tick'");
    let then = ticks();
    until("two more ticks", || ticks() >= then + 2);
    assert!(requests.try_recv().is_err(), "it was sent only once");
    drop(service);
}

async fn an_alert_ends_with_a_tick_and_the_next_one_is_another(world: World) {
    let app = rated(&world, &[]).await;
    let honest = (0..90).map(|i| entry("p", &format!("u{i}"), Some(5), START.plus_ms(i * DAY_MS)));
    app.intake().append_all(honest.collect(), None).await.unwrap();
    let alerted = async || world.store().await.alerted(None, 10).await.unwrap();
    tick(&app, NOW).await;
    assert_eq!(alerted().await, []);
    let bomb = async |name: &str, at: Time| {
        let bomb = (0..200).map(|i| entry("p", &format!("{name}{i}"), Some(0), at.plus_ms(i * 1_000)));
        app.intake().append_all(bomb.collect(), None).await.unwrap();
        tick(&app, at.plus_ms(HOUR_MS)).await;
    };
    bomb("first", NOW).await;
    let first = alerted().await;
    assert_eq!(first.len(), 1);
    let found = app.moderation().alerts(None, 10, NOW.plus_ms(HOUR_MS)).await.unwrap().items;
    assert_eq!((found.len(), found[0].since), (1, first[0].0));
    tick(&app, NOW.plus_ms(DAY_MS)).await;
    assert_eq!(alerted().await, first, "it goes on, and keeps its beginning");
    // No more ratings; everything vests.
    let later = NOW.plus_ms(1_000 * DAY_MS);
    tick(&app, later).await;
    assert_eq!(alerted().await, []);
    bomb("second", later).await;
    let second = alerted().await;
    assert!(second.len() == 1 && second[0].0 >= later, "{second:?}");
}
