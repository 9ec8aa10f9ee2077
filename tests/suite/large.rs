//! A catalogue of a million posts. It takes minutes, so it runs only by name:
//! `cargo test --release --features faults --test suite -- --ignored --nocapture large`.
//! `LARGE_POSTS` chooses another number.

use std::collections::HashSet;
use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use damper::app::drain::DrainOrder;
use damper::store::Trigger;
use serde_json::{Value, json};

use crate::identity::{keyed, token};
use crate::support::http::{Http, JSON};
use crate::support::process::Process;
use crate::support::world::World;

const PAGE: usize = 100;

macro_rules! when_asked_for {
    ($($name:ident),*) => {
        mod embedded {
            $(#[test]
            #[ignore = "minutes of work"]
            fn $name() {
                super::$name(crate::support::world::World::embedded());
            })*
        }
        mod servers {
            $(#[test]
            #[ignore = "minutes of work"]
            fn $name() {
                super::$name(crate::support::world::World::servers());
            })*
        }
    };
}
when_asked_for!(
    a_million_posts_are_loaded_and_walked_once,
    a_million_ratings_of_a_post_are_excluded_and_restored
);

fn posts_wanted() -> u64 {
    std::env::var("LARGE_POSTS").ok().and_then(|posts| posts.parse().ok()).unwrap_or(1_000_000)
}

/// Drains through the library, since a command of the suite ends within a minute. Returns the number of
/// applied entries.
fn drain(world: &World) -> u64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let drained = runtime.block_on(async {
        let app = world.app().await;
        app.drainer().drain(chrono::Utc::now().into(), &DrainOrder::quiet(Trigger::Flush)).await
    });
    assert!(drained.failure.is_none() && drained.quarantined == 0, "{drained:?}");
    drained.applied
}

fn ingest(service: &Process, write: impl FnOnce(&mut dyn Write)) -> Value {
    ingest_as(service, "", write)
}

/// Sends what `write` writes to `POST /api/ratings`; returns the totals.
fn ingest_as(service: &Process, token: &str, write: impl FnOnce(&mut dyn Write)) -> Value {
    struct Pieces(TcpStream);
    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            write!(self.0, "{:x}\r\n", bytes.len())?;
            self.0.write_all(bytes)?;
            self.0.write_all(b"\r\n")?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let mut stream = TcpStream::connect(service.http().address()).expect("a connection");
    let head = format!(
        "POST /api/ratings HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    let head = if token.is_empty() { head.replace("authorization: Bearer \r\n", "") } else { head };
    stream.write_all(head.as_bytes()).expect("a head");
    let mut pieces = BufWriter::with_capacity(1 << 20, Pieces(stream.try_clone().expect("a writer")));
    write(&mut pieces);
    pieces.flush().expect("all is sent");
    stream.write_all(b"0\r\n\r\n").expect("an end");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let totals = text.lines().rfind(|line| line.starts_with('{'));
    totals.and_then(|totals| serde_json::from_str(totals).ok()).unwrap_or_else(|| panic!("{text}"))
}

/// Reads every page of a list and passes each post to `each`. Prints the cost of a page over the walk.
fn walk(api: &Http, sort: &str, mut each: impl FnMut(&Value)) {
    let (mut cursor, mut times) = (String::new(), Vec::new());
    loop {
        let asked = Instant::now();
        let page = api.get(&format!("/api/posts?sort={sort}&limit={PAGE}{cursor}")).expect(200);
        times.push(asked.elapsed());
        page["posts"].as_array().expect("a list").iter().for_each(&mut each);
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let pages = times.len();
    let tenths = times.chunks(pages.div_ceil(10)).map(|tenth| {
        let mean = tenth.iter().sum::<std::time::Duration>() / tenth.len() as u32;
        format!("{mean:.2?}")
    });
    eprintln!(
        "sort={sort}: {pages} pages; each, by tenths of the walk: {}",
        tenths.collect::<Vec<_>>().join(" ")
    );
}

fn a_million_posts_are_loaded_and_walked_once(world: World) {
    let world = world.with("catalogue.mode", "open");
    let service = world.start_api();
    let (api, posts) = (service.http(), posts_wanted());
    let began = Instant::now();
    let totals = ingest(&service, |lines| {
        for i in 0..2 * posts {
            let (post, user, score) = (i % posts, i / posts, (i * 7 + i / posts) % 6);
            let line = format!("{{\"post_id\":\"p{post}\",\"user_id\":\"u{user}\",\"score\":{score}}}\n");
            lines.write_all(line.as_bytes()).expect("it is taken");
        }
    });
    assert_eq!(totals, json!({"accepted": 2 * posts, "refused": 0}));
    eprintln!("{} ratings were taken in {:.1?}", 2 * posts, began.elapsed());
    let began = Instant::now();
    assert_eq!(drain(&world), 2 * posts);
    eprintln!("they were drained in {:.1?}", began.elapsed());
    assert_eq!(world.db().count("select count(*) from posts"), posts as i64);

    let (is_done, added) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                api.create(&format!("new{}", added.fetch_add(1, Ordering::Relaxed)));
            }
        });
        let mut seen = HashSet::new();
        walk(&api, "new", |post| {
            let id = post["id"].as_str().expect("an id").to_owned();
            assert!(seen.insert(id), "{post} is listed twice");
        });
        assert!((0..posts).all(|i| seen.contains(&format!("p{i}"))), "a post was left out");
        let (mut seen, mut before) = (HashSet::new(), f64::MAX);
        walk(&api, "top", |post| {
            let id = post["id"].as_str().expect("an id").to_owned();
            let average = post["average"].as_f64().unwrap_or(-1.0);
            assert!(average <= before + 1e-9, "{post} comes after {before}");
            before = average;
            assert!(seen.insert(id), "{post} is listed twice");
        });
        assert!((0..posts).all(|i| seen.contains(&format!("p{i}"))), "a post was left out");
        is_done.store(true, Ordering::Relaxed);
    });
    eprintln!("{} posts were added meanwhile", added.into_inner());
}

/// The service's peak memory so far, in MiB.
fn memory_mib(service: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its highest memory");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1_024
}

fn a_million_ratings_of_a_post_are_excluded_and_restored(world: World) {
    let world = keyed(world.with("catalogue.mode", "open"));
    let service = world.start_api();
    let ratings = posts_wanted();
    let feed = service.http().with_token(&token("feed", &["ingest"]));
    let totals = ingest_as(&service, &token("feed", &["ingest"]), |lines| {
        for i in 0..ratings {
            let line = format!("{{\"post_id\":\"p\",\"user_id\":\"u{i}\",\"score\":{}}}\n", i % 6);
            lines.write_all(line.as_bytes()).expect("it is taken");
        }
    });
    assert_eq!(totals["accepted"], ratings);
    drain(&world);
    let before = memory_mib(&service);
    let admin = service.admin().with_token(&token("mo", &["moderator"]));
    let now = chrono::Utc::now();
    let window = json!({"from": now - chrono::Duration::days(1), "to": now, "reason": "all of it"});
    let path = "/api/admin/posts/p/exclusions";
    let id = decided(&world, &feed, &admin, "POST", path, &window, ratings);
    assert_eq!(world.db().count("select count(*) from ratings where status = 'excluded'"), ratings as i64);
    decided(&world, &feed, &admin, "DELETE", &format!("{path}/{id}"), &Value::Null, ratings);
    assert_eq!(
        world.db().count("select count(*) from ratings where status = 'counted' and post_id = 'p'"),
        ratings as i64
    );
    eprintln!("memory: {before} MiB before, {} MiB at most", memory_mib(&service));
    world.cli(&["verify"]).expect(0);
}

/// Decides, waits until it is merged, and rates other posts meanwhile. Returns the decision's id.
fn decided(
    world: &World,
    feed: &Http,
    admin: &Http,
    method: &str,
    path: &str,
    body: &Value,
    ratings: u64,
) -> String {
    let began = Instant::now();
    let body = body.to_string();
    let answer = admin.send(method, path, &[JSON], (method == "POST").then_some(body.as_bytes()));
    assert!([200, 202].contains(&answer.status), "{}", answer.text);
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let app = runtime.block_on(world.app());
    let (mut others, mut slowest) = (0_u64, std::time::Duration::ZERO);
    let row = loop {
        let rows = admin.get("/api/admin/audit?limit=1").expect(200);
        let row = rows["decisions"][0].clone();
        if row["id"] == json!(id) {
            break row;
        }
        if !world.is_embedded() {
            // A post of another shard: accepted and drained during the bulk decision.
            let asked = Instant::now();
            let line = json!({"post_id": "other", "user_id": format!("u{others}"), "score": 3}).to_string();
            assert_eq!(feed.send("POST", "/api/ratings", &[], Some(line.as_bytes())).status, 200);
            let other = damper::model::PostId::parse("other").expect("an id");
            runtime.block_on(app.drainer().drain_post(&other, chrono::Utc::now().into())).expect("it drains");
            slowest = slowest.max(asked.elapsed());
            others += 1;
        }
    };
    assert_eq!(row["touched"], ratings);
    eprintln!(
        "{method} {ratings} ratings: {:.1?}; {others} ratings of another shard meanwhile, the slowest in {slowest:.1?}",
        began.elapsed()
    );
    id
}
