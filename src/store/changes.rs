//! Changes: which posts each of the last commits changed, for callers who follow the averages.

use std::collections::BTreeMap;

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
    /// The posts that a shard's commits have changed up to a position, each with the position of the newest that did, and
    /// the position since when these are all. That is `from`, or a later one if the commits before are not remembered, do
    /// not say, or name more than `posts_max` posts together.
    pub async fn changed(
        &self,
        shard: Shard,
        from: Position,
        to: Position,
        posts_max: usize,
    ) -> Result<(Position, BTreeMap<PostId, Position>)> {
        let sql = "select after, position, posts from (
                       select after, position, posts,
                           sum(length(posts) - length(replace(posts, ' ', '')) + 1)
                               over (order by position desc) as so_far
                       from changes where shard = $1 and position > $2 and position <= $3
                   ) newest
                   where so_far <= $4 or posts is null order by position desc limit $5";
        let found =
            self.database.ask(Patience::Quick, sql, values![shard, from, to, posts_max, CHANGES_MAX]).await?;
        let (mut since, mut posts) = (to, BTreeMap::new());
        for row in found {
            let (position, changed) = (row.position("position")?, row.text_or_null("posts")?);
            let (true, Some(changed)) = (position >= since, changed) else { break };
            for id in changed.split(' ').filter(|id| !id.is_empty()) {
                posts.entry(PostId::parse(id).map_err(|_| corrupt("a post id", id))?).or_insert(position);
            }
            since = since.min(row.position("after")?);
        }
        Ok((since.max(from), posts))
    }
}
