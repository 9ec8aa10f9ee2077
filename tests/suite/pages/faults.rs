//! While a server is away, pages say so, show what is known and since when, and come back by themselves.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use super::{HTML, Visitor};
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::World;

#[test]
fn while_postgres_is_away_pages_show_what_is_known() {
    let postgres = Postgres::start();
    let world = World::on(Redis::start(), &postgres).with("store.answer_timeout_ms", 500);
    world.import("film,ann,4,1700000000\n");
    world.flush();
    let service = world.start_api();
    let visitor = Visitor::admin(&service);
    let paths = ["/", "/posts", "/posts/film", "/held", "/audit", "/system"];
    let known: Vec<String> = paths.iter().map(|path| visitor.page(path)).collect();
    postgres.stop_immediately();
    for (path, known) in paths.iter().zip(&known) {
        let page = visitor.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        assert!(
            page.text.contains("does not answer since")
                && page.text.contains("This page shows what was known at"),
            "{path}"
        );
        let main = |page: &str| {
            page.split("<main").nth(1).map(|main| main.split("data-until").next().unwrap_or_default().len())
        };
        assert_eq!(main(&page.text), main(known), "{path} is whole");
        assert!(!page.header("refresh").is_empty(), "it comes back without a script");
    }
    // A page that was never seen, and whoever is not known.
    for (cookie, path) in [(visitor.cookie.as_str(), "/audit?by=ann"), ("damper_session=dmp_1", "/")] {
        let page = visitor.http.send("GET", path, &[HTML, ("cookie", cookie)], None);
        assert_eq!(page.status, 503, "{path}");
        assert!(
            page.text.starts_with("<!doctype html>") && page.text.contains("comes back by itself"),
            "{}",
            page.text
        );
    }
    let fields = [("form", visitor.form.as_str()), ("frozen", "yes"), ("reason", "x")];
    let refused = super::send(&visitor.http, "/posts/film/policy", &visitor.cookie, &fields);
    assert_eq!(refused.status, 503, "a change needs the session, which the database keeps");
    postgres.start_again();
    for path in paths {
        until("the page to be fresh again", || {
            let page = visitor.get(path);
            page.status == 200 && !page.text.contains("does not answer")
        });
    }
}

#[test]
fn while_redis_is_away_the_rest_goes_on() {
    let world = World::servers().with("buffer.append_timeout_ms", 300);
    world.import("film,ann,4,1700000000\n");
    world.flush();
    let service = world.start_api();
    let visitor = Visitor::admin(&service);
    visitor.page("/");
    world.redis().kill();
    until("the overview to say so", || visitor.page("/").contains("does not answer since"));
    let page = visitor.page("/");
    assert!(
        page.contains("1</p>\n<p class=\"quiet\">as of") || page.contains("as of <time"),
        "the last balance has its time: {page}"
    );
    assert!(page.contains("Redis ✗") && page.contains("Postgres ✓"), "{page}");
    assert!(visitor.page("/posts/film").contains("4.00"));
    world.redis().start_again();
    until("the overview to be well again", || !visitor.page("/").contains("does not answer"));
}

#[test]
fn an_open_page_hears_of_what_changes() {
    let world = World::embedded();
    let service = world.start_api();
    let visitor = Visitor::admin(&service);
    service.http().create("p");
    let mut stream = TcpStream::connect(visitor.http.address()).expect("a connection");
    write!(
        stream,
        "GET /live HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\n\r\n",
        visitor.http.address(),
        visitor.cookie
    )
    .expect("sent");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    let mut next =
        || lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).expect("an event");
    let first: serde_json::Value = serde_json::from_str(&next()).expect("json");
    assert_eq!(first["waiting"], 0);
    service.http().rate("p", "ann", 5);
    let waiting: serde_json::Value = serde_json::from_str(&next()).expect("json");
    assert_eq!(waiting["waiting"], 1);
    world.flush();
    let merged: serde_json::Value = serde_json::from_str(&next()).expect("json");
    assert!(merged["waiting"] == 0 && merged["merged"] != first["merged"], "{merged}");
    super::send(&visitor.http, "/sign-out", &visitor.cookie, &[("form", &visitor.form)]);
    assert!(!lines.any(|line| line.starts_with("data: ")), "the stream ends with the session");
}
