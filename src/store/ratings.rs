//! Ratings, one row for each user and post, and withdrawals: where the newest of each stood in the log, and what is left
//! of its arrival.

use std::collections::HashMap;

use super::prelude::*;
use crate::merge::Withdrawal;
use crate::smoothing::{self, Arrival, LaneName, Mark};

pub(super) const RATINGS: Table = Table::new(
    "ratings",
    &["post_id", "user_id"],
    &["score", "status", "lane", "rated_at", "position", "vest_clock", "unvested_sum", "unvested_count"],
);
/// Ratings of users who had none of the post: the fold knows that, as only commits of the same shard write here.
pub(super) const NEW_RATINGS: Table = Table { rule: Rule::Add, ..RATINGS };
pub(super) const WITHDRAWALS: Table =
    Table::new("withdrawals", &["post_id", "user_id"], &["position", "lane", "vest_clock", "withdrawn_at"]);

/// The status of a rating, or a held rating, that a moderator excluded.
pub(super) const EXCLUDED: &str = "excluded";

/// A page of a post's ratings, or held ratings, in the order of the key; nothing but the key decides how far it goes.
pub(super) const PAGE_OF_POST: &str = "where post_id = $1 and user_id > $2 order by user_id limit $3";

/// Asks for the rows, called `alias`, of a list of keys.
pub(super) fn of_keys(table: &Table, alias: &str) -> String {
    let on = format!("{alias}.post_id = k.post_id and {alias}.user_id = k.user_id");
    table.select_listed(alias, "{keys}", &on)
}

/// Deletes the ratings, or held ratings, of these keys.
pub(super) async fn delete(transaction: &mut Transaction, table: &Table, keys: &[Key]) -> Result<()> {
    if !keys.is_empty() {
        let which = "where (post_id, user_id) in (select post_id, user_id from {keys})";
        transaction.change(&format!("delete from {} {which}", table.name), values![keys]).await?;
    }
    Ok(())
}

pub(super) fn write_rating(sink: &mut dyn Sink, ((post, user), rating): &(Key, Rating)) {
    sink.text(post.as_str());
    sink.text(user.as_str());
    sink.small(rating.row.score.get().into());
    sink.text(if rating.is_excluded { EXCLUDED } else { "counted" });
    sink.text(rating.row.lane.as_str());
    sink.int(rating.rated_at.ms());
    sink.bytes(&rating.position.to_bytes());
    sink.float(rating.row.vest_clock);
    sink.float(rating.row.unvested_sum);
    sink.float(rating.row.unvested_count);
}

pub(super) fn write_withdrawal(sink: &mut dyn Sink, ((post, user), withdrawal): &(Key, Withdrawal)) {
    let Withdrawal { position, mark } = withdrawal;
    sink.text(post.as_str());
    sink.text(user.as_str());
    sink.bytes(&position.to_bytes());
    sink.text_or_null(mark.map(|mark| mark.arrival.lane.as_str()));
    sink.float(mark.map_or(0.0, |mark| mark.arrival.vest_clock));
    sink.int(mark.map_or(0, |mark| mark.withdrawn_at.ms()));
}

/// The key of a row of `ratings`, `held` or `withdrawals`.
pub(super) fn key(row: &Row) -> Result<Key> {
    Ok((row.post_id("post_id")?, row.user_id("user_id")?))
}

pub(super) fn rating(row: &Row) -> Result<Rating> {
    Ok(Rating {
        row: smoothing::Row {
            score: row.score("score")?,
            lane: row.parsed("lane", LaneName::parse)?,
            vest_clock: row.float("vest_clock")?,
            unvested_sum: row.float("unvested_sum")?,
            unvested_count: row.float("unvested_count")?,
        },
        rated_at: row.time("rated_at")?,
        position: row.position("position")?,
        is_excluded: row.text("status")? == EXCLUDED,
    })
}

/// A row's lane and clock.
pub(super) fn arrival(row: &Row) -> Result<Arrival> {
    Ok(Arrival { lane: row.parsed("lane", LaneName::parse)?, vest_clock: row.float("vest_clock")? })
}

pub(super) fn withdrawal(row: &Row) -> Result<Withdrawal> {
    let mark = || Ok::<_, Error>(Mark { arrival: arrival(row)?, withdrawn_at: row.time("withdrawn_at")? });
    let mark = row.text_or_null("lane")?.map(|_| mark()).transpose()?;
    Ok(Withdrawal { position: row.position("position")?, mark })
}

/// What `read` makes of the rows, in the order in which posts were asked for.
pub(super) fn in_order<T: Clone>(
    posts: &[PostId],
    found: &[Row],
    name: &str,
    read: impl Fn(&Row) -> Result<T>,
) -> Result<Vec<Option<T>>> {
    let mut of = HashMap::with_capacity(found.len());
    for row in found {
        of.insert(row.post_id(name)?, read(row)?);
    }
    Ok(posts.iter().map(|post| of.get(post).cloned()).collect())
}

impl Store {
    /// Withdrawals in the order of their keys: at most `limit` that come after `after`.
    pub async fn withdrawals_page(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Withdrawal)>> {
        let sql =
            WITHDRAWALS.select("where (post_id, user_id) > ($1, $2) order by post_id, user_id limit $3");
        let (post, user) = after.map_or(("", ""), |(post, user)| (post.as_str(), user.as_str()));
        let found = self.database.ask(Patience::Patient, &sql, values![post, user, limit]).await?;
        found.iter().map(|row| Ok((key(row)?, withdrawal(row)?))).collect()
    }

    /// Forgets withdrawals that are still what they were; returns how many.
    pub async fn forget_withdrawals(&self, gone: &[(Key, Withdrawal)]) -> Result<u64> {
        if gone.is_empty() {
            return Ok(0);
        }
        let sql = "delete from withdrawals where post_id = $1 and user_id = $2 and position = $3";
        let mut transaction = self.database.begin(Patience::Commit).await?;
        let mut forgotten = 0;
        for ((post, user), withdrawal) in gone {
            forgotten += transaction.change(sql, values![post, user, withdrawal.position]).await?;
        }
        transaction.commit().await?;
        Ok(forgotten)
    }

    /// A user's ratings of these posts, in the order asked.
    pub async fn ratings_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Rating>>> {
        let sql = RATINGS.select_listed("r", "{ids}", "r.post_id = k.id and r.user_id = $2");
        let found = self.database.ask(Patience::Quick, &sql, values![posts, user]).await?;
        in_order(posts, &found, "post_id", rating)
    }

    /// The ratings of a post in the order of their users: at most `limit` that come after `after`.
    pub async fn ratings_page(
        &self,
        post: &PostId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Rating)>> {
        let values = values![post, after.map_or("", UserId::as_str), limit];
        let found = self.database.ask(Patience::Patient, &RATINGS.select(PAGE_OF_POST), values).await?;
        found.iter().map(|row| Ok((row.user_id("user_id")?, rating(row)?))).collect()
    }
}
