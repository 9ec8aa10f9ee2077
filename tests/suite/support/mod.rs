//! Shared test support: real servers, real processes, and ways to wait for a fact instead of for a time.

pub mod axe;
pub mod browser;
pub mod db;
pub mod disk;
pub mod http;
pub mod log;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod redis;
pub mod signer;
pub mod site;
pub mod spawn;
pub mod world;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A day, as dates have it.
pub const DAY: Duration = Duration::from_secs(86_400);
/// What is promised of a commit: who asks this long after it gets its outcome from every process.
pub const SEEN_WITHIN: Duration = Duration::from_secs(1);
/// The time between two checks.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `fact` holds; `what` names it in the error.
#[track_caller]
pub fn until(what: &str, mut fact: impl FnMut() -> bool) {
    until_some(what, || fact().then_some(()));
}

/// Waits until `find` returns something.
#[track_caller]
pub fn until_some<T>(what: &str, find: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, find)
}

/// Waits until `find` returns something. It is asked again and again; one that begins `patience` from now finds it. So a
/// machine that is busy gets no blame, and a promised time can be tested as it is promised.
#[track_caller]
pub fn within<T>(patience: Duration, what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        let asked = Instant::now();
        if let Some(found) = find() {
            return found;
        }
        assert!(asked < deadline, "waited {patience:?} in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}

/// For a test of what is counted by the day or the hour, in UTC: waits for the next one if this one ends within `work`.
pub fn keep_within(period: Duration, work: Duration) {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let left = period.as_millis() - since_1970.as_millis() % period.as_millis();
    if left < work.as_millis() {
        std::thread::sleep(Duration::from_millis(left as u64));
    }
}

/// Runs a future to its end on its own thread and runtime, so it works inside a test's runtime too.
pub fn wait<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|e| std::panic::resume_unwind(e))
}

/// Makes two tests of each function, one for each set-up. The function takes the `World`.
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
