//! Sessions of the dashboard: opened by a token, kept as the hash of what the browser gets, closed by signing out.
//!
//! What the browser keeps is random and says nothing, so there is nothing in it to forge, and one that was closed is worth
//! nothing, wherever it was copied to.

use super::Upkeep;
use super::admin_token::{hash, random};
use crate::error::Result;
use crate::model::{HOUR_MS, Time, UserId};
use crate::store::Session;

/// How long a session lasts.
const SESSION_HOURS: i64 = 12;

impl Upkeep {
    /// Opens a session for someone who has shown a token; returns what their browser keeps. `keys` names the keys in the
    /// settings; without them it was the admin token, and a new one ends the session.
    pub async fn open_session(
        &self,
        user: UserId,
        is_admin: bool,
        keys: Option<&str>,
        now: Time,
    ) -> Result<String> {
        let opened_with = self.way_in(keys).await?;
        let expires_at = now.plus_ms(SESSION_HOURS * HOUR_MS);
        let key = random();
        self.store
            .keep_session(&hash(&key), &Session { user, is_admin, opened_with, expires_at }, now)
            .await?;
        Ok(key)
    }

    /// The session that `key` opens, if it goes on.
    pub async fn session(&self, key: &str, keys: Option<&str>, now: Time) -> Result<Option<Session>> {
        let Some(session) = self.store.session(&hash(key)).await? else { return Ok(None) };
        let goes_on = now < session.expires_at && session.opened_with == self.way_in(keys).await?;
        Ok(goes_on.then_some(session))
    }

    /// Closes a session, if it is open.
    pub async fn close_session(&self, key: &str) -> Result<()> {
        self.store.forget_session(&hash(key)).await
    }

    /// What lets people in now.
    async fn way_in(&self, keys: Option<&str>) -> Result<String> {
        match keys {
            Some(keys) => Ok(keys.to_owned()),
            None => Ok(self.store.admin_token().await?.unwrap_or_default()),
        }
    }
}
