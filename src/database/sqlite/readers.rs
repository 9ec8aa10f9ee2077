//! Connections that read the data file: so many at most, each with one question at a time.
//!
//! SQLite runs on a thread of the connection's own, and each call is a hop there and back. So nothing but the question
//! itself is asked of it: the handler that ends abandoned questions is set once for a connection, and one that is idle
//! is not tested, since a file does not break it. That is why these are not a pool of sqlx, which tests each connection
//! when it comes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Result;

/// Steps of SQLite's machine, each far below a microsecond, after which it looks whether its caller has gone.
const STEPS_UNSEEN: i32 = 10_000;

/// A limited number of connections.
pub struct Readers {
    options: SqliteConnectOptions,
    connections_max: u32,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Reader>>,
    /// How long a question waits for a connection.
    timeout: Duration,
}

struct Reader {
    connection: SqliteConnection,
    is_abandoned: Arc<AtomicBool>,
}

/// A question under way. One that is dropped before its end is interrupted, and its connection closed.
pub struct Reading {
    readers: Arc<Readers>,
    /// Nothing once it has ended.
    reader: Option<Reader>,
    place: Option<OwnedSemaphorePermit>,
}

impl Readers {
    /// At most `connections_max`, each of which a question waits for as long as `timeout`. None is open yet.
    pub fn new(options: &SqliteConnectOptions, connections_max: u32, timeout: Duration) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(connections_max as usize));
        Arc::new(Self { options: options.clone(), connections_max, places, idle: Mutex::default(), timeout })
    }

    /// A connection for one question.
    pub async fn take(self: &Arc<Self>) -> Result<Reading> {
        let taken = tokio::time::timeout(self.timeout, async {
            let place = self.places.clone().acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let idle = self.idle().pop();
            let reader = match idle {
                Some(reader) => reader,
                None => Reader::open(&self.options).await?,
            };
            Ok::<_, sqlx::Error>(Reading { readers: self.clone(), reader: Some(reader), place: Some(place) })
        });
        Ok(taken.await.map_err(|_| sqlx::Error::PoolTimedOut)??)
    }

    /// Waits for the questions under way and closes all connections.
    pub async fn close(&self) {
        let all = self.places.acquire_many(self.connections_max).await;
        let idle = std::mem::take(&mut *self.idle());
        for reader in idle {
            reader.connection.close().await.ok();
        }
        self.places.close();
        drop(all);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    async fn open(options: &SqliteConnectOptions) -> sqlx::Result<Self> {
        let (mut connection, is_abandoned) = (options.connect().await?, Arc::<AtomicBool>::default());
        let watched = is_abandoned.clone();
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS_UNSEEN, move || !watched.load(Ordering::Relaxed));
        drop(handle);
        Ok(Self { connection, is_abandoned })
    }
}

impl Reading {
    /// The connection, for this question.
    pub fn connection(&mut self) -> Result<&mut SqliteConnection> {
        Ok(&mut self.reader.as_mut().ok_or(sqlx::Error::PoolClosed)?.connection)
    }

    /// Begins a transaction, which sees the file as it is at its first question.
    pub async fn begin(mut self) -> Result<Self> {
        sqlx::raw_sql("begin").execute(self.connection()?).await?;
        Ok(self)
    }

    /// Ends a transaction and gives the connection back.
    pub async fn roll_back(mut self) -> Result<()> {
        sqlx::raw_sql("rollback").execute(self.connection()?).await?;
        self.end();
        Ok(())
    }

    /// Gives the connection back.
    pub fn end(mut self) {
        // Into the list before its place is free: who takes the place finds it there.
        self.readers.idle().extend(self.reader.take());
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Some(Reader { connection, is_abandoned }) = self.reader.take() else { return };
        is_abandoned.store(true, Ordering::Relaxed);
        // Its place is taken until the question is over and the connection closed.
        if let (place, Ok(runtime)) = (self.place.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                connection.close().await.ok();
                drop(place);
            });
        }
    }
}
