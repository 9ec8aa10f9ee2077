//! What a batch's keys hold before the merge. Averages and standings are loaded, never the posts' texts.
//!
//! Nothing is locked: only a commit changes what is loaded here, and the commit's swap fails if there was one.

use std::collections::HashSet;

use super::Store;
use super::averages::AVERAGES;
use super::decisions::EXCLUSIONS;
use super::held::{HELD, held};
use super::posts::loaded;
use super::ratings::{self, WITHDRAWALS, key, rating};
use crate::database::{Patience, Row, Value, values};
use crate::entry::Batch;
use crate::error::Result;
use crate::merge::{Key, Loaded, keys_of};

impl Store {
    /// What the batch touches. Withdrawals and exclusions only where it holds retried entries, held ratings only of posts
    /// under review; of a decision that is merged by itself, all exclusions of its post.
    pub async fn load(&self, batch: &Batch) -> Result<Loaded> {
        let (keys, mut result) = (keys_of(batch, |_| true), Loaded::default());
        for row in self.of_keys(&ratings::of_keys(), &keys).await? {
            result.ratings.insert(key(&row)?, rating(&row)?);
        }
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
            let sql = format!(
                "select {} from {{keys}} {{join}} held h on h.post_id = k.post_id and h.user_id = k.user_id",
                HELD.columns_of("h")
            );
            for row in self.of_keys(&sql, &reviewed).await? {
                result.held.insert(key(&row)?, held(&row)?);
            }
        }
        if let Some((_, decision)) = batch.bulk() {
            result.exclusions = self.exclusions_of(Patience::Commit, &decision.post).await?;
            return Ok(result);
        }
        let retried = keys_of(batch, |entry| entry.origin.is_some());
        if !retried.is_empty() {
            let sql = format!(
                "select {} from {{keys}} {{join}} withdrawals w
                       on w.post_id = k.post_id and w.user_id = k.user_id",
                WITHDRAWALS.columns_of("w")
            );
            for row in self.of_keys(&sql, &retried).await? {
                result.withdrawals.insert(key(&row)?, row.position("position")?);
            }
            let sql = format!(
                "select {} from {{ids}} {{join}} exclusions e on e.post_id = k.id where e.undone = 0",
                EXCLUSIONS.columns_of("e")
            );
            let found = self.of_posts(&sql, &retried).await?;
            result.exclusions = found.iter().map(super::decisions::exclusion).collect::<Result<_>>()?;
        }
        Ok(result)
    }

    async fn of_keys(&self, sql: &str, keys: &[Key]) -> Result<Vec<Row>> {
        self.database.ask(Patience::Commit, sql, values![keys]).await
    }

    /// The same for the posts of the keys, each once.
    async fn of_posts(&self, sql: &str, keys: &[Key]) -> Result<Vec<Row>> {
        let mut seen = HashSet::new();
        let posts = keys.iter().map(|(post, _)| post.as_str()).filter(|post| seen.insert(*post)).collect();
        self.database.ask(Patience::Commit, sql, vec![Value::Texts(posts)]).await
    }
}
