//! Another site: a small server whose pages the test writes, on an origin of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// A page: its path, its headers (a line each), its body.
pub type Page = (&'static str, String, String);

/// A server; it ends with the test process.
pub struct Site {
    address: String,
}

impl Site {
    /// Serves `pages`; other paths are answered 204.
    pub fn start(pages: Vec<Page>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &pages).ok();
            }
        });
        Self { address }
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

fn answer(mut stream: TcpStream, pages: &[Page]) -> std::io::Result<()> {
    // A browser opens connections ahead of time, and says nothing on them.
    stream.set_read_timeout(Some(std::time::Duration::from_millis(500)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    match pages.iter().find(|(known, ..)| *known == path) {
        Some((_, headers, body)) => write!(
            stream,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        ),
        None => write!(stream, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
    }
}
