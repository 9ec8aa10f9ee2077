//! Users by name: told, found, listed.

use crate::app::App;
use crate::error::{Error, Result};
use crate::model::{Page, Time, User, UserId, page};

/// A user's place in the list, newest first.
pub type UserKey = (Time, UserId);

impl App {
    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` when the id or the name is taken.
    pub async fn create_user(&self, user: User) -> Result<User> {
        let store = self.store.clone();
        // In a task of its own: a caller that goes away must not leave a transaction half-way on a connection.
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

    /// A user who has told a name.
    ///
    /// # Errors
    /// `NotFound` when nobody has told one under this id.
    pub async fn user(&self, id: &UserId) -> Result<User> {
        let found = self.store.user(id).await?;
        found.ok_or_else(|| Error::NotFound(format!("no user {id} has told a name")))
    }

    /// The newest users after `after`, at most `limit`, and where the next page begins.
    pub async fn users(&self, after: Option<&UserKey>, limit: usize) -> Result<Page<User, UserKey>> {
        let users = self.store.users(after, page::to_read(limit)).await?;
        Ok(Page::cut(users, limit, |user| (user.created_at, user.id.clone())))
    }
}
