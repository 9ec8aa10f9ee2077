//! `damper serve`, `damper-api`, `damper-worker`: the processes that keep running.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{DONE, now, term};
use crate::api::Gate;
use crate::app::App;
use crate::config::{Config, Open, Settings, Setup};
use crate::database::sqlite::lock_for_serving;
use crate::error::{Error, Result};
use crate::{api, pages, worker};

/// The parts that a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// `damper`: API and worker.
    Both,
    /// `damper-api`: the API alone.
    Api,
    /// `damper-worker`: the worker alone.
    Worker,
}

/// A bound listener: the setting that names it, its address, and itself.
type Bound = (&'static str, SocketAddr, TcpListener);

/// What the start screen says last, from the settings and the addresses of the public listener and the admin one.
pub type Hints = fn(&Config, &SocketAddr, &SocketAddr) -> String;

/// Serves until SIGTERM or ^C. A second signal ends the process at once.
pub async fn serve(settings: Settings, parts: Parts) -> Result<u8> {
    serve_with(settings, parts, try_it).await
}

/// The same with other hints on the start screen.
pub async fn serve_with(settings: Settings, parts: Parts, hints: Hints) -> Result<u8> {
    let shown = settings.effective();
    let config = settings.config;
    let has_api = parts != Parts::Worker;
    if has_api {
        check_open(&config)?;
    }
    let is_embedded = config.setup() == Setup::Embedded;
    let is_new = is_embedded && !config.data.exists();
    let _lock = is_embedded.then(|| lock_for_serving(&config.data)).transpose()?;
    let stop = stop_on_signal()?;
    let listeners = bind(&config, parts).await?;
    api::make_room(&config.api);
    let app = App::open(config).await?;
    let gate = match has_api {
        true => Gate::open(app.clone(), stop.clone())?,
        false => Gate::without_keys(app.clone(), stop.clone()),
    };
    let is_open = has_api && gate.is_open();
    let admin_token = if is_open { app.upkeep().first_admin_token().await? } else { None };
    api::install_metrics()?;
    let screen = screen(&app, parts, &listeners, is_new, admin_token, hints);

    let mut tasks = JoinSet::new();
    for (setting, _, listener) in listeners {
        let routes = match setting {
            "listen" => pages::public(&gate)?,
            "admin_listen" => pages::admin(&gate, shown.clone()),
            _ => api::worker(&gate),
        };
        let stopped = stop.clone().cancelled_owned();
        let Config { api: knobs, limits, .. } = app.config();
        tasks.spawn(api::serve(listener, routes, knobs.clone(), limits.trusted_proxies.clone(), stopped));
    }
    term::print(&screen);
    if parts != Parts::Api {
        let working = worker::run(app.clone(), stop.clone());
        let stopped = stop.clone();
        tasks.spawn(async move {
            match working.await {
                // The schema is newer than this program. Readers and raters need not notice.
                Err(error @ Error::Config(_)) if has_api => {
                    error!(%error, "draining has stopped; the API goes on until this program is replaced");
                    stopped.cancelled().await;
                    Ok(())
                }
                ended => ended,
            }
        });
    }
    // The first part that ends, by a signal or an error, ends all of them.
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        stop.cancel();
        let ended = ended.unwrap_or_else(|e| Err(Error::Internal(format!("a part stopped: {e}"))));
        outcome = outcome.and(ended);
    }
    app.close().await;
    info!("stopped");
    outcome.map(|()| DONE)
}

/// Without keys anyone may rate as anyone. Other machines get that only by an explicit setting.
fn check_open(config: &Config) -> Result<()> {
    let listeners = [("listen", config.listen), ("admin_listen", config.admin_listen)];
    match listeners.into_iter().find(|(_, address)| !address.ip().is_loopback()) {
        Some((name, address)) if !config.has_keys() && config.open != Open::Anywhere => {
            Err(Error::Config(format!(
                "{name} {address} can be reached from other machines, and without keys anyone there could rate as \
             anyone: set DAMPER_AUTH__JWT_SECRET, listen on 127.0.0.1, or say DAMPER_OPEN=anywhere"
            )))
        }
        _ => Ok(()),
    }
}

async fn bind(config: &Config, parts: Parts) -> Result<Vec<Bound>> {
    let wanted: Vec<_> = match parts {
        Parts::Worker => {
            config.worker_listen()?.map(|address| ("worker_listen", address)).into_iter().collect()
        }
        _ => vec![("listen", config.listen), ("admin_listen", config.admin_listen)],
    };
    let mut bound = Vec::new();
    for (setting, address) in wanted {
        let listener = api::bind(address, setting).await?;
        let address = listener.local_addr().map_err(|e| Error::Internal(e.to_string()))?;
        bound.push((setting, address, listener));
    }
    Ok(bound)
}

/// A token that the first SIGTERM or ^C cancels. The second ends the process at once. That is safe: accepted
/// entries are held, and uncommitted ones are drained again.
pub fn stop_on_signal() -> Result<CancellationToken> {
    let cannot = |e: std::io::Error| Error::Internal(format!("cannot listen for signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    tokio::spawn(async move {
        for is_first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !is_first {
                std::process::exit(1);
            }
            info!("stopping; again to stop at once");
            signalled.cancel();
        }
    });
    Ok(stop)
}

/// What a person sees at the start: the set-up, the addresses, and how to try it.
fn screen(
    app: &App,
    parts: Parts,
    listeners: &[Bound],
    is_new: bool,
    admin_token: Option<String>,
    hints: Hints,
) -> String {
    let config = app.config();
    let program = match parts {
        Parts::Both => "damper",
        Parts::Api => "damper-api",
        Parts::Worker => "damper-worker",
    };
    let setup = match config.setup() {
        Setup::Embedded => {
            format!("embedded, {}{}", config.data.display(), if is_new { " (new)" } else { "" })
        }
        Setup::Servers => {
            format!("servers, redis {} and postgres {}", config.redis_url.host(), config.database_url.host())
        }
    };
    let mut text = format!("{program} {}   {setup}\n", env!("CARGO_PKG_VERSION"));
    for (setting, address, _) in listeners {
        let (name, pages) = match *setting {
            "listen" => ("api", "   /demo /docs"),
            "admin_listen" => ("admin", "   the dashboard, /docs /metrics"),
            _ => ("admin", "   /metrics /livez /readyz"),
        };
        let _ = writeln!(text, "  {name:<7} http://{address}{pages}");
    }
    if let Some(token) = admin_token {
        text += &format!(
            "  token   {token}   of the admin listener, shown once; damper admin-token makes another\n"
        );
    }
    if parts != Parts::Api {
        let next = app.ticks().around(now()).next;
        let period_ms = app.ticks().around(next).next.ms() - next.ms();
        let every = term::span_ms(period_ms.unsigned_abs());
        let _ = writeln!(text, "  ticks   every {every}, next at {} UTC", term::clock(next));
    }
    if let [(_, api, _), (_, admin, _)] = listeners {
        text += &hints(config, api, admin);
    }
    text
}

fn try_it(config: &Config, api: &SocketAddr, admin: &SocketAddr) -> String {
    if config.has_keys() { try_with_tokens(config, api, admin) } else { try_openly(config, api) }
}

fn try_with_tokens(config: &Config, api: &SocketAddr, admin: &SocketAddr) -> String {
    // With a public key only the holder of the private key can mint.
    let can_mint = !config.auth.jwt_secret.is_empty();
    let token = |order: &str| if can_mint { format!("$(damper token {order})") } else { "…".to_owned() };
    let (user, operator) = (token("--user ann"), token("--user olga --role admin"));
    let curl = "curl -H \"Authorization: Bearer $token\"";
    format!(
        "
try it
  token={user}
  {curl} --json '{{\"id\":\"hello\",\"title\":\"Hello\"}}' http://{api}/api/posts
  {curl} --json '{{\"score\":5}}' http://{api}/api/posts/hello/rate
  {curl} http://{api}/api/posts/hello   # your rating, pending
  token={operator}
  {curl} -X POST http://{admin}/api/admin/flush

"
    )
}

fn try_openly(config: &Config, api: &SocketAddr) -> String {
    let warning = term::attention("open mode");
    let whom = match config.open {
        Open::Loopback => ", so it answers this machine only.",
        Open::Anywhere => " (DAMPER_OPEN=anywhere).",
    };
    let flush = match config.setup() {
        Setup::Embedded if config.data != std::path::Path::new("damper.db") => {
            format!("damper flush --data {}", config.data.display())
        }
        _ => "damper flush".to_owned(),
    };
    format!(
        "
  {warning}: anyone who can reach {api} may rate as anyone{whom}

try it
  curl --json '{{\"id\":\"hello\",\"title\":\"Hello\"}}' http://{api}/api/posts
  curl --json '{{\"user_id\":\"ann\",\"score\":5}}' http://{api}/api/posts/hello/rate
  curl 'http://{api}/api/posts/hello?user_id=ann'   # your rating, pending
  {flush}   # or wait for the tick; from a checkout: cargo run --release -- flush
  curl 'http://{api}/api/posts/hello?user_id=ann'   # it counts
  open http://{api}/demo in a browser, or see a review bomb: damper demo

"
    )
}
