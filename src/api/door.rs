//! A listener's door: how many connections it lets in, and how slow a client may be.
//!
//! `axum::serve` sets no limits, so hyper itself serves the connections: headers have a size, a number and a time, what
//! a client does not take is not kept for ever, clients beyond the last connection wait, and no address has all of them.
//! `extract` limits the time of a body, the router that of a request.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
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

use super::viewer;
use crate::config::{ApiKnobs, Networks};
use crate::error::Result;
use crate::limits::crowd::Crowd;

/// Bytes of a request's headers; more are answered 431.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Headers of a request; more are answered 431.
const HEADERS_MAX: usize = 100;
/// What a connection may hold back of a request or an answer.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Files that a process has open besides its clients' connections.
const FILES_BESIDES: u64 = 256;
/// A listener that cannot take a connection (no file handles left) tries again after this.
const ACCEPT_DELAY: Duration = Duration::from_millis(50);

/// Raises the number of files that this process may open, since a connection takes one. Warns when the system allows too
/// few for the settings.
pub fn make_room(knobs: &ApiKnobs) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (2 * knobs.connections_max) as u64 + FILES_BESIDES;
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return };
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(current);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), ..limit }) {
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
    proxies: Networks,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let doors = Arc::new(Semaphore::new(knobs.connections_max));
    let crowd = Arc::new(Crowd::default());
    let connections = GracefulShutdown::new();
    let (mut is_short, mut is_crowded) = (false, false);
    tokio::pin!(shutdown);
    loop {
        let entering = async {
            // Never closed.
            let door = doors.clone().acquire_owned().await;
            (door, accept(&listener, &mut is_short).await)
        };
        let (door, (stream, peer)) = tokio::select! {
            entered = entering => entered,
            () = &mut shutdown => break,
        };
        // A proxy connects for many clients.
        let each_max = if proxies.contains(peer) { usize::MAX } else { knobs.connections_per_address_max };
        let Some(seat) = crowd.enter(peer, each_max, usize::MAX) else {
            if !std::mem::replace(&mut is_crowded, true) {
                warn!(
                    %peer,
                    "an address has too many connections, more are closed: list a proxy in limits.trusted_proxies, \
                     or raise api.connections_per_address_max"
                );
            }
            continue;
        };
        let connection = connection(stream, peer, routes.clone(), &knobs, &connections);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended");
            }
            drop((door, seat));
        });
    }
    drop(listener);
    let grace = Duration::from_secs(knobs.shutdown_seconds_max);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        debug!("requests that outlast the shutdown end with the process");
    }
    Ok(())
}

/// The next connection. `is_short` says that none could be accepted; that and its end are logged once.
async fn accept(listener: &TcpListener, is_short: &mut bool) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if std::mem::take(is_short) {
                    info!("connections are taken again");
                }
                return (stream, peer.ip());
            }
            // The client has left already.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !std::mem::replace(is_short, true) {
                    warn!(%error, "no connection can be taken");
                }
                tokio::time::sleep(ACCEPT_DELAY).await;
            }
        }
    }
}

/// Answers one connection's requests until it ends, or all `connections` shut down.
fn connection(
    stream: TcpStream,
    peer: IpAddr,
    routes: Router,
    knobs: &ApiKnobs,
    connections: &GracefulShutdown,
) -> impl Future<Output = hyper::Result<()>> + Send + use<> {
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(Duration::from_millis(knobs.write_timeout_ms)));
    // Outside the router: a trailing slash is taken off before a route is looked for.
    let service = NormalizePathLayer::trim_trailing_slash().layer(routes).map_request(
        move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer);
            // The viewer's files find each other by this slash.
            if request.uri().path() == viewer::PAGE {
                *request.uri_mut() = Uri::from_static(viewer::PAGE_INDEX);
            }
            request
        },
    );
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(knobs.header_timeout_ms))
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service));
    connections.watch(connection)
}
