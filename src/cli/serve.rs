//! `damper serve`, `damper-api`, `damper-worker`: the processes that keep running.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{now, term};
use crate::api::Gate;
use crate::app::App;
use crate::config::{Config, Open, Settings, Setup};
use crate::database::sqlite::lock_for_serving;
use crate::error::{Error, Result};
use crate::{api, worker};

/// The parts that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    has_api: bool,
    has_worker: bool,
}

impl Parts {
    /// API and worker.
    pub const BOTH: Self = Self { has_api: true, has_worker: true };
    /// The API alone.
    pub const API: Self = Self { has_api: true, has_worker: false };
    /// The worker alone.
    pub const WORKER: Self = Self { has_api: false, has_worker: true };

    fn program(self) -> &'static str {
        match (self.has_api, self.has_worker) {
            (true, false) => "damper-api",
            (false, true) => "damper-worker",
            _ => "damper",
        }
    }
}

/// The bound listeners of a process.
#[derive(Default)]
struct Listeners {
    public: Option<TcpListener>,
    admin: Option<TcpListener>,
    worker: Option<TcpListener>,
}

/// Serves until SIGTERM or ^C. A second signal ends the process at once.
pub async fn serve(settings: Settings, parts: Parts) -> Result<ExitCode> {
    let config = settings.config;
    check_open(&config, parts)?;
    let is_new = config.setup() == Setup::Embedded && !config.data.exists();
    let _lock = match config.setup() {
        Setup::Embedded => Some(lock_for_serving(&config.data)?),
        Setup::Servers => None,
    };
    let stop = stop_on_signal()?;
    let listeners = bind(&config, parts).await?;
    api::make_room(&config.api);
    let app = App::open(config).await?;
    let gate = match parts.has_api {
        true => Gate::open(app.clone(), stop.clone())?,
        false => Gate::without_keys(app.clone(), stop.clone()),
    };
    let admin_token =
        if parts.has_api && gate.is_open() { app.upkeep().first_admin_token().await? } else { None };
    api::install_metrics()?;
    let (public, admin, worker) = (api::public(&gate)?, api::admin(&gate), api::worker(&gate));
    term::print(&banner(&app, parts, &listeners, Start { is_new, admin_token })?);

    let mut tasks = JoinSet::new();
    for (listener, routes) in
        [(listeners.public, public), (listeners.admin, admin), (listeners.worker, worker)]
    {
        if let Some(listener) = listener {
            let stopped = stop.clone();
            let stopped = async move { stopped.cancelled().await };
            tasks.spawn(api::serve(listener, routes, app.config().api.clone(), stopped));
        }
    }
    if parts.has_worker {
        let working = worker::run(app.clone(), stop.clone());
        let (stopped, goes_on) = (stop.clone(), parts.has_api);
        tasks.spawn(async move {
            match working.await {
                // The schema is newer than this program. Readers and raters need not notice.
                Err(error @ Error::Config(_)) if goes_on => {
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
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Facts that only the first start reports.
struct Start {
    /// The data file was created by this start.
    is_new: bool,
    /// Shown only once.
    admin_token: Option<String>,
}

/// Without keys anyone may rate as anyone. Other machines get that only by an explicit setting.
fn check_open(config: &Config, parts: Parts) -> Result<()> {
    let listeners = [("listen", config.listen), ("admin_listen", config.admin_listen)];
    match listeners.into_iter().find(|(_, address)| !address.ip().is_loopback()) {
        Some((name, address)) if parts.has_api && !config.has_keys() && config.open != Open::Anywhere => {
            Err(Error::Config(format!(
                "{name} {address} can be reached from other machines, and without keys anyone there could rate as \
             anyone: set DAMPER_AUTH__JWT_SECRET, listen on 127.0.0.1, or say DAMPER_OPEN=anywhere"
            )))
        }
        _ => Ok(()),
    }
}

async fn bind(config: &Config, parts: Parts) -> Result<Listeners> {
    let mut listeners = Listeners::default();
    if parts.has_api {
        listeners.public = Some(api::bind(config.listen, "listen").await?);
        listeners.admin = Some(api::bind(config.admin_listen, "admin_listen").await?);
    }
    if parts == Parts::WORKER
        && let Some(address) = config.worker_listen()?
    {
        listeners.worker = Some(api::bind(address, "worker_listen").await?);
    }
    Ok(listeners)
}

/// A token that the first SIGTERM or ^C cancels. The second ends the process at once. That is safe: accepted
/// entries are held, and uncommitted ones are drained again.
fn stop_on_signal() -> Result<CancellationToken> {
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
            if is_first {
                info!("stopping; again to stop at once");
                signalled.cancel();
            } else {
                std::process::exit(1);
            }
        }
    });
    Ok(stop)
}

fn banner(app: &Arc<App>, parts: Parts, listeners: &Listeners, start: Start) -> Result<String> {
    let config = app.config();
    let setup = match config.setup() {
        Setup::Embedded => {
            format!("embedded, {}{}", config.data.display(), if start.is_new { " (new)" } else { "" })
        }
        Setup::Servers => {
            format!("servers, redis {} and postgres {}", config.redis_url.host(), config.database_url.host())
        }
    };
    let mut text = format!("{} {}   {setup}\n", parts.program(), env!("CARGO_PKG_VERSION"));
    let address = |listener: &TcpListener| -> Result<SocketAddr> {
        listener.local_addr().map_err(|e| Error::Internal(e.to_string()))
    };
    if let Some(listener) = &listeners.public {
        let _ = writeln!(text, "  api     http://{}", address(listener)?);
    }
    if let Some(listener) = &listeners.admin {
        let _ = writeln!(text, "  admin   http://{}   /docs /metrics /livez /readyz", address(listener)?);
    }
    if let Some(listener) = &listeners.worker {
        let _ = writeln!(text, "  admin   http://{}   /metrics /livez /readyz", address(listener)?);
    }
    if let Some(token) = start.admin_token {
        let _ = writeln!(
            text,
            "  token   {token}   of the admin listener, shown once; damper admin-token makes another"
        );
    }
    if parts.has_worker {
        let next = app.ticks().around(now()).next;
        let period_ms = app.ticks().around(next).next.ms() - next.ms();
        let every = term::span_ms(period_ms.unsigned_abs());
        let _ = writeln!(text, "  ticks   every {every}, next at {} UTC", term::clock(next));
    }
    if let Some(listener) = &listeners.public {
        text.push_str(&if config.has_keys() {
            let admin = listeners.admin.as_ref().map(address).transpose()?;
            try_with_tokens(config, address(listener)?, admin)
        } else {
            try_it(config, address(listener)?)
        });
    }
    Ok(text)
}

fn try_with_tokens(config: &Config, api: SocketAddr, admin: Option<SocketAddr>) -> String {
    // With a public key only the holder of the private key can mint.
    let can_mint = !config.auth.jwt_secret.is_empty();
    let token = |order: &str| if can_mint { format!("$(damper token {order})") } else { "…".to_owned() };
    let (user, operator) = (token("--user ann"), token("--user olga --role admin"));
    let mut text = format!(
        "
try it
  token={user}
  curl -H \"Authorization: Bearer $token\" --json '{{\"id\":\"hello\",\"title\":\"Hello\"}}' http://{api}/api/posts
  curl -H \"Authorization: Bearer $token\" --json '{{\"score\":5}}' http://{api}/api/posts/hello/rate
  curl -H \"Authorization: Bearer $token\" http://{api}/api/posts/hello   # your rating, pending
"
    );
    if let Some(admin) = admin {
        let _ = writeln!(text, "  token={operator}");
        let _ = writeln!(
            text,
            "  curl -H \"Authorization: Bearer $token\" -X POST http://{admin}/api/admin/flush"
        );
    }
    text.push('\n');
    text
}

fn try_it(config: &Config, api: SocketAddr) -> String {
    let warning = term::attention("open mode");
    let whom = match config.open {
        Open::Loopback => {
            format!("anyone who can reach {api} may rate as anyone, so it answers this machine only.")
        }
        Open::Anywhere => format!("anyone who can reach {api} may rate as anyone (DAMPER_OPEN=anywhere)."),
    };
    let flush = match config.setup() {
        Setup::Embedded if config.data != std::path::Path::new("damper.db") => {
            format!("damper flush --data {}", config.data.display())
        }
        _ => "damper flush".to_owned(),
    };
    format!(
        "
  {warning}: {whom}

try it
  curl --json '{{\"id\":\"hello\",\"title\":\"Hello\"}}' http://{api}/api/posts
  curl --json '{{\"user_id\":\"ann\",\"score\":5}}' http://{api}/api/posts/hello/rate
  curl 'http://{api}/api/posts/hello?user_id=ann'   # your rating, pending
  {flush}   # or wait for the tick; from a checkout: cargo run --release -- flush
  curl 'http://{api}/api/posts/hello?user_id=ann'   # it counts

"
    )
}
