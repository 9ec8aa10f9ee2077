//! Changes: which posts each of the last commits changed, for callers who follow the averages.

use std::collections::BTreeSet;

use super::prelude::*;
use crate::database::row::corrupt;

/// Posts that a commit names; of more it says only that there are.
const CHANGED_POSTS_MAX: usize = 500;
/// Commits that are remembered of a shard, at most.
const CHANGES_MAX: usize = 200;

/// Remembers which posts a commit changes.
pub(super) async fn keep(transaction: &mut Transaction, batch: &Batch, merged: &Merged) -> Result<()> {
    let posts = &merged.averages;
    let ids = posts.iter().map(|average| average.post.as_str());
    // A space lies outside the alphabet of ids.
    let ids = (posts.len() <= CHANGED_POSTS_MAX).then(|| ids.collect::<Vec<_>>().join(" "));
    let sql = "insert into changes (shard, position, after, posts) values ($1, $2, $3, $4)";
    transaction.change(sql, values![batch.shard, batch.to, batch.from, ids.as_deref()]).await.map(drop)
}

/// Forgets all but the newest commits of each shard.
pub(super) async fn forget_old(transaction: &mut Transaction) -> Result<()> {
    let sql = "
        delete from changes where (shard, position) in (
            select shard, position from (
                select shard, position, row_number() over (partition by shard order by position desc) as place
                from changes
            ) placed where place > $1)";
    transaction.change(sql, values![CHANGES_MAX]).await.map(drop)
}

impl Store {
    /// The posts that a shard's commits have changed from one position to another; nothing when they are too many, or
    /// the commits are not all remembered.
    pub async fn changed(
        &self,
        shard: Shard,
        from: Position,
        to: Position,
    ) -> Result<Option<BTreeSet<PostId>>> {
        let sql = "select after, position, posts from changes
                   where shard = $1 and position > $2 and position <= $3 order by position limit $4";
        let found =
            self.database.ask(Patience::Quick, sql, values![shard, from, to, CHANGES_MAX + 1]).await?;
        if found.len() > CHANGES_MAX {
            return Ok(None);
        }
        let (mut at, mut posts) = (from, BTreeSet::new());
        for row in found {
            let (true, Some(changed)) = (row.position("after")? <= at, row.text_or_null("posts")?) else {
                return Ok(None);
            };
            for id in changed.split(' ').filter(|id| !id.is_empty()) {
                posts.insert(PostId::parse(id).map_err(|_| corrupt("a post id", id))?);
            }
            at = row.position("position")?;
        }
        Ok((at == to).then_some(posts))
    }
}
