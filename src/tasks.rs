//! Tasks that run as long as the process does.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::error;

/// A task that panics at once, again and again, must not fill the log.
const RESTART_DELAY: Duration = Duration::from_millis(100);

/// Runs a task until it ends by itself. One that panics begins anew: what others wait for must not stay away for good.
/// Needs a tokio runtime.
pub fn keep<W: Future<Output = ()> + Send>(what: &'static str, begin: impl Fn() -> W + Send + 'static) {
    tokio::spawn(async move {
        while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
            error!(what, "a task panicked and begins anew");
            tokio::time::sleep(RESTART_DELAY).await;
        }
    });
}
