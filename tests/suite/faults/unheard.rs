//! The log cannot be written, or a task panics: what else the program does goes on.

use std::fs::File;
use std::process::Stdio;

use super::rate;
use crate::support::process::{Process, Program};
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(a_log_that_cannot_be_written_stops_nothing, a_command_without_a_log_ends_as_it_would);

/// Requests whose lines, at the level of traces, fill a pipe that nobody reads: it holds 64 KiB.
const REQUESTS: usize = 400;

/// Where a log is lost: a full disk, a reader that has gone, a reader that reads nothing (and is kept).
fn lost_logs() -> (Vec<Stdio>, std::io::PipeReader) {
    let full = File::options().write(true).open("/dev/full").expect("a full device");
    let (gone, broken) = std::io::pipe().expect("a pipe");
    drop(gone);
    let (deaf, stuck) = std::io::pipe().expect("a pipe");
    (vec![full.into(), broken.into(), stuck.into()], deaf)
}

fn a_log_that_cannot_be_written_stops_nothing(world: World) {
    let world = world.with("log.filter", "trace");
    let program = if world.is_embedded() { Program::Damper } else { Program::Api };
    let (logs, _deaf) = lost_logs();
    for (i, log) in logs.into_iter().enumerate() {
        let service = Process::spawn_to(log, program, &[], &world.env(), world.path(), b"").await_ready();
        let api = service.http();
        let post = format!("p{i}");
        api.create(&post);
        for _ in 0..REQUESTS {
            assert_eq!(api.get("/livez").status, 200);
        }
        if !world.is_embedded() {
            world.redis().kill();
            until("the outage to be noticed", || rate(&api, &post, "ann", 3).status == 503);
            world.redis().start_again();
        }
        until("ratings to be taken", || rate(&api, &post, "ann", 3).status == 202);
        service.terminate();
        service.finish().expect(0);
    }
}

fn a_command_without_a_log_ends_as_it_would(world: World) {
    let (logs, _deaf) = lost_logs();
    for log in logs {
        let wrong = ["show", "nothing"];
        Process::spawn_to(log, Program::Damper, &wrong, &world.env(), world.path(), b"").finish().expect(1);
    }
}

#[cfg(feature = "faults")]
#[test]
fn a_task_that_panics_is_logged_and_begins_anew() {
    let world = World::embedded();
    world.import("p,ann,3,1790000000\n");
    let mut env = world.env();
    env.push(("FAULTS_AT".into(), "cache.read=panic@1".into()));
    let service = Process::spawn(Program::Damper, &[], &env, world.path(), b"").await_ready();
    let api = service.http();
    // Every reader waits for this task.
    api.get("/api/posts/p").problem(503, "unavailable");
    until("posts to be read again", || api.get("/api/posts/p").status == 200);
    until("the panic to be logged", || {
        let log = service.err();
        let panic = log.lines().find(|line| line.contains("panicked") && line.contains("cache.read"));
        panic.is_some_and(|line| line.contains("ERROR") && line.contains("src/faults.rs"))
            && log.contains("loader of posts")
    });
}
