//! A TCP proxy that misbehaves on demand, between a process and its servers.
//!
//! Two threads per connection pass bytes on. A fault lasts while it is set, or strikes one connection and is
//! over. `hits` counts how often it met traffic, since a fault without traffic tests nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The proxy's behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes bytes on.
    None,
    /// Closes every connection, and every new one at once.
    Refuse,
    /// Holds bytes back, in both directions.
    BlackHole,
    /// Holds back bytes from the server, and passes on bytes to it.
    OneWay,
    /// Passes each piece on after this delay.
    Delay(Duration),
    /// Closes one connection after this many bytes of the next piece, and is over.
    CutAfter(usize),
    /// Passes the next COMMIT on, closes that connection before the reply, and is over.
    CutAtCommit,
}

/// A proxy in front of one server.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where new connections lead.
    server: Mutex<String>,
    fault: Mutex<Fault>,
    /// What replies say in place of what the server says; both are of one length.
    rewrite: Option<(String, String)>,
    /// How many connections were made, and how many of them have vanished.
    made: AtomicU64,
    vanished: AtomicU64,
    hits: AtomicU64,
    is_over: AtomicBool,
}

const PAUSE: Duration = Duration::from_millis(5);
const CHUNK_BYTES: usize = 64 * 1024;

impl Proxy {
    /// A proxy of `server`, a `host:port`.
    pub fn start(server: &str) -> Self {
        Self::launch(server, None)
    }

    /// The same; replies say `to` where the server says `from`.
    pub fn rewriting(server: &str, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len(), "lengths stand before texts");
        Self::launch(server, Some((from.to_owned(), to.to_owned())))
    }

    fn launch(server: &str, rewrite: Option<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            server: Mutex::new(server.to_owned()),
            fault: Mutex::new(Fault::None),
            rewrite,
            made: AtomicU64::new(0),
            vanished: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::Relaxed) {
                    break;
                }
                if accepting.fault() == Fault::Refuse {
                    accepting.hit();
                    continue;
                }
                let server = accepting.server.lock().expect("the lock is not poisoned").clone();
                if let Ok(server) = TcpStream::connect(server) {
                    accepting.join(client, server);
                }
            }
        });
        Self { port, shared }
    }

    /// Its address, `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sets the behaviour from now on. Bytes held back continue when they may.
    pub fn set(&self, fault: Fault) {
        self.shared.hits.store(0, Ordering::SeqCst);
        *self.shared.fault.lock().expect("the lock is not poisoned") = fault;
    }

    /// Lets the bytes of all present connections vanish without a word. New ones are sound.
    pub fn vanish(&self) {
        self.shared.vanished.store(self.shared.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Leads new connections to another server. Present ones stay.
    pub fn lead_to(&self, server: &str) {
        *self.shared.server.lock().expect("the lock is not poisoned") = server.to_owned();
    }

    /// How many pieces or connections the fault has met.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// Whether a fault that strikes once has struck.
    pub fn is_done(&self) -> bool {
        self.shared.fault() == Fault::None
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.set(Fault::Refuse);
        TcpStream::connect(self.address()).ok();
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().expect("the lock is not poisoned")
    }

    fn hit(&self) {
        self.hits.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes a one-time fault, if it has not struck yet.
    fn take(&self, once: Fault) -> bool {
        let mut fault = self.fault.lock().expect("the lock is not poisoned");
        let is_there = *fault == once;
        if is_there {
            *fault = Fault::None;
            self.hit();
        }
        is_there
    }

    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        for (from, to, is_reply) in [(&client, &server, false), (&server, &client, true)] {
            let (from, to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
            to.set_nodelay(true).ok();
            from.set_read_timeout(Some(PAUSE * 4)).ok();
            let shared = self.clone();
            std::thread::spawn(move || {
                shared.pass(number, &from, &to, is_reply);
                from.shutdown(Shutdown::Both).ok();
                to.shutdown(Shutdown::Both).ok();
            });
        }
    }

    /// Passes bytes on until either side closes, or a fault closes both.
    fn pass(&self, number: u64, mut from: &TcpStream, mut to: &TcpStream, is_reply: bool) {
        let mut bytes = vec![0; CHUNK_BYTES];
        while !self.is_over.load(Ordering::Relaxed) && self.fault() != Fault::Refuse {
            let piece = match from.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => &bytes[..count],
                Err(e)
                    if [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&e.kind()) =>
                {
                    continue;
                }
                Err(_) => return,
            };
            if self.holds(number, is_reply) {
                self.hit();
                while self.holds(number, is_reply) {
                    std::thread::sleep(PAUSE);
                }
            }
            let rewritten;
            let mut piece = piece;
            if let Some((from, to)) = self.rewrite.as_ref().filter(|_| is_reply) {
                rewritten = replaced(piece, from.as_bytes(), to.as_bytes());
                piece = &rewritten;
            }
            let mut is_last = false;
            match self.fault() {
                Fault::Refuse => return self.hit(),
                Fault::Delay(by) => {
                    self.hit();
                    std::thread::sleep(by);
                }
                once @ Fault::CutAfter(count) if self.take(once) => {
                    (piece, is_last) = (&piece[..count.min(piece.len())], true);
                }
                Fault::CutAtCommit if !is_reply && piece.windows(6).any(|word| word == b"COMMIT") => {
                    is_last = self.take(Fault::CutAtCommit);
                    if is_last {
                        // The reply has no receiver any more.
                        from.shutdown(Shutdown::Both).ok();
                    }
                }
                _ => {}
            }
            if to.write_all(piece).is_err() || is_last {
                return;
            }
        }
    }

    fn holds(&self, number: u64, is_reply: bool) -> bool {
        if number < self.vanished.load(Ordering::SeqCst) && !self.is_over.load(Ordering::Relaxed) {
            return true;
        }
        match self.fault() {
            Fault::BlackHole => true,
            Fault::OneWay => is_reply,
            _ => false,
        }
    }
}

/// `bytes` with `to` in place of `from`, as long as `from`.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for start in 0..bytes.len().saturating_sub(from.len() - 1) {
        if bytes[start..].starts_with(from) {
            bytes[start..start + from.len()].copy_from_slice(to);
        }
    }
    bytes
}
