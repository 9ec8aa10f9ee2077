//! Users who have given a name (others rate and post under their ids alone); what the tables hold by a user's id, and
//! how it is forgotten. That may read whole tables, so it has no time limit.

use super::prelude::*;
use super::ratings::{RATINGS, rating};
use crate::model::User;

/// Rows of a forgotten user that one transaction changes: no other writer waits long for it.
const FORGOTTEN_AT_ONCE: usize = 200;
const POSTS_BY: &str = "select id from posts where created_by = $1 order by id";

pub(super) fn user(row: &Row) -> Result<User> {
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
        self.database.ask(Patience::Quick, sql, values![at, id, limit]).await?.iter().map(user).collect()
    }

    /// The posts that a user has rated, in order: at most `limit` that come after `after`, with the ratings.
    pub async fn ratings_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, Rating)>> {
        let sql = RATINGS.select("where post_id > $2 and user_id = $1 order by post_id limit $3");
        let values = values![user, after.map_or("", PostId::as_str), limit];
        let found = self.database.ask(Patience::Endless, &sql, values).await?;
        found.iter().map(|row| Ok((row.post_id("post_id")?, rating(row)?))).collect()
    }

    /// The posts that a user has made.
    pub async fn posts_by(&self, user: &UserId) -> Result<Vec<PostId>> {
        self.ids_by(POSTS_BY, user).await
    }

    /// Takes a user's id from the posts that they have made, and drops their name, the marks of their withdrawals and
    /// their sessions.
    pub async fn forget(&self, user: &UserId) -> Result<()> {
        // By the keys, so that nothing else waits while a whole table is read.
        let steps = [
            (
                POSTS_BY,
                "update posts set created_by = null, revision = revision + 1
                   where created_by = $2 and id in (select id from {ids})",
            ),
            (
                "select post_id as id from ranking where author = $1 order by post_id",
                "update ranking set author = null where author = $2 and post_id in (select id from {ids})",
            ),
            (
                "select post_id as id from withdrawals where user_id = $1 order by post_id",
                "delete from withdrawals where user_id = $2 and post_id in (select id from {ids})",
            ),
        ];
        for (find, change) in steps {
            for posts in self.ids_by(find, user).await?.chunks(FORGOTTEN_AT_ONCE) {
                self.database.change(Patience::Endless, change, values![posts, user]).await?;
            }
        }
        let mut transaction = self.database.begin(Patience::Endless).await?;
        transaction.change("delete from daily_posts where user_id = $1", values![user]).await?;
        transaction.change("delete from users where id = $1", values![user]).await?;
        transaction.change("delete from sessions where user_id = $1", values![user]).await?;
        transaction.commit().await
    }

    async fn ids_by(&self, sql: &str, user: &UserId) -> Result<Vec<PostId>> {
        let found = self.database.ask(Patience::Endless, sql, values![user]).await?;
        found.iter().map(|row| row.post_id("id")).collect()
    }
}
