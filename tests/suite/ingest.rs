//! Bulk ingest: lines in, an answer for each bad one, the totals, and never more memory than a chunk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::identity::{admin_token, keyed, token};
use crate::support::http::{Answer, Http};
use crate::support::process::Process;
use crate::support::world::World;
use crate::support::{in_both_setups, until};

mod answers;

in_both_setups!(
    good_lines_are_accepted_and_bad_ones_reported_by_number,
    a_rating_by_line_is_the_same_as_a_single_one,
    a_closed_catalogue_refuses_lines_of_unknown_posts,
    a_broken_upload_keeps_a_prefix_and_can_be_repeated,
    a_line_that_is_too_long_is_skipped_without_being_stored,
    it_requires_the_role_ingest,
    without_keys_it_requires_the_admin_token,
    a_file_may_be_sent_again_whole_or_in_pieces,
    a_withdrawal_of_nothing_leaves_nothing,
);

/// A line for each `(post, user, score)`; a score of `None` withdraws.
fn line(post: &str, user: &str, score: Option<i64>) -> String {
    json!({"post_id": post, "user_id": user, "score": score}).to_string() + "\n"
}

fn send(api: &Http, body: impl AsRef<[u8]>) -> Answer {
    // The media type that curl sends by default.
    let form = ("content-type", "application/x-www-form-urlencoded");
    api.send("POST", "/api/ratings", &[form], Some(body.as_ref()))
}

/// The lines of an answer: bad ones as `(line, status, pointer)`, then the totals.
#[track_caller]
fn parsed(answer: &Answer) -> (Vec<(u64, u64, String)>, Value) {
    assert_eq!(answer.header("content-type"), "application/x-ndjson", "{}", answer.text);
    let mut lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let totals = lines.pop().expect("totals");
    // Many senders look at the status alone.
    assert_eq!(u64::from(answer.status), totals["error"]["status"].as_u64().unwrap_or(200), "{totals}");
    let bad = lines.iter().map(|bad| {
        let pointer = bad["error"]["pointer"].as_str().unwrap_or("-").to_owned();
        (bad["line"].as_u64().expect("a number"), bad["error"]["status"].as_u64().expect("a status"), pointer)
    });
    (bad.collect(), totals)
}

fn good_lines_are_accepted_and_bad_ones_reported_by_number(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let body = [
        &line("p", "ann", Some(5)),
        "{\"post_id\":\"p\",\"user_id\":\"bob\"}\n",
        "\r\n",
        &line("p", "cid", Some(6)),
        "no JSON\n",
        &line("missing", "ann", Some(1)),
        &line("p", "dan", Some(0)),
        "{\"post_id\":\"p\",\"user_id\":\"eve\",\"score\":2,\"at\":\"2014-10-04T12:00:00Z\"}\n",
        "{\"post_id\":\"p\",\"user_id\":\"fay\",\"score\":2,\"at\":\"2099-10-04T12:00:00Z\"}\n",
        &line("p", "ann", None),
        "{\"post_id\":\"p\",\"user_id\":\"gil\",\"score\":4}",
    ]
    .concat();
    let (bad, totals) = parsed(&send(&api, body));
    let expected =
        [(2, 422, "/score"), (4, 422, "/score"), (5, 400, "-"), (6, 404, "/post_id"), (9, 422, "/at")];
    assert_eq!(bad, expected.map(|(line, status, pointer)| (line, status, pointer.to_owned())));
    assert_eq!(totals, json!({"accepted": 5, "refused": 5}));
    world.flush();
    let post = api.post_as("p", "gil");
    assert_eq!((&post["count"], &post["histogram"]), (&json!(3), &json!([1, 0, 1, 0, 1, 0])), "{post}");
    assert_eq!(world.status()["applied"], 5);
    assert_eq!(parsed(&send(&api, "")), (vec![], json!({"accepted": 0, "refused": 0})));
    assert_eq!(parsed(&send(&api, "\n \n\t\n \t\r\n\t")), (vec![], json!({"accepted": 0, "refused": 0})));
    let packed = api.send("POST", "/api/ratings", &[("content-encoding", "gzip")], Some(b"x"));
    packed.problem(415, "unsupported-media-type");
    for query in ["x=1", "stream=yes"] {
        api.send("POST", &format!("/api/ratings?{query}"), &[], Some(b"")).problem(422, "invalid-query");
    }
}

fn a_rating_by_line_is_the_same_as_a_single_one(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    api.rate("p", "ann", 1);
    send(&api, line("p", "ann", Some(4)));
    assert_eq!(api.post_as("p", "ann")["my_rating"], json!({"score": 4, "pending": true}), "the latest wins");
    send(&api, line("p", "ann", None));
    assert_eq!(api.post_as("p", "ann")["my_rating"], json!({"score": null, "pending": true}));
    // A file with the same lines gives the same result.
    let file = world.file("ratings.ndjson", [line("q", "ann", Some(3)), line("q", "bob", Some(7))].concat());
    let imported = world.cli(&["import", &file, "--json"]).expect(1).json();
    assert_eq!((&imported["imported"], &imported["refused"]), (&json!(1), &json!(1)), "{imported}");
    world.flush();
    assert_eq!(api.post_as("p", "ann")["count"], 0);
    assert_eq!(api.post_as("q", "ann")["count"], 1);
}

fn a_closed_catalogue_refuses_lines_of_unknown_posts(world: World) {
    let service = world.start_api();
    let lines: String =
        (0..3_000).map(|i| line(&format!("p{}", i % 1_500), &format!("u{i}"), Some(3))).collect();
    let api = service.http();
    let streamed = api.send("POST", "/api/ratings?stream=true", &[], Some(lines.as_bytes()));
    for (answer, listed, totals) in [
        (send(&api, &lines), 1_000, json!({"accepted": 0, "refused": 3_000, "not_listed": 2_000})),
        (streamed, 3_000, json!({"accepted": 0, "refused": 3_000})),
    ] {
        let (bad, counted) = parsed(&answer);
        assert_eq!(counted, totals);
        assert!(bad.iter().map(|(line, ..)| *line).eq(1..=listed), "each by its number, in order");
        assert!(bad.iter().all(|(_, status, pointer)| *status == 404 && pointer == "/post_id"));
    }
    drop(service);
    let world = world.with("catalogue.mode", "open");
    let service = world.start_api();
    let api = service.http();
    assert_eq!(parsed(&send(&api, &lines)).1, json!({"accepted": 3_000, "refused": 0}));
    world.flush();
    assert_eq!(world.db().count("select count(*) from posts"), 1_500);
    assert_eq!(api.read("p7")["count"], 2);
    world.cli(&["verify"]).expect(0);
}

/// A request whose body is still to come, in pieces.
fn begin(service: &Process) -> TcpStream {
    begin_at(service, "/api/ratings")
}

fn begin_at(service: &Process, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.http().address()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a head");
    stream
}

fn piece(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len())
}

fn a_broken_upload_keeps_a_prefix_and_can_be_repeated(world: World) {
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    let lines: Vec<String> = (0..12_000).map(|i| line("p", &format!("u{i}"), Some(i % 6))).collect();
    let mut stream = begin(&service);
    piece(&mut stream, &lines[..8_000].concat()).expect("it is taken");
    // The complete line is accepted; the broken one is not.
    piece(&mut stream, &(lines[8_000].clone() + lines[8_001].trim_end())).expect("it is taken");
    until("the lines to be stored", || world.status()["waiting"] == 8_001);
    drop(stream);
    assert_eq!(world.status()["accepted"], 8_001);
    let (bad, totals) = parsed(&send(&api, lines.concat()));
    assert_eq!((bad.len(), totals), (0, json!({"accepted": 12_000, "refused": 0})));
    assert_eq!(world.status()["accepted"], 8_001 + 12_000, "the broken line never came");
    world.flush();
    let post = api.post_as("p", "u1");
    assert_eq!((&post["count"], &post["histogram"]), (&json!(12_000), &json!(vec![2_000; 6])), "{post}");
    world.cli(&["verify"]).expect(0);
}

fn memory_kib(service: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its highest memory");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}

fn a_line_that_is_too_long_is_skipped_without_being_stored(world: World) {
    const MIB: usize = 1 << 20;
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    send(&api, line("p", "ann", Some(1)));
    let before = memory_kib(&service);
    let mut stream = begin(&service);
    let padding = " ".repeat(MIB);
    for _ in 0..64 {
        piece(&mut stream, &padding).expect("it is taken");
    }
    let fitting = format!(
        "{}{}",
        " ".repeat((64 << 10) - line("p", "bob", Some(2)).len() + 1),
        line("p", "bob", Some(2))
    );
    piece(&mut stream, &format!("\n{}", line("p", "cid", Some(3)))).expect("it is taken");
    piece(&mut stream, &format!("{fitting} {fitting}")).expect("it is taken");
    stream.write_all(b"0\r\n\r\n").expect("an end");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let long = |value: &Value| {
        (value["line"].clone(), value["error"]["type"].clone(), value["error"]["status"].clone())
    };
    let expected = |line: u64| (json!(line), json!("/problems/line-too-long"), json!(413));
    let [first, second, totals] = &lines.iter().filter(|line| line.is_object()).collect::<Vec<_>>()[..]
    else {
        panic!("{text}")
    };
    assert_eq!((long(first), long(second)), (expected(1), expected(4)));
    assert_eq!(**totals, json!({"accepted": 2, "refused": 2}));
    let grown = memory_kib(&service) - before;
    assert!(grown < 16 * 1_024, "a line of 64 MiB made the service grow by {grown} KiB");
}

fn it_requires_the_role_ingest(world: World) {
    let world = keyed(world);
    let service = world.start_api();
    let api = service.http();
    let ann = api.with_token(&token("ann", &["user"]));
    ann.post("/api/posts", &json!({"id": "p", "title": "P"})).expect(201);
    send(&api, line("p", "bob", Some(5))).problem(401, "token-missing");
    let refused = send(&ann, line("p", "bob", Some(5))).problem(403, "role-missing");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("ingest")), "{refused}");
    let feed = api.with_token(&token("feed", &["ingest"]));
    assert_eq!(parsed(&send(&feed, line("p", "bob", Some(5)))).1, json!({"accepted": 1, "refused": 0}));
    assert_eq!(world.status()["accepted"], 1);
}

fn without_keys_it_requires_the_admin_token(world: World) {
    let world = world.with("open", "anywhere");
    let service = world.start_api();
    let admin_token = admin_token::told(&service).expect("a token");
    let api = service.http();
    api.create("p");
    send(&api, line("p", "ann", Some(5))).problem(401, "token-missing");
    send(&api.with_token("dmp_wrong"), line("p", "ann", Some(5))).problem(401, "token-invalid");
    assert_eq!(world.status()["accepted"], 0);
    let answer = parsed(&send(&api.with_token(&admin_token), line("p", "ann", Some(5))));
    assert_eq!(answer.1, json!({"accepted": 1, "refused": 0}));
}

/// The state of a post's average, but for its place in the log: whole numbers, and the bits of the others.
fn average_of(world: &World, post: &str) -> (Vec<i64>, Vec<u64>) {
    let of = |columns: &str| format!("select {columns} from averages where post_id = '{post}'");
    let counts = "calm_count, calm_sum, surge_count, surge_sum, born_at, last_at";
    let (a, b, c, d, e, f): (i64, i64, i64, i64, i64, i64) = world.db().one(&of(counts));
    let calm = "calm_clock, calm_vested, calm_settled_count, calm_settled_sum, intensity";
    let surge = "surge_clock, surge_vested, surge_settled_count, surge_settled_sum, intensity";
    let floats = [calm, surge].map(|columns| -> (f64, f64, f64, f64, f64) { world.db().one(&of(columns)) });
    let floats = floats.map(|(z, v, k, l, i)| [z, v, k, l, i].map(f64::to_bits));
    (vec![a, b, c, d, e, f], floats.concat())
}

fn a_file_may_be_sent_again_whole_or_in_pieces(world: World) {
    // Thirty days of ratings and then a bomb. Every third user rates twice, some give the same score again.
    let begin = chrono::Utc::now().timestamp() - 60 * 86_400;
    let rating = |i: i64| (i % 200, (i * 7) % 6, begin + i * 8_640);
    let bomb = |i: i64| (1_000 + i, 0, begin + 31 * 86_400 + i * 3);
    let ratings: Vec<_> = (0..300).map(rating).chain((0..150).map(bomb)).collect();
    let lines = |post: &str| -> Vec<String> {
        ratings.iter().map(|(user, score, at)| format!("{post},u{user},{score},{at}\n")).collect()
    };
    let import = |lines: &[String]| {
        world.import(&lines.concat());
        world.flush();
    };
    import(&lines("once"));
    for _ in 0..2 {
        import(&lines("twice"));
    }
    let pieces = lines("pieces");
    [&pieces[..200], &pieces[150..320], &pieces[100..], &pieces[..]].into_iter().for_each(import);
    import(&lines("reversed").into_iter().rev().collect::<Vec<_>>());
    let service = world.start_api();
    for _ in 0..2 {
        let json = ratings.iter().map(|(user, score, at)| {
            json!({"post_id": "api", "user_id": format!("u{user}"), "score": score, "at": at}).to_string()
                + "\n"
        });
        service.http().post("/api/posts", &json!({"id": "api", "title": "Sent"}));
        assert_eq!(parsed(&send(&service.http(), json.collect::<String>())).1["refused"], 0);
        world.flush();
    }
    let once = average_of(&world, "once");
    for post in ["twice", "pieces", "reversed", "api"] {
        assert_eq!(average_of(&world, post), once, "{post}");
    }
    // Of several lines with one time the last counts, in whatever order they are sorted in memory.
    let at = begin + 50 * 86_400;
    let run = world.cli_with_input(
        &["import", "-", "--json"],
        format!("post,user,score,timestamp\nonce,twin,1,{at}\nonce,twin,4,{at}\n").as_bytes(),
    );
    assert_eq!(run.expect(0).json()["superseded"], 1);
    world.flush();
    assert_eq!(service.http().post_as("once", "twin")["my_rating"]["score"], 4);
    world.assert_consistent();
}

fn a_withdrawal_of_nothing_leaves_nothing(world: World) {
    let world = world.with("catalogue.mode", "open");
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    for post in ["p", "nowhere"] {
        api.delete(&format!("/api/posts/{post}/rate?user_id=ann")).expect(202);
    }
    api.rate("p", "bob", 4);
    api.delete("/api/posts/p/rate?user_id=bob").expect(202);
    world.flush();
    let marks = "select count(*) from withdrawals";
    assert_eq!(world.db().count(marks), 1, "that of a rating is remembered");
    api.rate("p", "bob", 3);
    world.flush();
    assert_eq!(world.db().count(marks), 0, "until there is another one");
    assert_eq!(world.db().count("select count(*) from posts"), 1);
    world.assert_consistent();
}
