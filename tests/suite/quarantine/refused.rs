//! An entry that the database always refuses; a trigger simulates it.

use serde_json::json;

use super::{id_of, list, score};
use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(only_the_entry_that_the_database_refuses_is_quarantined, two_refused_entries_are_both_found,);

/// Makes the database refuse this user's ratings.
fn refuse(world: &World, user: &str) {
    if world.is_embedded() {
        world.db().change(&format!(
            "create trigger refuse before insert on ratings when new.user_id like '{user}'
             begin select raise(abort, 'no poison in here'); end"
        ));
    } else {
        world.db().change(&format!(
            "create function refuse() returns trigger language plpgsql as
             $$ begin
                 if new.user_id like '{user}' then raise exception 'no poison in here'; end if;
                 return new;
             end $$;
             create trigger refuse before insert or update on ratings for each row execute function refuse()"
        ));
    }
}

/// Makes the database accept them again.
fn relent(world: &World) {
    world.db().change(if world.is_embedded() {
        "drop trigger refuse"
    } else {
        "drop trigger refuse on ratings"
    });
}

/// Ratings of one post by `users`, one a second.
fn lines(users: &[String]) -> String {
    users.iter().enumerate().map(|(i, user)| format!("film,{user},4,{}\n", 1_700_000_000 + i)).collect()
}

fn only_the_entry_that_the_database_refuses_is_quarantined(world: World) {
    let mut users: Vec<String> = (0..300).map(|i| format!("u{i}")).collect();
    users[170] = "poison".into();
    world.status();
    refuse(&world, "poison");
    world.import(&lines(&users));
    let flushed = world.flush();
    assert_eq!((&flushed["applied"], &flushed["quarantined"]), (&json!(299), &json!(1)), "{flushed}");
    let kept = list(&world);
    assert_eq!(kept.len(), 1);
    assert!(kept[0]["reason"].as_str().unwrap().contains("no poison in here"), "{}", kept[0]);
    assert_eq!((&kept[0]["entry"]["user_id"], &kept[0]["entry"]["score"]), (&json!("poison"), &json!(4)));
    world.assert_consistent();

    // While the database refuses it, a retry comes back under another id, with its original position.
    let id = id_of(&world, "poison");
    world.cli(&["quarantine", "retry", &id]).expect(0);
    assert_eq!(world.flush()["quarantined"], 1);
    let again = list(&world);
    let position = id.split_once('/').unwrap().1;
    assert_eq!((again.len(), &again[0]["entry"]["origin"]), (1, &json!(position)), "{again:?}");
    assert_ne!(again[0]["id"], id.as_str());

    relent(&world);
    world.cli(&["quarantine", "retry", "--all"]).expect(0);
    assert_eq!(world.flush()["applied"], 1);
    assert_eq!((list(&world).len(), score(&world, "film", "poison")), (0, Some(4)));
    let status = world.status();
    assert_eq!((&status["applied"], &status["quarantined"]), (&json!(300), &json!(2)));
    world.assert_consistent();
}

fn two_refused_entries_are_both_found(world: World) {
    let world = world.with("drain.batch_max", 64);
    let mut users: Vec<String> = (0..200).map(|i| format!("u{i}")).collect();
    for i in [0, 1, 100, 199] {
        users[i] = format!("poison{i}");
    }
    world.status();
    refuse(&world, "poison%");
    world.import(&lines(&users));
    let flushed = world.flush();
    assert_eq!((&flushed["applied"], &flushed["quarantined"]), (&json!(196), &json!(4)), "{flushed}");
    relent(&world);
    world.cli(&["quarantine", "retry", "--all"]).expect(0);
    world.flush();
    assert_eq!(world.cli(&["show", "film", "--json"]).expect(0).json()["count"], 200);
    world.assert_consistent();
}
