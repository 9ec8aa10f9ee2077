//! A person: what is stored by a user's id across the tables, and how it is forgotten. It may mean a walk through all
//! there is, so it takes as long as it takes.

use super::Store;
use super::ratings::{RATINGS, rating};
use crate::database::{Patience, values};
use crate::error::Result;
use crate::merge::Rating;
use crate::model::{PostId, UserId};

/// Rows of a forgotten user that one transaction changes: no other writer waits long for it.
const FORGOTTEN_AT_ONCE: usize = 200;

impl Store {
    /// The posts that a user has rated, in order: at most `limit` that come after `after`, with the ratings.
    pub async fn ratings_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, Rating)>> {
        let sql = format!(
            "select {} from ratings where post_id > $2 and user_id = $1 order by post_id limit $3",
            RATINGS.columns()
        );
        let values = values![user, after.map_or("", PostId::as_str), limit];
        let found = self.database.ask(Patience::Endless, &sql, values).await?;
        found.iter().map(|row| Ok((row.post_id("post_id")?, rating(row)?))).collect()
    }

    /// The posts that a user has made.
    pub async fn posts_by(&self, user: &UserId) -> Result<Vec<PostId>> {
        self.ids_by("select id from posts where created_by = $1 order by id", user).await
    }

    /// Takes a user's id from the posts that they have made, and drops their name and the marks of their withdrawals.
    pub async fn forget(&self, user: &UserId) -> Result<()> {
        // By the keys, so that nothing else waits for a walk through a table.
        let posts = self.posts_by(user).await?;
        let sql = "update posts set created_by = null, revision = revision + 1
                   where created_by = $2 and id in (select id from {ids})";
        for posts in posts.chunks(FORGOTTEN_AT_ONCE) {
            self.database.change(Patience::Endless, sql, values![posts, user]).await?;
        }
        let sql = "select post_id as id from withdrawals where user_id = $1 order by post_id";
        let posts = self.ids_by(sql, user).await?;
        let sql = "delete from withdrawals where user_id = $2 and post_id in (select id from {ids})";
        for posts in posts.chunks(FORGOTTEN_AT_ONCE) {
            self.database.change(Patience::Endless, sql, values![posts, user]).await?;
        }
        let mut transaction = self.database.begin(Patience::Endless).await?;
        transaction.change("delete from daily_posts where user_id = $1", values![user]).await?;
        transaction.change("delete from users where id = $1", values![user]).await?;
        transaction.commit().await
    }

    async fn ids_by(&self, sql: &str, user: &UserId) -> Result<Vec<PostId>> {
        let found = self.database.ask(Patience::Endless, sql, values![user]).await?;
        found.iter().map(|row| row.post_id("id")).collect()
    }
}
