//! Data of every schema so far, migrated while programs start and ratings come, gives the same figures as data of this one;
//! what was decided before can be undone after.
//!
//! `upgrades.json` holds what a program wrote, table by table. A post's name says since which schema there is what it shows:
//! `v05` has an exclusion, `v06` held ratings. A database of an older schema is made by that schema's own migrations, and
//! holds what its tables had room for.

use std::path::Path;

use damper::database::schema::SCHEMA_VERSION;
use serde_json::{Map, Value};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::support::http::Http;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::redis::Redis;
use crate::support::world::World;
use crate::support::{spawn, until, until_some, wait};

const FIXTURE: &str = include_str!("upgrades.json");
/// What the fixture's checkpoint has passed, and its log's last position.
const MERGED: i64 = 103;
const LAST: i64 = 111;

/// Creates a database of an old schema, with that schema's own migrations.
fn migrate(world: &World, version: i64) {
    let kind = if world.is_embedded() { "sqlite" } else { "postgres" };
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(kind);
    let old = spawn::temp_dir("migrations-");
    for file in std::fs::read_dir(all).expect("the migrations").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name[..4].parse::<i64>().expect("a version") <= version {
            std::fs::copy(file.path(), old.path().join(name)).expect("a copy");
        }
    }
    wait(async {
        let migrator = Migrator::new(old.path().to_owned()).await.expect("the migrations are read");
        if world.is_embedded() {
            let file = SqliteConnectOptions::new().filename(world.config().data).create_if_missing(true);
            let mut connection = file.journal_mode(SqliteJournalMode::Wal).connect().await.expect("a file");
            migrator.run_direct(None, &mut connection, false).await.expect("the migrations run");
            connection.close().await.expect("it is closed");
        } else {
            let mut connection =
                PgConnection::connect(&world.database_url()).await.expect("postgres answers");
            migrator.run_direct(None, &mut connection, false).await.expect("the migrations run");
        }
    });
}

/// A value in SQL.
fn literal(value: &Value, is_embedded: bool) -> String {
    match value {
        Value::Object(bytes) => {
            let hex = bytes["hex"].as_str().expect("bytes in hexadecimal");
            if is_embedded { format!("x'{hex}'") } else { format!("'\\x{hex}'") }
        }
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

/// The columns that a table has, but for those that are computed.
fn columns(world: &World, table: &str) -> Vec<String> {
    let sql = if world.is_embedded() {
        format!("select name from pragma_table_xinfo('{table}') where hidden = 0")
    } else {
        format!(
            "select column_name::text from information_schema.columns
             where table_schema = 'public' and table_name = '{table}' and is_generated = 'NEVER'"
        )
    };
    world.db().all::<(String,)>(&sql).into_iter().map(|(name,)| name).collect()
}

/// Fills a database of an old schema with what its tables have room for; returns how many entries wait.
fn fill(world: &World, version: i64) -> i64 {
    let fixture: Map<String, Value> = serde_json::from_str(FIXTURE).expect("the fixture is JSON");
    let mut sql = format!(
        "insert into installation values (1, '5f0c7c1e-3f5e-4d6e-9d0e-000000000018', 1, {version});\n"
    );
    let mut waiting = Vec::new();
    for (table, content) in &fixture {
        let names: Vec<&str> =
            content["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let there = columns(world, table);
        let kept: Vec<usize> =
            (0..names.len()).filter(|&i| there.iter().any(|name| name == names[i])).collect();
        let post = names.iter().position(|name| *name == if table == "posts" { "id" } else { "post_id" });
        for row in content["rows"].as_array().unwrap() {
            let is_of_then = |post: usize| row[post].as_str().is_some_and(|id| since(id) <= version);
            if !post.is_none_or(is_of_then) {
                continue;
            }
            if table == "buffer" {
                waiting.push(row);
            }
            if !kept.is_empty() {
                let list = |text: &dyn Fn(usize) -> String| {
                    kept.iter().map(|&i| text(i)).collect::<Vec<_>>().join(", ")
                };
                let (columns, values) =
                    (list(&|i| names[i].to_owned()), list(&|i| literal(&row[i], world.is_embedded())));
                sql.push_str(&format!("insert into {table} ({columns}) values ({values});\n"));
            }
        }
    }
    let appends = MERGED + waiting.len() as i64;
    if world.is_embedded() {
        sql.push_str(&format!("update buffer_head set last = {LAST}, appends = {appends};\n"));
    } else {
        for row in &waiting {
            let (id, hex) = (format!("0-{}", row[0]), row[3]["hex"].as_str().unwrap());
            let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
            let payload: Vec<u8> = digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect();
            world.redis().command_bytes(&[b"XADD", STREAM, id.as_bytes(), b"e", &payload]);
        }
        let stream = String::from_utf8_lossy(STREAM);
        let last = format!("0-{LAST}");
        world.redis().command(&["XSETID", &stream, &last, "ENTRIESADDED", &appends.to_string()]);
    }
    world.db().change(&sql);
    waiting.len() as i64
}

const STREAM: &[u8] = b"damper:{0}:ratings";

/// Since which schema there is what a post of the fixture shows.
fn since(post: &str) -> i64 {
    post.strip_prefix('v').and_then(|digits| digits.parse().ok()).expect("a post of the fixture")
}

type Figures = Vec<(String, i64, i64, f64, f64, f64)>;

/// The averages of posts that the tests leave alone.
fn figures(world: &World, version: i64) -> Figures {
    let sql = "select post_id, count, sum, calm_settled_sum, surge_settled_sum, intensity from averages
               where post_id in ('v03', 'v04', 'v07', 'v08') order by post_id";
    let all: Figures = world.db().all(sql);
    all.into_iter().filter(|figures| since(&figures.0) <= version).collect()
}

/// Rates, edits and withdraws as soon as the API answers; no request may fail.
fn traffic(api: &Http, version: i64) {
    for i in 0..20 {
        api.rate("v01", &format!("new{i}"), i % 6);
        api.read("v01");
    }
    api.rate("v01", "u4", 5);
    assert_eq!(api.delete("/api/posts/v01/rate?user_id=u5").status, 202);
    for path in
        ["/api/posts?sort=top", "/api/posts?sort=new", "/api/posts/v01/history", "/api/posts/v01/explain"]
    {
        api.get(path).expect(200);
    }
    if version >= 3 {
        let ann = api.get("/api/users/ann").expect(200);
        assert_eq!(ann["username"], "Ann of the first", "{ann}");
        let hers = api.get("/api/users/ann/posts?sort=top").expect(200);
        assert_eq!(hers["posts"].as_array().map(Vec::len), Some(2), "{hers}");
    }
}

/// What was decided under the old schema is undone, and what was held is approved.
fn decide(service: &Process, world: &World, version: i64) {
    let token = world.cli(&["admin-token", "--json"]).expect(0).json();
    let admin = service.admin().with_token(token["token"].as_str().expect("a token"));
    if version >= 5 {
        let listed = admin.get("/api/admin/posts/v05/exclusions").expect(200);
        let id = listed["exclusions"][0]["id"].as_str().expect("an exclusion").to_owned();
        let path = format!("/api/admin/posts/v05/exclusions/{id}?reason=over");
        let undone = admin.delete(&path).expect(200);
        assert_eq!(undone["restored"], 6, "{undone}");
    }
    if version >= 6 {
        let approved = admin.send("POST", "/api/rating/approve/v06/h3?reason=fine", &[], None).expect(200);
        assert_eq!(approved["approved"], 1, "{approved}");
    }
}

/// Upgrades a database of `version`; returns the figures of what is left alone.
fn upgraded(world: &World, version: i64) -> Figures {
    migrate(world, version);
    let waiting = fill(world, version);
    let before = figures(world, version);
    // Whoever comes first migrates; the others wait for the lock.
    let start = |program| Process::spawn(program, &[], &world.env(), world.path(), b"");
    let service = start(if world.is_embedded() { Program::Damper } else { Program::Api });
    let others = if world.is_embedded() { vec![] } else { vec![start(Program::Worker), start(Program::Api)] };
    let status = world.spawn_cli(&["status", "--json"], b"");
    let api =
        until_some("the service to listen", || service.address("api").map(|address| Http::new(&address)));
    until("the service to answer", || api.try_get("/livez").is_ok_and(|answer| answer.status == 200));
    traffic(&api, version);
    status.finish().expect(0);
    let (service, others): (_, Vec<_>) =
        (service.await_ready(), others.into_iter().map(Process::await_ready).collect());
    assert_eq!(figures(world, version), before, "no migration changes a figure");
    world.flush();
    decide(&service, world, version);
    drop((service, others));
    world.flush();
    world.assert_consistent();
    let status = world.status();
    assert_eq!((&status["waiting"], &status["lost"]), (&0.into(), &0.into()), "{status}");
    assert_eq!(status["quarantined"], 1, "{status}");
    let merged = world.db().count("select cast(sum(applied) as bigint) from checkpoints");
    let decisions = i64::from(version >= 5) + i64::from(version >= 6);
    assert_eq!(merged, MERGED - 1 + waiting + 22 + decisions, "all that waited, and all that came");
    assert_eq!(world.db().count("select schema_version from installation"), SCHEMA_VERSION);
    figures(world, version)
}

/// The figures are those that this schema gives.
fn every_schema(versions: impl Iterator<Item = i64>, new_world: impl Fn() -> World) {
    let now = upgraded(&new_world(), SCHEMA_VERSION);
    assert_eq!(now.len(), 4, "{now:?}");
    for version in versions {
        let of_then: Figures = now.iter().filter(|figures| since(&figures.0) <= version).cloned().collect();
        assert_eq!(upgraded(&new_world(), version), of_then, "from schema {version}");
    }
}

#[test]
fn a_file_of_every_schema_is_upgraded_and_keeps_its_figures() {
    every_schema(1..SCHEMA_VERSION, World::embedded);
}

fn databases(versions: impl Iterator<Item = i64>) {
    // Its databases are empty, and on no disk.
    let postgres = Postgres::start_with(&["fsync=off"]);
    every_schema(versions, || World::on(Redis::start(), &postgres).with("shards", 1));
}

#[test]
fn a_database_of_an_old_schema_is_upgraded_under_traffic_and_keeps_its_figures() {
    databases([1, 4, 6, 8].into_iter());
}

/// `cargo test --release --features faults --test suite -- --ignored every_schema`
#[test]
#[ignore = "takes a minute: every schema"]
fn a_database_of_every_schema_is_upgraded_under_traffic_and_keeps_its_figures() {
    databases(1..SCHEMA_VERSION);
}
