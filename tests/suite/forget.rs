//! `damper forget`: shows or erases one user's data; the averages of the others stay exact.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::identity::{keyed, token};
use crate::pages::Visitor;
use crate::support::db::Db;
use crate::support::http::JSON;
use crate::support::log::{START, entry};
use crate::support::redis::Redis;
use crate::support::world::World;
use crate::support::{in_both_setups, programs, spawn};

in_both_setups!(
    export_shows_the_data_and_keeps_it,
    forget_erases_the_data_and_the_rest_stays_exact,
    an_unknown_user_is_no_error,
);

mod everywhere {
    crate::support::in_both_setups!(async no_column_keeps_a_forgotten_user);

    use super::no_column_keeps_a_forgotten_user;
}

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

/// How many ratings, posts and names a user has.
fn counted(world: &World, user: &str) -> [i64; 3] {
    [("ratings", "user_id"), ("posts", "created_by"), ("users", "id")].map(|(table, column)| {
        world.db().count(&format!("select count(*) from {table} where {column} = '{user}'"))
    })
}

/// Columns that hold users, and are empty of one who is forgotten.
const ERASED: &[&str] = &[
    "daily_posts.user_id",
    "held.user_id",
    "posts.created_by",
    "quarantine.payload",
    "ranking.author",
    "ratings.user_id",
    "sessions.user_id",
    "users.id",
    "users.username",
    "withdrawals.user_id",
];
/// The log of the embedded set-up, a table as well.
const ERASED_IN_THE_LOG: &[&str] = &["buffer.payload", "buffer.user_id"];
/// Columns that keep users, as docs/COMMANDS.md says: moderators, and those whom a decision names.
const KEPT: &[&str] = &["audit.decided_by", "audit.decision", "exclusions.decided_by"];
/// Columns that hold no user: by their names, in every table, and those whose name alone does not say it.
const NEVER: &[&str] = &[
    "after",
    "content",
    "error",
    "hash",
    "hold",
    "lane",
    "opened_with",
    "outcome",
    "position",
    "post_id",
    "posts",
    "reason",
    "repost_of",
    "scores",
    "seen_position",
    "started_by",
    "status",
    "title",
    "version",
    // A decision while it is merged, which becomes a row of the audit.
    "checkpoints.under_way",
    "installation.id",
    "posts.id",
];

/// All columns of the real database that can hold a text: those that are no numbers.
fn columns(db: &Db) -> Vec<(String, String)> {
    let sql = match db {
        Db::Sqlite(_) => {
            "select m.name, c.name from sqlite_master m, pragma_table_xinfo(m.name) c
             where m.type = 'table' and m.name not in ('_sqlx_migrations', 'sqlite_sequence')
             and c.type not in ('INTEGER', 'REAL')"
        }
        Db::Postgres(_) => {
            "select table_name::text, column_name::text from information_schema.columns
             where table_schema = 'public' and table_name <> '_sqlx_migrations'
             and data_type not in ('bigint', 'integer', 'smallint', 'double precision')"
        }
    };
    let columns: Vec<(String, String)> = db.all(sql);
    assert!(columns.len() > 30, "columns were found");
    columns
}

/// The columns with a row that contains a text.
fn mentions(world: &World, text: &str) -> BTreeSet<String> {
    let db = world.db();
    let holds = |(table, column): &(String, String)| {
        let readable = match &db {
            Db::Sqlite(_) => format!("instr(cast({column} as text), '{text}') > 0"),
            // Bytes are shown in hex.
            Db::Postgres(_) => format!(
                "position('{text}' in {column}::text) + position(encode('{text}', 'hex') in {column}::text) > 0"
            ),
        };
        db.count(&format!("select count(*) from {table} where {readable}")) > 0
    };
    columns(&db).into_iter().filter(holds).map(|(table, column)| format!("{table}.{column}")).collect()
}

/// What the values of all keys in Redis say of a text.
fn redis_mentions(redis: &Redis, text: &str) -> Vec<String> {
    let holds = |key: &String| {
        let value = match &*redis.command(&["TYPE", key]).texts().concat() {
            "string" => redis.command(&["GET", key]),
            "hash" => redis.command(&["HGETALL", key]),
            "stream" => redis.command(&["XRANGE", key, "-", "+"]),
            other => panic!("{key} is a {other}: read it here, too"),
        };
        value.texts().iter().any(|part| part.contains(text))
    };
    redis.command(&["KEYS", "*"]).texts().into_iter().filter(holds).collect()
}

/// Every column of the schema is known to hold users or not, a user stands in each of the former, and is gone from it when
/// forgotten. So a new column fails this test until it is known what becomes of it.
async fn no_column_keeps_a_forgotten_user(world: World) {
    const ZOE: &str = "zoe.forgotten";
    let world = keyed(world).with("catalogue.posts_per_day_per_user", 100);
    let service = world.start_api();
    let (zoe, mo) = (token(ZOE, &["moderator"]), token("mo", &["moderator"]));
    let (api, admin) = (service.http().with_token(&zoe), service.admin().with_token(&mo));
    let rate = |post: &str| api.post(&format!("/api/posts/{post}/rate"), &json!({"score": 5})).expect(202);
    api.post("/api/users", &json!({"username": "Zoe, zoe.forgotten"})).expect(201);
    for post in ["kept", "held", "rejected", "withdrawn", "waiting"] {
        api.post("/api/posts", &json!({"id": post, "title": "T"})).expect(201);
    }
    for post in ["held", "rejected"] {
        let policy = json!({"hold": "always", "reason": "a test"}).to_string();
        let path = format!("/api/admin/posts/{post}/policy");
        admin.send("PUT", &path, &[JSON], Some(policy.as_bytes())).expect(200);
    }
    for post in ["kept", "held", "rejected", "withdrawn"] {
        rate(post);
    }
    api.delete("/api/posts/withdrawn/rate").expect(202);
    // An entry for a post that does not exist can be read but not applied.
    let app = world.app().await;
    app.intake().append_all(vec![entry("missing", ZOE, Some(3), START)], None).await.unwrap();
    world.flush();
    admin.post(&format!("/api/rating/reject/rejected/{ZOE}?reason=a%20bot"), &Value::Null).expect(200);
    let window = json!({"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z", "reason": "a test"});
    service.admin().with_token(&zoe).post("/api/admin/posts/kept/exclusions", &window).expect(200);
    Visitor::with_token(&service, &zoe);
    rate("waiting");

    let schema: BTreeSet<_> = columns(&world.db()).into_iter().collect();
    let in_the_log = if world.is_embedded() { ERASED_IN_THE_LOG } else { &[] };
    let named: BTreeSet<_> = [ERASED, in_the_log, KEPT].concat().into_iter().map(str::to_owned).collect();
    let unknown: Vec<_> = schema
        .iter()
        .map(|(table, column)| (format!("{table}.{column}"), column.as_str()))
        .filter(|(full, column)| {
            usize::from(named.contains(full))
                + usize::from(NEVER.contains(&&**full) || NEVER.contains(column))
                != 1
        })
        .collect();
    assert!(unknown.is_empty(), "do these columns hold users? say so here, once: {unknown:?}");
    assert_eq!(mentions(&world, ZOE), named, "what the test has filled");
    if !world.is_embedded() {
        assert!(!redis_mentions(world.redis(), ZOE).is_empty());
    }

    world.cli(&["forget", ZOE, "--yes"]).expect(0);
    assert_eq!(mentions(&world, ZOE), KEPT.iter().map(|&column| column.to_owned()).collect());
    if !world.is_embedded() {
        assert_eq!(redis_mentions(world.redis(), ZOE), Vec::<String>::new());
    }
    world.assert_consistent();
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
    assert_eq!(counted(&world, "ann"), [3, 1, 1]);
    assert_eq!(held["username"], "Ann A.");
}

fn forget_erases_the_data_and_the_rest_stays_exact(world: World) {
    fill(&world);
    let service = world.start_api();
    let api = service.http();
    assert_eq!(api.read("r")["created_by"], "ann", "it is near the reader");
    let erased = world.cli(&["forget", "ann"]).expect(0);
    assert!(erased.out.contains("erased 3 ratings, the name on 1 post"), "{}", erased.out);
    assert_eq!(counted(&world, "ann"), [0, 0, 0]);
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
    assert_eq!(counted(&world, "ann"), [1, 0, 0]);
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

/// Runs `damper forget` in a terminal, where it asks, and answers. Returns its exit code and the screen.
fn forget_at_a_terminal(world: &World, user: &str, answer: &str) -> (Option<i32>, String) {
    let command = format!("{} forget {user}", programs::path("damper").display());
    let mut terminal = spawn::dying("script");
    terminal.args(["-qefc", &command, "/dev/null"]).envs(world.env()).current_dir(world.path());
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = spawn::spawn(terminal).expect("a terminal starts");
    let mut keyboard = child.stdin.take().expect("a pipe");
    keyboard.write_all(answer.as_bytes()).expect("a terminal reads");
    drop(keyboard);
    let done = child.wait_with_output().expect("a terminal ends");
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn a_terminal_is_asked_first_and_only_a_yes_erases() {
    let world = World::embedded();
    fill(&world);
    for answer in ["n\n", "\n", "what\n"] {
        let (code, screen) = forget_at_a_terminal(&world, "ann", answer);
        assert!(screen.contains("erase 3 ratings, the name on 1 post"), "{screen}");
        assert!(screen.contains("nothing was erased"), "{screen}");
        assert_eq!(code, Some(1), "{screen}");
        assert_eq!(counted(&world, "ann"), [3, 1, 1], "{screen}");
    }
    let (code, screen) = forget_at_a_terminal(&world, "ann", "y\n");
    assert!(screen.contains("erased 3 ratings"), "{screen}");
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(counted(&world, "ann"), [0, 0, 0]);
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
