//! A listener's door: how many connections it lets in, and how slow a client may be.
//!
//! `axum::serve` sets no limits, so connections are served by hyper itself: headers have a size, a number and a
//! time, what a client does not take is not kept for it for ever, and who is beyond the last connection waits
//! outside. The time of a body is kept by `extract`, that of a whole request by the router.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower::{Layer, ServiceExt};
use tower_http::normalize_path::NormalizePathLayer;
use tracing::{debug, info, warn};

use super::address::Peer;
use super::viewer;
use crate::config::ApiKnobs;
use crate::error::Result;

/// Headers of a request, all together; longer ones are answered 431.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Headers of a request; more are answered 431.
const HEADERS_MAX: usize = 100;
/// What a connection may hold back of a request or an answer.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Files that a process has open besides its clients' connections.
const FILES_BESIDES: u64 = 256;
/// A listener that cannot take a connection (no file handles left) tries again after this.
const ACCEPT_DELAY: Duration = Duration::from_millis(50);

/// Raises what this process may keep open to what the system allows it, since a connection takes a file handle.
/// Warns when that is too little for the settings.
pub fn make_room(knobs: &ApiKnobs) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (2 * knobs.connections_max) as u64 + FILES_BESIDES;
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return };
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(current);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum })
    {
        debug!(%error, "the number of open files stays as it is");
    }
    if allowed < wanted {
        warn!(allowed, wanted, "few files may be open: raise ulimit -n, or lower api.connections_max");
    }
}

/// Serves `routes` until `shutdown`, then lets requests end for as long as the settings allow.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    knobs: ApiKnobs,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let doors = Arc::new(Semaphore::new(knobs.connections_max));
    let connections = GracefulShutdown::new();
    let is_short = AtomicBool::new(false);
    tokio::pin!(shutdown);
    loop {
        let entering = async {
            // Never closed.
            let door = doors.clone().acquire_owned().await;
            (door, accept(&listener, &is_short).await)
        };
        let (door, (stream, peer)) = tokio::select! {
            entered = entering => entered,
            () = &mut shutdown => break,
        };
        let connection = connection(stream, peer, routes.clone(), &knobs, &connections);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended");
            }
            drop(door);
        });
    }
    drop(listener);
    let grace = Duration::from_secs(knobs.shutdown_seconds_max);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        debug!("requests that outlast the shutdown end with the process");
    }
    Ok(())
}

/// The next connection. That none can be taken is said once, and so is that they can be again.
async fn accept(listener: &TcpListener, is_short: &AtomicBool) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if is_short.swap(false, Ordering::Relaxed) {
                    info!("connections are taken again");
                }
                return (stream, Peer(peer.ip()));
            }
            // The client's own fault, or nobody's.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !is_short.swap(true, Ordering::Relaxed) {
                    warn!(%error, "no connection can be taken");
                }
                tokio::time::sleep(ACCEPT_DELAY).await;
            }
        }
    }
}

/// Answers one connection's requests until it ends, or `connections` are told to.
fn connection(
    stream: TcpStream,
    peer: Peer,
    routes: Router,
    knobs: &ApiKnobs,
    connections: &GracefulShutdown,
) -> impl Future<Output = hyper::Result<()>> + Send + use<> {
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(Duration::from_millis(knobs.write_timeout_ms)));
    // Outside the router: a trailing slash is taken off before a route is looked for.
    let service = NormalizePathLayer::trim_trailing_slash().layer(routes);
    let service = service.map_request(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer);
        // Its pages find each other by this slash.
        if request.uri().path() == viewer::PAGE {
            *request.uri_mut() = Uri::from_static(viewer::PAGE_INDEX);
        }
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(knobs.header_timeout_ms))
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service));
    connections.watch(connection)
}
