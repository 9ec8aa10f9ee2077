//! A storm of readers beside ratings: a crawl of all posts, readers of a long history, followers that read ten bytes a
//! second, and a probe; meanwhile ratings come at a steady rate, each with its own time to the answer.
//!
//! usage: cargo bench --bench storm -- fill ADDRESS POSTS, then -- ADDRESS POSTS RATE SECONDS; `scripts/storm` starts it.
//! The load is open: a rating is sent when it is due, whether or not earlier ones were answered, so a service that stalls
//! cannot hide it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

const CRAWLERS: usize = 16;
const HISTORY_READERS: usize = 200;
const FOLLOWERS: usize = 1_000;
/// Connections that send ratings. One is enough for a rating that is answered within the time between two of its own.
const RATERS: usize = 500;
const TEXT_CHARS: usize = 20_000;
const PROBE_EVERY: Duration = Duration::from_millis(100);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fill", address, posts] => fill(address, posts.parse()?).await,
        [address, posts, rate, seconds] => {
            storm(address, posts.parse()?, rate.parse()?, Duration::from_secs(seconds.parse()?)).await
        }
        _ => Err("usage: cargo bench --bench storm -- [fill] ADDRESS POSTS [RATE SECONDS]".into()),
    }
}

/// A connection that is opened again when it breaks.
struct Client {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None }
    }

    async fn get(&mut self, path: &str) -> io::Result<u16> {
        self.call(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address)).await
    }

    async fn post(&mut self, path: &str, body: &str) -> io::Result<u16> {
        let (host, length) = (&self.address, body.len());
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json");
        self.call(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}")).await
    }

    /// Sends a request and reads the whole answer; returns its status.
    async fn call(&mut self, request: String) -> io::Result<u16> {
        let answered = timeout(ANSWER_TIMEOUT, self.try_call(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if answered.is_err() {
            self.stream = None;
        }
        answered
    }

    async fn try_call(&mut self, request: String) -> io::Result<u16> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.get_mut().write_all(request.as_bytes()).await?;
        let (mut status, mut length, mut is_last) = (0, 0, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
            } else if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            } else if line == "connection: close" {
                is_last = true;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        if is_last {
            self.stream = None;
        }
        Ok(status)
    }
}

/// Creates the posts, each with a long text.
async fn fill(address: &str, posts: usize) -> Result<(), Failure> {
    let mut tasks = JoinSet::new();
    for first in 0..CRAWLERS {
        let (mut client, text) = (Client::new(address), "x".repeat(TEXT_CHARS));
        tasks.spawn(async move {
            for post in (first..posts).step_by(CRAWLERS) {
                let body = format!(r#"{{"id":"p{post}","title":"Post {post}","content":"{text}"}}"#);
                let status = client.post("/api/posts", &body).await;
                assert!(matches!(status, Ok(201)), "p{post}: {status:?}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done?;
    }
    println!("{posts} posts of {TEXT_CHARS} characters");
    Ok(())
}

/// Answers of one kind of client.
#[derive(Default)]
struct Tally {
    fine: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    times_ms: Mutex<Vec<f64>>,
}

impl Tally {
    async fn count(&self, status: io::Result<u16>, wanted: u16, began: Instant) {
        match status {
            Ok(status) if status == wanted => {
                self.fine.fetch_add(1, Relaxed);
                self.times_ms.lock().await.push(began.elapsed().as_secs_f64() * 1_000.0);
            }
            Ok(_) => drop(self.refused.fetch_add(1, Relaxed)),
            Err(_) => drop(self.broken.fetch_add(1, Relaxed)),
        }
    }

    async fn print(&self, name: &str) {
        let mut times = self.times_ms.lock().await;
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = times.len().saturating_sub(1);
            times.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
        };
        println!(
            "{name:<10} {:>8} fine {:>6} refused {:>6} broken   50 % {:>7.1} ms   99 % {:>7.1} ms   max {:>7.1} ms",
            self.fine.load(Relaxed),
            self.refused.load(Relaxed),
            self.broken.load(Relaxed),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

async fn storm(address: &str, posts: usize, rate: u64, length: Duration) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let [ratings, crawl, history, probe, followers] = [(); 5].map(|()| Arc::new(Tally::default()));
    let mut tasks = JoinSet::new();
    for first in 0..CRAWLERS {
        let next = (first..posts).step_by(CRAWLERS).cycle().map(|post| format!("/api/posts/p{post}"));
        tasks.spawn(read(Client::new(address), next, crawl.clone(), stop.clone()));
    }
    for reader in 0..HISTORY_READERS {
        let next = (0..).map(move |i| format!("/api/posts/old/history?points={}", 1 + (reader + i) % 1_000));
        tasks.spawn(read(Client::new(address), next, history.clone(), stop.clone()));
    }
    for _ in 0..FOLLOWERS {
        tasks.spawn(follow(address.to_owned(), followers.clone(), stop.clone()));
    }
    tasks.spawn({
        let (mut client, probe, stop) = (Client::new(address), probe.clone(), stop.clone());
        async move {
            while !stop.load(Relaxed) {
                let began = Instant::now();
                probe.count(client.get("/readyz").await, 200, began).await;
                sleep(PROBE_EVERY.saturating_sub(began.elapsed())).await;
            }
        }
    });
    // The storm is at full strength before ratings are counted.
    while followers.fine.load(Relaxed) < FOLLOWERS as u64 {
        if followers.refused.load(Relaxed) + followers.broken.load(Relaxed) > 0 {
            return Err("not all followers were let in".into());
        }
        sleep(PROBE_EVERY).await;
    }
    rate_steadily(address, posts, rate, length, ratings.clone()).await;
    stop.store(true, Relaxed);
    let end = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout(ANSWER_TIMEOUT, end).await;
    println!(
        "{rate} ratings/s for {} s beside {posts} posts' crawl, {HISTORY_READERS} history readers, {FOLLOWERS} slow followers",
        length.as_secs()
    );
    for (name, tally) in [
        ("ratings", ratings),
        ("crawl", crawl),
        ("history", history),
        ("probe", probe),
        ("followers", followers),
    ] {
        tally.print(name).await;
    }
    Ok(())
}

/// Reads paths one after the other.
async fn read(
    mut client: Client,
    paths: impl Iterator<Item = String> + Send,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    for path in paths {
        if stop.load(Relaxed) {
            return;
        }
        let began = Instant::now();
        let status = client.get(&path).await;
        // What is refused is asked again after a moment, as a browser would.
        let is_fine = matches!(status, Ok(200));
        tally.count(status, 200, began).await;
        if !is_fine {
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Follows events, ten bytes a second.
async fn follow(address: String, tally: Arc<Tally>, stop: Arc<AtomicBool>) {
    let began = Instant::now();
    let followed = async {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(format!("GET /api/events HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
        let mut bytes = [0; 10];
        stream.read_exact(&mut bytes).await?;
        let status = if bytes.ends_with(b" 2") { 200 } else { 503 };
        tally.count(Ok(status), 200, began).await;
        while !stop.load(Relaxed) {
            if timeout(ANSWER_TIMEOUT, stream.read(&mut bytes))
                .await
                .is_ok_and(|read| matches!(read, Ok(0) | Err(_)))
            {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sleep(Duration::from_secs(1)).await;
        }
        io::Result::Ok(())
    };
    if let Err(error) = followed.await {
        tally.count(Err(error), 200, began).await;
    }
}

/// Sends ratings when they are due; each waits for its answer on a connection of its own.
async fn rate_steadily(address: &str, posts: usize, rate: u64, length: Duration, tally: Arc<Tally>) {
    let (send, due) = mpsc::unbounded_channel::<(u64, Instant)>();
    let due = Arc::new(Mutex::new(due));
    let mut tasks = JoinSet::new();
    for _ in 0..RATERS {
        let (mut client, due, tally) = (Client::new(address), due.clone(), tally.clone());
        tasks.spawn(async move {
            loop {
                let next = due.lock().await.recv().await;
                let Some((number, at)) = next else { return };
                let body = format!(r#"{{"user_id":"u{number}","score":{}}}"#, number % 6);
                let path = format!("/api/posts/p{}/rate", number as usize * 7 % posts);
                tally.count(client.post(&path, &body).await, 202, at).await;
            }
        });
    }
    let mut ticks = interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < length {
        ticks.tick().await;
        let wanted = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        for number in sent..wanted {
            let at = began + Duration::from_secs_f64(number as f64 / rate as f64);
            if send.send((number, at)).is_err() {
                return;
            }
        }
        sent = wanted;
    }
    drop(send);
    while tasks.join_next().await.is_some() {}
}
