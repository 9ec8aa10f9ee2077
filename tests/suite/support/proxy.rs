//! A TCP proxy that misbehaves on demand: what lies between a process and its servers.
//!
//! Two threads a connection pass bytes on. A fault holds for as long as it is set, or strikes one connection and is
//! over; `hits` tells how often it met traffic, since a fault that nobody met is none.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the proxy does to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes them on.
    None,
    /// Ends every connection, and every new one at once.
    Refuse,
    /// Keeps them back, in both directions.
    BlackHole,
    /// Keeps back what the server says, and passes on what it is told.
    OneWay,
    /// Passes each piece on after this.
    Delay(Duration),
    /// Ends one connection after so many bytes of the next piece, and is over.
    CutAfter(usize),
    /// Passes the next COMMIT on, ends that connection before its reply, and is over.
    CutAtCommit,
}

/// A proxy in front of one server.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    fault: Mutex<Fault>,
    hits: AtomicU64,
    is_over: AtomicBool,
}

const PAUSE: Duration = Duration::from_millis(5);
const CHUNK_BYTES: usize = 64 * 1024;

impl Proxy {
    /// A proxy of `server`, a `host:port`.
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            fault: Mutex::new(Fault::None),
            hits: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let (accepting, server) = (shared.clone(), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::Relaxed) {
                    break;
                }
                if accepting.fault() == Fault::Refuse {
                    accepting.hit();
                    continue;
                }
                if let Ok(server) = TcpStream::connect(&server) {
                    accepting.join(client, server);
                }
            }
        });
        Self { port, shared }
    }

    /// Where it listens, a `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on it does this; what was kept back goes on when it may.
    pub fn set(&self, fault: Fault) {
        self.shared.hits.store(0, Ordering::SeqCst);
        *self.shared.fault.lock().expect("nobody panics here") = fault;
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
        *self.fault.lock().expect("nobody panics here")
    }

    fn hit(&self) {
        self.hits.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes a fault that strikes once, if it is still there.
    fn take(&self, once: Fault) -> bool {
        let mut fault = self.fault.lock().expect("nobody panics here");
        let is_there = *fault == once;
        if is_there {
            *fault = Fault::None;
            self.hit();
        }
        is_there
    }

    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        for (from, to, is_reply) in [(&client, &server, false), (&server, &client, true)] {
            let (from, to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
            to.set_nodelay(true).ok();
            from.set_read_timeout(Some(PAUSE * 4)).ok();
            let shared = self.clone();
            std::thread::spawn(move || {
                shared.pass(&from, &to, is_reply);
                from.shutdown(Shutdown::Both).ok();
                to.shutdown(Shutdown::Both).ok();
            });
        }
    }

    /// Passes bytes on until either side ends, or a fault ends both.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, is_reply: bool) {
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
            if self.holds(is_reply) {
                self.hit();
                while self.holds(is_reply) {
                    std::thread::sleep(PAUSE);
                }
            }
            let mut piece = piece;
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
                        // The reply has nobody to go to any more.
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

    fn holds(&self, is_reply: bool) -> bool {
        match self.fault() {
            Fault::BlackHole => true,
            Fault::OneWay => is_reply,
            _ => false,
        }
    }
}
