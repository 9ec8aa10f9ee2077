//! The answer to bulk ingest: when it comes, what it says, and that it arrives.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{begin, begin_at, line, parsed, piece, send};
use crate::support::world::World;
use crate::support::{in_both_setups, until};

in_both_setups!(
    the_answer_comes_after_the_body,
    a_stream_of_answers_comes_during_the_upload,
    an_upload_may_take_longer_than_other_requests,
    what_is_no_utf_8_is_refused_at_once,
    a_failed_append_ends_the_answer_with_the_reason,
    a_sender_that_waits_for_100_continue_gets_it,
    a_problem_quotes_no_more_than_a_screen_holds,
);

fn the_answer_comes_after_the_body(world: World) {
    let service = world.start_api();
    service.http().create("p");
    let mut stream = begin(&service);
    piece(&mut stream, &format!("oops\n{}", line("p", "ann", Some(5)))).expect("it is taken");
    until("the line to be stored", || world.status()["waiting"] == 1);
    // A proxy would stop sending if there was a single byte.
    stream.set_nonblocking(true).expect("no waiting");
    let early = stream.read(&mut [0; 1]).expect_err("no answer yet");
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).expect("waiting");
    stream.write_all(b"0\r\n\r\n").expect("an end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("{\"line\":1,") && answer.contains("{\"accepted\":1,\"refused\":1}"), "{answer}");
}

fn a_stream_of_answers_comes_during_the_upload(world: World) {
    let service = world.start_api();
    service.http().create("p");
    let mut stream = begin_at(&service, "/api/ratings?stream=true");
    piece(&mut stream, &format!("oops\n{}", line("p", "ann", Some(5)))).expect("it is taken");
    let mut answers = BufReader::new(stream.try_clone().expect("a reader"));
    let mut answer = String::new();
    while !answer.starts_with("{\"line\":1") {
        answer.clear();
        assert_ne!(answers.read_line(&mut answer).expect("an answer before the end"), 0);
    }
    // Accepted lines are stored while the request goes on.
    assert_eq!(world.status()["waiting"], 1);
    stream.write_all(b"0\r\n\r\n").expect("an end");
    let mut rest = String::new();
    answers.read_to_string(&mut rest).expect("the rest");
    assert!(rest.contains("{\"accepted\":1,\"refused\":1}"), "{rest}");
}

fn an_upload_may_take_longer_than_other_requests(world: World) {
    const REQUEST_MS: u64 = 6_500;
    let world = world.with("buffer.append_timeout_ms", 300).with("api.request_timeout_ms", REQUEST_MS);
    let service = world.start_api();
    service.http().create("p");
    let (mut stream, began, mut lines) = (begin(&service), Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(REQUEST_MS + 500) {
        piece(&mut stream, &line("p", &format!("u{lines}"), Some(5))).expect("it is taken");
        lines += 1;
        until("the line to be stored", || world.status()["waiting"] == lines);
    }
    stream.write_all(b"0\r\n\r\n").expect("an end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains(&format!("{{\"accepted\":{lines},\"refused\":0}}")), "{answer}");
}

fn what_is_no_utf_8_is_refused_at_once(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let text = format!("\u{feff}{}", line("p", "ann", Some(5)));
    let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (body, name) in [(&b"\x1f\x8b\x08\0"[..], "gzip"), (&utf_16, "UTF-16"), (&utf_16[2..], "UTF-16")] {
        let problem = send(&api, body).problem(415, "unsupported-media-type");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(name) && detail.contains("send lines of JSON in UTF-8"), "{problem}");
    }
    // A byte order mark is no part of the text.
    assert_eq!(parsed(&send(&api, text)).1, json!({"accepted": 1, "refused": 0}));
    let float = line("p", "bob", Some(4)).replace('4', "4.0");
    assert_eq!(parsed(&send(&api, float)).1, json!({"accepted": 1, "refused": 0}));
}

fn a_failed_append_ends_the_answer_with_the_reason(world: World) {
    let world = world.with("api.body_timeout_ms", 1_500);
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    // A sender that stays connected and sends nothing. Of a stream the status was sent before.
    for (path, status) in [("/api/ratings", 408), ("/api/ratings?stream=true", 200)] {
        let mut stream = begin_at(&service, path);
        piece(&mut stream, &line("p", "ann", Some(5))).expect("it is taken");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        let last: Value = text
            .lines()
            .rfind(|line| line.starts_with('{'))
            .and_then(|line| serde_json::from_str(line).ok())
            .expect("totals");
        assert_eq!((&last["accepted"], &last["error"]["status"]), (&json!(1), &json!(408)), "{text}");
    }
    if world.is_embedded() {
        return;
    }
    // An unreachable log. The sender sends everything before it reads, and gets the answer none the less.
    world.redis().pause();
    let answer = send(&api, line("p", "bob", Some(5)).repeat(200_000));
    let (_, totals) = parsed(&answer);
    assert_eq!((&totals["accepted"], &totals["error"]["status"]), (&json!(0), &json!(503)), "{totals}");
    assert_eq!(answer.header("retry-after"), "5");
    world.redis().resume();
    until("it to be taken again", || {
        parsed(&send(&api, line("p", "bob", Some(5)))).1 == json!({"accepted": 1, "refused": 0})
    });
}

fn a_sender_that_waits_for_100_continue_gets_it(world: World) {
    let service = world.start_api();
    service.http().create("p");
    let body = line("p", "ann", Some(5));
    let mut stream = TcpStream::connect(service.http().address()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let length = body.len();
    let head = format!(
        "POST /api/ratings HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a head");
    let mut answers = BufReader::new(stream.try_clone().expect("a reader"));
    let mut word = String::new();
    answers.read_line(&mut word).expect("a word before the body");
    assert!(word.starts_with("HTTP/1.1 100"), "{word}");
    stream.write_all(body.as_bytes()).expect("a body");
    let mut rest = String::new();
    answers.read_to_string(&mut rest).expect("an answer");
    assert!(rest.contains("HTTP/1.1 200") && rest.contains(r#"{"accepted":1,"refused":0}"#), "{rest}");
}

fn a_problem_quotes_no_more_than_a_screen_holds(world: World) {
    let service = world.start_api();
    let long = "x".repeat(60_000);
    let lines = [
        format!("{{\"{long}\":1}}\n"),
        format!("{{\"post_id\":\"p\",\"user_id\":\"u\",\"score\":1,\"at\":\"{long}\"}}\n"),
        format!("{{\"post_id\":\"p\",\"user_id\":\"u\",\"score\":\"{long}\"}}\n"),
        format!("{{\"post_id\":\"{long}\",\"user_id\":\"u\",\"score\":1}}\n"),
    ];
    let answer = send(&service.http(), lines.concat());
    assert_eq!(parsed(&answer).1, json!({"accepted": 0, "refused": 4}));
    assert!(answer.text.lines().all(|line| line.len() < 1_000), "{}", answer.text);
}
