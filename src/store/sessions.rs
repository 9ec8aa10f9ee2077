//! Sessions of the dashboard: who is signed in, by the hash of what their browser keeps.

use super::prelude::*;

/// Someone who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub user: UserId,
    /// Whether they may operate Damper; moderators may not.
    pub is_admin: bool,
    /// The admin token, or the keys, that let them in; with another one the session is over.
    pub opened_with: String,
    /// When it ends by itself.
    pub expires_at: Time,
}

impl Store {
    /// Keeps a session, and forgets those that have ended.
    pub async fn keep_session(&self, hash: &str, session: &Session, now: Time) -> Result<()> {
        let Session { user, is_admin, opened_with, expires_at } = session;
        let mut transaction = self.database.begin(Patience::Patient).await?;
        let sql = "insert into sessions (hash, user_id, is_admin, opened_with, expires_at) values ($1, $2, $3, $4, $5)";
        transaction.change(sql, values![hash, user, *is_admin, opened_with.as_str(), *expires_at]).await?;
        transaction.change("delete from sessions where expires_at <= $1", values![now]).await?;
        transaction.commit().await
    }

    /// The session of that hash, if it is kept; it may have ended.
    pub async fn session(&self, hash: &str) -> Result<Option<Session>> {
        let sql = "select user_id, is_admin, opened_with, expires_at from sessions where hash = $1";
        let found = self.database.ask_optional(Patience::Quick, sql, values![hash]).await?;
        let session = |row: Row| {
            Ok(Session {
                user: row.user_id("user_id")?,
                is_admin: row.flag("is_admin")?,
                opened_with: row.text("opened_with")?.to_owned(),
                expires_at: row.time("expires_at")?,
            })
        };
        found.map(session).transpose()
    }

    /// Forgets a session.
    pub async fn forget_session(&self, hash: &str) -> Result<()> {
        self.database
            .change(Patience::Patient, "delete from sessions where hash = $1", values![hash])
            .await
            .map(drop)
    }
}
