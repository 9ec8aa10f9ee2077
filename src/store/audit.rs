//! The audit behind `damper verify`: counts averages anew from the ratings rows, a page of posts at a time.
//!
//! The databases bring a page's averages and stream its ratings; what is compared is the same for both.

use std::collections::BTreeMap;

use super::Audited;
use super::rows::{AverageRow, RatingRow, post_id};
use crate::error::Result;
use crate::rating::PostId;
use crate::smoothing::{Average, Recount};

/// The averages of a page of posts, and what their ratings have added up to so far.
pub(super) struct Page {
    posts: BTreeMap<PostId, (Average, Recount, u64)>,
}

impl Page {
    pub fn new(rows: &[AverageRow]) -> Result<Self> {
        let mut posts = BTreeMap::new();
        for row in rows {
            let average = row.state.average();
            posts.insert(post_id(&row.post_id)?, (average, recount(&average), 0));
        }
        Ok(Self { posts })
    }

    /// Counts a rating; one whose post has no average at all is a difference too.
    pub fn add(&mut self, row: &RatingRow) -> Result<()> {
        let none = Average::default();
        let (_, recount, ratings) =
            self.posts.entry(post_id(&row.post_id)?).or_insert_with(|| (none, recount(&none), 0));
        recount.add(&row.rating()?.row);
        *ratings += 1;
        Ok(())
    }

    pub fn finish(self, each: &mut (dyn FnMut(Audited) + Send)) {
        for (post, (average, recount, ratings)) in self.posts {
            each(Audited { post, ratings, differences: recount.differences(&average) });
        }
    }
}

fn recount(average: &Average) -> Recount {
    Recount::new(average.calm.clock, average.surge.clock)
}
