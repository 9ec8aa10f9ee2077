//! Reading: posts, pages of posts, a post's history, and what has changed.

pub mod changes;
pub mod history;
mod known;
mod loader;
mod own;
mod posts;

use std::sync::Arc;

use super::context::Context;
use crate::cache::Cached;
use crate::entry::Position;
use crate::error::Result;
use crate::merge::{PostState, Standing};
use crate::model::post::Post;
use crate::model::{PostId, Time, UserId};
use crate::smoothing::Average;
use crate::store::{PageKey, Sort, Store};

pub use loader::read_into;
pub use own::OwnRating;
pub use posts::{PostReader, PostView};

/// A page ends early when the texts of its posts exceed this together, so that no answer has megabytes.
const PAGE_TEXT_BYTES_MAX: usize = 1 << 20;

/// Shows what is published.
pub struct Reader {
    context: Arc<Context>,
    posts: Arc<PostReader>,
    store: Arc<Store>,
}

/// A page of posts and where the next one begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The posts, in order.
    pub posts: Vec<PostView>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<PageKey>,
}

impl Reader {
    pub(super) fn new(context: Arc<Context>, posts: Arc<PostReader>, store: Arc<Store>) -> Self {
        Self { context, posts, store }
    }

    /// One post, with the own rating of `reader` if one is named.
    ///
    /// # Errors
    /// `NotFound` when there is no such post; `Unavailable` when that cannot be found out.
    pub async fn post(&self, id: &PostId, reader: Option<&UserId>, now: Time) -> Result<PostView> {
        self.posts.post(id, reader, now).await
    }

    /// Those of the posts that exist, in the order asked, with the own ratings of `reader` if one is named.
    pub async fn posts(&self, ids: &[PostId], reader: Option<&UserId>, now: Time) -> Result<Vec<PostView>> {
        self.posts.posts(ids, reader, now).await
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
    ) -> Result<Page> {
        // One more than asked for shows whether there is a next page.
        let mut keys = self.store.page(sort, author, after, limit + 1).await?;
        let mut more = keys.len() > limit;
        keys.truncate(limit);
        let ids: Vec<PostId> = keys.iter().map(|key| key.post().clone()).collect();
        let mut states: Vec<Arc<Cached>> =
            self.posts.states(&ids, now).await?.into_iter().flatten().collect();
        let fitting = fitting(&states);
        if let Some(last) = states.get(fitting.saturating_sub(1)).filter(|_| fitting < states.len()) {
            let last = &last.state.post.id;
            keys.truncate(
                keys.iter().position(|key| key.post() == last).map_or(keys.len(), |place| place + 1),
            );
            states.truncate(fitting);
            more = true;
        }
        let next = if more { keys.last().cloned() } else { None };
        Ok(Page { posts: self.posts.views(states, reader, now).await?, next })
    }

    /// A post that was created just now, as readers see it.
    pub fn view_of_new(&self, post: Post, now: Time) -> PostView {
        let (average, standing) = (Average::default(), Standing::default());
        let state = PostState { post, average, version: Position::START, standing };
        self.posts.view(&state, None, now)
    }
}

/// How many of the posts, at least one, fit on a page with their texts.
fn fitting(states: &[Arc<Cached>]) -> usize {
    let mut bytes = 0;
    let fits = |cached: &&Arc<Cached>| {
        let post = &cached.state.post;
        bytes += post.title.len() + post.content.as_ref().map_or(0, String::len);
        bytes <= PAGE_TEXT_BYTES_MAX
    };
    states.iter().take_while(fits).count().max(1)
}
