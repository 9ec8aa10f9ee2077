//! Server outages under running programs: reads degrade without lying, and everything recovers without help.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::db::Db;
use crate::support::http::{Answer, Http, JSON};
use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::world::World;
use crate::support::{until, until_some};

/// Rates as a new user. Returns the answer, whatever it is.
fn rate(api: &Http, user: &str, score: i64) -> Answer {
    let body = json!({"user_id": user, "score": score}).to_string();
    api.send("POST", "/api/posts/p/rate", &[JSON], Some(body.as_bytes()))
}

/// The acknowledged ratings, as rows.
fn rows(acknowledged: &[(String, i64)]) -> BTreeMap<(String, String), i64> {
    acknowledged.iter().map(|(user, score)| (("p".to_owned(), user.clone()), *score)).collect()
}

#[test]
fn without_redis_reads_go_on_and_writes_resume_when_it_is_back() {
    let world = World::on(Redis::start_with(&["--appendfsync", "always"]), Postgres::shared());
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    api.create("q");
    let mut acknowledged = Vec::new();
    for i in 0..50 {
        assert_eq!(rate(&api, &format!("before{i}"), i % 6).status, 202);
        acknowledged.push((format!("before{i}"), i % 6));
    }
    world.redis().kill();
    for i in 0..5 {
        let refused = rate(&api, &format!("during{i}"), 5);
        refused.problem(503, "unavailable");
        assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
        assert_eq!(api.read("p")["id"], "p", "a read goes on");
        assert_eq!(api.read("q")["count"], 0, "even of a post that was never read before");
        assert_eq!(api.get("/api/posts").expect(200)["posts"].as_array().map(Vec::len), Some(2));
        assert_eq!(api.post_as("p", "before0")["id"], "p", "also with the reader's own rating");
    }
    until("a probe to look again", || api.get("/readyz").status == 503);
    assert_eq!(api.get("/livez").status, 200, "it is still alive");
    world.redis().start_again();
    until("writes to be taken again", || rate(&api, "after", 3).status == 202);
    acknowledged.push(("after".into(), 3));
    until("the service to be ready again", || api.get("/readyz").status == 200);
    until("its return to be logged", || service.err().contains("redis is back"));
    for line in ["redis is away", "redis is back"] {
        assert_eq!(service.err().matches(line).count(), 1, "one log line per change: {}", service.err());
    }
    let own = json!({"score": 3, "pending": true});
    until("readers to see waiting ratings again", || api.post_as("p", "after")["my_rating"] == own);
    world.flush();
    world.assert_exact(&rows(&acknowledged));
}

#[test]
fn without_postgres_known_posts_are_rated_and_read_until_it_is_back() {
    let postgres = Postgres::start();
    let world = World::on(Redis::start(), &postgres);
    let service = world.start(Program::Api);
    let api = service.http();
    for post in ["p", "uncached"] {
        api.create(post);
    }
    assert_eq!(rate(&api, "before", 1).status, 202);
    world.flush();
    assert_eq!(api.read("p")["count"], 1);
    let mut acknowledged = vec![("before".to_owned(), 1)];
    postgres.stop_immediately();
    for i in 0..5 {
        let user = format!("during{i}");
        assert_eq!(rate(&api, &user, i % 6).status, 202, "an existing post can be rated");
        acknowledged.push((user.clone(), i % 6));
        assert_eq!(api.read("p")["count"], 1, "a cached post can be read");
        let own = api.post_as("p", &user);
        assert_eq!(own["my_rating"], json!({"score": i % 6, "pending": true}));
    }
    let unknown = api.get("/api/posts/not-cached");
    unknown.problem(503, "unavailable");
    assert!(!unknown.header("retry-after").is_empty());
    api.post("/api/posts", &json!({"title": "x"})).problem(503, "unavailable");
    until("a probe to look again", || api.get("/readyz").status == 503);
    world.cli(&["flush"]).expect(69);
    postgres.start_again();
    until("posts to be read again", || api.get("/api/posts/uncached").status == 200);
    api.get("/api/posts/missing").problem(404, "not-found");
    until_some("posts to be made again", || {
        Some(api.post("/api/posts", &json!({"id": "new", "title": "x"}))).filter(|made| made.status == 201)
    });
    world.flush();
    world.assert_exact(&rows(&acknowledged));
}

#[test]
fn a_worker_whose_postgres_stops_drains_when_it_is_back() {
    let postgres = Postgres::start();
    let world = World::on(Redis::start(), &postgres).with("drain.batch_max", 10).with("shards", 2);
    let world = world.with("tick", crate::support::world::EVERY_SECOND);
    let (lines, ratings) = super::imported(24, 3_000);
    world.import(&lines);
    let mut worker = world.start(Program::Worker);
    until("the worker to drain", || world.drained() > 0);
    postgres.stop_immediately();
    postgres.start_again();
    until("the worker to drain the rest", || {
        assert!(worker.is_running(), "{}", worker.err());
        world.drained() as usize == lines.lines().count()
    });
    world.assert_exact(&ratings);
}

/// After a failover connections may lead to a server that only reads, and stay there. Here sessions only read because
/// they began while their database said so: only new ones write again.
#[test]
fn connections_that_only_read_are_left_and_reads_go_on_meanwhile() {
    let world = World::servers().with("tick", crate::support::world::EVERY_SECOND);
    let service = world.start(Program::Damper);
    let api = service.http();
    api.create("p");
    assert_eq!(rate(&api, "before", 1).status, 202);
    world.flush();
    let url = world.database_url();
    let (server, name) = url.rsplit_once('/').expect("a URL");
    let server = Db::Postgres(format!("{server}/postgres"));
    server.change(&format!("alter database {name} set default_transaction_read_only = on"));
    let ended = format!(
        "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}') ended"
    );
    assert!(server.count(&ended) > 0, "the service had connections");
    let create = || api.post("/api/posts", &json!({"title": "x"})).status;
    // First an idle connection is found to be closed.
    until("the server to refuse writes", || create() == 503 && api.get("/api/posts").status == 200);
    for i in 0..30 {
        assert_eq!(create(), 503);
        assert_eq!(api.get("/api/posts").status, 200, "a refused write takes no reader down");
        assert_eq!(rate(&api, &format!("during{i}"), 4).status, 202);
    }
    world.cli(&["flush"]).expect(69);
    until("the drain to meet it", || service.err().contains("a drain waits"));
    for _ in 0..100 {
        assert_eq!(api.get("/api/posts").status, 200, "nor does a drain that waits");
    }
    server.change(&format!("alter database {name} reset default_transaction_read_only"));
    // The reads in between let the connections of the pool take turns.
    let reads = || api.get("/api/posts").status == 200;
    until("posts to be created again, over every connection", || {
        (0..30).all(|i| create() == 201 && (i % 3 > 0 || reads()))
    });
    until("the service to drain by itself", || world.drained() == 31);
    let mut acknowledged = vec![("before".to_owned(), 1)];
    acknowledged.extend((0..30).map(|i| (format!("during{i}"), 4)));
    world.flush();
    world.assert_exact(&rows(&acknowledged));
}
