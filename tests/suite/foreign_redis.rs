//! A Redis that others run: a user with few permissions, a version that is too old, servers that insist on declared keys.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::process::Program;
use crate::support::proxy::Proxy;
use crate::support::world::World;

/// A world whose Redis user has these permissions.
fn as_user(permissions: &[&str]) -> World {
    let world = World::servers();
    let user = ["ACL", "SETUSER", "damper", "on", ">secret"];
    world.redis().command(&[&user[..], permissions].concat());
    let url = format!("redis://damper:secret@{}", world.redis().address());
    world.with("redis_url", url)
}

const USUAL: [&str; 4] = ["~damper:*", "+@all", "-@dangerous", "-@admin"];

/// Rates through a service, reads, and drains.
fn work(world: &World) {
    let service = world.start(Program::Damper);
    let api = service.http();
    for post in ["p", "q"] {
        api.create(post);
        api.rate(post, "ann", 5);
        assert_eq!(api.post_as(post, "ann")["my_rating"], json!({"score": 5, "pending": true}));
    }
    world.flush();
    assert_eq!(api.read("p")["id"], "p");
    api.rate("p", "bob", 1);
    world.assert_consistent();
}

#[test]
fn a_user_who_may_not_ask_info_and_config_can_do_all_that_damper_needs() {
    let world = as_user(&USUAL).with("limits.ratings_per_minute_per_user", 10);
    work(&world);
    let run = world.cli(&["status", "--json"]).expect(0);
    assert_eq!(run.err, "", "what is not permitted is no error");
    let log = run.json()["buffer"].as_str().unwrap_or_default().to_owned();
    assert!(log.starts_with("redis 7.") && log.contains("durability unknown"), "{log}");
    let report = world.cli(&["doctor", "--json"]).json();
    let found = |check: &str| {
        let all = report["findings"].as_array().expect("a list");
        let found = all.iter().find(|finding| finding["part"] == "redis" && finding["check"] == check);
        found.unwrap_or_else(|| panic!("{check} in {report}"))["verdict"].clone()
    };
    assert_eq!([found("answer"), found("version"), found("clock")], ["ok", "ok", "ok"]);
    for check in ["persistence", "eviction", "memory", "replication"] {
        assert_eq!(found(check), "unknown", "{check}");
    }
}

#[test]
fn a_command_that_is_needed_and_not_permitted_is_named_at_start() {
    let world = as_user(&USUAL);
    for (denied, names) in
        [(&["-xadd"][..], "XADD"), (&["-evalsha"], "EVALSHA"), (&["-xtrim", "-rename"], "RENAME, XTRIM")]
    {
        let all = ["ACL", "SETUSER", "damper", "+@all", "-@dangerous", "-@admin"];
        world.redis().command(&[&all[..], denied].concat());
        let run = world.cli(&["serve"]).expect(78);
        let address = world.redis().address();
        let said =
            format!("damper: redis at {address} does not permit {names} on keys that begin with damper:");
        assert!(run.err.contains(&said), "{said} in {}", run.err);
        assert!(run.err.contains("ACL SETUSER"), "{}", run.err);
    }
    let run = as_user(&["~other:*", "+@all"]).cli(&["serve"]).expect(78);
    assert!(run.err.contains("to access one of the keys"), "{}", run.err);
}

#[test]
fn a_redis_that_is_too_old_is_refused_with_both_versions() {
    let world = World::servers();
    let info = world.redis().command(&["INFO", "server"]);
    let info = String::from_utf8_lossy(info.bytes()).into_owned();
    let version =
        info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version").trim();
    let old = format!("6{}", &version[1..]);
    let proxy = Proxy::rewriting(&world.redis().address(), version, &old);
    // With and without INFO.
    let (plain, permitted) =
        (format!("redis://{}", proxy.address()), format!("redis://damper:secret@{}", proxy.address()));
    world.redis().command(&[&["ACL", "SETUSER", "damper", "on", ">secret"][..], &USUAL].concat());
    let mut world = world;
    for url in [plain, permitted] {
        world = world.with("redis_url", url).with("buffer.allow_unsafe_redis", true);
        let run = world.cli(&["serve"]).expect(78);
        assert!(run.err.contains(&format!("has version {old}")), "{}", run.err);
        assert!(run.err.contains("use Redis 7.0 or later"), "{}", run.err);
        assert_eq!(world.redis().command(&["DBSIZE"]).int(), 0, "nothing was written");
    }
    let doctor = world.cli(&["doctor"]).out;
    assert!(doctor.contains(&old) && doctor.contains("use Redis 7.0 or later"), "{doctor}");
}

#[test]
fn scripts_touch_no_key_that_they_do_not_declare() {
    let world = World::servers().with("limits.ratings_per_minute_per_user", 10);
    let mut declared = BTreeSet::new();
    let mut commands = BTreeSet::new();
    for line in world.redis().monitor(|| work(&world)) {
        // The last word may be empty.
        let Some((by, words)) = line.strip_suffix('"').and_then(|line| line.split_once("] \"")) else {
            continue;
        };
        let words: Vec<String> = words.split("\" \"").map(str::to_owned).collect();
        if words[0].eq_ignore_ascii_case("EVALSHA") {
            let count: usize = words[2].parse().expect("a number of keys");
            declared = words[3..3 + count].iter().cloned().collect();
        } else if by.ends_with("lua") {
            let touched = match words[0].as_str() {
                "TIME" | "INFO" => &[],
                "XINFO" | "XGROUP" => &words[2..3],
                "RENAME" => &words[1..3],
                _ => &words[1..2],
            };
            assert!(touched.iter().all(|key| declared.contains(key)), "{line} declares {declared:?}");
            commands.insert(words[0].clone());
        }
    }
    for command in ["GET", "HMGET", "HSET", "SET", "UNLINK", "XADD", "XGROUP", "XINFO", "XTRIM"] {
        assert!(commands.contains(command), "no script ran {command}: {commands:?}");
    }
}
