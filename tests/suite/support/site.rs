//! Another site: a small server whose pages the test writes, on an origin of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Pages by their paths: headers, a line each, and a body.
type Pages = Arc<Mutex<BTreeMap<String, (String, String)>>>;

/// A server; it ends with the test process.
pub struct Site {
    address: String,
    pages: Pages,
}

impl Site {
    /// A site without pages: every path is answered 204.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let pages = Pages::default();
        let served = pages.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                // A browser opens connections ahead of time, and says nothing on them.
                std::thread::spawn(move || answer(stream, &served).ok());
            }
        });
        Self { address, pages }
    }

    /// Adds a page, or changes it. `headers` are whole lines: `content-type: text/html`.
    pub fn put(&self, path: &str, headers: &[&str], body: &str) {
        let headers = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.pages
            .lock()
            .expect("the lock is not poisoned")
            .insert(path.to_owned(), (headers, body.to_owned()));
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The origin, as a browser names it.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(mut stream: TcpStream, pages: &Pages) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    let found = pages.lock().expect("the lock is not poisoned").get(path).cloned();
    match found {
        Some((headers, body)) => write!(
            stream,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        ),
        None => write!(stream, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
    }
}
