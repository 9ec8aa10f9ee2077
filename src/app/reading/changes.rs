//! Which averages drains have changed, for clients that follow them.
//!
//! Each commit records the posts that it changed in its own transaction, so a follower misses none, whichever process
//! drained. A follower's watermark is a place in every shard's log: up to there the averages are known.

use std::collections::BTreeSet;
use std::fmt;

use super::Reader;
use crate::entry::Position;
use crate::error::{Invalid, Result};
use crate::model::{PostId, Time};
use crate::smoothing::Average;
use crate::store::POSTS_ASKED_MAX;

/// Most posts that one answer names; beyond it the answer only says that there are more.
const POSTS_NAMED_MAX: usize = 5_000;

/// Up to where each shard's log is known, in the order of the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark(Vec<Position>);

impl Watermark {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let positions: Option<Vec<Position>> = text.split(',').map(Position::parse).collect();
        positions.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Invalid::new(
                "invalid-cursor",
                format!("{shown:?} is not an id of these events; begin without one"),
            )
        })
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, position) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            position.fmt(f)?;
        }
        Ok(())
    }
}

/// What has changed since a watermark.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// Up to here.
    pub watermark: Watermark,
    /// The changed averages as readers see them now; `None` when there are too many, or when the watermark belongs to
    /// another installation.
    pub averages: Option<Vec<Changed>>,
}

/// A changed average.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The post.
    pub post: PostId,
    /// Evaluated at `as_of`.
    pub average: Average,
    /// The moment that the published mean belongs to.
    pub as_of: Time,
}

impl Reader {
    /// The watermark of the averages as they are now.
    pub async fn watermark(&self) -> Result<Watermark> {
        Ok(Watermark(self.store.checkpoints().await?))
    }

    /// What has changed since `from`; `None` when nothing has.
    pub async fn changes(&self, from: &Watermark, now: Time) -> Result<Option<Changes>> {
        let watermark = self.watermark().await?;
        if watermark == *from {
            return Ok(None);
        }
        let Some(posts) = self.changed_posts(from, &watermark).await? else {
            return Ok(Some(Changes { watermark, averages: None }));
        };
        let mut averages = Vec::with_capacity(posts.len());
        let posts: Vec<PostId> = posts.into_iter().collect();
        for ids in posts.chunks(POSTS_ASKED_MAX) {
            for (post, average) in self.store.averages(ids).await? {
                let as_of = self.context.as_of(&average, now);
                averages.push(Changed { post, average: average.at(as_of, &self.context.params), as_of });
            }
        }
        Ok(Some(Changes { watermark, averages: Some(averages) }))
    }

    async fn changed_posts(&self, from: &Watermark, to: &Watermark) -> Result<Option<BTreeSet<PostId>>> {
        if from.0.len() != to.0.len() {
            return Ok(None);
        }
        let mut changed = BTreeSet::new();
        for ((shard, from), to) in self.context.all_shards().zip(&from.0).zip(&to.0) {
            if from == to {
                continue;
            }
            match self.store.changed(shard, *from, *to).await? {
                Some(posts) => changed.extend(posts),
                None => return Ok(None),
            }
            if changed.len() > POSTS_NAMED_MAX {
                return Ok(None);
            }
        }
        Ok(Some(changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_comes_back_and_a_forged_one_does_not() {
        let watermark =
            Watermark(vec![Position::new(1_790_000_000_000, 3), Position::START, Position::new(0, 7)]);
        assert_eq!(watermark.to_string(), "1790000000000-3,0-0,0-7");
        assert_eq!(Watermark::parse(&watermark.to_string()), Ok(watermark));
        for forged in ["", "x", "1-2,3", "1-2;3-4", "-1"] {
            assert!(Watermark::parse(forged).is_err(), "{forged}");
        }
    }
}
