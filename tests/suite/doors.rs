//! Limits at the listeners: slow, oversized and forging clients, against the real programs.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::http::Http;
use crate::support::process::Process;
use crate::support::until;
use crate::support::world::World;

/// Simultaneous slow clients.
const SLOW: usize = 1_000;
/// Allowed growth of the service meanwhile, in KiB: a connection's task and first buffer.
const GROWTH_KIB_MAX: u64 = 64 * 1_024;

/// The slowest answer that another caller may get meanwhile. Tests share two cores.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// No answer and no end within this: the connection stands still.
const SILENCE: Duration = Duration::from_secs(30);

/// A connection that sends `text` at once.
fn connect(api: &Http, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(api.address()).expect("a connection");
    stream.set_read_timeout(Some(SILENCE)).expect("a timeout");
    // The service may close the connection before it has read everything. What it says is still read.
    let sent = stream.write_all(text.as_bytes());
    assert!(sent.as_ref().err().is_none_or(|e| is_closed(e.kind())), "{sent:?}");
    stream
}

/// Whether the error says that the other side has closed the connection.
fn is_closed(kind: ErrorKind) -> bool {
    [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&kind)
}

/// Everything that arrives until the service closes the connection, which it must do.
#[track_caller]
fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    if let Err(e) = stream.read_to_end(&mut text) {
        let text = String::from_utf8_lossy(&text);
        assert!(is_closed(e.kind()), "the connection is not closed: {e}, after {text:?}");
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The first line of what arrives: `HTTP/1.1 200 OK`.
#[track_caller]
fn status_line(stream: TcpStream) -> String {
    rest(stream).lines().next().unwrap_or_default().to_owned()
}

/// Whether the service has closed the connection, of which nothing else is expected.
fn has_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a mode");
    match stream.read(&mut [0; 4_096]) {
        Ok(count) => count == 0,
        Err(e) if e.kind() == ErrorKind::WouldBlock => false,
        Err(e) => {
            assert!(is_closed(e.kind()), "{e}");
            true
        }
    }
}

fn memory_kib(service: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn a_thousand_slow_clients_are_cut_off_and_harm_no_one() {
    let world = World::embedded().with("api.header_timeout_ms", 3_000).with("api.body_timeout_ms", 3_000);
    // No other limit ends a slow body before the test is out of patience.
    let world =
        world.with("api.request_timeout_ms", 600_000).with("api.connections_per_address_max", 2 * SLOW);
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let before = memory_kib(&service);
    let head = "POST /api/posts/p/rate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let mut slow: Vec<TcpStream> = (0..SLOW)
        .map(|i| match i % 2 {
            0 => connect(&api, "GET /api/posts HTTP/1.1\r\nhost: localhost\r\nx-slow: "),
            _ => connect(&api, &format!("{head}content-length: 1000\r\n\r\n{{")),
        })
        .collect();
    let (mut peak, mut worst) = (before, Duration::ZERO);
    until("all of them to be ended", || {
        // Each sends a byte now and then.
        slow.retain_mut(|stream| {
            !has_ended(stream) && stream.write_all(b" ").map_or_else(|e| !is_closed(e.kind()), |()| true)
        });
        let asked = Instant::now();
        api.rate("p", "ann", 5);
        worst = worst.max(asked.elapsed());
        peak = peak.max(memory_kib(&service));
        slow.is_empty()
    });
    eprintln!("the slowest answer took {worst:?}; memory went from {before} to {peak} KiB");
    assert!(peak < before + GROWTH_KIB_MAX, "{before} to {peak} KiB");
    assert!(worst < ANSWER_MAX, "{worst:?}");
    assert_eq!(api.read("p")["id"], "p");
}

#[test]
fn a_slow_body_gets_408_and_an_idle_connection_is_closed() {
    let limit = Duration::from_millis(500);
    let world = World::embedded()
        .with("api.header_timeout_ms", limit.as_millis())
        .with("api.body_timeout_ms", limit.as_millis())
        .with("api.request_timeout_ms", 600_000);
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let head = "POST /api/posts/p/rate HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    let begun = Instant::now();
    let answer = rest(connect(&api, head));
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body-too-slow"), "{answer}");
    assert!(begun.elapsed() >= limit, "a body has its time");
    // Nothing, half a header, a second request that never comes: the service ends each of them, and not at once.
    for (sent, answered) in [
        ("", ""),
        ("GET /livez HTTP/1.1\r\nho", ""),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", "HTTP/1.1 200 OK"),
    ] {
        let begun = Instant::now();
        assert_eq!(status_line(connect(&api, sent)), answered, "{sent:?}");
        assert!(begun.elapsed() >= limit, "{sent:?} has its time");
    }
}

#[test]
fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let world = World::embedded().with("api.write_timeout_ms", 500).with("api.connections_max", 3);
    let service = world.start_api();
    let api = service.http();
    let content = "é".repeat(20_000);
    for i in 0..100 {
        api.post("/api/posts", &json!({"id": format!("p{i}"), "title": "T", "content": content})).expect(201);
    }
    // A page of long texts ends early. All pages together still list every post once.
    let (mut cursor, mut ids) = (String::new(), Vec::new());
    loop {
        let page = api.get(&format!("/api/posts?limit=100{cursor}")).expect(200);
        assert!(page.to_string().len() < 2 << 20);
        ids.extend(page["posts"].as_array().expect("posts").iter().map(|post| post["id"].to_string()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    // One client per connection slot, each asking for megabytes again and again.
    let asks = "GET /api/posts?limit=100 HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20);
    let deaf: Vec<TcpStream> = (0..3).map(|_| connect(&api, &asks)).collect();
    // Others get in once these are gone, each while the one before keeps its place.
    let asks = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let _others = [(); 3].map(|()| {
        let mut other = connect(&api, asks);
        let mut begin = [0; 15];
        other.read_exact(&mut begin).expect("an answer");
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
        other
    });
    // These were cut off in the midst of an answer: what had arrived by then is not all that they asked for.
    for mut stream in deaf {
        let mut taken = Vec::new();
        let end = stream.read_to_end(&mut taken);
        assert!(end.as_ref().err().is_none_or(|e| is_closed(e.kind())), "{end:?}");
        let answers = String::from_utf8_lossy(&taken).matches("HTTP/1.1 200 OK").count();
        assert!(answers < 20, "{answers} answers arrived");
    }
}

#[test]
fn a_client_waits_while_all_connections_are_taken() {
    let world = World::embedded().with("api.connections_max", 5).with("api.header_timeout_ms", 600_000);
    let service = world.start_api();
    let api = service.http();
    let mut idle: Vec<TcpStream> = (0..5).map(|_| connect(&api, "")).collect();
    let mut sixth = connect(&api, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    // Much longer than an answer takes.
    sixth.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    let answer = sixth.read(&mut [0; 64]);
    assert!(
        answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::WouldBlock),
        "it does not wait: {answer:?}"
    );
    assert_eq!(service.admin().get("/livez").status, 200, "the admin listener has its own connection limit");
    sixth.set_read_timeout(Some(SILENCE)).expect("a timeout");
    drop(idle.pop());
    assert_eq!(status_line(sixth), "HTTP/1.1 200 OK", "it is answered as soon as there is a place");
    drop(idle);
}

#[test]
fn oversized_requests_are_refused_and_memory_stays_flat() {
    let world = World::embedded();
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let before = memory_kib(&service);
    let status = |text: String| status_line(connect(&api, &text));
    let get = |path: &str, headers: String| {
        status(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"))
    };
    let (fits, too_large) = ("HTTP/1.1 200 OK", "HTTP/1.1 431 Request Header Fields Too Large");
    // On both sides of each limit, and far beyond it. The two headers of each request count.
    for (number, answer) in [(98, fits), (99, too_large), (10_000, too_large)] {
        let headers = (0..number).map(|i| format!("x-{i}: y\r\n")).collect();
        assert_eq!(get("/livez", headers), answer, "{number} headers");
    }
    for (bytes, answer) in [(31 << 10, fits), (33 << 10, too_large), (1 << 20, too_large)] {
        assert_eq!(
            get("/livez", format!("x: {}\r\n", "y".repeat(bytes))),
            answer,
            "a header of {bytes} bytes"
        );
    }
    let path = |bytes: usize| get(&format!("/livez?{}", "y".repeat(bytes)), String::new());
    assert_eq!([path(31 << 10), path(1 << 20)], [fits, too_large]);
    // A body of 10 MB, with and without a length, and a compressed body.
    let good = br#"{"user_id":"ann","score":5}"#.to_vec();
    let large = String::from_utf8([good.clone(), vec![b' '; 10 << 20]].concat()).expect("text");
    let length = large.len();
    let head = "POST /api/posts/p/rate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    for (how, body) in [
        ("with a length", format!("content-length: {length}\r\n\r\n{large}")),
        ("in chunks", format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{large}\r\n0\r\n\r\n")),
    ] {
        let answer = rest(connect(&api, &format!("{head}{body}")));
        let is_refused = answer.starts_with("HTTP/1.1 413") && answer.contains("/problems/body-too-large");
        assert!(is_refused, "{how}: {answer:?}");
    }
    for encoding in ["gzip", "deflate", "br", "gzip, gzip"] {
        let answer = api.send("POST", "/api/posts/p/rate", &[("content-encoding", encoding)], Some(&good));
        answer.problem(415, "unsupported-media-type");
    }
    let peak = memory_kib(&service);
    assert!(peak < before + GROWTH_KIB_MAX, "{before} to {peak} KiB");
    assert_eq!(world.status()["accepted"], 0);
}

#[test]
fn the_admin_listener_answers_no_page_of_another_site() {
    let world = World::embedded().with("admin_hosts", "[damper.internal]");
    let service = world.start_api();
    let admin = service.admin();
    let port = admin.address().rsplit(':').next().expect("a port").to_owned();
    let first = |host: &str, more: &str| {
        let text = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n");
        status_line(connect(&admin, &text))
    };
    for host in ["localhost", "127.0.0.1", "[::1]", "damper.internal", "10.1.2.3"] {
        assert_eq!(first(&format!("{host}:{port}"), ""), "HTTP/1.1 200 OK", "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "a b", "x@localhost"] {
        let answer = first(&format!("{host}:{port}"), "");
        assert_eq!(answer, "HTTP/1.1 403 Forbidden", "{host}");
    }
    let own = format!("localhost:{port}");
    assert_eq!(first(&own, &format!("origin: http://{own}\r\n")), "HTTP/1.1 200 OK");
    for origin in ["https://evil.example", "null", "http://localhost:1", "http://localhost", ""] {
        assert_eq!(first(&own, &format!("origin: {origin}\r\n")), "HTTP/1.1 403 Forbidden", "{origin}");
    }
    // A request that names its host in the first line.
    let absolute = "GET http://evil.example/metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(rest(connect(&admin, absolute)).starts_with("HTTP/1.1 403"));
}

#[test]
fn without_keys_a_name_that_was_made_to_point_here_reaches_nothing() {
    let world = World::embedded().with("admin_hosts", "[damper.internal]");
    let service = world.start_api();
    let api = service.http();
    let port = api.address().rsplit(':').next().expect("a port").to_owned();
    let line = r#"{"post_id":"p","user_id":"ann","score":5}"#;
    let send = |host: &str, more: &str| {
        let head = format!("POST /api/ratings HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}");
        status_line(connect(&api, &format!("{head}content-length: {}\r\n\r\n{line}", line.len())))
    };
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            // To the browser it is the same origin.
            let own = format!("origin: http://{host}\r\nsec-fetch-site: same-origin\r\n");
            assert_eq!(send(&host, &own), "HTTP/1.1 403 Forbidden", "{host}");
        }
    }
    assert_eq!(world.status()["accepted"], 0);
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "Damper.Internal"] {
        assert_eq!(send(&format!("{host}:{port}"), ""), "HTTP/1.1 200 OK", "{host}");
    }
    // Browsers leave the scheme's port out, and write names small.
    assert_eq!(send("LocalHost:80", "origin: http://localhost\r\n"), "HTTP/1.1 200 OK");
    service.terminate();
    service.finish().expect(0);
    // Elsewhere the operator has said who may reach Damper.
    let world = world.with("open", "anywhere");
    let anywhere = world.start_api();
    let read = "GET /api/posts HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let answer = rest(connect(&anywhere.http(), read));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn one_address_does_not_hold_all_connections() {
    let world = World::embedded().with("api.connections_max", 8).with("api.connections_per_address_max", 4);
    let service = world.start_api();
    let api = service.http();
    let mut held = Vec::new();
    until("the address to have its connections", || {
        held.push(connect(&api, ""));
        api.try_get("/livez").is_err()
    });
    // Connections of a moment ago may not have ended yet.
    assert!(held.len() <= 4, "{} connections of at most 4", held.len());
    // 127.0.0.2 is this machine too, and another address.
    let other = Command::new("curl")
        .args(["--silent", "--interface", "127.0.0.2", &format!("http://{}/livez", api.address())])
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&other.stdout), "ok\n");
    until("it to be logged", || service.err().contains("too many connections"));
    assert_eq!(service.err().matches("too many connections").count(), 1, "{}", service.err());
    held.clear();
    until("its places to be free again", || api.try_get("/livez").is_ok_and(|answer| answer.status == 200));
    service.terminate();
    service.finish().expect(0);
    // A proxy connects for many.
    let world = world.with("limits.trusted_proxies", "127.0.0.1");
    let service = world.start_api();
    let _held: Vec<TcpStream> = (0..6).map(|_| connect(&service.http(), "")).collect();
    assert_eq!(service.http().get("/livez").status, 200);
}

#[test]
fn while_callers_name_themselves_no_other_site_does_it_for_them() {
    let world = World::embedded().with("api.cors_origins", "[\"https://site.example\"]");
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let body = br#"{"user_id":"ann","score":5}"#;
    let rate = |headers: &[(&str, &str)]| api.send("POST", "/api/posts/p/rate", headers, Some(body)).status;
    let cross = ("sec-fetch-site", "cross-site");
    assert_eq!(rate(&[cross, ("origin", "https://evil.example")]), 403);
    assert_eq!(rate(&[cross]), 403);
    assert_eq!(rate(&[cross, ("origin", "https://site.example")]), 202);
    assert_eq!(rate(&[cross, ("origin", "https://Site.example:443")]), 202, "the same, written otherwise");
    assert_eq!(
        rate(&[("origin", "http://evil.example")]),
        403,
        "a browser that does not say where it fetches from"
    );
    assert_eq!(rate(&[("origin", "null")]), 403);
    assert_eq!(rate(&[("sec-fetch-site", "same-site")]), 403);
    assert_eq!(rate(&[("sec-fetch-site", "same-origin")]), 202);
    assert_eq!(
        rate(&[("sec-fetch-site", "same-origin"), ("origin", &format!("http://{}", api.address()))]),
        202
    );
    assert_eq!(api.send("GET", "/api/posts/p", &[cross], None).status, 200, "anyone may read");
}

#[test]
fn nothing_that_a_client_sends_makes_a_line_of_its_own() {
    let world = World::embedded().with("log.filter", "trace");
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let evil = "%0d%0aset-cookie:%20a=b%0d%0aERROR%20forged";
    for answer in [
        api.get(&format!("/api/posts/{evil}")),
        api.get(&format!("/nothing/{evil}")),
        api.get(&format!("/api/posts?cursor={evil}")),
        api.post("/api/posts/p/rate", &json!({"user_id": "a\r\nERROR forged", "score": 5})),
        api.post("/api/posts/p/rate", &json!({"user_id": "ann", "score": "\r\nERROR forged\u{1b}[31m"})),
        api.post("/api/posts/p/rate", &json!({"\r\nERROR forged": 1})),
        api.send("GET", "/api/posts", &[("x-request-id", "a b\tERROR forged")], None),
        api.post("/api/posts", &json!({"id": "x", "title": "\r\nERROR forged\r\n\u{1b}[31m"})),
    ] {
        assert!(!answer.headers.contains_key("set-cookie"), "{:?}", answer.headers);
        assert!(!answer.header("location").contains(['\r', '\n']));
    }
    world.flush();
    service.terminate();
    let run = service.finish().expect(0);
    let forged = run.err.lines().find(|line| line.trim_start().starts_with("ERROR forged"));
    assert_eq!(forged, None);
    assert!(!run.err.contains('\u{1b}'), "no escape code gets into the log");
}
