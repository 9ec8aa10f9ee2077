//! Users by name: created, found, listed.

use super::Catalogue;
use crate::error::{Error, Result};
use crate::model::User;
use crate::model::{Time, UserId};

/// A user's place in the list, newest first.
pub type UserKey = (Time, UserId);

impl Catalogue {
    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` when the id or the name is taken.
    pub async fn create_user(&self, user: User) -> Result<User> {
        let store = self.store.clone();
        // In a task of its own: a caller that disconnects must not leave a transaction open on a pooled connection.
        let adding = tokio::spawn(async move {
            if store.add_user(&user).await? {
                return Ok(user);
            }
            let what = match store.user(&user.id).await? {
                Some(_) => format!("there is a user {} already", user.id),
                None => format!("the username {:?} is taken; choose another", user.username),
            };
            Err(Error::Conflict(what))
        });
        adding.await.map_err(|e| Error::Internal(format!("adding a user stopped: {e}")))?
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
    pub async fn users(&self, after: Option<&UserKey>, limit: usize) -> Result<(Vec<User>, Option<UserKey>)> {
        let mut users = self.store.users(after, limit + 1).await?;
        let more = users.len() > limit;
        users.truncate(limit);
        let next = users.last().filter(|_| more).map(|user| (user.created_at, user.id.clone()));
        Ok((users, next))
    }
}
