//! The doctor: names what is at risk and what to set, on servers and beside a data file, and changes nothing.

use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::process::{Program, Run};
use crate::support::redis::Redis;
use crate::support::spawn;
use crate::support::until;
use crate::support::world::World;

/// A world whose Redis has these settings, on a Postgres that waits for its disk.
fn world(settings: &[&str]) -> World {
    World::on(Redis::start_with(settings), Postgres::shared_durable())
}

/// A world that has nothing to hide.
fn sound() -> World {
    world(&["--appendfsync", "always"])
}

/// What the doctor says of one thing.
#[track_caller]
fn finding(report: &Value, part: &str, check: &str) -> Value {
    let all = report["findings"].as_array().expect("a list");
    let found = all.iter().find(|finding| finding["part"] == part && finding["check"] == check);
    found.unwrap_or_else(|| panic!("{part} {check} in {report}")).clone()
}

/// It is a risk, and these words say so, on the screen as well.
#[track_caller]
fn assert_risk(world: &World, part: &str, check: &str, said: &[&str]) {
    let report = world.cli(&["doctor", "--json"]).expect(1).json();
    let found = finding(&report, part, check);
    assert_eq!((&found["verdict"], &report["ok"]), (&json!("risk"), &json!(false)), "{found}");
    let screen = world.cli(&["doctor"]).expect(1).out;
    for text in said {
        assert!(found.to_string().contains(text), "{text:?} in {found}");
        assert!(screen.contains(text), "{text:?} in {screen}");
    }
}

/// All is well, but for what the machine that runs the tests may be to blame for.
#[track_caller]
fn assert_well(run: &Run) {
    let report = run.json();
    let mut is_machine_to_blame = false;
    let findings = report["findings"].as_array().expect("a list");
    assert!(findings.len() >= 3, "{report}");
    for finding in findings {
        if ["file system", "free space"].iter().any(|check| finding["check"] == *check) {
            is_machine_to_blame |= finding["verdict"] == "risk";
        } else {
            assert_eq!(finding["verdict"], "ok", "{finding}");
        }
    }
    assert_eq!(run.code, i32::from(is_machine_to_blame), "{report}");
}

/// The names of all files in a world's folder.
fn files(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.path()).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn sound_servers_are_well_and_stay_as_they_are() {
    let world = sound();
    let run = world.cli(&["doctor", "--json"]).expect(0);
    let report = run.json();
    assert_eq!(report["ok"], true);
    for finding in report["findings"].as_array().expect("a list") {
        let names: Vec<&String> = finding.as_object().expect("an object").keys().collect();
        assert_eq!(names, ["at_risk", "check", "found", "part", "remedy", "verdict"]);
        assert_eq!((&finding["verdict"], &finding["at_risk"]), (&json!("ok"), &Value::Null), "{finding}");
    }
    let checks = |part: &str| -> Vec<String> {
        let all = report["findings"].as_array().unwrap().iter().filter(|finding| finding["part"] == part);
        all.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
    };
    let redis = ["answer", "version", "persistence", "eviction", "memory", "replication", "clock"];
    assert_eq!(checks("redis"), redis);
    let postgres = [
        "answer",
        "version",
        "sessions",
        "encoding",
        "rights",
        "tables",
        "synchronous_commit",
        "fsync",
        "full_page_writes",
        "connections",
        "writes",
        "clock",
    ];
    assert_eq!(checks("postgres"), postgres);
    let screen = world.cli(&["doctor"]).expect(0).out;
    assert!(screen.contains("appendonly yes, appendfsync always"), "{screen}");
    assert!(screen.contains("a process uses up to 15; "), "{screen}");
    assert!(screen.ends_with("nothing is at risk, as far as it can be seen from here\n"), "{screen}");
    // It needs no tables, and makes none.
    assert_eq!(world.db().count("select count(*) from pg_tables where schemaname = 'public'"), 0);
    assert_eq!(world.redis().command(&["DBSIZE"]).int(), 0);

    let service = world.start(Program::Damper);
    service.http().create("p");
    service.http().rate("p", "ann", 5);
    world.cli(&["doctor"]).expect(0);
    assert_eq!(world.status()["waiting"], 1);
}

#[test]
fn every_risk_of_redis_is_named_with_its_remedy() {
    let everysec = [
        "appendfsync everysec",
        "ratings of up to the last 2 s, when Redis is killed",
        "set appendfsync always",
    ];
    assert_risk(&world(&[]), "redis", "persistence", &everysec);
    let risks: [(&[&str], &str, &[&str]); 5] = [
        (
            &["--appendfsync", "no"],
            "persistence",
            &["appendfsync no", "power fails", "set appendfsync always"],
        ),
        (
            &["--appendonly", "no", "--save", "7200 1"],
            "persistence",
            &["save 7200 1", "which may be 2 h ago", "set appendonly yes"],
        ),
        (
            &["--appendonly", "no"],
            "persistence",
            &["no save points", "a start is refused", "set appendonly yes"],
        ),
        (
            &["--maxmemory-policy", "allkeys-lru"],
            "eviction",
            &["maxmemory-policy allkeys-lru", "a start is refused", "set maxmemory-policy noeviction"],
        ),
        (&["--maxmemory", "1mb"], "memory", &["of 1.0 MiB used", "takes no ratings", "raise maxmemory"]),
    ];
    for (settings, check, said) in risks {
        assert_risk(&world(&[&["--appendfsync", "always"], settings].concat()), "redis", check, said);
    }
}

#[test]
fn what_is_left_for_the_log_is_said_and_a_redis_of_the_cache_is_examined() {
    let world = world(&["--appendfsync", "always", "--maxmemory", "100mb"]);
    let own = Redis::start_with(&["--maxmemory", "8mb"]);
    let said = |world: &World| {
        let report = world.cli(&["doctor", "--json"]).json();
        finding(&report, "redis", "memory")["found"].as_str().expect("a text").to_owned()
    };
    let service = world.start_api();
    service.http().create("p");
    service.http().read("p");
    until("the post to be counted", || {
        said(&world).contains("2.0 KiB of it cached posts (64.0 MiB at most)")
    });
    assert!(said(&world).ends_with("MiB left for the log"), "{}", said(&world));
    let world = world.with("cache.redis_url", own.url());
    assert!(said(&world).contains(" 0 B of it cached posts (0 B at most)"), "{}", said(&world));
    let small = ["of 8.0 MiB used", "posts find no room", "lower cache.redis_bytes_max"];
    assert_risk(&world, "cache", "memory", &small);
    own.kill();
    let report = world.cli(&["doctor", "--json"]).expect(69).json();
    assert_eq!(finding(&report, "cache", "answer")["verdict"], "down");
}

#[test]
fn a_redis_that_does_not_tell_is_unknown_and_no_risk() {
    let run = world(&["--rename-command", "CONFIG", ""]).cli(&["doctor", "--json"]).expect(0).json();
    assert_eq!(finding(&run, "redis", "persistence")["verdict"], "unknown");
    assert_eq!(finding(&run, "redis", "eviction")["verdict"], "ok");
}

#[test]
fn replicas_are_seen_from_both_ends() {
    let mut world = sound();
    let address = world.redis().address();
    let (host, port) = address.split_once(':').expect("host:port");
    let replica = Redis::start_with(&["--replicaof", host, port]);
    until("the replica to follow", || {
        let info = world.redis().command(&["INFO", "replication"]);
        String::from_utf8_lossy(info.bytes()).contains("state=online")
    });
    assert_risk(
        &world,
        "redis",
        "replication",
        &["primary of 1, min-replicas-to-write 0", "set min-replicas-to-write 1"],
    );
    world.redis().command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    world.cli(&["doctor"]).expect(0);
    world = world.with("redis_url", replica.url());
    assert_risk(&world, "redis", "replication", &["a replica", "let DAMPER_REDIS_URL name the primary"]);
}

#[test]
fn every_risk_of_postgres_is_named_with_its_remedy() {
    for (setting, check, said) in [
        (
            "synchronous_commit = off",
            "synchronous_commit",
            ["posts that were created", "set synchronous_commit on"],
        ),
        ("default_transaction_read_only = on", "writes", ["nothing is merged", "set it off"]),
    ] {
        let world = sound();
        let name: (String,) = world.db().one("select current_database()::text");
        world.db().change(&format!("alter database {} set {setting}", name.0));
        assert_risk(&world, "postgres", check, &said);
    }
    let hasty = World::on(Redis::start_with(&["--appendfsync", "always"]), Postgres::shared());
    assert_risk(&hasty, "postgres", "fsync", &["when the machine crashes", "set fsync on"]);
    let greedy = sound().with("store.connections_max", 900);
    assert_risk(&greedy, "postgres", "connections", &["up to 907; 297 allowed", "raise max_connections"]);
}

#[test]
fn a_server_that_is_down_is_said_so_and_the_other_is_examined() {
    let world = sound();
    let unused = spawn::free_port();
    let down = [
        ("redis_url", format!("redis://:canary@127.0.0.1:{unused}"), "redis", "postgres"),
        ("database_url", format!("postgres://damper:canary@127.0.0.1:{unused}/x"), "postgres", "redis"),
    ];
    for (setting, url, lost, left) in down {
        let mut env = world.env();
        env.retain(|(name, _)| *name != crate::support::world::variable(setting));
        env.push((crate::support::world::variable(setting), url));
        let ask = |args: &[&str]| {
            crate::support::process::Process::spawn(Program::Damper, args, &env, world.path(), b"").finish()
        };
        let report = ask(&["doctor", "--json"]).expect(69).json();
        assert_eq!(finding(&report, lost, "answer")["verdict"], "down");
        assert_eq!(finding(&report, left, "clock")["verdict"], "ok", "the other was looked at");
        let screen = ask(&["doctor"]).expect(69).out;
        assert!(screen.contains(&format!("no answer from {lost} at 127.0.0.1:{unused}")), "{screen}");
        assert!(screen.ends_with(&format!("{lost} could not be examined\n")), "{screen}");
        assert!(!screen.contains("canary"), "{screen}");
    }
}

#[test]
fn a_server_that_refuses_the_login_is_said_so() {
    let world = world(&["--appendfsync", "always", "--requirepass", "canary"]);
    let report = world.cli(&["doctor", "--json"]).expect(78).json();
    assert_eq!(finding(&report, "redis", "answer")["verdict"], "refused");
    assert_eq!(finding(&report, "postgres", "clock")["verdict"], "ok");
}

#[test]
fn a_data_file_is_well_before_it_is_there_while_it_is_served_and_afterwards() {
    let world = World::embedded();
    let look = || {
        let before = files(&world);
        let run = world.cli(&["doctor", "--json"]);
        assert_well(&run);
        assert_eq!(files(&world), before, "no file came or went");
        run.json()
    };
    let report = look();
    assert!(
        finding(&report, "data file", "answer")["found"].as_str().unwrap().contains("does not exist yet")
    );
    assert_eq!(files(&world), Vec::<String>::new());

    let mut service = world.start(Program::Damper);
    service.http().create("p");
    service.http().rate("p", "ann", 5);
    let report = look();
    for (check, said) in [
        ("journal mode", "write-ahead log"),
        ("synchronous", "full"),
        ("integrity", "found nothing"),
        ("free space", "free"),
    ] {
        let found = finding(&report, "data file", check);
        assert!(found["found"].as_str().unwrap().contains(said), "{found}");
    }
    let screen = world.cli(&["doctor"]).out;
    assert!(screen.starts_with("data file\n  ok       answer"), "{screen}");

    service.kill();
    assert_well(&world.cli(&["doctor", "--json"]));
    assert_eq!(world.flush()["applied"], 1);
    // Most often a flush that ends takes SQLite's own files along; a log that it left behind is read as a log.
    if files(&world).iter().any(|file| file.ends_with("-wal")) {
        assert_well(&world.cli(&["doctor", "--json"]));
    } else {
        look();
    }
}

#[test]
fn a_broken_data_file_is_a_risk() {
    let world = World::embedded();
    let lines: String = (0..3_000).map(|i| format!("p{i},ann,4,1700000000\n")).collect();
    world.import(&lines);
    world.flush();
    let data = world.config().data;
    // Everything lies in the file itself, and the page that breaks is in use: the top of the tree of ratings.
    let (is_busy, ..): (i64, i64, i64) = world.db().one("pragma wal_checkpoint(truncate)");
    assert_eq!(is_busy, 0, "nobody else has the file open");
    let (page_bytes,): (i64,) = world.db().one("pragma page_size");
    let (page,): (i64,) = world.db().one("select rootpage from sqlite_schema where name = 'ratings'");
    let file = std::fs::OpenOptions::new().write(true).open(&data).expect("a file");
    let garbage = vec![0x55; page_bytes as usize];
    file.write_all_at(&garbage, ((page - 1) * page_bytes) as u64).expect("a page is written");
    assert_risk(&world, "data file", "integrity", &["restore a backup"]);

    std::fs::write(&data, "post,user,score,timestamp\n").expect("a file is written");
    assert_risk(&world, "data file", "journal mode", &["this is not a SQLite file", "DAMPER_DATA"]);

    let elsewhere = World::embedded().with("data", "no/such/folder/damper.db");
    assert_risk(
        &elsewhere,
        "data file",
        "answer",
        &["there is no folder no/such/folder", "create the folder"],
    );
}
