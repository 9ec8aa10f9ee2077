//! Where programs run: variables of others, links, names and URLs as people have them. Each is read, or refused with a
//! sentence.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::support::process::{Process, Program, Run};
use crate::support::world::World;
use crate::support::{spawn, until};

/// Runs `damper` in an empty folder with exactly these variables.
fn damper(args: &[&str], env: &[(&str, &str)]) -> Run {
    let env: Vec<_> = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let dir = spawn::temp_dir("environment-");
    Process::spawn(Program::Damper, args, &env, dir.path(), b"").finish()
}

#[test]
fn variables_that_kubernetes_sets_beside_a_service_are_not_settings() {
    let env = [
        ("DAMPER_PORT", "tcp://10.0.0.1:8080"),
        ("DAMPER_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("DAMPER_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("DAMPER_PORT_8080_TCP_PORT", "8080"),
        ("DAMPER_PORT_8080_TCP_PROTO", "tcp"),
        ("DAMPER_SERVICE_HOST", "10.0.0.1"),
        ("DAMPER_SERVICE_PORT", "8080"),
        ("DAMPER_SERVICE_PORT_HTTP", "8080"),
        ("DAMPER_API_PORT", "tcp://10.0.0.2:8080"),
        ("DAMPER_API_PORT_53_UDP_ADDR", "10.0.0.2"),
        ("DAMPER_API_SERVICE_HOST", "10.0.0.2"),
        ("DAMPER_DRAIN__BATCH_MAX", "7"),
    ];
    let shown = damper(&["config"], &env).expect(0).out;
    let row = shown.lines().find(|line| line.starts_with("drain.batch_max")).unwrap_or_default();
    assert!(row.contains('7') && !shown.contains("10.0.0"), "{shown}");
    for (name, value) in [("DAMPER_PORT", "8080"), ("DAMPER_PORTS", "8080"), ("DAMPER_SERVICE", "x")] {
        let refused = damper(&["config"], &[(name, value)]).expect(78).err;
        assert!(refused.contains("there is no setting"), "{refused}");
    }
}

#[test]
fn a_link_to_the_data_file_is_that_file() {
    let world = World::embedded();
    world.import("p,ann,3,1790000000\n");
    let linked = |name: &str| World::embedded().with("data", world.path().join(name).display());
    // A link to a link, and one in a folder of its own.
    symlink("test.db", world.path().join("near.db")).expect("a link");
    std::fs::create_dir(world.path().join("folder")).expect("a folder");
    symlink("../near.db", world.path().join("folder/far.db")).expect("a link");
    let service = world.start_api();
    service.http().rate("p", "bob", 5);
    for name in ["near.db", "folder/far.db"] {
        let found = linked(name).cli(&["doctor"]);
        assert!(found.out.contains("quick check found nothing"), "{}", found.out);
        let second = linked(name).cli(&["serve"]).expect(78).err;
        assert!(second.contains("another damper serves this file"), "{second}");
        assert_eq!(linked(name).status()["accepted"], 2);
    }
    // The locks lie beside the one file.
    assert!(
        !world.path().join("near.db.serve").exists() && !world.path().join("folder/far.db.lock").exists()
    );
    drop(service);
    // A link to a file that is not there yet.
    symlink("new.db", world.path().join("dangling.db")).expect("a link");
    assert_eq!(linked("dangling.db").status()["accepted"], 0);
    assert!(world.path().join("new.db").is_file() && world.path().join("new.db.lock").is_file());
}

#[test]
fn a_data_file_that_is_none_is_refused() {
    for (value, said) in [
        ("", "is empty"),
        (":memory:", "in memory"),
        ("file:damper.db", "is a URL"),
        ("sqlite://damper.db", "is a URL"),
        (".", "is a folder"),
        ("new/", "is a folder"),
    ] {
        let refused = damper(&["status"], &[("DAMPER_DATA", value)]).expect(78).err;
        assert!(refused.contains(said) && refused.contains("write the path of a file"), "{refused}");
    }
}

#[test]
fn urls_as_people_have_them_are_read_or_refused_with_the_remedy() {
    let unused = spawn::free_port();
    let status = |database: &str, redis: &str| {
        damper(&["status"], &[("DAMPER_DATABASE_URL", database), ("DAMPER_REDIS_URL", redis)])
    };
    let (postgres, redis) = ("postgres://localhost/x", "redis://localhost");
    for torn in ["ca#nary", "ca/nary", "ca?nary"] {
        let database = format!("postgres://u:{torn}@localhost/x");
        let refused = status(&database, redis).expect(78).err;
        assert!(refused.contains("database_url") && refused.contains("percent-encoded"), "{refused}");
        assert!(!refused.contains("nary"), "{refused}");
        let refused = status(postgres, &format!("redis://:{torn}@localhost")).expect(78).err;
        assert!(refused.contains("redis_url") && refused.contains("percent-encoded"), "{refused}");
    }
    // Cloud SQL's form: no host, and a socket.
    let refused = status("postgres://u:p@/x?host=/no/socket", redis).expect(69).err;
    assert!(refused.contains("no answer from postgres at /no/socket"), "{refused}");
    let refused =
        status(&format!("{postgres}?sslmode=verify-full&sslrootcert=/no/ca.pem"), redis).expect(78).err;
    assert!(refused.contains("CA certificates") && refused.contains("/no/ca.pem"), "{refused}");
    // A machine without CA certificates.
    let world = World::servers().with("redis_url", format!("rediss://localhost:{unused}"));
    let mut env = world.env();
    env.push(("SSL_CERT_FILE".into(), "/no/ca.pem".into()));
    let refused =
        Process::spawn(Program::Damper, &["status"], &env, world.path(), b"").finish().expect(78).err;
    assert!(refused.contains("CA certificates") && refused.contains("ca-certificates"), "{refused}");
}

#[test]
fn a_certificate_without_its_ca_is_called_that() {
    let dir = spawn::temp_dir("certificate-");
    let port = spawn::free_port();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=damper.test", "-days", "1"]);
    make.args([
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        &file("key.pem"),
        "-out",
        &file("cert.pem"),
    ]);
    spawn::run(&mut make);
    let mut server = spawn::dying("openssl");
    server.args(["s_server", "-quiet", "-accept", &port.to_string()]);
    server.args(["-cert", &file("cert.pem"), "-key", &file("key.pem")]).stdin(Stdio::piped());
    server.stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = spawn::spawn(server).expect("openssl");
    until("the server to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let world = World::servers().with("redis_url", format!("rediss://localhost:{port}"));
    let refused = world.cli(&["status"]).expect(78).err;
    assert!(refused.contains("CA certificate is missing here"), "{refused}");
    server.kill().ok();
    server.wait().ok();
}

#[test]
fn a_wrong_tick_names_its_field() {
    for (tick, said) in [
        ("*/5 * * * *", "has 5 fields"),
        ("0 0 25 * * *", "hour \"25\""),
        ("0 0 9 * * 8", "day of the week \"8\""),
    ] {
        let refused = damper(&["status"], &[("DAMPER_TICK", tick)]).expect(78).err;
        assert!(refused.contains(said) && refused.contains("0 */5 * * * *"), "{refused}");
    }
    for tick in ["0 0 9 * * 0", "0 0 9 * * 7", "0 0 9 * * mon-fri", "0 0 9 * * Sunday"] {
        damper(&["config"], &[("DAMPER_TICK", tick)]).expect(0);
    }
}

#[test]
fn compose_believes_nobody_who_names_another_client() {
    let compose = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.yml"));
    let compose = compose.expect("the compose file");
    let (_, rest) = compose.split_once("DAMPER_LIMITS__TRUSTED_PROXIES:").expect("the setting");
    // Everybody who comes through a port of the host has an address of Docker's own networks.
    assert_eq!(rest.lines().next().map(str::trim), Some("${DAMPER_LIMITS__TRUSTED_PROXIES:-}"));
}
