//! Asks for the own ratings of all readers at once: a task takes all waiting requests, asks the buffer and the store
//! once each, and answers all. So a thousand readers who are named cost two questions.
//!
//! A request is only taken before its group's questions are asked, so a rating that was accepted before a reader asked
//! is never out of sight.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::buffer::{Buffer, Waiting};
use crate::error::{Error, Result};
use crate::merge::Key;
use crate::store::{Ledger, POSTS_ASKED_MAX, StoredRating};
use crate::tasks;

/// Most requests in the queue; more callers wait to enter it.
const REQUESTS_MAX: usize = 4_096;
/// Groups that are asked for at the same time: while one waits for the buffer, another waits for the store.
const GROUPS_MAX: usize = 2;

/// A handle to the tasks.
pub struct OwnLoader(mpsc::Sender<Request>);

/// What there is for each key of a request. Either side may fail by itself.
pub struct Found {
    pub waiting: Result<Vec<Option<Waiting>>>,
    pub stored: Result<Vec<Option<StoredRating>>>,
}

struct Request {
    keys: Vec<Key>,
    answer: oneshot::Sender<Found>,
}

impl OwnLoader {
    /// Starts the tasks; needs a tokio runtime. They end with the handle.
    pub fn new(buffer: &Arc<dyn Buffer>, ledger: &Arc<dyn Ledger>) -> Self {
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..GROUPS_MAX {
            let (buffer, ledger, queue) = (buffer.clone(), ledger.clone(), queue.clone());
            tasks::keep("loader of own ratings", move || {
                answer_all(buffer.clone(), ledger.clone(), queue.clone())
            });
        }
        Self(requests)
    }

    /// What waits and what is stored now, in the order of the keys.
    pub async fn load(&self, keys: Vec<Key>) -> Result<Found> {
        let (answer, answered) = oneshot::channel();
        let stopped = || Error::Unavailable("damper is shutting down; try again".into());
        self.0.send(Request { keys, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())
    }
}

async fn answer_all(
    buffer: Arc<dyn Buffer>,
    ledger: Arc<dyn Ledger>,
    queue: Arc<Mutex<mpsc::Receiver<Request>>>,
) {
    while let Some(requests) = next_group(&queue).await {
        let keys: Vec<Key> = requests.iter().flat_map(|request| request.keys.iter().cloned()).collect();
        // The buffer first: an entry that is merged meanwhile is seen twice rather than not at all.
        let waiting = waiting_of_each(&*buffer, &requests, &keys).await;
        let mut stored = ledger.newest_of(&keys).await.map(Vec::into_iter);
        for (Request { keys, answer }, waiting) in requests.into_iter().zip(waiting) {
            let stored = stored.as_mut().map(|stored| stored.take(keys.len()).collect());
            // A reader that has disconnected needs no answer.
            let _ = answer.send(Found { waiting, stored: stored.map_err(|error| error.clone()) });
        }
    }
}

/// What waits for each request. When the question for all fails, each is asked for alone: one shard's log may be away
/// while the others are there.
async fn waiting_of_each(
    buffer: &dyn Buffer,
    requests: &[Request],
    keys: &[Key],
) -> Vec<Result<Vec<Option<Waiting>>>> {
    match buffer.waiting_of(keys).await {
        Ok(found) => {
            let mut found = found.into_iter();
            requests.iter().map(|request| Ok(found.by_ref().take(request.keys.len()).collect())).collect()
        }
        Err(error) if requests.len() == 1 => vec![Err(error)],
        Err(_) => join_all(requests.iter().map(|request| buffer.waiting_of(&request.keys))).await,
    }
}

/// The requests that wait, at least one; nothing once the handle is gone.
async fn next_group(queue: &Mutex<mpsc::Receiver<Request>>) -> Option<Vec<Request>> {
    let mut queue = queue.lock().await;
    let first = queue.recv().await?;
    let mut asked = first.keys.len();
    let mut requests = vec![first];
    while asked < POSTS_ASKED_MAX
        && let Ok(request) = queue.try_recv()
    {
        asked += request.keys.len();
        requests.push(request);
    }
    Some(requests)
}
