//! Secrets appear in no output, and Damper is never open by mistake.

use crate::support::postgres::Postgres;
use crate::support::process::{Process, Program};
use crate::support::redis::Redis;
use crate::support::spawn;
use crate::support::until;
use crate::support::world::World;

/// A password that must appear in no output.
const CANARY: &str = "c4nary-pa55word";

/// Servers whose passwords are the canary. This Redis checks it; Postgres accepts any.
fn guarded() -> World {
    let redis = Redis::start_with(&["--requirepass", CANARY]);
    let redis_url = format!("redis://:{CANARY}@{}", redis.address());
    let world = World::on(redis, Postgres::shared());
    let database_url = world.config().database_url.expose().replace("damper@", &format!("damper:{CANARY}@"));
    world.with("redis_url", redis_url).with("database_url", database_url)
}

#[test]
fn no_command_prints_a_password() {
    let world = guarded();
    world.import("p,ann,5,1700000000\n");
    let commands: [&[&str]; 16] = [
        &["flush"],
        &["flush", "--json"],
        &["status"],
        &["status", "--json"],
        &["verify"],
        &["show", "p"],
        &["show", "p", "--json"],
        &["config"],
        &["config", "--json"],
        &["import", "nowhere.csv"],
        &["show", "nothing"],
        &["doctor"],
        &["doctor", "--json"],
        &["quarantine", "list"],
        &["backup", "copy.db"],
        &["status", "--set", "log.filter=trace"],
    ];
    for command in commands {
        let run = world.cli(command);
        assert!(!run.out.contains(CANARY), "{command:?}: {}", run.out);
        assert!(!run.err.contains(CANARY), "{command:?}: {}", run.err);
        assert!(run.code <= 1, "{command:?} got as far as the servers: {}", run.err);
    }
}

#[test]
fn no_wrong_url_and_no_refused_login_prints_a_password() {
    let world = guarded();
    let wrong = [
        ("database_url", format!("postgres://damper:{CANARY}@127.0.0.1:99999/x"), 78),
        ("database_url", format!("postgres://damper:{CANARY}@[::1/x"), 78),
        ("database_url", format!("mysql://damper:{CANARY}@localhost/x"), 78),
        ("database_url", CANARY.to_owned(), 78),
        ("redis_url", format!("http://:{CANARY}@localhost"), 78),
        ("redis_url", format!("redis://:{CANARY}@localhost:99999"), 78),
        ("redis_url", format!("redis://:{CANARY}-and-more@{}", world.redis().address()), 78),
        ("redis_url", format!("redis://:{CANARY}@127.0.0.1:{}", spawn::free_port()), 69),
    ];
    for (setting, url, code) in wrong {
        let mut env = world.env();
        env.retain(|(name, _)| *name != crate::support::world::variable(setting));
        env.push((crate::support::world::variable(setting), url.clone()));
        let run = Process::spawn(Program::Damper, &["status"], &env, world.path(), b"").finish();
        assert!(!run.err.contains(CANARY) && !run.out.contains(CANARY), "{url}: {}", run.err);
        assert!(run.err.starts_with("damper: ") && run.err.lines().count() == 1, "{url}: {}", run.err);
        assert_eq!(run.code, code, "{url}: {}", run.err);
    }
}

#[test]
fn no_log_of_a_service_contains_a_password() {
    let world = guarded().with("log.filter", "debug");
    let service = world.start(Program::Damper);
    let (api, admin) = (service.http(), service.admin());
    api.create("p");
    api.rate("p", "ann", 5);
    world.redis().kill();
    until("an outage to be noticed", || api.get("/readyz").status == 503);
    let outputs =
        [api.get("/readyz").text, admin.get("/metrics").text, api.get("/api/posts/p?user_id=ann").text];
    world.redis().start_again();
    until("the outage to be over", || api.get("/readyz").status == 200);
    service.terminate();
    let screen = service.out();
    let run = service.finish().expect(0);
    assert!(run.err.contains("redis"), "the outage was logged: {}", run.err);
    for text in outputs.iter().chain([&screen, &run.out, &run.err]) {
        assert!(!text.contains(CANARY), "{text}");
    }
}

/// A canary secret of at least 32 bytes.
fn secret() -> String {
    format!("{CANARY}-{}", "x".repeat(32))
}

#[test]
fn no_output_contains_a_secret_or_a_token() {
    let world = World::embedded().with("auth.jwt_secret", secret()).with("log.filter", "trace");
    let token = world.cli(&["token", "--user", "ann", "--role", "admin"]).expect(0).out.trim_end().to_owned();
    let signature = token.rsplit('.').next().expect("a signature").to_owned();
    let service = world.start(Program::Damper);
    let (api, admin) = (service.http(), service.admin());
    let (ann, olga) = (api.with_token(&token), admin.with_token(&token));
    ann.post("/api/posts", &serde_json::json!({"id": "p", "title": "P"})).expect(201);
    ann.post("/api/posts/p/rate", &serde_json::json!({"score": 5})).expect(202);
    let mut outputs = vec![
        olga.post("/api/admin/flush", &serde_json::json!({})).text,
        olga.get("/api/admin/status").text,
        olga.get("/api/admin/drains").text,
        admin.get("/metrics").text,
        admin.get("/openapi.json").text,
        api.with_token(&format!("{token}x")).get("/api/posts").text,
        api.with_token(&secret()).get("/api/posts").text,
        api.send("GET", "/api/posts", &[("authorization", &format!("Basic {token}"))], None).text,
        ann.get(&format!("/api/posts?cursor={CANARY}")).text.replace(CANARY, ""),
    ];
    for command in [
        &["config"][..],
        &["config", "--json"],
        &["status"],
        &["doctor"],
        &["admin-token"],
        &["forget", "ann"],
    ] {
        let run = world.cli(command);
        outputs.extend([run.out, run.err]);
    }
    service.terminate();
    outputs.push(service.out());
    let run = service.finish().expect(0);
    outputs.extend([run.out, run.err]);
    for text in &outputs {
        assert!(!text.contains(CANARY) && !text.contains(&signature), "{text}");
    }
    // The error for a malformed secret does not quote it.
    let file = world.file("wrong.toml", "[auth]\njwt_secret = 4242424242\n");
    let run = World::embedded().cli(&["config", "--config", &file]).expect(78);
    assert!(run.err.contains("auth.jwt_secret") && !run.err.contains("4242"), "{}", run.err);
    let short = World::embedded().with("auth.jwt_secret", CANARY).cli(&["serve"]).expect(78);
    assert!(!short.err.contains(CANARY), "{}", short.err);
}

#[test]
fn only_the_first_screen_shows_the_admin_token() {
    let world = World::embedded().with("log.filter", "trace");
    let service = world.start(Program::Damper);
    let token = crate::identity::admin_token::told(&service).expect("a token");
    let admin = service.admin().with_token(&token);
    admin.post("/api/admin/flush", &serde_json::json!({})).expect(200);
    service.admin().with_token(&token[1..]).get("/api/admin/status").problem(401, "token-invalid");
    let mut outputs = vec![service.err(), admin.get("/metrics").text, admin.get("/api/admin/status").text];
    for command in [&["status"][..], &["config"], &["doctor"], &["show", "p"]] {
        let run = world.cli(command);
        outputs.extend([run.out, run.err]);
    }
    for text in &outputs {
        assert!(!text.contains(&token[4..]), "{text}");
    }
    let file = std::fs::read(world.config().data).expect("the data file");
    let log = std::fs::read(world.path().join("test.db-wal")).unwrap_or_default();
    for bytes in [file, log] {
        assert!(!String::from_utf8_lossy(&bytes).contains(&token[4..]), "the token itself is not kept");
    }
}

#[test]
fn with_keys_any_address_is_allowed() {
    for setting in ["listen", "admin_listen"] {
        let world = World::embedded().with("auth.jwt_secret", secret()).with(setting, "0.0.0.0:0");
        let service = Process::spawn(Program::Damper, &[], &world.env(), world.path(), b"");
        until("it to start", || service.out().contains("api "));
        assert!(!service.out().contains("open mode"), "{}", service.out());
    }
}

#[test]
fn without_keys_damper_listens_on_loopback_only_unless_set() {
    for setting in ["listen", "admin_listen"] {
        let world = World::embedded().with(setting, "0.0.0.0:0");
        let run = world.cli(&["serve"]).expect(78);
        assert!(run.err.contains(setting) && run.err.contains("DAMPER_OPEN=anywhere"), "{}", run.err);
        assert!(!world.path().join("test.db").exists(), "it has not even started");
        let world = world.with("open", "anywhere");
        let service = Process::spawn(Program::Damper, &[], &world.env(), world.path(), b"");
        until("it to start", || service.out().contains("DAMPER_OPEN=anywhere"));
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (setting, variable) in [("listen", "DAMPER_LISTEN"), ("admin_listen", "DAMPER_ADMIN_LISTEN")] {
        let run = World::embedded().with(setting, &address).cli(&["serve"]).expect(78);
        assert!(run.err.contains(&address) && run.err.contains(variable), "{}", run.err);
    }
}
