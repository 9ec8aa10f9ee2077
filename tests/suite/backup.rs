//! The backup: complete by itself, a snapshot of one moment, and containing everything acknowledged before it
//! began.

mod killed;
mod servers;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::http::Http;
use crate::support::process::Program;
use crate::support::until;
use crate::support::world::{EVERY_SECOND, World, create_all};

/// Files in the world's folder with `part` in their names.
fn files(world: &World, part: &str) -> usize {
    let entries = std::fs::read_dir(world.path()).expect("a folder");
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(part)).count()
}

/// Stops the writers, even when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Ratings = BTreeMap<(String, String), i64>;

/// Lets `work` go on beside writers, and gives it what was acknowledged so far. Each writer rates each time as a new user.
fn beside_writers<T>(api: &Http, work: impl FnOnce(&Mutex<Ratings>) -> T) -> T {
    const WRITERS: usize = 4;
    let posts = ["a", "b", "c"];
    create_all(api, &posts);
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(Ratings::new()));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for writer in 0..WRITERS {
            let (api, stop, acknowledged) = (api.clone(), &stop, &acknowledged);
            scope.spawn(move || {
                for i in (0..).take_while(|_| !stop.load(Ordering::SeqCst)) {
                    let (post, user, score) = (posts[i % 3], format!("u{writer}-{i}"), (i % 6) as i64);
                    api.rate(post, &user, score);
                    acknowledged.lock().unwrap().insert((post.to_owned(), user), score);
                }
            });
        }
        work(&acknowledged)
    })
}

#[test]
fn a_backup_during_writes_and_drains_holds_all_that_was_acknowledged() {
    let world = World::embedded().with("tick", EVERY_SECOND).with("drain.batch_max", 20);
    let service = world.start(Program::Damper);
    let backups: Vec<(&str, Ratings)> = beside_writers(&service.http(), |acknowledged| {
        let back_up = |name| {
            let before = acknowledged.lock().unwrap().len();
            until("more ratings", || acknowledged.lock().unwrap().len() > before + 100);
            until("a drain", || world.drained() > 0);
            let expected = acknowledged.lock().unwrap().clone();
            let done = world.cli(&["backup", name, "--json"]).expect(0).json();
            assert_eq!(done["file"], name);
            (name, expected)
        };
        ["one.db", "two.db", "three.db"].map(back_up).into()
    });
    for (name, expected) in backups {
        // Alone in a new folder, as after a restore.
        let restored = World::embedded();
        std::fs::copy(world.path().join(name), restored.config().data).expect("a copy");
        let status = restored.status();
        let (applied, waiting) = (status["applied"].as_u64().unwrap(), status["waiting"].as_u64().unwrap());
        assert!(applied > 0 && applied + waiting >= expected.len() as u64, "{status}");
        restored.cli(&["verify"]).expect(0);
        restored.flush();
        let rows: Vec<(String, String, i64)> = restored
            .db()
            .all("select post_id, user_id, cast(score as bigint) from ratings where status = 'counted'");
        let rows: Ratings = rows.into_iter().map(|(post, user, score)| ((post, user), score)).collect();
        for (key, score) in &expected {
            assert_eq!(rows.get(key), Some(score), "{key:?} was acknowledged before {name} began");
        }
        restored.assert_consistent();
    }
    assert_eq!(files(&world, "partial"), 0);
}

#[test]
fn a_backup_replaces_nothing_and_makes_no_data_file() {
    let world = World::embedded();
    let run = world.cli(&["backup", "copy.db"]).expect(1);
    assert!(run.err.contains("test.db") && run.err.contains("DAMPER_DATA"), "{}", run.err);
    assert_eq!(files(&world, ""), 0);

    world.import("p,ann,4,1700000000\n");
    let kept = world.file("kept.txt", "mine");
    let run = world.cli(&["backup", &kept]).expect(1);
    assert!(run.err.contains("there is a file") && run.err.contains("choose another name"), "{}", run.err);
    assert_eq!(std::fs::read(&kept).unwrap(), b"mine");
    let run = world.cli(&["backup", "no/such/folder/copy.db"]).expect(1);
    assert!(run.err.contains("cannot write the backup no/such/folder/copy.db"), "{}", run.err);
    // Onto itself, by any name.
    world.cli(&["backup", "./test.db"]).expect(1);
    assert_eq!(files(&world, "partial"), 0);

    let run = world.cli(&["backup", "copy.db"]).expect(0);
    assert!(run.out.contains("backed up") && run.out.contains("copy.db: "), "{}", run.out);
    let copy = world.cli(&["status", "--json", "--data", "copy.db"]).expect(0).json();
    assert_eq!((&copy["waiting"], &copy["balanced"]), (&1.into(), &Value::Bool(true)));
    world.cli(&["backup", "copy.db"]).expect(1);
}

#[cfg(unix)]
#[test]
fn a_backup_has_the_permissions_of_the_data_file() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::embedded();
    world.import("p,ann,4,1700000000\n");
    std::fs::set_permissions(world.config().data, PermissionsExt::from_mode(0o600)).unwrap();
    world.cli(&["backup", "copy.db"]).expect(0);
    let mode = std::fs::metadata(world.path().join("copy.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_backup_of_servers_is_refused_with_what_to_do_instead() {
    let run = World::servers().cli(&["backup", "copy.db"]).expect(1);
    assert!(run.err.contains("append-only file first") && run.err.contains("pg_dump"), "{}", run.err);
}
