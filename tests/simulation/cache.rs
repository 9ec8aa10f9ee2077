//! The cache in memory, shared by all processes like Redis. It never forgets, so its versions may only grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use damper::cache::{Cache, Cached};
use damper::model::PostId;

use crate::world::{Call, Kind, Seam, Side, World};

/// The cached value.
pub type Shelf = BTreeMap<PostId, Arc<Cached>>;

impl World {
    fn keep(&mut self, entry: Arc<Cached>) {
        let id = entry.state.post.id.clone();
        let there = self.shelf.get(&id);
        if there.is_none_or(|there| entry.replaces(there)) {
            self.oracle.cached(there.map(|there| there.state.newness()), entry.state.newness());
            self.shelf.insert(id, entry);
        }
    }
}

/// The cache of one process. A failed call is a miss.
pub struct MemoryCache {
    seam: Seam,
    changes: AtomicU64,
}

impl MemoryCache {
    pub fn new(seam: Seam) -> Self {
        Self { seam, changes: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get_many(&self, ids: &[PostId]) -> Vec<Option<Arc<Cached>>> {
        let asked = ids.to_vec();
        let get = move |world: &mut World| Ok(asked.iter().map(|id| world.shelf.get(id).cloned()).collect());
        let call = Call { name: "cache.get", side: Side::Cache, kind: Kind::Read };
        self.seam.call(call, get).await.unwrap_or_else(|_| vec![None; ids.len()])
    }

    async fn put_many(&self, entries: &[Arc<Cached>]) {
        let entries = entries.to_vec();
        let put = move |world: &mut World| {
            entries.into_iter().for_each(|entry| world.keep(entry));
            Ok(())
        };
        let call = Call { name: "cache.put", side: Side::Cache, kind: Kind::Write };
        // Readers then ask the store.
        let _ = self.seam.call(call, put).await;
    }

    fn changes_made(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    async fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing is kept in front of this cache.
    fn is_fresh(&self, _: Instant) -> bool {
        false
    }
}
