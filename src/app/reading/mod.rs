//! Reading: posts, pages of posts, a post's history, and what has changed.

pub mod changes;
pub mod history;
pub(super) mod known;
mod loader;
mod own;
mod own_loader;
mod posts;
pub mod slices;

use std::sync::Arc;
use std::time::Instant;

use self::history::Histories;
use super::context::Context;
use crate::cache::Cached;
use crate::entry::Position;
use crate::error::Result;
use crate::faults;
use crate::merge::{PostState, Standing};
use crate::model::post::Post;
use crate::model::{Page, PostId, Time, UserId, page};
use crate::smoothing::Average;
use crate::store::{Motion, MotionKey, PageKey, Sort, Store};

pub use own::OwnRating;
pub use posts::{PostReader, PostView};

/// A page ends early when the texts of its posts exceed this together, so that no answer has megabytes.
const PAGE_TEXT_BYTES_MAX: usize = 1 << 20;

/// Shows posts as published, their pages, histories and changes.
pub struct Reader {
    context: Arc<Context>,
    posts: Arc<PostReader>,
    store: Arc<Store>,
    histories: Histories,
}

impl Reader {
    pub(super) fn new(context: Arc<Context>, posts: Arc<PostReader>, store: Arc<Store>) -> Self {
        Self { context, posts, store, histories: Histories::new() }
    }

    /// As [`PostReader::post`].
    pub async fn post(&self, id: &PostId, reader: Option<&UserId>, now: Time) -> Result<PostView> {
        self.posts.post(id, reader, now).await
    }

    /// As [`PostReader::posts`].
    pub async fn posts(&self, ids: &[PostId], reader: Option<&UserId>, now: Time) -> Result<Vec<PostView>> {
        self.posts.posts(ids, reader, now).await
    }

    /// How many changes this process has made to what readers see. What was put together before the last is out of date.
    pub fn changes_made(&self) -> u64 {
        self.posts.changes_made()
    }

    /// Whether a view with this `asked_at` may be shown again, as far as other processes' changes go.
    pub fn is_fresh(&self, asked_at: Instant) -> bool {
        self.posts.is_fresh(asked_at)
    }

    /// A page of at most `limit` posts after `after`, only of `author` if one is named, with the own ratings of `reader` if
    /// one is named.
    pub async fn page(
        &self,
        sort: Sort,
        author: Option<&UserId>,
        after: Option<&PageKey>,
        limit: usize,
        reader: Option<&UserId>,
        now: Time,
    ) -> Result<Page<PostView, PageKey>> {
        let asked_at = Instant::now();
        let keys = self.store.page(sort, author, after, page::to_read(limit)).await?;
        faults::reach("page.ordered");
        let Page { items: keys, mut next } = Page::cut(keys, limit, PageKey::clone);
        let ids: Vec<PostId> = keys.iter().map(|key| key.post().clone()).collect();
        for id in &ids {
            // One that was missing a moment ago is there now.
            self.posts.known.keep_yes(id).await;
        }
        let mut states: Vec<Arc<Cached>> =
            self.posts.states(&ids, now).await?.into_iter().flatten().collect();
        let mut bytes = 0;
        let fits = |cached: &&Arc<Cached>| {
            let post = &cached.state.post;
            bytes += post.title.len() + post.content.as_ref().map_or(0, String::len);
            bytes <= PAGE_TEXT_BYTES_MAX
        };
        let fitting = states.iter().take_while(fits).count().max(1);
        if fitting < states.len() {
            states.truncate(fitting);
            let last = states.last().map(|cached| &cached.state.post.id);
            next = keys.into_iter().find(|key| Some(key.post()) == last);
        }
        let mut items = self.posts.views(states, reader, now).await?;
        // A page is as old as its order.
        items.iter_mut().for_each(|view| view.asked_at = view.asked_at.min(asked_at));
        Ok(Page { items, next })
    }

    /// A page of at most `limit` posts that move, after `after`.
    pub async fn moving(
        &self,
        by: Motion,
        after: Option<&MotionKey>,
        limit: usize,
        now: Time,
    ) -> Result<Page<PostView, MotionKey>> {
        let keys = self.store.moving(by, after, page::to_read(limit)).await?;
        let Page { items, next } = Page::cut(keys, limit, MotionKey::clone);
        let ids: Vec<PostId> = items.into_iter().map(|(_, post)| post).collect();
        Ok(Page { items: self.posts.posts(&ids, None, now).await?, next })
    }

    /// At most `limit` posts whose ids begin with `text`, and then at most `limit` whose titles do.
    pub async fn search(&self, text: &str, limit: usize, now: Time) -> Result<Vec<PostView>> {
        let ids = self.store.beginning_with(text, limit).await?;
        self.posts.posts(&ids, None, now).await
    }

    /// A new post, as readers see it.
    pub fn view_of_new(&self, post: Post, now: Time) -> PostView {
        let (average, standing) = (Average::default(), Standing::default());
        let state = PostState { post, average, version: Position::START, standing };
        self.posts.view(&Cached::new(state, now, Instant::now()), None, now)
    }
}
