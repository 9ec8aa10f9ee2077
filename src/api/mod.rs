//! The HTTP API: three listeners over one [`App`].
//!
//! Thin on purpose: a handler parses at the edge (`extract`), knows who is asking (`gate`), calls the app, and
//! shapes the answer. Errors are problem+json (`problem`), whether a handler, the router or a layer makes them.
//! Connections come in through `door`. The wall clock is read here, once a request.

mod address;
mod answer;
pub(crate) mod cursor;
mod door;
mod extract;
mod gate;
mod openapi;
mod origin;
mod pages;
mod problem;
mod routes;
mod schema;
mod viewer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::{Instrument, debug, info_span};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::model::Time;
use openapi::Audience;
use routes::{events, explain, ingest, lists, moderation, operations, posts, probes, rates, users};

pub use answer::is_known;
pub use door::{make_room, serve};
pub(crate) use extract::{Fields, PostPath, fields, form};
pub use gate::Gate;
pub(crate) use origin::is_own_page;
pub(crate) use problem::{Problem, Said};
pub(crate) use routes::moderation::{decide, exclusions::preview, held};
pub(crate) use routes::operations::flush_now;
pub use routes::probes::install_metrics;

/// The app, as handlers take it.
type Shared = State<Arc<App>>;

/// What a handler answers.
pub(crate) type Answer<T = Response> = Result<T, Problem>;

/// Bears a request's id, in requests, answers and logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A caller's own request id is taken up to this length.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// How long a browser may remember what CORS allows.
const CORS_MAX_AGE: Duration = Duration::from_secs(600);

/// The public listener's routes: `/api/**`, the probes, the API's description and its problems, and `pages`.
pub fn public(gate: &Gate, pages: Router<Gate>) -> Result<Router> {
    let (routes, api) = described(public_routes(), gate, false);
    let viewer = viewer::routes(&[("public", "/openapi.json", &api)]);
    let routes = routes.merge(viewer).merge(pages);
    let mut routes = bounded(routes, gate, origin::check_site);
    let origins = &gate.app().config().api.cors_origins;
    if !origins.is_empty() {
        routes = routes.layer(cors(origins)?);
    }
    Ok(named(routes, gate))
}

fn public_routes() -> OpenApiRouter<Gate> {
    OpenApiRouter::new()
        .routes(routes!(posts::create, lists::list))
        .routes(routes!(posts::read, posts::edit))
        .routes(routes!(lists::batch))
        // The id of a post may be `batch`.
        .route("/api/posts/batch", get(posts::read).patch(posts::edit))
        .routes(routes!(posts::history))
        .routes(routes!(explain::explain))
        .routes(routes!(explain::aggregate_rating))
        .routes(routes!(explain::badge))
        .routes(routes!(rates::rate, rates::withdraw))
        .routes(routes!(ingest::ingest))
        .routes(routes!(events::events))
        .routes(routes!(users::create, users::list))
        .routes(routes!(users::read))
        .routes(routes!(lists::by_author))
        .merge(probes::probes())
}

/// The admin listener's routes: operations, metrics, the probes, both descriptions to look at, and `pages`.
pub fn admin(gate: &Gate, pages: Router<Gate>) -> Router {
    let routes = OpenApiRouter::new()
        .routes(routes!(operations::flush))
        .routes(routes!(operations::status))
        .routes(routes!(operations::drains))
        .routes(routes!(moderation::policy, moderation::set_policy))
        .routes(routes!(moderation::exclusions::exclude, moderation::exclusions::exclusions))
        .routes(routes!(moderation::exclusions::undo))
        .routes(routes!(moderation::held::held))
        .routes(routes!(moderation::evidence::arrivals))
        .routes(routes!(moderation::evidence::alerts))
        .routes(routes!(moderation::audit::audit))
        .merge(moderation::held::routes())
        .merge(probes::probes())
        .merge(probes::metrics());
    let (routes, api) = described(routes, gate, true);
    let (_, public) = described(public_routes(), gate, false);
    let viewer =
        viewer::routes(&[("for operators", "/openapi.json", &api), ("public", "/docs/public.json", &public)]);
    let routes = routes.merge(viewer).merge(pages);
    named(bounded(routes, gate, origin::check_host), gate)
}

/// The worker's routes: the probes and the metrics.
pub fn worker(gate: &Gate) -> Router {
    named(bounded(probes::probes().merge(probes::metrics()).into(), gate, |_, _| Ok(())), gate)
}

fn described(routes: OpenApiRouter<Gate>, gate: &Gate, is_admin: bool) -> (Router<Gate>, Value) {
    let (routes, api) = routes.split_for_parts();
    (routes, openapi::describe(&api, Audience { is_open: gate.is_open(), is_admin }))
}

/// Refuses what must not reach a listener's handlers.
type Check = fn(&Gate, &Request) -> Result<(), Problem>;

/// What every listener has: problem+json where no handler answers, pages about problems, a check of where a request comes
/// from, and a time limit. Layers that stand side by side are one: a router boxes each, and copies it for each request.
fn bounded(routes: Router<Gate>, gate: &Gate, check: Check) -> Router<Gate> {
    routes
        .merge(problem::pages())
        .fallback(async |uri: Uri| Problem::no_route(uri.path()))
        .method_not_allowed_fallback(async |method: Method| {
            let detail = format!("{method} is not allowed here; the Allow header lists the methods that are");
            Problem::new(Kind::MethodNotAllowed, detail)
        })
        .layer((CatchPanicLayer::custom(answer_panic), from_fn_with_state((gate.clone(), check), admit)))
}

/// Outermost: every answer has a request id, and is compressed unless it is a stream.
fn named(routes: Router<Gate>, gate: &Gate) -> Router {
    let packed = DefaultPredicate::new().and(NotForContentType::const_new(ingest::NDJSON));
    routes
        .layer((from_fn(name_request), CompressionLayer::new().compress_when(packed)))
        .with_state(gate.clone())
}

/// Which pages of other sites may call: the answer to a browser's question.
fn cors(origins: &[String]) -> Result<CorsLayer> {
    let is_origin = |origin: &&String| {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        !host.is_empty() && !host.contains('/') && HeaderValue::try_from(*origin).is_ok()
    };
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else if let Some(origin) = origins.iter().find(|origin| !is_origin(origin)) {
        let wrong = format!("api.cors_origins {origin:?} is no origin; write https://example.org, or *");
        return Err(Error::Config(wrong));
    } else {
        let origins = origins.to_vec();
        AllowOrigin::predicate(move |origin, _| {
            let asked = origin.to_str().unwrap_or_default();
            origins.iter().any(|allowed| origin::allows(allowed, asked))
        })
    };
    let shown = ["etag", "location", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"];
    Ok(CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH, REQUEST_ID])
        .expose_headers(shown.map(HeaderName::from_static))
        .max_age(CORS_MAX_AGE))
}

/// Gives each request an id, which its log lines and its answer show: the caller's own id, if it is plain.
async fn name_request(request: Request, next: Next) -> Response {
    let is_plain = |value: &&HeaderValue| {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        (1..=REQUEST_ID_CHARS_MAX).contains(&value.len()) && value.as_bytes().iter().all(allowed)
    };
    let own = request.headers().get(REQUEST_ID).filter(is_plain).cloned();
    let id = own.or_else(|| HeaderValue::try_from(new_id()).ok());
    let Some(id) = id else { return next.run(request).await };
    let span = info_span!("request", id = id.to_str().unwrap_or_default());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let respond = async {
        let mut response = next.run(request).await;
        debug!(%method, path, status = response.status().as_u16(), "answered");
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    };
    respond.instrument(span).await
}

/// An id that no other request has: this process by a random name, and a count.
fn new_id() -> String {
    static PROCESS: LazyLock<uuid::Uuid> = LazyLock::new(uuid::Uuid::new_v4);
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("{}-{}", PROCESS.simple(), COUNT.fetch_add(1, Ordering::Relaxed))
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

/// Lets a request in that passes `check`, and gives it a time limit.
async fn admit(State((gate, check)): State<(Gate, Check)>, request: Request, next: Next) -> Answer {
    check(&gate, &request)?;
    // It is answered after its body, which may take hours.
    if request.uri().path() == ingest::PATH {
        return Ok(next.run(request).await);
    }
    let within = Duration::from_millis(gate.app().config().api.request_timeout_ms);
    tokio::time::timeout(within, next.run(request)).await.map_err(|_| {
        let text = format!("no answer within {} ms; try again", within.as_millis());
        Problem::from(Error::Unavailable(text))
    })
}

/// Why it panicked is in the log, by the program's own hook.
fn answer_panic(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Problem::from(Error::Internal("a handler stopped".into())).into_response()
}

/// The wall clock.
pub(crate) fn now() -> Time {
    chrono::Utc::now().into()
}
