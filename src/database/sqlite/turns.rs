//! Turns at writing the data file among processes, such as `damper import` beside a service.
//!
//! SQLite's own waiting is by naps that grow, so a process that writes one transaction after the other would keep others
//! out for seconds. Here a process that waits for its turn holds the queue: one that has just written finds it taken, and
//! comes next. The system releases the locks of a process that dies.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lock_file;
use crate::error::{Error, Result};

/// How often a process that waits looks again.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// A process' view of the turns. Only one task at a time asks for one.
pub struct Turns {
    queue: Arc<File>,
    turn: Arc<File>,
    timeout: Duration,
}

impl Turns {
    /// The turns at the data file; one that does not come within `timeout` is given up.
    pub fn open(data: &Path, timeout: Duration) -> std::io::Result<Self> {
        let file = |ending| lock_file(data, ending).map(Arc::new);
        Ok(Self { queue: file(".lock")?, turn: file(".turn")?, timeout })
    }

    /// Waits for a turn, which lasts until it is dropped.
    pub async fn wait(&self) -> Result<Turn> {
        let until = Instant::now() + self.timeout;
        let _place = Turn::wait(&self.queue, until).await?;
        Turn::wait(&self.turn, until).await
    }
}

/// A lock that other processes respect, until it is dropped.
pub struct Turn(Arc<File>);

impl Turn {
    async fn wait(file: &Arc<File>, until: Instant) -> Result<Self> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file.clone())),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
                Err(TryLockError::WouldBlock) => {
                    let why = "another process is writing the data file for too long; try again";
                    return Err(Error::Busy(why.into()));
                }
                Err(TryLockError::Error(e)) => {
                    return Err(Error::Busy(format!("the data file cannot be locked: {e}")));
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}
