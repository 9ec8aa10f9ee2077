//! Network faults: every call ends, the API answers, and everything resumes when the bytes flow again.

use std::collections::BTreeMap;

use serde_json::json;

use super::rate;
use crate::support::http::Http;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::proxy::{Fault, Proxy};
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World};

/// A world whose servers are reached through proxies.
pub(super) struct Distant {
    pub world: World,
    pub redis: Proxy,
    pub postgres: Proxy,
}

impl Distant {
    pub fn new() -> Self {
        let (redis, postgres) = (Redis::start(), Postgres::shared());
        let (near_redis, near_postgres) = (redis.address(), postgres.address());
        let proxies = (Proxy::start(&near_redis), Proxy::start(&near_postgres));
        let world = World::on(redis, postgres).with("shards", 2).with("drain.batch_max", 20);
        let through = world.database_url().replace(&near_postgres, &proxies.1.address());
        let world =
            world.with("redis_url", format!("redis://{}", proxies.0.address())).with("database_url", through);
        Self { world, redis: proxies.0, postgres: proxies.1 }
    }

    /// A service with a post that it has already read.
    pub fn service(&self) -> (Process, Http) {
        let service = self.world.start(Program::Api);
        let api = service.http();
        api.create("p");
        assert_eq!(rate(&api, "p", "before", 1).status, 202);
        assert_eq!(api.read("p")["id"], "p");
        (service, api)
    }
}

fn rows(users: &[(String, i64)]) -> BTreeMap<(String, String), i64> {
    users.iter().map(|(user, score)| (("p".to_owned(), user.clone()), *score)).collect()
}

/// Checks that writes are refused and reads answered while `fault` lies between the service and Redis; then
/// both work.
fn redis_is_away(fault: Fault) {
    let distant = Distant::new();
    let (_service, api) = distant.service();
    distant.redis.set(fault);
    for i in 0..3 {
        rate(&api, "p", &format!("during{i}"), 2).problem(503, "unavailable");
        assert_eq!(api.read("p")["id"], "p");
        assert_eq!(api.post_as("p", "before")["id"], "p");
    }
    distant.redis.set(Fault::None);
    until("writes to be taken again", || rate(&api, "p", "after", 3).status == 202);
    until("the service to be ready again", || api.get("/readyz").status == 200);
    let own = json!({"score": 3, "pending": true});
    until("readers to see waiting ratings again", || api.post_as("p", "after")["my_rating"] == own);
    distant.world.flush();
    // A refused rating must not count: its deadline had passed.
    distant.world.assert_exact(&rows(&[("before".into(), 1), ("after".into(), 3)]));
}

#[test]
fn a_black_hole_before_redis_is_answered_503_and_takes_nothing_late() {
    redis_is_away(Fault::BlackHole);
}

#[test]
fn an_unreachable_redis_is_answered_503() {
    redis_is_away(Fault::Refuse);
}

#[test]
fn without_redis_replies_writes_are_refused_though_they_may_have_arrived() {
    let distant = Distant::new();
    let (_service, api) = distant.service();
    distant.redis.set(Fault::OneWay);
    rate(&api, "p", "during", 2).problem(503, "unavailable");
    distant.redis.set(Fault::None);
    until("writes to be taken again", || rate(&api, "p", "during", 4).status == 202);
    distant.world.flush();
    distant.world.assert_exact(&rows(&[("before".into(), 1), ("during".into(), 4)]));
}

/// Checks that known posts are rated and read while `fault` lies before Postgres; then drains go on.
fn postgres_is_away(fault: Fault) {
    let distant = Distant::new();
    let (_service, api) = distant.service();
    distant.postgres.set(fault);
    let mut acknowledged = vec![("before".to_owned(), 1)];
    for i in 0..3 {
        let user = format!("during{i}");
        assert_eq!(rate(&api, "p", &user, i).status, 202);
        assert_eq!(api.read("p")["id"], "p");
        assert_eq!(api.post_as("p", &user)["my_rating"], json!({"score": i, "pending": true}));
        api.get("/api/posts/unknown").problem(503, "unavailable");
        api.get("/api/posts").problem(503, "unavailable");
        acknowledged.push((user, i));
    }
    distant.postgres.set(Fault::None);
    until("lists to be read again", || api.get("/api/posts").status == 200);
    distant.world.flush();
    distant.world.assert_exact(&rows(&acknowledged));
}

#[test]
fn a_black_hole_before_postgres_hides_neither_known_posts_nor_ratings() {
    postgres_is_away(Fault::BlackHole);
}

#[test]
fn an_unreachable_postgres_hides_neither_known_posts_nor_ratings() {
    postgres_is_away(Fault::Refuse);
}

#[test]
fn a_commit_whose_reply_is_lost_counts_once() {
    let distant = Distant::new();
    let (_service, api) = distant.service();
    let world = Distant { world: distant.world.with("tick", EVERY_SECOND), ..distant };
    let mut worker = world.world.start(Program::Worker);
    let mut acknowledged = vec![("before".to_owned(), 1)];
    for round in 0..5 {
        world.postgres.set(Fault::CutAtCommit);
        for i in 0..30 {
            let user = format!("r{round}u{i}");
            assert_eq!(rate(&api, "p", &user, i % 6).status, 202);
            acknowledged.push((user, i % 6));
        }
        until("a commit to be cut", || world.postgres.is_done());
    }
    until("the worker to drain", || {
        assert!(worker.is_running(), "{}", worker.err());
        world.world.drained() as usize == acknowledged.len()
    });
    world.world.assert_exact(&rows(&acknowledged));
}

#[test]
fn callers_that_go_away_leave_no_transaction_open() {
    use std::io::Write;
    let world = World::servers().with("store.connections_max", 4);
    let service = world.start(Program::Api);
    let api = service.http();
    let address = service.address("api").expect("a public listener");
    api.create("p");
    for i in 0..600 {
        let mut caller = std::net::TcpStream::connect(&address).expect("a connection");
        let body = match i % 3 {
            0 => json!({"id": format!("gone{i}"), "title": "x"}),
            _ => json!({"user_id": format!("u{i}"), "score": i % 6}),
        };
        let (path, body) = (if i % 3 == 0 { "/api/posts" } else { "/api/posts/p/rate" }, body.to_string());
        let length = body.len() + usize::from(i % 3 == 2);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        caller.write_all((head + &body).as_bytes()).expect("it is sent");
    }
    for i in 0..20 {
        api.create(&format!("later{i}"));
    }
    assert_eq!(world.db().count("select count(*) from posts where id like 'later%'"), 20, "and committed");
    let open =
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'";
    until("no transaction to be open", || world.db().count(open) == 0);
    world.flush();
    world.assert_consistent();
}

#[test]
fn a_redis_that_became_a_replica_takes_nothing_until_it_is_a_primary_again() {
    let world = World::servers().with("shards", 1);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    assert_eq!(rate(&api, "p", "before", 1).status, 202);
    // A replica of a primary that does not exist: it still answers reads.
    world.redis().command(&["REPLICAOF", "127.0.0.1", "1"]);
    rate(&api, "p", "during", 2).problem(503, "unavailable");
    assert_eq!(api.read("p")["id"], "p");
    assert_eq!(api.post_as("p", "before")["my_rating"], json!({"score": 1, "pending": true}));
    world.redis().command(&["REPLICAOF", "NO", "ONE"]);
    until("writes to be taken again", || rate(&api, "p", "after", 3).status == 202);
    world.flush();
    world.assert_exact(&rows(&[("before".into(), 1), ("after".into(), 3)]));
}
