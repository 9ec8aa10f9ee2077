//! Standard error: the log and the messages to people. A thread of its own writes them, so a line that cannot be written
//! is lost and nothing else is: neither the task that has something to say, nor its time while a pipe is full.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::error;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::term;
use crate::config::{LogFormat, Settings};
use crate::error::{Error, Result};

/// What may wait to be written. Lines beyond it are lost.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// A process that ends waits so long for its last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What waits to be written.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    is_writing: bool,
}

#[derive(Default)]
struct Log {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    // Without the thread all lines are lost, as they are when no one reads them.
    let _ = std::thread::Builder::new().name("log".into()).spawn(|| LOG.write_all_that_waits());
    Log::default()
});

impl Log {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_that_waits(&self) {
        let mut waiting = self.waiting();
        loop {
            let bytes = std::mem::take(&mut waiting.bytes);
            waiting.is_writing = !bytes.is_empty();
            if waiting.is_writing {
                drop(waiting);
                let _ = io::stderr().write_all(&bytes);
                waiting = self.waiting();
            } else {
                self.changed.notify_all();
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Takes a line for the thread that writes.
struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = LOG.waiting();
        if waiting.bytes.len() + line.len() <= WAITING_BYTES_MAX {
            waiting.bytes.extend_from_slice(line);
            LOG.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message to people, on standard error.
pub fn say(text: &str) {
    let _ = Line.write(format!("{text}\n").as_bytes());
}

/// Waits until everything is written, but not for long.
pub fn flush() {
    let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.bytes.is_empty();
    let _ = LOG.changed.wait_timeout_while(LOG.waiting(), FLUSH_TIMEOUT, is_busy);
}

/// Logs go to standard error. A command that people wait for logs warnings only, unless the filter is set.
pub fn start(settings: &Settings, is_serving: bool) -> Result<()> {
    let log = &settings.config.log;
    let filter = if log.filter == "info" && !is_serving { "warn" } else { &log.filter };
    let filter = parse_filter(filter)
        .map_err(|why| Error::Config(format!("log.filter {:?} cannot be read: {why}", log.filter)))?;
    let has_color = term::has_color(&io::stderr());
    let subscriber = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Line);
    match log.format {
        LogFormat::Text => subscriber.with(lines.with_ansi(has_color).with_target(false)).init(),
        LogFormat::Json => subscriber.with(lines.json()).init(),
    }
    // A panic is a line of the log, wherever it is: no task dies unseen.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = match Backtrace::capture() {
            taken if taken.status() == BacktraceStatus::Captured => format!("\n{taken}"),
            _ => String::new(),
        };
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let why = panic.payload_as_str().unwrap_or_default();
        error!("panicked at {place}: {why:?}{backtrace}");
        flush();
    }));
    Ok(())
}

/// A level, or levels by module: `warn,damper::drain=debug`.
fn parse_filter(text: &str) -> Result<Targets, String> {
    // What these log is logged by us, once a change, and in our words.
    let quiet = ["fred=off", "sqlx=warn", "sqlx_core::pool=off", "apalis_core=off"];
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    if let Some(span) = parts.clone().find(|part| part.contains('[')) {
        return Err(format!("{span:?} names a span; write a level or module=level"));
    }
    let parts: Vec<&str> = quiet.into_iter().chain(parts).collect();
    parts.join(",").parse().map_err(|e: ParseError| e.to_string())
}
