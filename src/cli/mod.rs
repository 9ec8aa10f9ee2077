//! The command line: arguments, exit codes, and one file per command.
//!
//! A command opens the [`App`] like every other caller, calls it, and prints the result: for people by
//! default, everything as JSON with `--json`.

mod backup;
mod config;
mod demo;
mod doctor;
mod export;
mod exported;
mod file;
mod flush;
mod forget;
mod import;
mod log;
mod look;
mod quarantine;
mod restore;
mod serve;
mod show;
mod simulate;
mod status;
mod term;
mod token;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches as _, Subcommand, value_parser};

use crate::app::App;
use crate::config::{Settings, Setup};
use crate::error::{Error, Result};
use crate::model::Time;

pub use serve::Parts;

/// Requests and drains make many small values, on several threads. With the system's allocator that is a sixth of the work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command did what it was asked, and found nothing wrong.
const DONE: u8 = 0;
/// What a thread's stack may take; only what is used takes memory. A program that is not optimized needs more for a page
/// than the usual 2 MiB.
const STACK_BYTES: usize = 16 << 20;
/// The command ran, but something failed: a difference, a refused line, a time-out (sysexits.h has no better
/// code).
const FAILED: u8 = 1;
/// A server is unreachable (EX_UNAVAILABLE).
const UNREACHABLE: u8 = 69;
/// A setting is wrong (EX_CONFIG).
const MISCONFIGURED: u8 = 78;

/// Settings with a flag of their own: its name, its value, its help. It wins over the environment and the file.
const FLAGS: [(&str, &str, &str); 9] = [
    ("listen", "ADDRESS", "Public listener, e.g. 127.0.0.1:8080"),
    ("admin-listen", "ADDRESS", "Admin listener"),
    ("worker-listen", "ADDRESS", "Listener of damper-worker, or \"off\""),
    ("data", "FILE", "SQLite file of the embedded set-up"),
    ("database-url", "URL", "Postgres of the server set-up"),
    ("redis-url", "URL", "Redis of the server set-up"),
    ("tick", "CRON", "Cron schedule of the drain, six fields"),
    ("shards", "N", "Shards of a new installation on servers"),
    ("open", "WHO", "Who may reach Damper without keys: loopback or anywhere"),
];

#[derive(Subcommand)]
enum Command {
    /// Run API and worker in one process (the default)
    Serve,
    /// See a review bomb and what becomes of it, on a temporary file
    Demo(demo::DemoArgs),
    /// Merge waiting ratings into the averages now
    Flush(flush::FlushArgs),
    /// Show what waits, the last drain, the next tick, and the balance
    Status(JsonArg),
    /// Import ratings from a file of columns or JSON lines, or what was exported
    #[command(after_help = import::FORMATS)]
    Import(Box<import::ImportArgs>),
    /// Write everything to standard output, as JSON lines or CSV
    Export(export::ExportArgs),
    /// Recount the averages from the ratings; exit code 1 if they differ
    Verify(verify::VerifyArgs),
    /// Replay a file of ratings: what would Damper have done, and under which settings?
    Simulate(Box<simulate::SimulateArgs>),
    /// Show a post: means, histogram, history
    Show(show::ShowArgs),
    /// List, show, retry or drop quarantined entries
    Quarantine(quarantine::QuarantineArgs),
    /// Copy the data file while it is in use (embedded only)
    Backup(backup::BackupArgs),
    /// Make a token for a user, if the settings hold the secret
    Token(token::TokenArgs),
    /// Make a new admin token, if Damper runs without keys; the old one becomes invalid
    AdminToken(JsonArg),
    /// Erase a user's data, or show it (--export)
    Forget(forget::ForgetArgs),
    /// Check whether the servers, or the data file and its disk, could lose ratings
    Doctor(JsonArg),
    /// Show the settings in force, and where each comes from
    Config(config::ConfigArgs),
}

impl Command {
    /// Whether it keeps running, so that its log is of use.
    fn is_serving(&self) -> bool {
        matches!(self, Command::Serve | Command::Demo(demo::DemoArgs { serve: true, .. }))
    }
}

/// The output format of a command.
#[derive(Args)]
struct JsonArg {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl JsonArg {
    /// Prints `value` as JSON if that is asked for, otherwise the text for people.
    fn print(&self, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<u8> {
        if self.json {
            return print_json(value);
        }
        term::print(&text());
        Ok(DONE)
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<u8> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Internal(e.to_string()))?;
    term::print(&format!("{text}\n"));
    Ok(DONE)
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// The arguments: the flags of every program, and the commands of `damper`.
fn arguments(parts: Parts) -> clap::Command {
    let flag = |name, value, help| Arg::new(name).long(name).value_name(value).help(help).global(true);
    let any = "Any other setting, e.g. --set drain.batch_max=5000 (damper config lists them)";
    let program = clap::Command::new("damper")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .max_term_width(100)
        .arg(flag("config", "FILE", "Settings file (TOML)").value_parser(value_parser!(PathBuf)))
        .next_help_heading("Settings")
        .args(FLAGS.map(|(name, value, help)| flag(name, value, help)))
        .arg(flag("set", "NAME=VALUE", any).action(ArgAction::Append).value_parser(parse_pair));
    if parts == Parts::Both { Command::augment_subcommands(program) } else { program }
}

/// The settings in force, without those of `--set` that are lists for a simulation.
fn settings(arguments: &ArgMatches, set: Vec<(String, String)>) -> Result<Settings> {
    let own = FLAGS
        .iter()
        .filter_map(|(name, ..)| Some((name.replace('-', "_"), arguments.get_one::<String>(name)?.clone())));
    let file = arguments.get_one::<PathBuf>("config");
    Settings::load(file.map(PathBuf::as_path), &own.chain(set).collect::<Vec<_>>())
}

/// The programs `damper`, `damper-api` and `damper-worker`: runs what the arguments say, prints an error if there is
/// one, and returns the exit code. Not generic, so that the service is not compiled again for each program.
pub fn run(parts: Parts) -> ExitCode {
    let arguments = arguments(parts).get_matches();
    let command = arguments.subcommand_name().map(|_| Command::from_arg_matches(&arguments));
    let command = command.transpose().unwrap_or_else(|e| e.exit()).unwrap_or(Command::Serve);
    let set = arguments.get_many::<(String, String)>("set").into_iter().flatten().cloned().collect();
    let (lists, set) = match &command {
        Command::Simulate(_) => simulate::split(set),
        _ => (Vec::new(), set),
    };
    let code = settings(&arguments, set).and_then(|settings| {
        if let Command::Simulate(args) = &command {
            return simulate::run(&settings, args, &lists);
        }
        log::start(&settings, command.is_serving())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_stack_size(STACK_BYTES)
            .build()
            .map_err(|e| Error::Internal(format!("cannot start: {e}")))?;
        let code = runtime.block_on(execute(command, settings, parts));
        // A stalled blocking call must not keep a finished process alive.
        runtime.shutdown_background();
        code
    });
    let code = code.unwrap_or_else(|error| {
        log::say(&format!("damper: {error}"));
        match error {
            Error::Config(_) => MISCONFIGURED,
            error if error.is_transient() => UNREACHABLE,
            _ => FAILED,
        }
    });
    log::flush();
    code.into()
}

/// Runs a command; returns its exit code.
async fn execute(command: Command, settings: Settings, parts: Parts) -> Result<u8> {
    match command {
        Command::Serve => serve::serve(settings, parts).await,
        Command::Demo(args) => demo::demo(settings, &args).await,
        Command::Flush(args) => flush::flush(settings, &args).await,
        Command::Status(args) => status::status(settings, &args).await,
        Command::Import(args) => import::import(settings, &args).await,
        Command::Export(args) => export::export(settings, &args).await,
        Command::Verify(args) => verify::verify(settings, &args).await,
        // It needs no runtime.
        Command::Simulate(args) => simulate::run(&settings, &args, &[]),
        Command::Show(args) => show::show(settings, &args).await,
        Command::Quarantine(args) => quarantine::quarantine(settings, &args).await,
        Command::Backup(args) => backup::backup(settings, &args).await,
        Command::Token(args) => token::token(&settings, &args),
        Command::AdminToken(args) => token::admin_token(settings, &args).await,
        Command::Forget(args) => forget::forget(settings, &args).await,
        Command::Doctor(args) => doctor::doctor(settings, &args).await,
        Command::Config(args) => config::config(&settings, &args),
    }
}

/// Opens the app for a command that works beside a running `serve`.
async fn open(settings: Settings) -> Result<Arc<App>> {
    let config = settings.config;
    let is_new = config.setup() == Setup::Embedded && !config.data.exists();
    let app = App::open(config).await?;
    if is_new {
        // Usually the command runs in the wrong folder.
        let data = app.config().data.display();
        log::say(&format!("damper: created the data file {data}, there was none"));
    }
    Ok(app)
}

/// The wall clock.
fn now() -> Time {
    chrono::Utc::now().into()
}
