//! Posts: made, repeated, changed by their authors.

use super::Catalogue;
use crate::error::{Error, Result};
use crate::model::post::{Edit, Post};
use crate::model::{DAY_MS, PostId, Time, UserId};
use crate::store::Added;

impl Catalogue {
    /// Adds a post.
    ///
    /// # Errors
    /// `Conflict` when its id is taken, `Limited` when its author has made enough of them today.
    pub async fn create_post(&self, post: Post) -> Result<Post> {
        let per_day =
            Some(self.context.config.catalogue.posts_per_day_per_user).filter(|per_day| *per_day > 0);
        let (store, new) = (self.store.clone(), post.clone());
        // In a task of its own: a caller that disconnects must not leave a transaction open on a pooled connection.
        let adding = tokio::spawn(async move { store.add_post(&new, per_day).await });
        match adding.await.map_err(|e| Error::Internal(format!("adding a post stopped: {e}")))?? {
            Added::Done => {}
            Added::Taken => {
                let detail = format!("there is a post {} already; choose another id", post.id);
                return Err(Error::Conflict(detail));
            }
            Added::Limited => return Err(enough_for_today(&post, per_day.unwrap_or_default())),
        }
        self.posts.known.keep_yes(&post.id).await;
        if let Some(origin) = &post.repost_of {
            self.reload(origin, post.created_at).await;
        }
        Ok(post)
    }

    /// The post that a repost of `id` names: the first, which is no repost itself.
    ///
    /// # Errors
    /// `NotFound` when there is no post `id`.
    pub async fn origin(&self, id: &PostId, now: Time) -> Result<Post> {
        let post = self.posts.state(id, now).await?.state.post.clone();
        match &post.repost_of {
            Some(first) => Ok(self.posts.state(first, now).await?.state.post.clone()),
            None => Ok(post),
        }
    }

    /// Changes a post that `author` has made.
    ///
    /// # Errors
    /// `NotFound` when there is no such post; `Forbidden` when somebody else, or nobody, has made it.
    pub async fn edit_post(&self, id: &PostId, author: &UserId, edit: Edit, now: Time) -> Result<()> {
        self.posts.state(id, now).await?;
        let (store, post, user) = (self.store.clone(), id.clone(), author.clone());
        let editing = tokio::spawn(async move { store.edit_post(&post, &user, &edit).await });
        if !editing.await.map_err(|e| Error::Internal(format!("editing a post stopped: {e}")))?? {
            return Err(Error::Forbidden(format!(
                "{author} has not made the post {id}; only its author changes it"
            )));
        }
        self.reload(id, now).await;
        Ok(())
    }

    /// Brings a changed post into the cache. The change is stored: a failure only makes readers wait for the next tick.
    async fn reload(&self, id: &PostId, now: Time) {
        if let Err(error) = self.posts.reload(std::slice::from_ref(id), now).await {
            tracing::debug!(%error, "the cache could not be refreshed after a change");
        }
    }

    /// Adds those of the posts that are not there yet; returns how many.
    pub async fn ensure_posts(&self, mut posts: Vec<Post>) -> Result<u64> {
        // In one order, so that two imports never wait for each other's rows.
        posts.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let (store, new) = (self.store.clone(), posts.clone());
        let adding = tokio::spawn(async move { store.add_posts(&new).await });
        let added = adding.await.map_err(|e| Error::Internal(format!("adding posts stopped: {e}")))??;
        for post in &posts {
            self.posts.known.keep_yes(&post.id).await;
        }
        Ok(added)
    }
}

fn enough_for_today(post: &Post, per_day: u32) -> Error {
    let now = post.created_at.ms();
    let tomorrow = (now.div_euclid(DAY_MS) + 1) * DAY_MS;
    let author = post.created_by.as_ref().map_or("this author", UserId::as_str);
    Error::Limited {
        detail: format!(
            "{author} has made {per_day} posts today (UTC); the next one is possible from {} on",
            Time::from_ms(tomorrow)
        ),
        wait_seconds: (tomorrow - now).unsigned_abs().div_ceil(1_000),
    }
}
