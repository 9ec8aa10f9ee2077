//! What every test stands on: real servers, real processes, and ways to wait for a fact instead of for a time.

pub mod db;
pub mod http;
pub mod log;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod redis;
pub mod signer;
pub mod spawn;
pub mod world;

use std::time::{Duration, Instant};

/// Longest wait for anything; a fact that takes longer is not coming.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `fact` holds; `what` is what the test would say it waited for.
#[track_caller]
pub fn until(what: &str, mut fact: impl FnMut() -> bool) {
    until_some(what, || fact().then_some(()));
}

/// Waits until `find` finds something.
#[track_caller]
pub fn until_some<T>(what: &str, find: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, find)
}

/// Waits at most `patience` until `find` finds something.
#[track_caller]
pub fn within<T>(patience: Duration, what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Runs a future to its end from anywhere, a test's own runtime included: on a thread and runtime of its own.
pub fn wait<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|e| std::panic::resume_unwind(e))
}

/// Makes a test of each function for each of the two ways to run: the function takes the `World`.
macro_rules! in_both_setups {
    (async $($name:ident),* $(,)?) => {
        mod embedded {
            use crate::support::world::World;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(World::embedded()).await;
            })*
        }
        mod servers {
            use crate::support::world::World;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(World::servers()).await;
            })*
        }
    };
    ($($name:ident),* $(,)?) => {
        mod embedded {
            use crate::support::world::World;
            $(#[test]
            fn $name() {
                super::$name(World::embedded());
            })*
        }
        mod servers {
            use crate::support::world::World;
            $(#[test]
            fn $name() {
                super::$name(World::servers());
            })*
        }
    };
}
pub(crate) use in_both_setups;
