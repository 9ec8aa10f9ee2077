//! Reads posts from the store for all readers at once: one task takes all waiting requests, asks the store once, fills the
//! cache and answers each. So a thousand readers of one post cost one query, and a client that disconnects cancels no
//! query that others wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::cache::{Cache, Cached};
use crate::error::{Error, Result};
use crate::faults;
use crate::model::{PostId, Time};
use crate::store::{Ledger, POSTS_ASKED_MAX};
use crate::tasks;

/// Most requests in the queue; more callers wait to enter it.
const REQUESTS_MAX: usize = 4_096;

/// A handle to the task.
pub struct Loader(mpsc::Sender<Request>);

struct Request {
    ids: Vec<PostId>,
    now: Time,
    answer: oneshot::Sender<Result<Vec<Option<Arc<Cached>>>>>,
}

impl Loader {
    /// Starts the task; needs a tokio runtime. It ends with the handle.
    pub fn new(store: Arc<dyn Ledger>, cache: Arc<dyn Cache>) -> Self {
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        tasks::keep("loader of posts", move || answer_all(store.clone(), cache.clone(), waiting.clone()));
        Self(requests)
    }

    /// Posts as the store has them now, in the order asked; they are in the cache afterwards.
    pub async fn load(&self, ids: Vec<PostId>, now: Time) -> Result<Vec<Option<Arc<Cached>>>> {
        let (answer, answered) = oneshot::channel();
        let stopped = || Error::Unavailable("damper is shutting down; try again".into());
        self.0.send(Request { ids, now, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

async fn answer_all(
    store: Arc<dyn Ledger>,
    cache: Arc<dyn Cache>,
    waiting: Arc<Mutex<mpsc::Receiver<Request>>>,
) {
    let mut waiting = waiting.lock().await;
    let mut requests = Vec::new();
    while let Some(request) = waiting.recv().await {
        let mut asked: BTreeSet<PostId> = request.ids.iter().cloned().collect();
        requests.push(request);
        // Bounded by posts, whose texts are in memory until all are answered.
        while asked.len() < POSTS_ASKED_MAX
            && let Ok(request) = waiting.try_recv()
        {
            asked.extend(request.ids.iter().cloned());
            requests.push(request);
        }
        let read_at = requests.iter().map(|request| request.now).max().unwrap_or_default();
        let asked: Vec<PostId> = asked.into_iter().collect();
        let outcome = find(&*store, &*cache, &asked, read_at).await;
        for Request { ids, answer, .. } in requests.drain(..) {
            let found = outcome.as_ref().map_err(Error::clone);
            // A reader that has disconnected needs no answer.
            let _ = answer.send(found.map(|found| ids.iter().map(|id| found.get(id).cloned()).collect()));
        }
    }
}

async fn find(
    store: &dyn Ledger,
    cache: &dyn Cache,
    asked: &[PostId],
    read_at: Time,
) -> Result<BTreeMap<PostId, Arc<Cached>>> {
    let mut found = BTreeMap::new();
    for ids in asked.chunks(POSTS_ASKED_MAX) {
        let entries = read_into(store, cache, ids, read_at).await?;
        found.extend(entries.into_iter().map(|entry| (entry.state.post.id.clone(), entry)));
    }
    Ok(found)
}

/// Reads posts from the store into the cache; returns those that exist.
async fn read_into(
    store: &dyn Ledger,
    cache: &dyn Cache,
    ids: &[PostId],
    read_at: Time,
) -> Result<Vec<Arc<Cached>>> {
    let asked_at = Instant::now();
    let states = store.posts(ids).await?;
    faults::reach("cache.read");
    let entries: Vec<_> =
        states.into_iter().flatten().map(|state| Arc::new(Cached::new(state, read_at, asked_at))).collect();
    cache.put_many(&entries).await;
    Ok(entries)
}
