//! The averages that drains have changed, for clients that follow them.
//!
//! Each commit records the posts that it changed in its own transaction, so a follower misses none, whichever process
//! drained. A follower's watermark is a position in every shard's log: it knows the averages up to there.

use std::collections::BTreeSet;
use std::fmt;

use super::Reader;
use crate::entry::Position;
use crate::error::{Invalid, Kind, Result};
use crate::model::{PostId, Time};
use crate::smoothing::Average;
use crate::store::POSTS_ASKED_MAX;

/// Most posts in one answer; beyond it the answer only says that there are more.
const POSTS_NAMED_MAX: usize = 5_000;

/// The position up to which each shard's log is known, in the order of the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark(Vec<Position>);

impl Watermark {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let positions: Option<Vec<Position>> = text.split(',').map(Position::parse).collect();
        positions.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let detail = format!("{shown:?} is not an id of these events; begin without one");
            Invalid::new(Kind::InvalidCursor, detail)
        })
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let positions: Vec<String> = self.0.iter().map(Position::to_string).collect();
        f.write_str(&positions.join(","))
    }
}

/// What has changed since a watermark.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The new watermark.
    pub watermark: Watermark,
    /// The changed averages as readers see them now; `None` when there are too many, or when the old watermark belongs to
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
        let posts: Vec<PostId> = posts.into_iter().collect();
        let mut averages = Vec::with_capacity(posts.len());
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
        let moved =
            self.context.all_shards().zip(from.0.iter().zip(&to.0)).filter(|(_, (from, to))| from != to);
        for (shard, (from, to)) in moved {
            let Some(posts) = self.store.changed(shard, *from, *to).await? else { return Ok(None) };
            changed.extend(posts);
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
        let text = "1790000000000-3,0-0,0-7";
        assert_eq!(Watermark::parse(text).unwrap().to_string(), text);
        for forged in ["", "x", "1-2,3", "1-2;3-4", "-1"] {
            assert!(Watermark::parse(forged).is_err(), "{forged}");
        }
    }
}
