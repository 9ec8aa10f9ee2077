//! `damper backup` is killed at any moment: there is no copy then, or a whole one; and the data file is unharmed.

use std::time::Duration;

use crate::support::log::Rng;
use crate::support::process::Program;
use crate::support::world::World;

const RATINGS: usize = 15_000;

/// `cargo test --release --features faults --test suite -- --ignored killed_backups` does it a thousand times.
fn kill_backups(kills: u64) {
    let world = World::embedded();
    let line = |i: usize| format!("p{},u{i},{},{}\n", i % 9, i % 6, 1_790_000_000 + i);
    world.import(&(0..RATINGS).map(line).collect::<String>());
    world.flush();
    let service = world.start(Program::Damper);
    let api = service.http();
    let began = std::time::Instant::now();
    world.cli(&["backup", "first.db"]).expect(0);
    let whole_us = began.elapsed().as_micros() as u64;
    let mut random = Rng(7);
    let (mut in_its_middle, mut whole) = (0, 0);
    for i in 0..kills {
        let (user, name) = (format!("later{i}"), format!("copy{i}.db"));
        api.rate("p0", &user, 3);
        let mut backup = world.spawn_cli(&["backup", &name], b"");
        std::thread::sleep(Duration::from_micros(random.below(whole_us * 5 / 4)));
        backup.kill();
        let copy = world.path().join(&name);
        in_its_middle += u64::from(super::files(&world, &format!("{name}.")) > 0);
        if copy.exists() {
            whole += 1;
            let restored = World::embedded();
            std::fs::copy(&copy, restored.config().data).expect("a copy");
            let held = format!("select count(*) from buffer where user_id = '{user}'");
            assert_eq!(restored.db().count(&held), 1, "{name} holds what was acknowledged before");
            assert_eq!(restored.db().count("select count(*) from ratings"), RATINGS as i64);
            let is_sound: Vec<(String,)> = restored.db().all("pragma integrity_check");
            assert_eq!(is_sound, [("ok".to_owned(),)], "{name}");
        }
    }
    // Those that were killed have left parts that bear no name of a copy, and can be removed.
    println!("{in_its_middle} of {kills} were killed in their middle, {whole} were whole");
    assert!(in_its_middle > 0, "no backup was killed in its middle");
    world.flush();
    assert_eq!(world.db().count("select count(*) from ratings"), RATINGS as i64 + kills as i64);
    world.assert_consistent();
}

#[test]
fn a_backup_that_is_killed_leaves_no_half_copy_and_harms_nothing() {
    kill_backups(15);
}

#[test]
#[ignore = "takes minutes: a thousand kills"]
fn a_thousand_killed_backups_leave_no_half_copy_and_harm_nothing() {
    kill_backups(1_000);
}
