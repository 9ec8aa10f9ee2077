//! Locks, deadlocks and roll-backs in the database: the drain retries for a while, and then the next tick
//! does.

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
