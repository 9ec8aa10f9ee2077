//! Rate limits: by user, by address, by post; over several processes; whatever headers proxies and forgers
//! send.

use std::time::Instant;

use serde_json::json;

use crate::support::http::{Answer, Http, JSON};
use crate::support::process::Process;
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(
    a_user_has_a_limit_per_minute_and_sees_the_remainder,
    a_withdrawal_counts_and_a_refused_body_does_not,
    an_address_is_limited_whatever_headers_it_sends,
    a_trusted_proxy_names_the_client,
    a_post_is_limited_if_the_setting_is_on,
    a_limited_request_asks_no_database,
);

fn rate(api: &Http, user: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"user_id": user, "score": 5}).to_string();
    api.send("POST", "/api/posts/p/rate", &[&[JSON], headers].concat(), Some(body.as_bytes()))
}

/// A service that limits users and addresses, and its only post.
fn start(world: &World) -> (Process, Http) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    (service, api)
}

fn with(world: World, user: u32, address: u32) -> World {
    world
        .with("limits.ratings_per_minute_per_user", user)
        .with("limits.ratings_per_minute_per_address", address)
}

fn a_user_has_a_limit_per_minute_and_sees_the_remainder(world: World) {
    let world = with(world, 3, 100);
    let (_service, api) = start(&world);
    for left in [2, 1, 0] {
        let taken = rate(&api, "ann", &[]);
        assert_eq!(taken.status, 202, "{}", taken.text);
        assert_eq!(taken.header("ratelimit-policy"), r#""user";q=3;w=60, "address";q=100;w=60"#);
        assert!(
            taken.header("ratelimit").starts_with(&format!("\"user\";r={left};t=")),
            "{:?}",
            taken.headers
        );
    }
    let refused = rate(&api, "ann", &[]);
    let problem = refused.problem(429, "rate-limited");
    assert!(
        problem["detail"].as_str().expect("a text").contains("3 ratings a minute of one user"),
        "{problem}"
    );
    let wait: u32 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").contains("\"user\";r=0"), "{:?}", refused.headers);
    assert_eq!(rate(&api, "bob", &[]).status, 202, "other users are not limited");
    assert_eq!(world.status()["accepted"], 4);
}

fn a_withdrawal_counts_and_a_refused_body_does_not(world: World) {
    let world = with(world, 2, 0);
    let (_service, api) = start(&world);
    for _ in 0..5 {
        let body = br#"{"user_id":"ann","score":9}"#;
        api.send("POST", "/api/posts/p/rate", &[JSON], Some(body)).problem(422, "score-out-of-range");
    }
    assert_eq!(rate(&api, "ann", &[]).status, 202);
    api.delete("/api/posts/p/rate?user_id=ann").expect(202);
    api.delete("/api/posts/p/rate?user_id=ann").problem(429, "rate-limited");
    rate(&api, "ann", &[]).problem(429, "rate-limited");
    assert_eq!(api.read("p")["id"], "p", "reading is not limited");
}

fn an_address_is_limited_whatever_headers_it_sends(world: World) {
    let world = with(world, 0, 5);
    let (_service, api) = start(&world);
    let taken = (0..200u32)
        .filter(|i| {
            let forged = format!("{}.{}.{}.{}", i % 250 + 1, i / 250, i % 7, i % 11);
            let headers = [
                ("x-forwarded-for", forged.as_str()),
                ("x-real-ip", &forged),
                ("forwarded", "for=192.0.2.60"),
                ("true-client-ip", &forged),
            ];
            rate(&api, &format!("u{i}"), &headers).status == 202
        })
        .count();
    assert_eq!(taken, 5);
}

fn a_trusted_proxy_names_the_client(world: World) {
    let world = with(world, 0, 2).with("limits.trusted_proxies", "127.0.0.0/8, 10.0.0.0/8");
    let (_service, api) = start(&world);
    let mut users = 0;
    let mut from = |forwarded: &str| {
        users += 1;
        rate(&api, &format!("u{users}"), &[("x-forwarded-for", forwarded)]).status
    };
    assert_eq!([from("192.0.2.1"), from("192.0.2.1"), from("192.0.2.1")], [202, 202, 429]);
    assert_eq!(from("192.0.2.2, 10.1.2.3"), 202, "another client, behind two proxies");
    assert_eq!(from("192.0.2.9, 192.0.2.1"), 429, "an entry that the client added itself is ignored");
    assert_eq!([from("2001:db8::1"), from("2001:db8::2"), from("[2001:db8::3]:99")], [202, 202, 429]);
    assert_eq!(
        [from("nonsense"), from("nonsense"), from("unknown")],
        [202, 202, 429],
        "then the proxy's own address counts"
    );
}

fn a_post_is_limited_if_the_setting_is_on(world: World) {
    let world = world.with("limits.ratings_per_minute_per_post", 4);
    let (_service, api) = start(&world);
    api.create("q");
    let taken = (0..10).filter(|i| rate(&api, &format!("u{i}"), &[]).status == 202).count();
    assert_eq!(taken, 4);
    api.rate("q", "u0", 5);
}

fn a_limited_request_asks_no_database(world: World) {
    let world = with(world, 1, 0);
    let (_service, api) = start(&world);
    assert_eq!(rate(&api, "ann", &[]).status, 202);
    // An unknown post would need a look-up in the database.
    let body = json!({"user_id": "ann", "score": 5});
    api.post("/api/posts/unheard-of/rate", &body).problem(429, "rate-limited");
    api.post("/api/posts/unheard-of/rate", &json!({"user_id": "bob", "score": 5})).problem(404, "not-found");
}

#[test]
fn processes_share_their_limits_through_redis_and_go_on_without_it() {
    let world = with(World::servers(), 6, 0);
    let services = [world.start_api(), world.start_api()];
    let apis = [services[0].http(), services[1].http()];
    apis[0].create("p");
    let outcome = |user: &str, count: usize| -> usize {
        let statuses = (0..count).map(|i| rate(&apis[i % 2], user, &[]).status);
        statuses.filter(|status| *status == 202).count()
    };
    assert_eq!(outcome("ann", 30), 6, "six over both processes");
    let named = world.redis().command(&["KEYS", "damper:{limit}:*"]).texts();
    assert_eq!(named, ["damper:{limit}:user:ann"]);
    let ttl = world.redis().command(&["PTTL", "damper:{limit}:user:ann"]).int();
    assert!((1..=60_000).contains(&ttl), "{ttl}");
    world.redis().kill();
    until("the outage to be noticed", || rate(&apis[0], "bob", &[]).status == 503);
    // They remember earlier requests, and each counts by itself.
    for api in &apis {
        until("ann to be limited", || rate(api, "ann", &[]).status == 429);
    }
    world.redis().start_again();
    // Each try by another user: a process that is back early must not use up the other's calls.
    for (i, api) in apis.iter().enumerate() {
        let mut tries = 0..;
        let mut next = || format!("carol{i}-{}", tries.next().unwrap_or_default());
        until("ratings to be taken again", || rate(api, &next(), &[]).status == 202);
    }
    let mut users = 0..;
    until("limits to be shared again", || {
        outcome(&format!("erin{}", users.next().unwrap_or_default()), 20) == 6
    });
    world.redis().command(&["SET", "damper:{limit}:user:dave", "no time at all"]);
    assert_eq!(outcome("dave", 20), 6, "an invalid value starts again from zero");
    world.redis().command(&["LPUSH", "damper:{limit}:user:fred", "no time at all"]);
    assert_eq!(outcome("fred", 20), 6, "and so does one of another type");
}

#[test]
fn each_process_counts_a_sixteenth_of_a_limit_by_itself() {
    let world = with(World::servers(), 160, 0);
    let services = [world.start_api(), world.start_api()];
    let apis = [services[0].http(), services[1].http()];
    apis[0].create("p");
    let began = Instant::now();
    let keys = || world.redis().command(&["KEYS", "damper:{limit}:*"]).texts();
    for _ in 0..10 {
        assert_eq!(rate(&apis[0], "ann", &[]).status, 202);
    }
    assert_eq!(keys(), Vec::<String>::new(), "redis is not asked for them");
    assert_eq!(rate(&apis[0], "ann", &[]).status, 202);
    assert_eq!(keys(), ["damper:{limit}:user:ann"], "it gets all of them at once");
    let mut taken = 11;
    // Both must refuse: one may not know yet what the other took.
    let mut refused = 0;
    while refused < 2 {
        let statuses = apis.each_ref().map(|api| rate(api, "ann", &[]).status);
        refused = statuses.iter().filter(|status| **status == 429).count();
        taken += 2 - refused;
    }
    let leaked = began.elapsed().as_secs_f64() * 160.0 / 60.0;
    assert!(taken >= 160 && taken as f64 <= 160.0 + 2.0 * 10.0 + leaked + 1.0, "{taken}");
}

#[test]
fn requests_at_once_take_no_more_than_there_is() {
    let world = with(World::servers(), 3, 0);
    let services = [world.start_api(), world.start_api()];
    services[0].http().create("p");
    // The bucket refills during the calls, but only one token in twenty seconds.
    let taken: Vec<(usize, u16)> = std::thread::scope(|scope| {
        let call = |caller: usize| {
            let api = services[caller % 2].http();
            let own = format!("u{caller}");
            move || {
                let shared = (0..5).filter(|_| rate(&api, "ann", &[]).status == 202).count();
                (shared, rate(&api, &own, &[]).status)
            }
        };
        let callers: Vec<_> = (0..24).map(|caller| scope.spawn(call(caller))).collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller ends")).collect()
    });
    assert_eq!(taken.iter().map(|(shared, _)| shared).sum::<usize>(), 3, "{taken:?}");
    assert!(taken.iter().all(|(_, own)| *own == 202), "each answer is its caller's own: {taken:?}");
}

#[test]
fn no_address_is_stored() {
    let world =
        with(World::servers(), 0, 10).with("limits.trusted_proxies", "127.0.0.1").with("log.filter", "trace");
    let service = world.start_api();
    service.http().create("p");
    assert_eq!(rate(&service.http(), "ann", &[("x-forwarded-for", "192.0.2.77")]).status, 202);
    let keys = world.redis().command(&["KEYS", "*"]).texts().join(" ");
    assert!(keys.contains("{limit}:address:") && !keys.contains("192.0.2.77"), "{keys}");
    world.flush();
    service.terminate();
    let run = service.finish().expect(0);
    assert!(!run.err.contains("192.0.2.77"), "it is in the log");
}

#[test]
fn ten_thousand_forged_addresses_are_one() {
    let world = with(World::servers(), 0, 20);
    let services = [world.start_api(), world.start_api()];
    services[0].http().create("p");
    let taken: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8usize)
            .map(|caller| {
                let api = services[caller % 2].http();
                scope.spawn(move || {
                    let forged = |i: usize| format!("10.{}.{}.{caller}", i / 250, i % 250);
                    let status =
                        |i| rate(&api, &format!("u{caller}-{i}"), &[("x-forwarded-for", &forged(i))]).status;
                    (0..1_250).filter(|i| status(*i) == 202).count()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller ends")).sum()
    });
    // The bucket refills during the calls: one token in three seconds.
    assert!((20..=60).contains(&taken), "{taken}");
}
