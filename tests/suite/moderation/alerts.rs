//! Alerts: which posts need a moderator's eyes, since when, and in which order.

use damper::App;
use damper::model::Time;
use serde_json::{Value, json};

use super::{DAY_MS, HOUR_MS, NOW, line, moderator, put, rated, tick};
use crate::support::http::Http;
use crate::support::log::{START, entry, post_id};
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(
    a_bomb_is_an_alert_whose_window_excludes_and_restores_it,
    a_bomb_that_is_held_moves_nothing_and_is_no_alert,
    alerts_are_walked_page_by_page_the_greatest_shift_first,
);

mod library {
    use super::*;

    in_both_setups!(async
        an_alert_ends_with_a_tick_and_the_next_one_is_another,
        one_rating_of_an_old_post_is_no_alert_and_thresholds_are_settings,
    );
}

/// The ranking is as of the last tick. Nothing ticks by itself in these tests.
pub const EVERY_HOUR: &str = "0 0 * * * *";

pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Two months of ratings of `post`, one every four hours, up to three days before `end_ms`.
pub fn honest(post: &str, end_ms: i64) -> String {
    let rating = |i: i64| line(post, &format!("u{i}"), 4 + i % 2, end_ms - 3 * DAY_MS - i * 4 * HOUR_MS);
    (0..360).rev().map(rating).collect()
}

/// So many zeros within the two clock hours before that of `end_ms`.
pub fn bomb(post: &str, zeros: i64, end_ms: i64) -> String {
    let begin = end_ms / HOUR_MS * HOUR_MS - 2 * HOUR_MS;
    (0..zeros).map(|i| line(post, &format!("b{i}"), 0, begin + i * 20_000)).collect()
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
    world.import(&bomb("film", 300, now));
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

fn a_bomb_that_is_held_moves_nothing_and_is_no_alert(world: World) {
    let (world, service, admin) = moderator(world);
    let (api, now) = (service.http(), now_ms());
    world.import(&honest("film", now));
    world.flush();
    let before = shown(&api, "film");
    put(&admin, "/api/admin/posts/film/policy", &json!({"hold": "surge", "reason": "a launch"})).expect(200);
    world.import(&bomb("film", 300, now));
    world.flush();
    let policy = admin.get("/api/admin/posts/film/policy").expect(200);
    let waiting = policy["held"].as_u64().expect("a number");
    assert!((270..300).contains(&waiting), "{waiting}");
    assert_eq!(alerts(&admin), Vec::<Value>::new());
    let steps = admin.get("/api/admin/posts/film/arrivals").expect(200)["steps"].clone();
    let arrived: u64 =
        steps.as_array().expect("steps").iter().filter_map(|step| step["ratings"].as_u64()).sum();
    assert_eq!(arrived, 300, "{steps}");
    let body = json!({"from": steps[0]["at"], "to": Time::from_ms(now), "reason": "a bomb"});
    let done = admin.post("/api/admin/posts/film/exclusions", &body).expect(200);
    assert_eq!((&done["held"], &done["excluded"]), (&json!(waiting), &json!(300 - waiting)));
    until("it to be seen", || shown(&api, "film") == before);
    assert_eq!(admin.get("/api/admin/held").expect(200)["ratings"], json!([]));
    world.assert_consistent();
}

fn alerts_are_walked_page_by_page_the_greatest_shift_first(world: World) {
    let (world, service, admin) = moderator(world);
    let now = now_ms();
    for (post, zeros) in [("c", 100), ("a", 300), ("b", 200)] {
        world.import(&(honest(post, now) + &bomb(post, zeros, now)));
    }
    world.flush();
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
    let post = |alert: &Value| alert["post_id"].as_str().expect("a post").to_owned();
    assert_eq!(all.iter().map(post).collect::<Vec<_>>(), ["a", "b", "c"], "{all:?}");
    assert_eq!(walked.iter().map(post).collect::<Vec<_>>(), ["a", "b", "c"]);
    admin.get("/api/admin/alerts?cursor=00").problem(422, "invalid-cursor");
    drop(service);
}

/// Ninety fives of each post, one a day from `start` on.
pub async fn honest_fives(app: &App, posts: &[&str], start: Time) {
    let fives =
        |post| (0..90).map(move |i| entry(post, &format!("u{i}"), Some(5), start.plus_ms(i * DAY_MS)));
    app.intake().append_all(posts.iter().flat_map(|post| fives(post)).collect(), None).await.unwrap();
}

/// So many zeros of `post` by users called `name`, one a second from `at` on.
pub async fn zeros(app: &App, post: &str, name: &str, count: i64, at: Time) {
    let zeros = (0..count).map(|i| entry(post, &format!("{name}{i}"), Some(0), at.plus_ms(i * 1_000)));
    app.intake().append_all(zeros.collect(), None).await.unwrap();
}

async fn an_alert_ends_with_a_tick_and_the_next_one_is_another(world: World) {
    let world = world.with("tick", EVERY_HOUR);
    let app = rated(&world, &[]).await;
    honest_fives(&app, &["p"], START).await;
    let alerted = async || world.store().await.alerted(None, 10).await.unwrap();
    tick(&app, NOW).await;
    assert_eq!(alerted().await, []);
    zeros(&app, "p", "first", 200, NOW).await;
    tick(&app, NOW.plus_ms(HOUR_MS)).await;
    let first = alerted().await;
    assert_eq!(first.len(), 1);
    let found = app.moderation().alerts(None, 10, NOW.plus_ms(HOUR_MS)).await.unwrap().items;
    assert_eq!((found.len(), found[0].since), (1, first[0].since));
    // The published mean comes down; below the threshold of a beginning, and above half of it, the alert goes on.
    let shift_min = app.params().alerts().shift_min;
    let mut day = 0;
    let (mut faded, mut ended) = (false, false);
    while !ended {
        day += 1;
        tick(&app, NOW.plus_ms(day * DAY_MS)).await;
        match alerted().await.as_slice() {
            [] => ended = true,
            [alert] => {
                assert_eq!(alert.since, first[0].since, "it goes on, and keeps its beginning");
                assert!(alert.shift >= shift_min / 2.0, "{alert:?}");
                faded |= alert.shift < shift_min;
            }
            more => panic!("{more:?}"),
        }
        assert!(day < 1_000);
    }
    assert!(faded, "it ended at half of the threshold, not at the threshold");
    let later = NOW.plus_ms(1_000 * DAY_MS);
    tick(&app, later).await;
    zeros(&app, "p", "second", 900, later).await;
    tick(&app, later.plus_ms(HOUR_MS)).await;
    let second = alerted().await;
    assert!(second.len() == 1 && second[0].since >= later, "{second:?}");
}

async fn one_rating_of_an_old_post_is_no_alert_and_thresholds_are_settings(world: World) {
    let world = world.with("tick", EVERY_HOUR);
    let app = rated(&world, &[]).await;
    let ten = (0..10).map(|i| entry("p", &format!("u{i}"), Some(5), START.plus_ms(i * HOUR_MS)));
    app.intake().append_all(ten.collect(), None).await.unwrap();
    zeros(&app, "p", "late", 1, NOW).await;
    tick(&app, NOW.plus_ms(60_000)).await;
    let view = app.reader().posts(&[post_id("p")], None, NOW.plus_ms(60_000)).await.unwrap().remove(0);
    assert!(view.average.is_crowded(app.params()), "one rating is enough to be crowded");
    assert_eq!(world.store().await.alerted(None, 10).await.unwrap(), []);
    // A site that wants to know of every single one can.
    let world = world.with("moderation.alert_ratings_min", 0).with("moderation.alert_shift_min", 0.05);
    let app = world.app().await;
    tick(&app, NOW.plus_ms(2 * HOUR_MS)).await;
    assert_eq!(world.store().await.alerted(None, 10).await.unwrap().len(), 1);
}
