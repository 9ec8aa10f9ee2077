//! What drains have changed, for whoever follows the averages.
//!
//! Each commit notes in its own transaction which posts it changed, so nobody who follows misses one, whichever process
//! drained. A follower's place is a place in every shard's log: up to there the averages are known.

use std::collections::BTreeSet;
use std::fmt;

use crate::app::App;
use crate::entry::Position;
use crate::error::{Invalid, Kind, Result};
use crate::model::{PostId, Time};
use crate::smoothing::Average;
use crate::store::POSTS_ASKED_MAX;

/// Posts that are told at once; of more it is said only that there are.
const POSTS_TOLD_MAX: usize = 5_000;

/// Up to where each shard's log is known, in the order of the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Vec<Position>);

impl Place {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let positions: Option<Vec<Position>> = text.split(',').map(Position::parse).collect();
        positions.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Invalid::new(
                Kind::InvalidCursor,
                format!("{shown:?} is no place that events bear; begin without"),
            )
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, position) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            position.fmt(f)?;
        }
        Ok(())
    }
}

/// What has changed since a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// Up to here.
    pub place: Place,
    /// The changed averages as everybody sees them now; nothing when there are more than can be told, or when the place
    /// is one of another installation.
    pub averages: Option<Vec<Changed>>,
}

/// A changed average.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Whose it is.
    pub post: PostId,
    /// Evaluated at `as_of`.
    pub average: Average,
    /// The moment that the published mean belongs to.
    pub as_of: Time,
}

impl App {
    /// Where the averages are now.
    pub async fn place(&self) -> Result<Place> {
        Ok(Place(self.store.checkpoints().await?))
    }

    /// What has changed since `from`; nothing when nothing has.
    pub async fn changes(&self, from: &Place, now: Time) -> Result<Option<Changes>> {
        let place = self.place().await?;
        if place == *from {
            return Ok(None);
        }
        let Some(posts) = self.changed_posts(from, &place).await? else {
            return Ok(Some(Changes { place, averages: None }));
        };
        let mut averages = Vec::with_capacity(posts.len());
        let posts: Vec<PostId> = posts.into_iter().collect();
        for ids in posts.chunks(POSTS_ASKED_MAX) {
            for (post, average) in self.store.averages(ids).await? {
                let as_of = self.as_of(&average, now);
                averages.push(Changed { post, average: average.at(as_of, &self.params), as_of });
            }
        }
        Ok(Some(Changes { place, averages: Some(averages) }))
    }

    async fn changed_posts(&self, from: &Place, to: &Place) -> Result<Option<BTreeSet<PostId>>> {
        if from.0.len() != to.0.len() {
            return Ok(None);
        }
        let mut changed = BTreeSet::new();
        for ((shard, from), to) in self.all_shards().zip(&from.0).zip(&to.0) {
            if from == to {
                continue;
            }
            match self.store.changed(shard, *from, *to).await? {
                Some(posts) => changed.extend(posts),
                None => return Ok(None),
            }
            if changed.len() > POSTS_TOLD_MAX {
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
    fn a_place_comes_back_and_a_forged_one_does_not() {
        let place = Place(vec![Position::new(1_790_000_000_000, 3), Position::START, Position::new(0, 7)]);
        assert_eq!(place.to_string(), "1790000000000-3,0-0,0-7");
        assert_eq!(Place::parse(&place.to_string()), Ok(place));
        for forged in ["", "x", "1-2,3", "1-2;3-4", "-1"] {
            assert!(Place::parse(forged).is_err(), "{forged}");
        }
    }
}
