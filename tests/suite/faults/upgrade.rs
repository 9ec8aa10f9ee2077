//! A newer program has migrated the database: older ones stop before they read data that they may not
//! understand.

use damper::database::schema::SCHEMA_VERSION;

use super::rate;
use crate::support::in_both_setups;
use crate::support::process::Program;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World};

in_both_setups!(
    a_service_under_a_newer_schema_goes_on_answering_and_drains_nothing,
    columns_that_a_newer_schema_adds_change_no_answer,
);

const NEWER: &str = "update installation set schema_version = 99";

#[test]
fn a_running_worker_under_a_newer_schema_ends_and_says_why() {
    let world = World::servers().with("tick", EVERY_SECOND);
    let mut worker = world.start(Program::Worker);
    world.import("p,ann,5,1790000000\n");
    until("the worker to drain", || world.drained() == 1);
    world.db().change(NEWER);
    until("the worker to end", || !worker.is_running());
    let ended = worker.finish().expect(78);
    assert!(ended.err.contains("schema has version 99"), "{}", ended.err);
}

fn a_service_under_a_newer_schema_goes_on_answering_and_drains_nothing(world: World) {
    let world = world.with("tick", EVERY_SECOND);
    let service = world.start(Program::Damper);
    let api = service.http();
    api.create("p");
    assert_eq!(rate(&api, "p", "ann", 5).status, 202);
    until("the service to drain", || world.drained() == 1);
    world.db().change(NEWER);
    until("the drains to stop", || service.err().contains("draining has stopped"));
    for i in 0..20 {
        assert_eq!(rate(&api, "p", &format!("u{i}"), 1).status, 202, "no request fails");
        assert_eq!(api.read("p")["count"], 1);
    }
    assert_eq!(world.drained(), 1, "nothing is merged or quarantined");
    world.cli(&["flush"]).expect(78);
    world.db().change(&format!("update installation set schema_version = {SCHEMA_VERSION}"));
    world.flush();
    assert_eq!(world.drained(), 21);
    world.assert_consistent();
}

/// Statements that the service has prepared must not depend on the columns that a table happens to have.
fn columns_that_a_newer_schema_adds_change_no_answer(world: World) {
    let service = world.start_api();
    let api = service.http();
    let look = |post: &str| {
        for path in ["", "/history", "/explain", "?user_id=ann"] {
            api.get(&format!("/api/posts/{post}{path}")).expect(200);
        }
        for path in ["/api/users", "/api/posts?sort=top", "/readyz"] {
            assert_eq!(api.get(path).status, 200, "{path}");
        }
    };
    let tables =
        ["posts", "ratings", "held", "averages", "history", "ranking", "checkpoints", "users", "quarantine"];
    for (i, post) in ["before", "between", "after"].into_iter().enumerate() {
        api.create(post);
        assert_eq!(rate(&api, post, "ann", 5).status, 202);
        world.flush();
        // Often enough for every connection of the service to have prepared its statements.
        (0..10).for_each(|_| look(post));
        for table in tables {
            world.db().change(&format!("alter table {table} add column later_{i} integer"));
        }
    }
    world.assert_consistent();
}
