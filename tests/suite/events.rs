//! Server-sent events: every changed average after each drain, by any process, and a resume after a
//! disconnect.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(
    a_changed_average_is_sent_after_each_drain,
    a_returning_client_gets_the_missed_events,
    too_many_missed_changes_give_a_reset,
    a_client_that_does_not_read_is_cut_off_and_delays_no_one,
    a_stopping_service_closes_its_streams,
);

/// A client of the event stream.
struct Follower {
    lines: BufReader<TcpStream>,
    /// The id of the last event that had one.
    place: String,
}

/// An event's name and data.
type Event = (String, Value);

impl Follower {
    fn of(service: &Process, from: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(service.http().address()).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let from = from.map(|from| format!("last-event-id: {from}\r\n")).unwrap_or_default();
        write!(stream, "GET /api/events HTTP/1.1\r\nhost: localhost\r\n{from}\r\n").expect("a request");
        let place = from.clone();
        let mut follower = Self { lines: BufReader::new(stream), place };
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
            if self.lines.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
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
