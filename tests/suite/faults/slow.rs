//! Slow questions, and too many of them: each fails or is answered by itself, and no other notices.

use std::time::{Duration, Instant};

use damper::database::{Database, Patience};
use sqlx::{Connection, PgConnection};

use super::rate;
use crate::support::in_both_setups;
use crate::support::process::Program;
use crate::support::until;
use crate::support::world::World;

in_both_setups!(async
    a_slow_question_fails_alone_and_is_ended,
    heavy_questions_take_no_connection_from_quick_ones,
);

const QUICK: &str = "select id from installation";

/// A question that would be answered in minutes.
fn slow(world: &World) -> &'static str {
    if world.is_embedded() {
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 20000000000) select max(i) from n"
    } else {
        "select pg_sleep(600)"
    }
}

/// Whether a question is answered. The only other outcome is that it took too long, or had no connection.
async fn is_answered(database: &Database, patience: Patience, sql: &str) -> bool {
    match database.ask(patience, sql, Vec::new()).await {
        Ok(rows) => {
            assert_eq!(rows.len(), 1);
            true
        }
        Err(error) if error.is_transient() => false,
        Err(error) => panic!("{error}"),
    }
}

/// Waits until a question is answered, a few seconds at most.
async fn await_answer(what: &str, database: &Database, patience: Patience) {
    let began = Instant::now();
    while !is_answered(database, patience, QUICK).await {
        assert!(began.elapsed() < Duration::from_secs(8), "{what}");
    }
}

async fn a_slow_question_fails_alone_and_is_ended(world: World) {
    let world = world.with("store.connections_max", 1).with("store.answer_timeout_ms", 1_000);
    drop(world.store().await);
    let database = world.database().await;
    for _ in 0..3 {
        assert!(!is_answered(&database, Patience::Quick, slow(&world)).await);
        assert!(is_answered(&database, Patience::Heavy, QUICK).await, "the database is not declared away");
        await_answer("the only connection is free again", &database, Patience::Quick).await;
    }
}

async fn heavy_questions_take_no_connection_from_quick_ones(world: World) {
    let world = world.with("store.connections_max", 1).with("store.heavy_connections_max", 2);
    drop(world.store().await);
    let database = world.database().await;
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let (database, sql) = (database.clone(), slow(&world));
            tokio::spawn(async move { is_answered(&database, Patience::Heavy, sql).await })
        })
        .collect();
    for _ in 0..100 {
        assert!(is_answered(&database, Patience::Quick, QUICK).await);
        tokio::task::yield_now().await;
    }
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    await_answer("questions of callers who have gone are interrupted", &database, Patience::Heavy).await;
}

/// Damper's connections to the world's Postgres that `which` describes.
fn connections(world: &World, which: &str) -> i64 {
    world.db().count(&format!(
        "select count(*) from pg_stat_activity
         where datname = current_database() and application_name = 'damper' and {which}"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overload_opens_no_more_connections_than_are_configured() {
    let world = World::servers()
        .with("store.connections_max", 3)
        .with("store.heavy_connections_max", 1)
        .with("store.answer_timeout_ms", 1_000);
    drop(world.store().await);
    let database = world.database().await;
    // The pools have opened nothing yet.
    until("the connections of the start to end", || connections(&world, "true") == 0);
    let asking: Vec<_> = (0..30)
        .map(|_| {
            let (database, sql) = (database.clone(), slow(&world));
            tokio::spawn(async move {
                for _ in 0..4 {
                    assert!(!is_answered(&database, Patience::Quick, sql).await);
                }
            })
        })
        .collect();
    let (mut most, mut looks) = (0, 0);
    while !asking.iter().all(tokio::task::JoinHandle::is_finished) {
        most = connections(&world, "true").max(most);
        looks += 1;
        assert!(is_answered(&database, Patience::Heavy, QUICK).await, "others are answered");
    }
    for asked in asking {
        asked.await.unwrap();
    }
    // Those for reads, the heavy one, and a probe.
    assert!((3..=5).contains(&most) && looks > 3, "{most} connections in {looks} looks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_locked_holds_up_its_own_questions_and_many_of_one_kind_are_one() {
    let world = World::servers().with("store.heavy_connections_max", 8);
    world.import("p,ann,5,1790000000\n");
    world.flush();
    let service = world.start(Program::Api);
    let api = service.http();
    assert_eq!(api.get("/api/posts/p/history").status, 200);
    let mut other = PgConnection::connect(&world.database_url()).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("lock table history in access exclusive mode").execute(&mut *held).await.unwrap();
    let ask = |api: &crate::support::http::Http| {
        let api = api.clone();
        std::thread::spawn(move || api.get("/api/posts/p/history?points=7").status)
    };
    let asking: Vec<_> = (0..20).map(|_| ask(&api)).collect();
    let waiting = || connections(&world, "wait_event_type = 'Lock'");
    until("the question to wait", || waiting() > 0);
    for i in 0..10 {
        assert!(waiting() <= 1, "all who ask for one history share a question");
        assert_eq!(api.get("/api/posts?sort=top").status, 200, "lists are read");
        assert_eq!(rate(&api, "p", &format!("u{i}"), 3).status, 202, "ratings are taken");
    }
    held.rollback().await.unwrap();
    for asked in asking {
        let status = asked.join().expect("an answer");
        // Postgres ends what waits for a lock for long.
        assert!(status == 200 || status == 503, "{status}");
    }
    until("the history to be read again", || api.get("/api/posts/p/history?points=7").status == 200);
}

#[test]
fn probes_are_answered_from_a_recent_look_that_counts_nothing() {
    let world = World::servers();
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    (0..50).for_each(|i| assert_eq!(rate(&api, "p", &format!("u{i}"), 3).status, 202));
    world.redis().command(&["CONFIG", "RESETSTAT"]);
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(api.get("/readyz").status, 200);
        assert_eq!(api.get("/livez").status, 200);
    }
    let calls = |command: &str| -> u64 {
        let stats = world.redis().command(&["INFO", "commandstats"]).texts().concat();
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    until("a look", || api.get("/readyz").status == 200 && calls("evalsha") > 0);
    let (looks, seconds) = (calls("evalsha"), began.elapsed().as_secs());
    assert!(looks <= seconds + 2, "{looks} looks in {seconds} s");
    for counting in ["xlen", "xrange", "xinfo|stream", "xinfo"] {
        assert_eq!(calls(counting), 0, "{counting}");
    }
}
