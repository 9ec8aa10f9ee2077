//! Posts as people see them, each with the reader's own rating. The published mean is the state of the last drain, evaluated
//! at `as_of`: the last tick, or the state's own time if that is later. So it moves in steps, and every process publishes
//! the same.

use std::sync::Arc;
use std::time::Instant;

use super::known::Known;
use super::loader::Loader;
use super::own::OwnRating;
use super::own_loader::OwnLoader;
use crate::app::context::Context;
use crate::buffer::Buffer;
use crate::cache::{Cache, Cached};
use crate::entry::Position;
use crate::error::{Error, Result};
use crate::merge::Standing;
use crate::model::post::Post;
use crate::model::{PostId, Time, UserId};
use crate::smoothing::Average;
use crate::store::Ledger;

/// A missing post is looked up again after this.
const MISSING_MS: i64 = 800;

/// A post as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PostView {
    /// The post.
    pub post: Post,
    /// Its average, evaluated at `as_of`.
    pub average: Average,
    /// The position of the last entry in the average.
    pub version: Position,
    /// The moment that the published mean belongs to.
    pub as_of: Time,
    /// When the mean may change next.
    pub next_tick: Time,
    /// The moderation state.
    pub standing: Standing,
    /// The reader's own rating, if there is one.
    pub own: Option<OwnRating>,
    /// When this process asked for the rest.
    pub asked_at: Instant,
}

/// Shows posts.
pub struct PostReader {
    context: Arc<Context>,
    cache: Arc<dyn Cache>,
    pub(super) loader: Loader,
    pub(super) own_loader: OwnLoader,
    /// Whether a post exists. A yes is certain, since posts are never deleted.
    pub(in crate::app) known: Known<PostId>,
}

impl PostReader {
    /// Needs a tokio runtime.
    pub(in crate::app) fn new(
        context: Arc<Context>,
        buffer: Arc<dyn Buffer>,
        ledger: Arc<dyn Ledger>,
        cache: Arc<dyn Cache>,
    ) -> Self {
        let own_loader = OwnLoader::new(&buffer, &ledger);
        let loader = Loader::new(ledger, cache.clone());
        Self { context, cache, loader, own_loader, known: Known::new(MISSING_MS) }
    }

    /// One post, with the own rating of `reader` if one is named.
    ///
    /// # Errors
    /// `NotFound` when there is no such post; `Unavailable` when that cannot be found out.
    pub async fn post(&self, id: &PostId, reader: Option<&UserId>, now: Time) -> Result<PostView> {
        let mut views = self.posts(std::slice::from_ref(id), reader, now).await?;
        views.pop().ok_or_else(|| missing(id))
    }

    /// Those of the posts that exist, in the order asked, with the own ratings of `reader` if one is named.
    pub async fn posts(&self, ids: &[PostId], reader: Option<&UserId>, now: Time) -> Result<Vec<PostView>> {
        let states = self.states(ids, now).await?.into_iter().flatten().collect();
        self.views(states, reader, now).await
    }

    /// Passes when the post exists.
    pub(in crate::app) async fn require(&self, id: &PostId, now: Time) -> Result<()> {
        if !self.known.is_yes(id).await {
            self.state(id, now).await?;
            self.known.keep_yes(id).await;
        }
        Ok(())
    }

    /// Refreshes changed posts in the cache. When the store does not answer, readers see the change at the next tick.
    pub(in crate::app) async fn reload(&self, ids: &[PostId], now: Time) -> Result<()> {
        let loaded = self.loader.load(ids.to_vec(), now).await;
        self.note_change().await;
        loaded.map(drop)
    }

    /// Notes that this process has changed what readers see.
    pub(in crate::app) async fn note_change(&self) {
        self.cache.note_change().await;
    }

    /// As [`Cache::changes_made`].
    pub(super) fn changes_made(&self) -> u64 {
        self.cache.changes_made()
    }

    /// As [`Cache::is_fresh`].
    pub(super) fn is_fresh(&self, asked_at: Instant) -> bool {
        self.cache.is_fresh(asked_at)
    }

    /// A post's state, from the cache or the store. The post's content may be left out.
    pub(in crate::app) async fn state(&self, id: &PostId, now: Time) -> Result<Arc<Cached>> {
        let mut states = self.find(std::slice::from_ref(id), false, now).await?;
        states.pop().flatten().ok_or_else(|| missing(id))
    }

    /// Posts' states in the order asked, whole: from the cache if they were read since the last tick, else from the store.
    /// While the store does not answer, cached states are served as they are, until they are too old.
    pub(super) async fn states(&self, ids: &[PostId], now: Time) -> Result<Vec<Option<Arc<Cached>>>> {
        self.find(ids, true, now).await
    }

    async fn find(&self, ids: &[PostId], whole: bool, now: Time) -> Result<Vec<Option<Arc<Cached>>>> {
        let last_tick = self.context.ticks.around(now).last;
        let oldest = now.ms() - 1_000 * self.context.config.cache.ttl_seconds as i64;
        let mut states = self.cache.get_many(ids).await;
        for state in &mut states {
            state.take_if(|state| (whole && state.is_cut) || state.read_at.ms() < oldest);
        }
        let mut asked = Vec::new();
        for (i, state) in states.iter().enumerate() {
            let fresh = state.as_ref().is_some_and(|state| state.read_at >= last_tick);
            if !fresh && !self.known.is_no(&ids[i], now).await {
                asked.push(i);
            }
        }
        if asked.is_empty() {
            return Ok(states);
        }
        let all_known = asked.iter().all(|&i| states[i].is_some());
        match self.loader.load(asked.iter().map(|&i| ids[i].clone()).collect(), now).await {
            Ok(found) => {
                for (i, state) in asked.into_iter().zip(found) {
                    if state.is_none() {
                        self.known.keep_no(&ids[i], now).await;
                    }
                    states[i] = state;
                }
                Ok(states)
            }
            Err(_) if all_known => Ok(states),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn views(
        &self,
        states: Vec<Arc<Cached>>,
        reader: Option<&UserId>,
        now: Time,
    ) -> Result<Vec<PostView>> {
        let (states, own) = self.own(reader, states, now).await?;
        let view = |(cached, own): (Arc<Cached>, Option<OwnRating>)| self.view(&cached, own, now);
        Ok(states.into_iter().zip(own).map(view).collect())
    }

    pub(super) fn view(&self, cached: &Cached, own: Option<OwnRating>, now: Time) -> PostView {
        let state = &cached.state;
        let as_of = self.context.as_of(&state.average, now);
        PostView {
            post: state.post.clone(),
            average: state.average.at(as_of, &self.context.params),
            version: state.version,
            as_of,
            next_tick: self.context.ticks.around(now).next,
            standing: state.standing,
            own,
            asked_at: cached.asked_at,
        }
    }
}

fn missing(id: &PostId) -> Error {
    Error::NotFound(format!("there is no post {id}"))
}
