//! The HTTP API: three listeners over one [`App`].
//!
//! Thin on purpose: a handler parses at the edge (`extract`), calls the app, and shapes the answer. Errors are
//! problem+json (`problem`), whoever makes them: handlers, the router, or a layer. The wall clock is read here,
//! once a request.

mod extract;
mod posts;
mod problem;
mod rates;
mod system;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, ServiceExt};
use tokio::net::TcpListener;
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::NormalizePathLayer;
use tracing::{debug, error};

use crate::app::App;
use crate::error::{Error, Result};
use crate::rating::Time;
use problem::Problem;

pub use system::install_metrics;

/// What handlers share.
type Shared = State<Arc<App>>;

/// The public listener's routes: `/api/**` and the probes.
pub fn public(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/api/posts", post(posts::create).get(posts::list))
        .route("/api/posts/{id}", get(posts::read))
        .route("/api/posts/{id}/history", get(posts::history))
        .route("/api/posts/{id}/rate", post(rates::rate).delete(rates::withdraw))
        .merge(system::probes());
    finish(routes, app)
}

/// The admin listener's routes: the probes and the metrics; also the worker's.
pub fn admin(app: Arc<App>) -> Router {
    finish(system::probes().merge(system::metrics()), app)
}

/// What every listener has: problem+json for whatever no handler answers, and limits.
fn finish(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    routes
        .fallback(async |request: Request| Problem::no_route(request.uri().path()))
        .method_not_allowed_fallback(async |request: Request| Problem::wrong_method(request.method()))
        .layer(from_fn_with_state(app.clone(), limit_time))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(DefaultBodyLimit::max(app.config().api.body_bytes_max))
        .with_state(app)
}

/// Serves `routes` until `shutdown`, then lets requests end for as long as the settings allow.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    grace: Duration,
    shutdown: impl Future<Output = ()> + Clone + Send + 'static,
) -> Result<()> {
    // Outside the router: a trailing slash is taken off before a route is looked for.
    let service = NormalizePathLayer::trim_trailing_slash().layer(routes);
    let service = ServiceExt::<Request>::into_make_service(service);
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone());
    let overdue = async {
        shutdown.await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = serving.into_future() => served.map_err(|e| Error::Internal(format!("listener stopped: {e}"))),
        () = overdue => {
            debug!("requests that outlast the shutdown end with the process");
            Ok(())
        }
    }
}

/// Binds a listener; port 0 takes any free one.
///
/// # Errors
/// [`Error::Config`] names the address and what is wrong with it.
pub async fn bind(address: std::net::SocketAddr, setting: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        let name = setting.to_uppercase();
        Error::Config(format!("cannot listen on {address}: {e}; DAMPER_{name} names another address"))
    })
}

async fn limit_time(State(app): Shared, request: Request, next: Next) -> Response {
    let within = Duration::from_millis(app.config().api.request_timeout_ms);
    tokio::time::timeout(within, next.run(request)).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} ms; try again", within.as_millis());
        Problem::from(Error::Unavailable(text)).into_response()
    })
}

fn answer_panic(cause: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let cause = cause.downcast_ref::<&str>().copied().or(cause.downcast_ref::<String>().map(String::as_str));
    error!(cause, "a handler panicked");
    Problem::from(Error::Internal("a handler stopped".into())).into_response()
}

/// The wall clock.
fn now() -> Time {
    chrono::Utc::now().into()
}
