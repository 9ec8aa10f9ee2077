//! What a batch's keys hold before the merge. Averages and standings are loaded, never the posts' texts.
//!
//! Nothing is locked: only a commit changes what is loaded here, and the commit's swap fails if there was one.

use std::collections::{HashMap, HashSet};

use super::averages::AVERAGES;
use super::decisions::{EXCLUSIONS, exclusion};
use super::held::{HELD, held};
use super::posts::loaded;
use super::prelude::*;
use super::ratings::{RATINGS, WITHDRAWALS, key, of_keys, rating, withdrawal};
use crate::merge::{Loaded, keys_of};

impl Store {
    /// What the batch touches. Withdrawals only while there are any, exclusions only where it holds retried entries, held
    /// ratings only of posts under review; of a decision that is merged by itself, all exclusions of its post.
    pub async fn load(&self, batch: &Batch) -> Result<Loaded> {
        let (keys, mut result) = (keys_of(batch, |_| true), Loaded::default());
        result.ratings = self.of_keys(&RATINGS, "r", &keys, rating).await?;
        let sql = format!(
            "select p.id, p.frozen, p.excluded, p.hold, p.held, {}
                   from {{ids}} {{join}} posts p on p.id = k.id left join averages a on a.post_id = p.id",
            AVERAGES.columns_of("a")
        );
        for row in self.of_posts(&sql, &keys).await? {
            result.posts.insert(row.post_id("id")?, loaded(&row)?);
        }
        let is_reviewed =
            |(post, _): &&Key| result.posts.get(post).is_some_and(|post| post.standing.under_review() > 0);
        let reviewed: Vec<Key> = keys.iter().filter(is_reviewed).cloned().collect();
        if !reviewed.is_empty() {
            result.held = self.of_keys(&HELD, "h", &reviewed, held).await?;
        }
        let marks = "select user_id from withdrawals limit 1";
        if !self.database.ask(Patience::Commit, marks, values![]).await?.is_empty() {
            result.withdrawals = self.of_keys(&WITHDRAWALS, "w", &keys, withdrawal).await?;
        }
        if let Some((_, decision)) = batch.bulk() {
            result.exclusions = self.exclusions_of(Patience::Commit, &decision.post).await?;
            return Ok(result);
        }
        let retried = keys_of(batch, |entry| entry.origin.is_some());
        if !retried.is_empty() {
            let sql = EXCLUSIONS.select_listed("e", "{ids}", "e.post_id = k.id where e.undone = 0");
            let found = self.of_posts(&sql, &retried).await?;
            result.exclusions = found.iter().map(exclusion).collect::<Result<_>>()?;
        }
        Ok(result)
    }

    /// What `read` makes of the rows of these keys in a table that the statement calls `alias`.
    async fn of_keys<T>(
        &self,
        table: &Table,
        alias: &str,
        keys: &[Key],
        read: fn(&Row) -> Result<T>,
    ) -> Result<HashMap<Key, T>> {
        let found = self.database.ask(Patience::Commit, &of_keys(table, alias), values![keys]).await?;
        found.iter().map(|row| Ok((key(row)?, read(row)?))).collect()
    }

    /// The rows that a statement finds for the posts of the keys, each once.
    async fn of_posts(&self, sql: &str, keys: &[Key]) -> Result<Vec<Row>> {
        let mut seen = HashSet::new();
        let posts = keys.iter().map(|(post, _)| post.as_str()).filter(|post| seen.insert(*post)).collect();
        self.database.ask(Patience::Commit, sql, vec![Value::Texts(posts)]).await
    }
}
