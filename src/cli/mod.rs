//! The command line: arguments, exit codes, and one file per command.
//!
//! A command opens the [`App`] like every other caller, calls it, and prints the result: for people by
//! default, everything as JSON with `--json`.

mod backup;
mod config;
mod doctor;
mod flush;
mod forget;
mod import;
mod quarantine;
mod serve;
mod show;
mod status;
mod term;
mod token;
mod verify;

use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::app::App;
use crate::config::{LogFormat, Settings, Setup};
use crate::error::{Error, Result};
use crate::model::Time;

pub use serve::Parts;

/// The command ran, but something failed: a difference, a refused line, a time-out (sysexits.h has no better
/// code).
const FAILED: u8 = 1;
/// A server is unreachable (EX_UNAVAILABLE).
const UNREACHABLE: u8 = 69;
/// A setting is wrong (EX_CONFIG).
const MISCONFIGURED: u8 = 78;

/// A rating service that a review bomb cannot jolt.
#[derive(Parser)]
#[command(name = "damper", version, about, long_about = None, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Parser)]
#[command(version, about, long_about = None, max_term_width = 100)]
struct ServerCli {
    #[command(flatten)]
    flags: Flags,
}

/// Settings that a flag may give; each wins over the environment and the file.
#[derive(Args)]
struct Flags {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Public listener, e.g. 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS", global = true, help_heading = "Settings")]
    listen: Option<String>,
    /// Admin listener
    #[arg(long, value_name = "ADDRESS", global = true, help_heading = "Settings")]
    admin_listen: Option<String>,
    /// Listener of damper-worker, or "off"
    #[arg(long, value_name = "ADDRESS", global = true, help_heading = "Settings")]
    worker_listen: Option<String>,
    /// SQLite file of the embedded set-up
    #[arg(long, value_name = "FILE", global = true, help_heading = "Settings")]
    data: Option<String>,
    /// Postgres of the server set-up
    #[arg(long, value_name = "URL", global = true, help_heading = "Settings")]
    database_url: Option<String>,
    /// Redis of the server set-up
    #[arg(long, value_name = "URL", global = true, help_heading = "Settings")]
    redis_url: Option<String>,
    /// Cron schedule of the drain, six fields
    #[arg(long, value_name = "CRON", global = true, help_heading = "Settings")]
    tick: Option<String>,
    /// Shards of a new installation on servers
    #[arg(long, value_name = "N", global = true, help_heading = "Settings")]
    shards: Option<String>,
    /// Who may reach Damper without keys: loopback or anywhere
    #[arg(long, value_name = "WHO", global = true, help_heading = "Settings")]
    open: Option<String>,
    /// Any other setting, e.g. --set drain.batch_max=5000 (damper config lists them)
    #[arg(long, value_name = "NAME=VALUE", global = true, value_parser = parse_pair, help_heading = "Settings")]
    set: Vec<(String, String)>,
}

#[derive(Subcommand)]
enum Command {
    /// Run API and worker in one process (the default)
    Serve,
    /// Drain waiting entries into the averages now
    Flush(flush::FlushArgs),
    /// Show waiting entries, the ticks and the balance
    Status(JsonArg),
    /// Read ratings from a CSV file
    Import(import::ImportArgs),
    /// Recount averages from the ratings; exit 1 on a difference
    Verify(verify::VerifyArgs),
    /// Show a post: means, histogram, history
    Show(show::ShowArgs),
    /// List, show, retry or drop quarantined entries
    Quarantine(quarantine::QuarantineArgs),
    /// Copy the data file while it is in use (embedded only)
    Backup(backup::BackupArgs),
    /// Mint a token for a user, if the settings hold the secret
    Token(token::TokenArgs),
    /// Make a new token for the admin listener when Damper runs without keys
    AdminToken(JsonArg),
    /// Erase a user's data, or show it (--export)
    Forget(forget::ForgetArgs),
    /// Look for risks to ratings in the servers' settings, or in the data file and its disk
    Doctor(JsonArg),
    /// Show the settings in force and the source of each
    Config(config::ConfigArgs),
}

/// The output format of a command.
#[derive(Args)]
struct JsonArg {
    /// Everything, as JSON
    #[arg(long)]
    json: bool,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

impl Flags {
    fn load(&self) -> Result<Settings> {
        let named = [
            ("listen", &self.listen),
            ("admin_listen", &self.admin_listen),
            ("worker_listen", &self.worker_listen),
            ("data", &self.data),
            ("database_url", &self.database_url),
            ("redis_url", &self.redis_url),
            ("tick", &self.tick),
            ("shards", &self.shards),
            ("open", &self.open),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let flags: Vec<_> = named.chain(self.set.iter().cloned()).collect();
        Settings::load(self.config.as_deref(), &flags)
    }
}

/// A command at work.
type Running = Pin<Box<dyn Future<Output = Result<ExitCode>>>>;

// The two entry points below and `run` are not generic: whatever is, each program would compile again, and with it the
// whole service.

/// The program `damper`.
pub fn damper() -> ExitCode {
    let cli = Cli::parse();
    let is_serving = matches!(cli.command, None | Some(Command::Serve));
    run(&cli.flags, is_serving, Box::new(|settings| Box::pin(command(settings, cli.command))))
}

async fn command(settings: Settings, command: Option<Command>) -> Result<ExitCode> {
    match command {
        None | Some(Command::Serve) => serve::serve(settings, Parts::BOTH).await,
        Some(Command::Flush(args)) => flush::flush(settings, &args).await,
        Some(Command::Status(args)) => status::status(settings, &args).await,
        Some(Command::Import(args)) => import::import(settings, &args).await,
        Some(Command::Verify(args)) => verify::verify(settings, &args).await,
        Some(Command::Show(args)) => show::show(settings, &args).await,
        Some(Command::Quarantine(args)) => quarantine::quarantine(settings, &args).await,
        Some(Command::Backup(args)) => backup::backup(settings, &args).await,
        Some(Command::Token(args)) => token::token(&settings, &args),
        Some(Command::AdminToken(args)) => token::admin_token(settings, &args).await,
        Some(Command::Forget(args)) => forget::forget(settings, &args).await,
        Some(Command::Doctor(args)) => doctor::doctor(settings, &args).await,
        Some(Command::Config(args)) => config::config(&settings, &args),
    }
}

/// The programs `damper-api` and `damper-worker`.
pub fn server(parts: Parts) -> ExitCode {
    let cli = ServerCli::parse();
    run(&cli.flags, true, Box::new(move |settings| Box::pin(serve::serve(settings, parts))))
}

/// Runs `command` on a runtime and turns its outcome into an exit code; errors are printed once, here.
fn run(flags: &Flags, is_serving: bool, command: Box<dyn FnOnce(Settings) -> Running + '_>) -> ExitCode {
    let outcome = flags.load().and_then(|settings| {
        start_logging(&settings, is_serving)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::Internal(format!("cannot start: {e}")))?;
        let outcome = runtime.block_on(command(settings));
        // A stalled blocking call must not keep a finished process alive.
        runtime.shutdown_background();
        outcome
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("damper: {error}");
        match error {
            Error::Config(_) => MISCONFIGURED,
            Error::Unavailable(_) | Error::Busy(_) => UNREACHABLE,
            Error::Invalid(_)
            | Error::Forbidden(_)
            | Error::Limited { .. }
            | Error::NotFound(_)
            | Error::Conflict(_)
            | Error::Refused(_)
            | Error::Internal(_) => FAILED,
        }
        .into()
    })
}

/// Logs go to standard error. A command that people wait for logs warnings only, unless the filter is set.
fn start_logging(settings: &Settings, is_serving: bool) -> Result<()> {
    let log = &settings.config.log;
    let is_default = log.filter == "info";
    let filter = if is_serving || !is_default { log.filter.as_str() } else { "warn" };
    let filter = parse_filter(filter)
        .map_err(|why| Error::Config(format!("log.filter {:?} cannot be read: {why}", log.filter)))?;
    let has_color = term::has_color(&std::io::stderr());
    let subscriber = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => subscriber.with(lines.with_ansi(has_color).with_target(false)).init(),
        LogFormat::Json => subscriber.with(lines.json()).init(),
    }
    Ok(())
}

/// A level, or levels by module: `warn,damper::drain=debug`.
fn parse_filter(text: &str) -> Result<Targets, String> {
    // What these log is logged by us, once a change, and in our words.
    let quiet = ["fred=off", "sqlx=warn", "apalis_core=off"];
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    if let Some(span) = parts.clone().find(|part| part.contains('[')) {
        return Err(format!("{span:?} names a span; write a level or module=level"));
    }
    let parts: Vec<&str> = quiet.into_iter().chain(parts).collect();
    parts.join(",").parse().map_err(|e: ParseError| e.to_string())
}

/// Opens the app for a command that works beside a running `serve`.
async fn open(settings: Settings) -> Result<Arc<App>> {
    let config = settings.config;
    let is_new = config.setup() == Setup::Embedded && !config.data.exists();
    let app = App::open(config).await?;
    if is_new {
        // Usually the command runs in the wrong folder.
        eprintln!("damper: created the data file {}, there was none", app.config().data.display());
    }
    Ok(app)
}

/// The wall clock.
fn now() -> Time {
    chrono::Utc::now().into()
}

/// Prints `value` as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Internal(e.to_string()))?;
    term::print(&format!("{text}\n"));
    Ok(())
}
