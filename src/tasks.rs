//! Tasks that run as long as the process does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Mutex, mpsc};
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

/// A task that answers requests in groups: each time all that wait, at most `group_max`, one group after another. At most
/// `waiting_max` wait; a further sender waits for a place. It ends with the last sender. Needs a tokio runtime.
pub fn in_groups<R, W>(
    what: &'static str,
    waiting_max: usize,
    group_max: usize,
    answer: impl Fn(Vec<R>) -> W + Send + Sync + 'static,
) -> mpsc::Sender<R>
where
    R: Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let (requests, waiting) = mpsc::channel(waiting_max);
    let work = Arc::new((Mutex::new(waiting), answer));
    keep(what, move || {
        let work = work.clone();
        async move {
            let (waiting, answer) = &*work;
            let mut waiting = waiting.lock().await;
            loop {
                let mut group = Vec::new();
                if waiting.recv_many(&mut group, group_max).await == 0 {
                    return;
                }
                answer(group).await;
            }
        }
    });
    requests
}
