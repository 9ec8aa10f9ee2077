//! The webhook: a site gets every beginning and every end of an alert once, signed as Standard Webhooks says.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use damper::App;
use damper::model::Time;
use serde_json::Value;
use standardwebhooks::Webhook;

use super::alerts::{EVERY_HOUR, bomb, honest, honest_fives, now_ms, zeros};
use super::{DAY_MS, HOUR_MS, NOW, rated, tick};
use crate::support::log::{self, START};
use crate::support::process::Program;
use crate::support::world::{EVERY_SECOND, World};
use crate::support::{in_both_setups, until};

in_both_setups!(a_webhook_is_retried_until_the_site_answers);

mod library {
    use super::*;

    in_both_setups!(async
        a_secret_that_is_a_text_signs_with_its_bytes,
        a_site_gets_each_beginning_and_each_end_once,
        a_site_that_was_away_gets_the_newest_state_the_greatest_shift_first,
        what_passed_while_the_site_was_away_is_not_sent,
    );
}

const TEXT: &str = "a webhook's secret that no one can guess";
/// 24 bytes, as Standard Webhooks writes them.
const BASE64: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request to the site.
struct Request {
    headers: HeaderMap,
    body: String,
}

impl Request {
    fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().expect("text")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The event's type and its post.
    fn event(&self) -> (String, String) {
        let body = self.json();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        (text(&body["type"]), text(&body["data"]["post_id"]))
    }
}

/// A site that answers 204 while it is up and 500 while it is down.
struct Site {
    url: String,
    is_up: Arc<AtomicBool>,
    requests: Receiver<Request>,
}

impl Site {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/alerts", listener.local_addr().expect("an address"));
        let (is_up, (send, requests)) = (Arc::new(AtomicBool::new(true)), channel());
        let up = is_up.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let request = read(&mut BufReader::new(stream.try_clone().expect("a reader")));
                let status = if up.load(Ordering::SeqCst) { "204 Fine" } else { "500 Down" };
                // Before the answer, so that a test that has seen the round end finds the request.
                if send.send(request).is_err() {
                    return;
                }
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).expect("an answer");
            }
        });
        Self { url, is_up, requests }
    }

    fn is_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::SeqCst);
    }

    /// The requests since the last look.
    fn got(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }

    /// Their types and posts.
    fn events(&self) -> Vec<(String, String)> {
        self.got().iter().map(Request::event).collect()
    }

    /// The world with this site as its webhook.
    fn of(&self, world: World, secret: &str) -> World {
        world.with("moderation.webhook_url", &self.url).with("moderation.webhook_secret", secret)
    }
}

fn read(stream: &mut impl BufRead) -> Request {
    let (mut headers, mut line) = (HeaderMap::new(), String::new());
    while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            let name: HeaderName = name.parse().expect("a header's name");
            headers.insert(name, value.parse().expect("a header's value"));
        }
        line.clear();
    }
    let length = headers["content-length"].to_str().expect("text").parse().expect("a length");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    Request { headers, body: String::from_utf8(body).expect("text") }
}

/// A tick and what follows it: the round of the webhook.
async fn round(app: &App, now: Time) {
    tick(app, now).await;
    app.moderation().send_alerts(now).await;
}

fn event(kind: &str, post: &str) -> (String, String) {
    (kind.to_owned(), post.to_owned())
}

fn a_webhook_is_retried_until_the_site_answers(world: World) {
    let (site, now) = (Site::open(), now_ms());
    site.is_up(false);
    world.import(&honest("film.2", now));
    world.flush();
    let world = site.of(world, BASE64).with("tick", EVERY_SECOND);
    let service = world.start(Program::Damper);
    world.import(&bomb("film.2", 300, now));
    let next = || site.requests.recv_timeout(Duration::from_secs(60)).expect("a try");
    let (first, again) = (next(), next());
    site.is_up(true);
    assert_eq!(first.id(), again.id(), "the same event");
    assert!(!first.id().contains('.'), "{}", first.id());
    let told = || world.db().count("select count(*) from ranking where told_at = alerted_at") == 1;
    until("it is marked", told);
    let last = site.got().pop().unwrap_or(again);
    assert_eq!(last.event(), event("post.alert", "film.2"));
    assert!(last.json()["data"]["window"]["from"].is_string(), "{}", last.body);
    Webhook::new(BASE64)
        .unwrap()
        .verify(last.body.as_bytes(), &last.headers)
        .expect("the signature is right");
    let ticks = || world.db().count("select count(*) from drains where started_by = 'tick'");
    let then = ticks();
    until("two more ticks", || ticks() >= then + 2);
    assert_eq!(site.events(), [], "it was sent only once");
    drop(service);
}

async fn a_secret_that_is_a_text_signs_with_its_bytes(world: World) {
    let site = Site::open();
    let world = site.of(world, TEXT).with("tick", EVERY_HOUR);
    let app = rated(&world, &[]).await;
    let now = Time::from_ms(now_ms());
    honest_fives(&app, &["p"], now.plus_ms(-100 * DAY_MS)).await;
    zeros(&app, "p", "bomber", 300, now.plus_ms(-HOUR_MS)).await;
    round(&app, now).await;
    let request = site.got().pop().expect("the alert");
    let webhook = Webhook::from_bytes(TEXT.into()).unwrap();
    webhook.verify(request.body.as_bytes(), &request.headers).expect("the signature is right");
    let mut forged = request.headers.clone();
    forged.insert("webhook-id", "alert_0".parse().unwrap());
    assert!(webhook.verify(request.body.as_bytes(), &forged).is_err());
}

async fn a_site_gets_each_beginning_and_each_end_once(world: World) {
    let site = Site::open();
    let world = site.of(world, TEXT).with("tick", EVERY_HOUR);
    let app = rated(&world, &[]).await;
    honest_fives(&app, &["p"], START).await;
    round(&app, NOW).await;
    zeros(&app, "p", "first", 200, NOW).await;
    round(&app, NOW.plus_ms(HOUR_MS)).await;
    let begun = site.got();
    assert_eq!(begun.iter().map(Request::event).collect::<Vec<_>>(), [event("post.alert", "p")]);
    for hours in [2, 24] {
        round(&app, NOW.plus_ms(hours * HOUR_MS)).await;
    }
    assert_eq!(site.events(), []);
    round(&app, NOW.plus_ms(1_000 * DAY_MS)).await;
    let ended = site.got();
    assert_eq!(ended.iter().map(Request::event).collect::<Vec<_>>(), [event("post.alert.ended", "p")]);
    let since = |request: &Request| request.json()["data"]["since"].clone();
    assert_eq!(since(&begun[0]), since(&ended[0]));
    assert_ne!(begun[0].id(), ended[0].id());
    round(&app, NOW.plus_ms(1_001 * DAY_MS)).await;
    assert_eq!(site.events(), []);
}

async fn a_site_that_was_away_gets_the_newest_state_the_greatest_shift_first(world: World) {
    let site = Site::open();
    let world = site.of(world, TEXT).with("tick", EVERY_HOUR);
    let app = rated(&world, &[]).await;
    let posts = ["known", "large", "middle", "passed", "small"];
    app.catalogue().ensure_posts(log::posts(&posts)).await.unwrap();
    honest_fives(&app, &posts, START).await;
    zeros(&app, "known", "first", 100, NOW).await;
    zeros(&app, "passed", "b", 100, NOW).await;
    // Two posts are known to be alerts before the site goes away; one of them ends while it is.
    round(&app, NOW.plus_ms(HOUR_MS)).await;
    assert_eq!(site.events().len(), 2);
    site.is_up(false);
    let later = NOW.plus_ms(1_000 * DAY_MS);
    round(&app, later).await;
    for (post, count) in [("small", 100), ("large", 2_000), ("middle", 500), ("known", 300)] {
        zeros(&app, post, "b", count, later).await;
    }
    for hours in 1..=24 {
        round(&app, later.plus_ms(hours * HOUR_MS)).await;
    }
    let tried = site.got();
    assert!(tried.iter().filter(|request| request.event().1 == "large").count() >= 24, "at each tick");
    site.is_up(true);
    let back = later.plus_ms(25 * HOUR_MS);
    round(&app, back).await;
    let got = site.got();
    let shift = |request: &Request| {
        let (raw, published) = (&request.json()["data"]["raw_average"], &request.json()["data"]["average"]);
        (raw.as_f64().expect("a mean") - published.as_f64().expect("a mean")).abs()
    };
    let (begun, ended): (Vec<&Request>, Vec<&Request>) =
        got.iter().partition(|request| request.event().0 == "post.alert");
    assert_eq!(begun.len(), 4, "{:?}", got.iter().map(Request::event).collect::<Vec<_>>());
    assert!(begun.windows(2).all(|pair| shift(pair[0]) >= shift(pair[1])), "the greatest first");
    assert_eq!(begun[0].event().1, "large");
    let known = begun.iter().find(|request| request.event().1 == "known").expect("it began anew");
    let since: Time = serde_json::from_value(known.json()["data"]["since"].clone()).unwrap();
    assert!(since >= later, "of an alert that ended and began anew it gets the newest state");
    assert_eq!(ended.iter().map(|request| request.event().1).collect::<Vec<_>>(), ["passed"]);
    assert!(got.last().is_some_and(|request| request.event().0 == "post.alert.ended"), "ends come last");
    round(&app, back).await;
    assert_eq!(site.events(), []);
}

async fn what_passed_while_the_site_was_away_is_not_sent(world: World) {
    let site = Site::open();
    let world = site.of(world, TEXT).with("tick", EVERY_HOUR);
    let app = rated(&world, &[]).await;
    honest_fives(&app, &["p"], START).await;
    zeros(&app, "p", "b", 200, NOW).await;
    site.is_up(false);
    round(&app, NOW.plus_ms(HOUR_MS)).await;
    assert_eq!(site.events(), [event("post.alert", "p")]);
    round(&app, NOW.plus_ms(1_000 * DAY_MS)).await;
    site.is_up(true);
    round(&app, NOW.plus_ms(1_001 * DAY_MS)).await;
    assert_eq!(site.events(), []);
}
