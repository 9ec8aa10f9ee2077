//! Users who have given a name. Others rate and post under their ids alone.

use super::Store;
use crate::database::{Patience, Row, values};
use crate::error::Result;
use crate::model::{Time, User, UserId};

fn user(row: &Row) -> Result<User> {
    let username = row.text("username")?.to_owned();
    Ok(User { id: row.user_id("id")?, username, created_at: row.time("created_at")? })
}

impl Store {
    /// Adds a user, unless the id or the name is taken; returns whether it did.
    pub async fn add_user(&self, user: &User) -> Result<bool> {
        let sql = "insert into users (id, username, created_at) values ($1, $2, $3) on conflict do nothing";
        let values = values![&user.id, &user.username, user.created_at];
        Ok(self.database.change(Patience::Quick, sql, values).await? == 1)
    }

    /// The user of that id, if there is one.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>> {
        let sql = "select id, username, created_at from users where id = $1";
        let found = self.database.ask_optional(Patience::Quick, sql, values![id]).await?;
        found.map(|row| user(&row)).transpose()
    }

    /// The newest users: at most `limit` that come after `after`.
    pub async fn users(&self, after: Option<&(Time, UserId)>, limit: usize) -> Result<Vec<User>> {
        let sql = "select id, username, created_at from users where (created_at, id) < ($1, $2)
                   order by created_at desc, id desc limit $3";
        // The first page comes after the end of time.
        let (at, id) = after.map_or((i64::MAX, ""), |(at, id)| (at.ms(), id.as_str()));
        let found = self.database.ask(Patience::Quick, sql, values![at, id, limit]).await?;
        found.iter().map(user).collect()
    }
}
