//! Server-sent events: every changed average after each drain, by any process, and a resume after a
//! disconnect. Many followers, and slow ones, cost little and no one else.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::process::Process;
use crate::support::redis::Redis;
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(
    a_changed_average_is_sent_after_each_drain,
    a_returning_client_gets_the_missed_events,
    too_many_missed_changes_give_a_reset,
    a_client_that_does_not_read_is_cut_off_and_delays_no_one,
    a_stopping_service_closes_its_streams,
    a_thousand_that_return_at_once_and_read_slowly_cost_little,
    one_address_has_not_all_the_room_and_is_asked_to_come_back,
);

/// A client of the event stream.
struct Follower {
    lines: BufReader<TcpStream>,
    /// The id of the last event that had one.
    place: String,
}

/// An event's name and data.
type Event = (String, Value);

/// Asks for the events with these headers, each with its end of line.
fn ask(service: &Process, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.http().address()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    write!(stream, "GET /api/events HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").expect("a request");
    stream
}

impl Follower {
    fn of(service: &Process, from: Option<&str>) -> Self {
        let from = from.map(|from| format!("last-event-id: {from}\r\n")).unwrap_or_default();
        let stream = ask(service, &from);
        let mut follower = Self { lines: BufReader::new(stream), place: from };
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(follower.lines.read_line(&mut head).expect("a head"), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        assert_eq!(follower.next().expect("an event").0, "ready");
        assert_ne!(follower.place, "", "a client cut off now can resume");
        follower
    }

    /// The next event; `None` at the end of the stream.
    fn next(&mut self) -> Option<Event> {
        let (mut name, mut data) = (String::new(), Value::Null);
        loop {
            let mut line = String::new();
            match self.lines.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                // Cut off. Silence is no end.
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("neither an event nor the end of the stream: {e}"),
            }
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => name = text.to_owned(),
                Some(("data", text)) => data = serde_json::from_str(text).expect("JSON"),
                Some(("id", text)) => self.place = text.to_owned(),
                // The end of an event. Any other line is a chunk's length or a keep-alive.
                _ if line.trim_end().is_empty() && !name.is_empty() => return Some((name, data)),
                _ => {}
            }
        }
    }

    /// The next changed averages, each with its count.
    fn averages(&mut self, many: usize) -> Vec<(String, u64)> {
        (0..many)
            .map(|_| {
                let (name, data) = self.next().expect("an event");
                assert_eq!(name, "average", "{data}");
                (data["id"].as_str().expect("an id").to_owned(), data["count"].as_u64().expect("a count"))
            })
            .collect()
    }
}

fn a_changed_average_is_sent_after_each_drain(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    api.create("q");
    let mut followers = [Follower::of(&service, None), Follower::of(&service, None)];
    api.rate("p", "ann", 5);
    // Another process drains.
    world.flush();
    for follower in &mut followers {
        let (name, data) = follower.next().expect("an event");
        assert_eq!(name, "average");
        let mut expected = api.post_as("p", "ann");
        let expected = expected.as_object_mut().expect("a post");
        for (field, value) in data.as_object().expect("an object") {
            assert_eq!(Some(value), expected.get(field), "{field}");
        }
        assert_eq!(
            (&data["id"], &data["count"], &data["raw_average"]),
            (&json!("p"), &json!(1), &json!(5.0))
        );
    }
    api.rate("q", "ann", 1);
    api.rate("p", "bob", 0);
    world.flush();
    for follower in &mut followers {
        // Commits of two shards may arrive in two looks.
        let mut changed = follower.averages(2);
        changed.sort();
        assert_eq!(changed, [("p".into(), 2), ("q".into(), 1)]);
    }
}

fn a_returning_client_gets_the_missed_events(world: World) {
    let service = world.start_api();
    let api = service.http();
    for post in ["a", "b", "c"] {
        api.create(post);
    }
    let mut follower = Follower::of(&service, None);
    api.rate("a", "ann", 5);
    world.flush();
    assert_eq!(follower.averages(1), [("a".into(), 1)]);
    let place = follower.place.clone();
    drop(follower);
    api.rate("b", "ann", 5);
    world.flush();
    api.rate("b", "bob", 5);
    api.rate("c", "ann", 5);
    world.flush();
    // Another process of the same installation accepts the id too.
    drop(service);
    let service = world.start_api();
    let mut follower = Follower::of(&service, Some(&place));
    assert_eq!(follower.averages(2), [("b".into(), 2), ("c".into(), 1)]);
    let api = service.http();
    api.rate("a", "bob", 5);
    world.flush();
    assert_eq!(follower.averages(1), [("a".into(), 2)]);
    let answer = api.send("GET", "/api/events", &[("last-event-id", "x")], None);
    assert_eq!(answer.problem(422, "invalid-cursor")["parameter"], "Last-Event-ID");
    // An id from another installation.
    for strange in ["1-1,2-2,3-3", &place.replace('-', "9-")] {
        let mut follower = Follower::of(&service, Some(strange));
        assert_eq!(follower.next().expect("an event").0, "reset", "{strange}");
    }
}

fn too_many_missed_changes_give_a_reset(world: World) {
    let service = world.start_api();
    let mut follower = Follower::of(&service, None);
    let place = follower.place.clone();
    let lines: String = (0..20_000).map(|i| format!("p{i},u,5,1790000000\n")).collect();
    world.import(&lines);
    world.flush();
    // Small batches may be sent before.
    let reset = std::iter::from_fn(|| follower.next()).find(|(name, _)| name == "reset");
    assert_eq!(reset.map(|(_, data)| data), Some(json!({})));
    let mut back = Follower::of(&service, Some(&place));
    assert_eq!(back.next().expect("an event").0, "reset");
}

fn a_client_that_does_not_read_is_cut_off_and_delays_no_one(world: World) {
    let world = world.with("api.write_timeout_ms", 1_000);
    let service = world.start_api();
    let long = |i: i32| format!("{i:p>60}");
    let lines: String = (0..490).map(|i| format!("{},u,5,1790000000\n", long(i))).collect();
    world.import(&lines);
    world.flush();
    let deaf = Follower::of(&service, None);
    let mut hearing = Follower::of(&service, None);
    // Far more than socket buffers can store.
    for round in 0..40_u64 {
        let lines: String = (0..490).map(|i| format!("{},v{round},4,1790000000\n", long(i))).collect();
        world.import(&lines);
        world.flush();
        let heard = hearing.averages(490);
        assert!(heard.iter().any(|(_, count)| *count == round + 2), "the last drain is among them");
    }
    let gone = deaf.lines.into_inner();
    until("the unread stream to be closed", || {
        // The kernel's table of connections shows when the service has closed this one.
        let sockets = std::fs::read_to_string("/proc/net/tcp").expect("the system's connections");
        let local = format!(":{:04X}", gone.local_addr().expect("an address").port());
        !sockets.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // The service's end of the connection, established.
            fields.len() > 3 && fields[2].ends_with(&local) && fields[3] == "01"
        })
    });
    assert_eq!(world.status()["waiting"], 0);
}

fn a_stopping_service_closes_its_streams(world: World) {
    let service = world.start_api();
    let mut follower = Follower::of(&service, None);
    service.terminate();
    assert_eq!(follower.next(), None);
    service.finish().expect(0);
}

/// A stream that begins with the database away is no error: a page's `EventSource` would give up.
#[test]
fn a_follower_who_comes_while_the_database_is_away_waits_for_it() {
    let postgres = Postgres::start();
    let world = World::on(Redis::start(), &postgres);
    let service = world.start_api();
    service.http().create("p");
    postgres.stop_immediately();
    until("the database to be known as away", || {
        service.http().try_get("/api/posts").is_ok_and(|answer| answer.status == 503)
    });
    let mut early = ask(&service, "");
    let mut head = [0; 15];
    early.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    postgres.start_again();
    let mut early = Follower { lines: BufReader::new(early), place: String::new() };
    assert_eq!(early.next().expect("an event").0, "ready");
    service.http().rate("p", "ann", 5);
    world.flush();
    assert_eq!(early.averages(1), [("p".into(), 1)]);
}

/// The memory that a process has now, in MiB.
fn resident(service: &Process) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<i64>().expect("a number") / 1_024
}

fn a_thousand_that_return_at_once_and_read_slowly_cost_little(world: World) {
    let world = world.with("api.followers_per_address_max", 1_000);
    let service = world.start_api();
    let long = |i: usize| format!("{i:p>60}");
    let rate_all = |user: &str, posts: std::ops::Range<usize>| {
        world.import(&posts.map(|i| format!("{},{user},5,1790000000\n", long(i))).collect::<String>());
        world.flush();
    };
    rate_all("ann", 0..980);
    let place = Follower::of(&service, None).place;
    rate_all("bob", 0..490);
    rate_all("bob", 490..980);
    let readings = || {
        match world.is_embedded() {
        true => 0,
        false => world.db().count(
            "select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'changes'",
        ),
    }
    };
    let (before, read_before) = (resident(&service), readings());
    let headers = format!("last-event-id: {place}\r\n");
    let mut slow: Vec<TcpStream> = (0..1_000).map(|_| ask(&service, &headers)).collect();
    let api = service.http();
    let mut slowest = Duration::ZERO;
    for second in 0..4 {
        let begun = Instant::now();
        for stream in &mut slow {
            stream.read_exact(&mut [0; 10]).expect("ten bytes");
        }
        while begun.elapsed() < Duration::from_secs(1) {
            let asked = Instant::now();
            assert_eq!(api.read(&long(second))["count"], 2);
            slowest = slowest.max(asked.elapsed());
        }
    }
    let taken = resident(&service) - before;
    println!("a thousand followers take {taken} MiB; the slowest read beside them took {slowest:?}");
    assert!(taken <= 64, "{taken} MiB");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let read = readings() - read_before;
    assert!(read < 200, "the changes were read {read} times");
    // Each gets all that it missed.
    for stream in [slow.remove(0), slow.remove(500)] {
        let mut follower = Follower { lines: BufReader::new(stream), place: String::new() };
        while follower.next().expect("an event").0 != "ready" {}
        let mut missed = follower.averages(980);
        missed.sort();
        assert_eq!(
            missed,
            (0..980)
                .map(|i| (long(i), 2))
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
    }
}

fn one_address_has_not_all_the_room_and_is_asked_to_come_back(world: World) {
    let world =
        world.with("api.followers_per_address_max", 2).with("limits.trusted_proxies", "[\"127.0.0.1\"]");
    let service = world.start_api();
    // The head, and the stream up to a word, or to its end.
    let answer = |address: &str, word: &str| {
        let mut stream = ask(&service, &format!("x-forwarded-for: {address}\r\nconnection: close\r\n"));
        let (mut text, mut piece) = (String::new(), [0; 1_024]);
        while !text.contains(word) {
            match stream.read(&mut piece).expect("an answer") {
                0 => break,
                read => text.push_str(&String::from_utf8_lossy(&piece[..read])),
            }
        }
        (stream, text)
    };
    let retry_ms = |text: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix("retry: ")).expect("a time to come back");
        line.parse().expect("milliseconds")
    };
    let followers = [answer("192.0.2.1", "event: ready"), answer("192.0.2.1", "event: ready")];
    for (_, text) in &followers {
        assert!(text.contains("event: ready"), "{text}");
        assert!(text.to_lowercase().contains("x-accel-buffering: no\r\n"), "{text}");
        assert!((2_000..4_000).contains(&retry_ms(text)), "{text}");
    }
    assert_ne!(retry_ms(&followers[0].1), retry_ms(&followers[1].1), "they do not come back together");
    // An EventSource gives up at any other status, and comes back after the end of a stream.
    let (_, text) = answer("192.0.2.1", "never");
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("text/event-stream"), "{text}");
    assert!(text.contains("event: full") && text.contains("2 from your address"), "{text}");
    assert!((30_000..60_000).contains(&retry_ms(&text)), "{text}");
    assert!(answer("192.0.2.2", "event: ready").1.contains("event: ready"), "another address has room");
    drop(followers);
    until("the room to be free again", || answer("192.0.2.1", "event: ").1.contains("event: ready"));
}
