//! Held ratings: kept for a moderator; a counted one of the same user may stand in `ratings` beside it.

use super::prelude::*;
use super::ratings::{EXCLUDED, arrival, in_order, key};

pub(super) const HELD: Table = Table::new(
    "held",
    &["post_id", "user_id"],
    &["score", "status", "rated_at", "position", "lane", "vest_clock"],
);

pub(super) fn write_held(sink: &mut dyn Sink, ((post, user), held): &(Key, HeldRating)) {
    sink.text(post.as_str());
    sink.text(user.as_str());
    sink.small(held.score.get().into());
    sink.text(if held.is_excluded { EXCLUDED } else { "held" });
    sink.int(held.rated_at.ms());
    sink.bytes(&held.position.to_bytes());
    sink.text(held.arrival.lane.as_str());
    sink.float(held.arrival.vest_clock);
}

pub(super) fn held(row: &Row) -> Result<HeldRating> {
    Ok(HeldRating {
        score: row.score("score")?,
        arrival: arrival(row)?,
        rated_at: row.time("rated_at")?,
        position: row.position("position")?,
        is_excluded: row.text("status")? == EXCLUDED,
    })
}

fn with_key(row: &Row) -> Result<(Key, HeldRating)> {
    Ok((key(row)?, held(row)?))
}

/// A held rating's place among all that wait, the oldest first: when it was given, and what it is.
pub type HeldKey = (Time, Key);

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
        let status = if with_excluded { "" } else { "and status = 'held'" };
        let sql = HELD.select(&format!("where {place} {status} order by post_id, user_id limit $3"));
        let (after_post, after_user) = after.map_or(("", ""), |(post, user)| (post.as_str(), user.as_str()));
        let values = values![post.map_or(after_post, PostId::as_str), after_user, limit];
        self.database.ask(Patience::Patient, &sql, values).await?.iter().map(with_key).collect()
    }

    /// A user's held ratings of these posts, in the order asked.
    pub async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>> {
        let sql = HELD.select_listed("h", "{ids}", "h.post_id = k.id and h.user_id = $2");
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
        let sql = HELD.select("where user_id = $1 and post_id > $2 order by post_id limit $3");
        let values = values![user, after.map_or("", PostId::as_str), limit];
        let found = self.database.ask(Patience::Patient, &sql, values).await?;
        found.iter().map(|row| Ok((row.post_id("post_id")?, held(row)?))).collect()
    }

    /// Held ratings that no exclusion covers, of all posts or of one, the oldest first: at most `limit` that come after
    /// `after`.
    pub async fn oldest_held(
        &self,
        post: Option<&PostId>,
        after: Option<&HeldKey>,
        limit: usize,
    ) -> Result<Vec<(Key, HeldRating)>> {
        let of_post = if post.is_some() { "and post_id = $5" } else { "" };
        let sql = HELD.select(&format!(
            "where status = 'held' and (rated_at, post_id, user_id) > ($1, $2, $3) {of_post}
             order by rated_at, post_id, user_id limit $4"
        ));
        let mut values = match after {
            Some((at, (post, user))) => values![*at, post, user, limit],
            None => values![i64::MIN, "", "", limit],
        };
        values.extend(post.map(Into::into));
        self.database.ask(Patience::Patient, &sql, values).await?.iter().map(with_key).collect()
    }

    /// How many ratings are held, counted up to `most`.
    pub async fn count_held(&self, most: usize) -> Result<u64> {
        // In the order of the index, so that it is read and not the table.
        let sql = "select count(*) as held from (
                select 1 from held where status = 'held' order by rated_at, post_id, user_id limit $1
            ) few";
        self.database.ask_one(Patience::Quick, sql, values![most]).await?.count("held")
    }

    /// The oldest held ratings from before `before` that no exclusion covers, at most `limit`.
    pub async fn held_before(&self, before: Time, limit: usize) -> Result<Vec<(Key, HeldRating)>> {
        let sql = HELD
            .select("where status = 'held' and rated_at < $1 order by rated_at, post_id, user_id limit $2");
        let values = values![before, limit];
        self.database.ask(Patience::Patient, &sql, values).await?.iter().map(with_key).collect()
    }
}
