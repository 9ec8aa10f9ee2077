//! Redis comes back with less than it had accepted. Damper notices, records the loss and continues from
//! there; it applies nothing twice, and no new rating gets a position below the checkpoint.

use std::collections::BTreeMap;
use std::process::Command;

use super::{figure, rate};
use crate::support::process::Program;
use crate::support::spawn;
use crate::support::world::World;

fn rows(ratings: &[(&str, i64)]) -> BTreeMap<(String, String), i64> {
    ratings.iter().map(|(user, score)| (("p".to_owned(), (*user).to_owned()), *score)).collect()
}

#[test]
fn a_flushed_redis_whose_clock_was_set_back_gives_no_position_below_the_checkpoint() {
    let world = World::servers().with("shards", 1);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    assert_eq!(rate(&api, "p", "ann", 1).status, 202);
    // An id from the year 2255: every later clock looks set back.
    world.redis().command(&[
        "XADD",
        "damper:{0}:ratings",
        "9000000000000-1",
        "e",
        "1 r p bob 2 1790000000000",
    ]);
    world.flush();
    world.redis().command(&["FLUSHALL"]);
    assert_eq!(rate(&api, "p", "cat", 3).status, 202, "the log is created again");
    assert_eq!(rate(&api, "p", "ann", 4).status, 202);
    world.flush();
    world.assert_exact(&rows(&[("ann", 4), ("bob", 2), ("cat", 3)]));
    let status = world.status();
    assert_eq!(
        (figure(&status, "accepted"), figure(&status, "lost")),
        (4, 0),
        "everything was merged before"
    );
}

#[test]
fn undrained_entries_of_a_flushed_redis_are_counted_as_lost() {
    let world = World::servers().with("shards", 1);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    assert_eq!(rate(&api, "p", "ann", 1).status, 202);
    world.flush();
    for user in ["bob", "cat", "dan"] {
        assert_eq!(rate(&api, "p", user, 5).status, 202);
    }
    // A drain that reads the backlog and is stopped before it merges has seen the waiting entries.
    let seen = world.status();
    assert_eq!(figure(&seen, "waiting"), 3);
    let bad = "create function refuse() returns trigger language plpgsql as
               $$ begin raise sqlstate '40001' using message = 'not now'; end $$;
               create trigger refuse before insert on ratings for each row execute function refuse()";
    world.db().change(bad);
    world.cli(&["flush"]).expect(69);
    world.db().change("drop function refuse cascade");
    world.redis().command(&["FLUSHALL"]);
    assert_eq!(rate(&api, "p", "eve", 4).status, 202);
    let unbalanced = world.cli(&["status", "--json"]).json();
    assert_eq!(unbalanced["balanced"], false, "until a drain has looked: {unbalanced}");
    world.flush();
    world.assert_exact(&rows(&[("ann", 1), ("eve", 4)]));
    let status = world.status();
    assert_eq!((figure(&status, "accepted"), figure(&status, "lost")), (2, 3));
}

#[test]
fn a_redis_restored_from_an_older_copy_is_counted_again_and_applies_nothing_twice() {
    let world = World::servers().with("shards", 1).with("drain.batch_max", 3);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    for i in 0..5 {
        assert_eq!(rate(&api, "p", &format!("old{i}"), i).status, 202);
    }
    let (data, copy) = (world.redis().path().join("appendonlydir"), world.redis().path().join("copy"));
    world.redis().kill();
    spawn::run(Command::new("cp").arg("-r").arg(&data).arg(&copy));
    world.redis().start_again();
    for i in 0..4 {
        crate::support::until("writes to be taken again", || {
            rate(&api, "p", &format!("new{i}"), i).status == 202
        });
    }
    world.flush();
    world.redis().kill();
    spawn::run(Command::new("rm").arg("-r").arg(&data));
    spawn::run(Command::new("mv").arg(&copy).arg(&data));
    world.redis().start_again();
    crate::support::until("writes to be taken again", || rate(&api, "p", "late", 5).status == 202);
    let flushed = world.flush();
    assert_eq!(flushed["applied"], 1, "what came back from the copy was merged before: {flushed}");
    let rows: Vec<(String, i64)> =
        world.db().all("select user_id, cast(score as bigint) from ratings order by 1");
    assert_eq!(rows.len(), 10, "{rows:?}");
    world.assert_consistent();
}

#[test]
fn an_entry_deleted_from_the_log_is_recorded_as_lost() {
    let world = World::servers().with("shards", 1);
    let service = world.start(Program::Api);
    let api = service.http();
    api.create("p");
    for user in ["ann", "bob"] {
        assert_eq!(rate(&api, "p", user, 3).status, 202);
    }
    let first = world.redis().command(&["XRANGE", "damper:{0}:ratings", "-", "+", "COUNT", "1"]);
    let crate::support::redis::Reply::List(entries) = first else { panic!("{first:?}") };
    let crate::support::redis::Reply::List(entry) = &entries[0] else { panic!("{entries:?}") };
    let id = String::from_utf8_lossy(entry[0].bytes()).into_owned();
    world.redis().command(&["XDEL", "damper:{0}:ratings", &id]);
    world.flush();
    world.assert_exact(&rows(&[("bob", 3)]));
    let status = world.status();
    assert_eq!((figure(&status, "accepted"), figure(&status, "lost")), (1, 1));
}
