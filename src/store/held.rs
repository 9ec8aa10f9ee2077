//! Held ratings: kept for a moderator; a counted one of the same user may stand in `ratings` beside it.

use super::Store;
use super::ratings::{EXCLUDED, in_order, key};
use crate::database::rows::{Rule, Sink, Table};
use crate::database::{Patience, Row, Transaction, values};
use crate::error::Result;
use crate::merge::{HeldRating, Key};
use crate::model::{PostId, Time, UserId};

pub(super) const HELD: Table = Table {
    name: "held",
    keys: &["post_id", "user_id"],
    others: &["score", "status", "rated_at", "position"],
    rule: Rule::Replace(&[]),
};

/// The status of one that no exclusion covers.
const WAITS: &str = "held";

pub(super) fn write_held(sink: &mut dyn Sink, ((post, user), held): &(Key, HeldRating)) {
    sink.text(post.as_str());
    sink.text(user.as_str());
    sink.small(held.score.get().into());
    sink.text(if held.is_excluded { EXCLUDED } else { WAITS });
    sink.int(held.rated_at.ms());
    sink.bytes(&held.position.to_bytes());
}

pub(super) fn held(row: &Row) -> Result<HeldRating> {
    Ok(HeldRating {
        score: row.score("score")?,
        rated_at: row.time("rated_at")?,
        position: row.position("position")?,
        is_excluded: row.text("status")? == EXCLUDED,
    })
}

fn with_keys(found: &[Row]) -> Result<Vec<(Key, HeldRating)>> {
    found.iter().map(|row| Ok((key(row)?, held(row)?))).collect()
}

/// Held ratings are held no more.
pub(super) async fn unhold(transaction: &mut Transaction, keys: &[Key]) -> Result<()> {
    if !keys.is_empty() {
        let sql = "delete from held where (post_id, user_id) in (select post_id, user_id from {keys})";
        transaction.change(sql, values![keys]).await?;
    }
    Ok(())
}

impl Store {
    /// Held ratings in the order of posts and users, of one post if one is named: at most `limit` that come after
    /// `after`. Those that an exclusion covers only if asked for.
    pub async fn held_page(
        &self,
        post: Option<&PostId>,
        after: Option<&Key>,
        limit: usize,
        with_excluded: bool,
    ) -> Result<Vec<(Key, HeldRating)>> {
        let place =
            if post.is_some() { "post_id = $1 and user_id > $2" } else { "(post_id, user_id) > ($1, $2)" };
        let columns = HELD.columns();
        let status = if with_excluded { "" } else { "and status = 'held'" };
        let sql =
            format!("select {columns} from held where {place} {status} order by post_id, user_id limit $3");
        let (after_post, after_user) = after.map_or(("", ""), |(post, user)| (post.as_str(), user.as_str()));
        let values = values![post.map_or(after_post, PostId::as_str), after_user, limit];
        with_keys(&self.database.ask(Patience::Patient, &sql, values).await?)
    }

    /// A user's held ratings of these posts, in the order asked.
    pub async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>> {
        let sql = format!(
            "select {} from {{ids}} {{join}} held h on h.post_id = k.id and h.user_id = $2",
            HELD.columns_of("h")
        );
        let found = self.database.ask(Patience::Quick, &sql, values![posts, user]).await?;
        in_order(posts, &found, "post_id", held)
    }

    /// A user's held ratings, in the order of their posts: at most `limit` that come after `after`.
    pub async fn held_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, HeldRating)>> {
        let sql = format!(
            "select {} from held where user_id = $1 and post_id > $2 order by post_id limit $3",
            HELD.columns()
        );
        let values = values![user, after.map_or("", PostId::as_str), limit];
        let found = self.database.ask(Patience::Patient, &sql, values).await?;
        found.iter().map(|row| Ok((row.post_id("post_id")?, held(row)?))).collect()
    }

    /// The oldest held ratings from before `before` that no exclusion covers, at most `limit`.
    pub async fn held_before(&self, before: Time, limit: usize) -> Result<Vec<(Key, HeldRating)>> {
        let sql = format!(
            "select {} from held where status = 'held' and rated_at < $1
                   order by rated_at, post_id, user_id limit $2",
            HELD.columns()
        );
        with_keys(&self.database.ask(Patience::Patient, &sql, values![before, limit]).await?)
    }
}
