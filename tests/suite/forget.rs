//! `damper forget`: shows or erases one user's data; the averages of the others stay exact.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::in_both_setups;
use crate::support::world::World;

in_both_setups!(
    export_shows_the_data_and_keeps_it,
    forget_erases_the_data_and_the_rest_stays_exact,
    an_unknown_user_is_no_error,
);

/// Two users' ratings of three posts, one still waiting. Ann also created a post and has a quarantined entry.
fn fill(world: &World) {
    world.import("p,ann,5,1700000000\np,bob,1,1700000001\nq,ann,0,1700000002\nq,bob,4,1700000003\n");
    world.flush();
    let service = world.start_api();
    let api = service.http();
    api.post("/api/posts", &json!({"id": "r", "title": "R", "created_by": "ann"})).expect(201);
    api.rate("r", "ann", 3);
    api.post("/api/users", &json!({"id": "ann", "username": "Ann A."})).expect(201);
    api.rate("r", "annie", 2);
    assert_eq!(api.read("r")["created_by"], "ann");
}

/// Tables with a row that contains a text, in any column.
fn mentions(world: &World, user: &str) -> Vec<String> {
    let columns = [
        ("ratings", "user_id"),
        ("withdrawals", "user_id"),
        ("posts", "created_by"),
        ("ranking", "author"),
        ("users", "id"),
    ];
    columns
        .into_iter()
        .filter(|(table, column)| {
            world.db().count(&format!("select count(*) from {table} where {column} = '{user}'")) > 0
        })
        .map(|(table, column)| format!("{table}.{column}"))
        .collect()
}

fn export_shows_the_data_and_keeps_it(world: World) {
    fill(&world);
    let held = world.cli(&["forget", "ann", "--export"]).expect(0).json();
    let ratings: Vec<(&str, i64)> = held["ratings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|rating| {
            (rating["post_id"].as_str().expect("an id"), rating["score"].as_i64().expect("a score"))
        })
        .collect();
    assert_eq!(ratings, [("p", 5), ("q", 0), ("r", 3)]);
    assert_eq!((&held["user_id"], &held["posts"]), (&json!("ann"), &json!(["r"])));
    assert_eq!(held["ratings"][0]["rated_at"], "2023-11-14T22:13:20.000Z");
    assert_eq!(
        mentions(&world, "ann"),
        ["ratings.user_id", "posts.created_by", "ranking.author", "users.id"]
    );
    assert_eq!(held["username"], "Ann A.");
}

fn forget_erases_the_data_and_the_rest_stays_exact(world: World) {
    fill(&world);
    let service = world.start_api();
    let api = service.http();
    assert_eq!(api.read("r")["created_by"], "ann", "it is near the reader");
    let erased = world.cli(&["forget", "ann"]).expect(0);
    assert!(erased.out.contains("erased 3 ratings, the name on 1 post"), "{}", erased.out);
    assert_eq!(mentions(&world, "ann"), Vec::<String>::new());
    let expected: BTreeMap<_, _> = [("p", "bob", 1), ("q", "bob", 4), ("r", "annie", 2)]
        .into_iter()
        .map(|(post, user, score)| ((post.to_owned(), user.to_owned()), score))
        .collect();
    world.assert_exact(&expected);
    // In the embedded set-up the cache of another process lives for a second.
    crate::support::until("the name to be gone", || api.read("r")["created_by"].is_null());
    assert_eq!(api.read("p")["count"], 1);
    assert_eq!(api.post_as("p", "ann")["my_rating"], json!(null));
    if world.is_embedded() {
        assert_eq!(world.db().count("select count(*) from buffer"), 0);
    } else {
        for key in world.redis().command(&["KEYS", "damper:{*}:ratings"]).texts() {
            assert_eq!(world.redis().command(&["XLEN", &key]).int(), 0, "{key}");
        }
    }
    // A forgotten user may return.
    api.rate("p", "ann", 2);
    world.flush();
    assert_eq!(mentions(&world, "ann"), ["ratings.user_id"]);
}

fn an_unknown_user_is_no_error(world: World) {
    let erased = world.cli(&["forget", "unknown", "--yes", "--json"]).expect(0).json();
    assert_eq!(
        erased,
        json!({"user_id": "unknown", "username": null, "ratings": [], "held": [], "posts": [], "quarantined": []})
    );
    let wrong = world.cli(&["forget", "a b"]).expect(1);
    assert!(wrong.err.contains("a space"), "{}", wrong.err);
}

#[test]
fn quarantined_entries_are_erased_too() {
    let world = World::embedded();
    let service = world.start_api();
    service.http().create("p");
    service.http().rate("p", "bob", 4);
    // Entries for a missing post: they can be read but not applied.
    world.db().change(
        "insert into quarantine (shard, position, reason, payload) values
            (0, x'00000000000000000000000000000001', 'test', cast('1 r gone ann 5 1790000000000' as blob)),
            (0, x'00000000000000000000000000000002', 'test', cast('1 r gone bob 5 1790000000000' as blob))",
    );
    world.flush();
    let erased = world.cli(&["forget", "ann", "--json"]).expect(0).json();
    assert_eq!(erased["quarantined"].as_array().map(Vec::len), Some(1), "{erased}");
    let left = world.cli(&["quarantine", "list", "--json"]).expect(0).out;
    assert!(left.contains("bob") && !left.contains("ann"), "{left}");
}
