//! Locks, deadlocks and roll-backs in the database: the drain retries for a while, and then the next tick
//! does.

use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::process::Program;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World};

fn filled() -> World {
    let world = World::servers().with("shards", 2).with("drain.batch_max", 10);
    let line = |i: i64| format!("p{},u{i},{},{}\n", i % 3, i % 6, 1_790_000_000 + i);
    world.import(&(0..100).map(line).collect::<String>());
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_rows_locked_by_another_session() {
    let world = filled();
    let mut other = PgConnection::connect(&world.database_url()).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("lock table averages in exclusive mode").execute(&mut *held).await.unwrap();
    let mut flush = world.spawn_cli(&["flush", "--json"], b"");
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    until("the drain to wait", || world.db().count(waits) > 0);
    held.rollback().await.unwrap();
    until("the drain to end", || !flush.is_running());
    assert_eq!(flush.finish().expect(0).json()["applied"], 100);
    world.assert_consistent();
}

#[test]
fn a_database_that_rolls_back_at_times_is_retried() {
    let world = filled();
    // Every third statement fails as a deadlock or a serialization failure would.
    world.db().change(
        "create sequence attempts;
         create function now_and_then() returns trigger language plpgsql as $$ begin
             if nextval('attempts') % 3 <> 0 then
                 raise sqlstate '40P01' using message = 'deadlock detected';
             end if;
             return null;
         end $$;
         create trigger now_and_then after update on checkpoints execute function now_and_then()",
    );
    let world = world.with("tick", EVERY_SECOND);
    let mut worker = world.start(Program::Worker);
    until("the worker to drain", || {
        assert!(worker.is_running(), "{}", worker.err());
        world.drained() == 100
    });
    drop(worker);
    world.db().change("drop function now_and_then cascade");
    world.assert_consistent();
}

#[test]
fn a_flush_gives_up_after_five_more_attempts() {
    let world = World::servers().with("shards", 1);
    world.import("p,ann,5,1790000000\n");
    world.db().change(
        "create sequence attempts;
         create function never() returns trigger language plpgsql as $$ begin
             perform nextval('attempts');
             raise sqlstate '40P01' using message = 'deadlock detected';
         end $$;
         create trigger never after update on checkpoints for each row
             when (old.position <> new.position) execute function never()",
    );
    world.cli(&["flush"]).expect(69);
    assert_eq!(world.db().count("select last_value from attempts"), 1 + 5);
    world.db().change("drop function never cascade");
    assert_eq!(world.flush()["applied"], 1);
    world.assert_consistent();
}

#[test]
fn a_batch_that_takes_too_long_is_halved_and_grows_again() {
    let world = World::servers().with("shards", 1);
    let line = |i: i64| format!("p,u{i},{},{}\n", i % 6, 1_790_000_000 + i);
    world.import(&(0..400).map(line).collect::<String>());
    // As when the statement's time is up, if it writes too many rows at once.
    world.db().change(
        "create sequence failures;
         create function too_long() returns trigger language plpgsql as $$ begin
             if (select count(*) from n) > 100 then
                 perform nextval('failures');
                 raise sqlstate '57014' using message = 'canceling statement due to statement timeout';
             end if;
             return null;
         end $$;
         create trigger too_long after insert on ratings referencing new table as n
             for each statement execute function too_long()",
    );
    let flushed = world.flush();
    assert_eq!((&flushed["applied"], &flushed["batches"]), (&400.into(), &4.into()), "{flushed}");
    assert!(
        world.db().count("select last_value from failures") >= 4,
        "after a half the whole is tried again"
    );
    world.db().change("drop function too_long cascade");
    world.assert_consistent();
}

/// Decisions are merged one by one, and read together.
#[test]
fn a_run_of_waiting_decisions_is_read_once() {
    const DECISIONS: i64 = 40;
    let world = World::servers().with("shards", 1);
    world.import("p,ann,5,1790000000\n");
    world.flush();
    for i in 0..DECISIONS {
        let reject = json!({"deed": {"reject": {"user": format!("u{i}")}}, "reason": "a test"});
        let line = format!("1 d p mo 1790000000000 {reject}");
        world.redis().command(&["XADD", "damper:{0}:ratings", "*", "e", &line]);
    }
    world.redis().command(&["CONFIG", "RESETSTAT"]);
    let flushed = world.flush();
    assert_eq!(flushed["batches"], DECISIONS, "{flushed}");
    let stats =
        String::from_utf8_lossy(world.redis().command(&["INFO", "commandstats"]).bytes()).into_owned();
    let calls = |name: &str| {
        let stat = stats.split(&format!("cmdstat_{name}:calls=")).nth(1).unwrap_or("0,");
        stat.split(',').next().and_then(|calls| calls.parse::<i64>().ok()).expect("a number")
    };
    assert!(calls("xrange") < DECISIONS / 2, "{stats}");
}
