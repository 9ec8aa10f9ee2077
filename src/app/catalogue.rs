//! The catalogue: posts and users, created, found and changed.

use std::sync::Arc;

use super::context::apart;
use super::core::Core;
use super::reading::PostReader;
use crate::error::{Error, Result};
use crate::faults;
use crate::model::post::{Edit, Post};
use crate::model::{DAY_MS, Page, PostId, Time, User, UserId, page};
use crate::store::{Added, Store};

/// A user's place in the list, newest first.
pub type UserKey = (Time, UserId);

/// Keeps posts and users.
pub struct Catalogue {
    pub(super) core: Core,
    pub(super) store: Arc<Store>,
}

impl Catalogue {
    /// Adds a post.
    ///
    /// # Errors
    /// `Conflict` when its id is taken, `Limited` when its author has made enough of them today.
    pub async fn create_post(&self, post: Post) -> Result<Post> {
        let per_day =
            Some(self.core.context.config.catalogue.posts_per_day_per_user).filter(|per_day| *per_day > 0);
        let (store, posts, new) = (self.store.clone(), self.core.posts.clone(), post.clone());
        let adding = async move {
            let added = store.add_post(&new, per_day).await?;
            if matches!(added, Added::Done) {
                faults::reach("post.added");
                posts.known.keep_yes(&new.id).await;
                posts.note_change().await;
                if let Some(origin) = &new.repost_of {
                    reload(&posts, origin, new.created_at).await;
                }
            }
            Ok(added)
        };
        match apart("adding a post", adding).await? {
            Added::Done => {}
            Added::Taken => {
                let detail = format!("there is a post {} already; choose another id", post.id);
                return Err(Error::Conflict(detail));
            }
            Added::Limited => return Err(enough_for_today(&post, per_day.unwrap_or_default())),
        }
        Ok(post)
    }

    /// The post that a repost of `id` names: the first, which is no repost itself.
    ///
    /// # Errors
    /// `NotFound` when there is no post `id`.
    pub async fn origin(&self, id: &PostId, now: Time) -> Result<Post> {
        let post = self.core.posts.state(id, now).await?.state.post.clone();
        match &post.repost_of {
            Some(first) => Ok(self.core.posts.state(first, now).await?.state.post.clone()),
            None => Ok(post),
        }
    }

    /// Changes a post that `author` has made.
    ///
    /// # Errors
    /// `NotFound` when there is no such post; `Forbidden` when it has another author, or none.
    pub async fn edit_post(&self, id: &PostId, author: &UserId, edit: Edit, now: Time) -> Result<()> {
        self.core.posts.state(id, now).await?;
        let (store, posts) = (self.store.clone(), self.core.posts.clone());
        let (post, user) = (id.clone(), author.clone());
        let editing = async move {
            let is_edited = store.edit_post(&post, &user, &edit).await?;
            if is_edited {
                reload(&posts, &post, now).await;
            }
            Ok(is_edited)
        };
        if !apart("editing a post", editing).await? {
            let detail = format!("{author} has not made the post {id}; only its author changes it");
            return Err(Error::Forbidden(detail));
        }
        Ok(())
    }

    /// Adds those of the posts that are not there yet; returns how many.
    pub async fn ensure_posts(&self, mut posts: Vec<Post>) -> Result<u64> {
        // In one order, so that two imports never wait for each other's rows.
        posts.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let (store, shown) = (self.store.clone(), self.core.posts.clone());
        let adding = async move {
            let added = store.add_posts(&posts).await?;
            for post in &posts {
                shown.known.keep_yes(&post.id).await;
            }
            shown.note_change().await;
            Ok(added)
        };
        apart("adding posts", adding).await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` when the id or the name is taken.
    pub async fn create_user(&self, user: User) -> Result<User> {
        let store = self.store.clone();
        apart("adding a user", async move {
            if store.add_user(&user).await? {
                return Ok(user);
            }
            let what = match store.user(&user.id).await? {
                Some(_) => format!("there is a user {} already", user.id),
                None => format!("the username {:?} is taken; choose another", user.username),
            };
            Err(Error::Conflict(what))
        })
        .await
    }

    /// A user who was created here.
    ///
    /// # Errors
    /// `NotFound` when there is none with this id.
    pub async fn user(&self, id: &UserId) -> Result<User> {
        let found = self.store.user(id).await?;
        found.ok_or_else(|| Error::NotFound(format!("there is no user {id}")))
    }

    /// The newest users after `after`, at most `limit`, and where the next page begins.
    pub async fn users(&self, after: Option<&UserKey>, limit: usize) -> Result<Page<User, UserKey>> {
        let users = self.store.users(after, page::to_read(limit)).await?;
        Ok(Page::cut(users, limit, |user| (user.created_at, user.id.clone())))
    }
}

/// Puts a changed post into the cache. The change is stored: a failure only makes readers wait for the next tick.
async fn reload(posts: &PostReader, id: &PostId, now: Time) {
    if let Err(error) = posts.reload(std::slice::from_ref(id), now).await {
        tracing::debug!(%error, "the cache could not be refreshed after a change");
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
