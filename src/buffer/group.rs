//! Group commit: the entries of many callers in one write, since each durable write costs a round trip or an fsync.
//!
//! A lane's task takes every request that waits, writes all their entries in one call, and answers each caller; a request
//! that is alone waits for nothing. A lane has one group under way at a time, so a later append to a shard never overtakes
//! an earlier one. A log in one place has one lane: so groups are as large as they can be. One that is spread over servers
//! has several, and a slow shard delays only its own. Each caller prepares the log before it joins a group, so that a
//! slow preparation delays no group. What waits is withdrawn when its caller goes away.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::{Buffer, Waiting};
use crate::entry::{Backlog, Batch, Entry, Floor, Position, Shard};
use crate::error::{Error, Invalid, Kind, Result};
use crate::model::{PostId, Time, UserId};
use crate::tasks;

/// Lanes of a log that is spread over servers. Shards take turns at these, so each of the usual sixteen has its own.
const LANES: usize = 16;
/// Requests that may wait for a lane's next group; further callers wait for a place among them.
const REQUESTS_MAX: usize = 4_096;

/// A buffer that commits its appends in groups.
pub struct Grouped {
    inner: Arc<dyn Buffer>,
    lanes: Vec<mpsc::Sender<Request>>,
    group_max: usize,
}

struct Request {
    shard: Shard,
    entries: Vec<Entry>,
    answer: oneshot::Sender<Result<Vec<Position>>>,
}

/// Where the answer goes, and how many entries it is about.
type Caller = (oneshot::Sender<Result<Vec<Position>>>, usize);

impl Grouped {
    /// Groups the appends to `inner`, at most `group_max` entries per call. Needs a tokio runtime.
    pub fn new(inner: Arc<dyn Buffer>, group_max: usize) -> Self {
        let group_max = group_max.min(inner.append_max());
        let lane = |_| {
            let log = inner.clone();
            let commit = move |requests| commit_group(log.clone(), requests, group_max);
            tasks::in_groups("group commit", REQUESTS_MAX, group_max, commit)
        };
        let lanes = if inner.is_one_place() { 1 } else { LANES };
        let lanes = (0..lanes).map(lane).collect();
        Self { inner, lanes, group_max }
    }
}

/// Writes requests in order, in as few calls as `group_max` allows.
async fn commit_group(inner: Arc<dyn Buffer>, mut requests: Vec<Request>, group_max: usize) {
    loop {
        // A caller that has gone has no promise, and may have sent something newer through another process.
        requests.retain(|request| !request.answer.is_closed());
        let mut size = 0;
        let fitting = requests.iter().take_while(|request| {
            size += request.entries.len();
            size <= group_max
        });
        let fitting = fitting.count();
        if fitting == 0 {
            return;
        }
        let mut shards: BTreeMap<Shard, (Vec<Entry>, Vec<Caller>)> = BTreeMap::new();
        for Request { shard, entries, answer } in requests.drain(..fitting) {
            let (all, callers) = shards.entry(shard).or_default();
            callers.push((answer, entries.len()));
            all.extend(entries);
        }
        let appends: Vec<_> =
            shards.iter().map(|(shard, (entries, _))| (*shard, entries.as_slice())).collect();
        let outcomes = inner.write_all(&appends).await;
        for ((_, callers), outcome) in shards.into_values().zip(outcomes) {
            answer(callers, outcome);
        }
    }
}

/// Gives the callers of a shard, in their order, what became of their entries.
fn answer(callers: Vec<Caller>, outcome: Result<Vec<Position>>) {
    let mut outcome = outcome.map(Vec::into_iter);
    for (answer, size) in callers {
        let own = outcome.as_mut().map(|positions| positions.by_ref().take(size).collect());
        // A caller that went away meanwhile needs no answer. The entries are held all the same.
        let _ = answer.send(own.map_err(|error| error.clone()));
    }
}

#[async_trait]
impl Buffer for Grouped {
    fn append_max(&self) -> usize {
        self.group_max
    }

    async fn prepare(&self, shard: Shard, now: Option<Time>) -> Result<bool> {
        self.inner.prepare(shard, now).await
    }

    async fn write(&self, shard: Shard, entries: &[Entry]) -> Result<Vec<Position>> {
        if entries.len() > self.group_max {
            let detail = format!("{} entries in one append; at most {}", entries.len(), self.group_max);
            return Err(Invalid::new(Kind::TooManyEntries, detail).into());
        }
        let (answer, answered) = oneshot::channel();
        let stopped = || Error::Unavailable("the buffer is shutting down; try again".into());
        let request = Request { shard, entries: entries.to_vec(), answer };
        self.lanes[shard.index() % self.lanes.len()].send(request).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    async fn read(&self, shard: Shard, from: Position, limit: usize) -> Result<Option<Batch>> {
        self.inner.read(shard, from, limit).await
    }

    async fn trim(&self, shard: Shard, through: Position) -> Result<()> {
        self.inner.trim(shard, through).await
    }

    async fn backlog(&self, shard: Shard, from: Position) -> Result<Backlog> {
        self.inner.backlog(shard, from).await
    }

    async fn waiting_of(&self, keys: &[(PostId, UserId)]) -> Result<Vec<Option<Waiting>>> {
        self.inner.waiting_of(keys).await
    }

    async fn raise_floor(&self, shard: Shard, floor: Floor) -> Result<()> {
        self.inner.raise_floor(shard, floor).await
    }

    async fn describe(&self) -> Result<String> {
        self.inner.describe().await
    }
}
