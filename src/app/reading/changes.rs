//! The averages that drains have changed, for clients that follow them.
//!
//! Each commit records the posts that it changed in its own transaction, so a follower misses none, whichever process
//! drained. A follower's watermark is a position in every shard's log: it knows the averages up to there.

use std::collections::BTreeMap;
use std::fmt;

use super::Reader;
use crate::entry::{Position, Shard};
use crate::error::{Invalid, Kind, Result};
use crate::model::{PostId, Time};
use crate::smoothing::Average;
use crate::store::POSTS_ASKED_MAX;

/// Most posts in one reading; beyond it the reading only says that there are more.
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

impl Watermark {
    /// Whether it is not before `from` and not after `to`, in any shard.
    pub fn is_between(&self, from: &Self, to: &Self) -> bool {
        let shards = self.0.iter().zip(from.0.iter().zip(&to.0));
        self.0.len() == to.0.len() && shards.into_iter().all(|(at, (from, to))| from <= at && at <= to)
    }

    /// Whether the commit at this place is known.
    pub fn knows(&self, (shard, position): (Shard, Position)) -> bool {
        self.0.get(usize::from(shard.0)).is_some_and(|known| position <= *known)
    }

    /// What it takes of memory.
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<Position>()
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let positions: Vec<String> = self.0.iter().map(Position::to_string).collect();
        f.write_str(&positions.join(","))
    }
}

/// What has changed between two watermarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The old watermark.
    pub from: Watermark,
    /// The new one.
    pub to: Watermark,
    /// The changed averages as readers see them now; `None` when there are too many, or not all are known.
    pub averages: Option<Vec<Changed>>,
}

/// A changed average.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The post.
    pub post: PostId,
    /// The place of the newest commit that changed it.
    pub place: (Shard, Position),
    /// Evaluated at `as_of`.
    pub average: Average,
    /// The moment that the published mean belongs to.
    pub as_of: Time,
}

impl Reader {
    /// What has changed since `from`; nothing when nothing has. Without `from`, what is remembered of the newest changes.
    pub async fn changes(&self, from: Option<&Watermark>, now: Time) -> Result<Option<Changes>> {
        let to = Watermark(self.store.checkpoints().await?);
        if from == Some(&to) {
            return Ok(None);
        }
        let (mut since, mut places) = (Vec::with_capacity(to.0.len()), BTreeMap::new());
        for (i, (shard, to_here)) in self.context.all_shards().zip(to.0.iter().copied()).enumerate() {
            let left = POSTS_NAMED_MAX.saturating_sub(places.len());
            let (from_here, posts_max) = match from {
                Some(from) => (from.0.get(i).copied().unwrap_or_default(), left),
                // Each shard gets its part.
                None => (Position::START, left / (to.0.len() - i)),
            };
            let (since_here, changed) = match from_here == to_here {
                true => (to_here, BTreeMap::new()),
                false => self.store.changed(shard, from_here, to_here, posts_max).await?,
            };
            if from.is_some() && since_here != from_here {
                return Ok(Some(Changes { from: to.clone(), to, averages: None }));
            }
            since.push(since_here);
            places.extend(changed.into_iter().map(|(post, position)| (post, (shard, position))));
        }
        let posts: Vec<PostId> = places.keys().cloned().collect();
        let mut averages = Vec::with_capacity(posts.len());
        for ids in posts.chunks(POSTS_ASKED_MAX) {
            for (post, average) in self.store.averages(ids).await? {
                let as_of = self.context.as_of(&average, now);
                let place = places.get(&post).copied().unwrap_or((Shard(0), Position::START));
                averages.push(Changed {
                    post,
                    place,
                    average: average.at(as_of, &self.context.params),
                    as_of,
                });
            }
        }
        Ok(Some(Changes { from: Watermark(since), to, averages: Some(averages) }))
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
