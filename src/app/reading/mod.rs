//! Reading: posts as people see them, one or a page, with the reader's own rating.
//!
//! The published mean is the state of the last drain, evaluated at `as_of`: the last tick, or the state's own
//! time if that is later. So it moves in steps, and every process publishes the same.

pub mod changes;
pub mod history;
pub mod loader;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::cache::Cached;
use crate::entry::Position;
use crate::error::{Error, Result};
use crate::merge::{PostState, Standing};
use crate::model::post::Post;
use crate::model::{Page, PostId, Score, Time, UserId, page};
use crate::smoothing::Average;
use crate::store::{PageKey, Sort};

/// A page ends early when its posts' texts are longer than this together: one answer must not hold megabytes.
const PAGE_TEXT_BYTES_MAX: usize = 1 << 20;

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
    /// When it may change next.
    pub next_tick: Time,
    /// What moderators have made of it.
    pub standing: Standing,
    /// The reader's own rating, if a reader was named and has one.
    pub own: Option<OwnRating>,
}

/// A reader's own newest rating of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnRating {
    /// The score; nothing for a withdrawal that waits.
    pub score: Option<Score>,
    /// Whether it waits to be merged.
    pub pending: bool,
    /// Whether it is kept for a moderator, and counts for nothing meanwhile; only said when it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

impl App {
    /// One post, with the own rating of `reader` if one is named.
    ///
    /// # Errors
    /// `NotFound` when there is no such post; `Unavailable` when nobody can tell.
    pub async fn post(&self, id: &PostId, reader: Option<&UserId>, now: Time) -> Result<PostView> {
        let state = self.state(id, now).await?;
        let mut views = self.views(vec![state], reader, now).await?;
        views.pop().ok_or_else(|| Error::Internal("a post has no view".into()))
    }

    /// Those of the posts that there are, in the order asked, with the own ratings of `reader` if one is named.
    pub async fn posts(&self, ids: &[PostId], reader: Option<&UserId>, now: Time) -> Result<Vec<PostView>> {
        let states = self.states(ids, now).await?.into_iter().flatten().collect();
        self.views(states, reader, now).await
    }

    /// A page of posts after `after`, at most `limit`; only of `author`, if one is named.
    pub async fn page(
        &self,
        sort: Sort,
        author: Option<&UserId>,
        after: Option<&PageKey>,
        limit: usize,
        reader: Option<&UserId>,
        now: Time,
    ) -> Result<Page<PostView, PageKey>> {
        let keys = self.store.page(sort, author, after, page::to_read(limit)).await?;
        let Page { items: mut keys, mut next } = Page::cut(keys, limit, PageKey::clone);
        let ids: Vec<PostId> = keys.iter().map(|key| key.post().clone()).collect();
        let mut states: Vec<Arc<Cached>> = self.states(&ids, now).await?.into_iter().flatten().collect();
        let fitting = fitting(&states);
        if let Some(last) = states.get(fitting.saturating_sub(1)).filter(|_| fitting < states.len()) {
            let last = &last.state.post.id;
            keys.truncate(
                keys.iter().position(|key| key.post() == last).map_or(keys.len(), |place| place + 1),
            );
            states.truncate(fitting);
            next = keys.last().cloned();
        }
        Ok(Page { items: self.views(states, reader, now).await?, next })
    }

    /// A post's state, from whoever has it.
    pub(crate) async fn state(&self, id: &PostId, now: Time) -> Result<Arc<Cached>> {
        let mut states = self.states(std::slice::from_ref(id), now).await?;
        states.pop().flatten().ok_or_else(|| Error::NotFound(format!("there is no post {id}")))
    }

    /// Posts' states in the order asked: from the cache while they were read since the last tick, else from the
    /// store. While the store does not answer, what the cache has is served as it is.
    async fn states(&self, ids: &[PostId], now: Time) -> Result<Vec<Option<Arc<Cached>>>> {
        let last_tick = self.ticks.around(now).last;
        let mut states = self.cache.get_many(ids).await;
        let mut asked = Vec::new();
        for (i, state) in states.iter().enumerate() {
            let fresh = state.as_ref().is_some_and(|state| state.read_at >= last_tick);
            if !fresh && self.unknown.get(&ids[i]).await.is_none() {
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
                        self.unknown.insert(ids[i].clone(), ()).await;
                    }
                    states[i] = state;
                }
                Ok(states)
            }
            Err(_) if all_known => Ok(states),
            Err(error) => Err(error),
        }
    }

    async fn views(
        &self,
        states: Vec<Arc<Cached>>,
        reader: Option<&UserId>,
        now: Time,
    ) -> Result<Vec<PostView>> {
        let (states, own) = match reader {
            Some(reader) => self.own(reader, states, now).await?,
            None => {
                let nobodys = vec![None; states.len()];
                (states, nobodys)
            }
        };
        let view = |(cached, own): (Arc<Cached>, Option<OwnRating>)| self.view(&cached.state, own, now);
        Ok(states.into_iter().zip(own).map(view).collect())
    }

    /// A post that was made just now, as everybody sees it.
    pub fn view_of_new(&self, post: Post, now: Time) -> PostView {
        let (average, standing) = (Average::default(), Standing::default());
        let state = PostState { post, average, version: Position::START, standing };
        self.view(&state, None, now)
    }

    /// The moment for which a mean is published: the last tick, or the state's own time if that is later.
    pub(crate) fn as_of(&self, average: &Average, now: Time) -> Time {
        let last_tick = self.ticks.around(now).last;
        average.last.map_or(last_tick, |last| last.max(last_tick))
    }

    fn view(&self, state: &PostState, own: Option<OwnRating>, now: Time) -> PostView {
        let as_of = self.as_of(&state.average, now);
        PostView {
            post: state.post.clone(),
            average: state.average.at(as_of, &self.params),
            version: state.version,
            as_of,
            next_tick: self.ticks.around(now).next,
            standing: state.standing,
            own,
        }
    }

    /// The reader's own ratings: of what waits and what is stored, the newer. The buffer is asked first, so that
    /// an entry which moves meanwhile is seen twice rather than not at all. A state that does not know of a stored
    /// rating yet is looked up anew: whoever flushed a moment ago sees the rating count.
    async fn own(
        &self,
        reader: &UserId,
        mut states: Vec<Arc<Cached>>,
        now: Time,
    ) -> Result<(Vec<Arc<Cached>>, Vec<Option<OwnRating>>)> {
        let ids: Vec<PostId> = states.iter().map(|cached| cached.state.post.id.clone()).collect();
        let waiting = self.buffer.waiting_of(reader, &ids).await;
        let stored = self.stored(reader, &ids).await;
        let store_answered = stored.is_ok();
        let (waiting, stored) = match (waiting, stored) {
            (Ok(waiting), Ok(stored)) => (waiting, stored),
            // Without the buffer the stored ratings are the best anybody knows.
            (Err(_), Ok(stored)) => (vec![None; ids.len()], stored),
            // Without the store a rating that waits is the newest for certain; "none" would be a guess.
            (Ok(waiting), Err(_)) if waiting.iter().all(Option::is_some) => (waiting, vec![None; ids.len()]),
            (_, Err(error)) => return Err(error),
        };
        let is_stale = |(state, stored): &(&Arc<Cached>, &Option<(Position, OwnRating)>)| {
            stored.is_some_and(|(position, _)| position > state.state.version)
        };
        let stale: Vec<usize> = states
            .iter()
            .zip(&stored)
            .enumerate()
            .filter(|(_, pair)| is_stale(pair))
            .map(|(i, _)| i)
            .collect();
        if !stale.is_empty() {
            let found = self.loader.load(stale.iter().map(|&i| ids[i].clone()).collect(), now).await?;
            for (i, state) in stale.into_iter().zip(found) {
                states[i] = state.unwrap_or_else(|| states[i].clone());
            }
        }
        let newest = states.iter().zip(waiting).zip(stored).map(|((cached, waiting), stored)| {
            // What is merged already is known better by the store, if that has answered.
            let is_newer = |position| !store_answered || position > cached.state.version;
            let waiting = waiting.filter(|waiting| is_newer(waiting.position)).map(|waiting| {
                let score = waiting.action.score();
                (waiting.position, OwnRating { score, pending: true, held: false })
            });
            let (position, own) = waiting.into_iter().chain(stored).max_by_key(|(position, _)| *position)?;
            let pending = position > cached.state.version;
            // A withdrawal that has been merged is no rating any more.
            (pending || own.score.is_some()).then_some(OwnRating { pending, ..own })
        });
        let newest = newest.collect();
        Ok((states, newest))
    }
}

impl App {
    /// A user's newest ratings in the store: counted, excluded or held, with their places.
    async fn stored(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<(Position, OwnRating)>>> {
        // Held first: a rating that is approved meanwhile is seen twice rather than not at all.
        let held = self.store.held_of(user, posts).await?;
        let ratings = self.store.ratings_of(user, posts).await?;
        let own = |score, held| OwnRating { score: Some(score), pending: false, held };
        let newest = held.into_iter().zip(ratings).map(|(held, rating)| {
            let held = held.map(|held| (held.position, own(held.score, true)));
            let rating = rating.map(|rating| (rating.position, own(rating.row.score, false)));
            held.into_iter().chain(rating).max_by_key(|(position, _)| *position)
        });
        Ok(newest.collect())
    }
}

/// How many of the posts, one at least, have texts that fit on a page.
fn fitting(states: &[Arc<Cached>]) -> usize {
    let mut bytes = 0;
    let fits = |cached: &&Arc<Cached>| {
        let post = &cached.state.post;
        bytes += post.title.len() + post.content.as_ref().map_or(0, String::len);
        bytes <= PAGE_TEXT_BYTES_MAX
    };
    states.iter().take_while(fits).count().max(1)
}
