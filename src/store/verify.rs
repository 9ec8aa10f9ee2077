//! The audit behind `damper verify`: counts averages anew from the ratings rows, a page of posts at a time.
//!
//! The databases bring a page's averages and stream its ratings; what is compared is the same for both.

use std::collections::BTreeMap;

use super::rows::{AverageRow, RatingRow, post_id};
use super::{Recounted, VERIFY_POSTS};
use crate::error::Result;
use crate::model::PostId;
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
        let rating = row.rating()?;
        match rating.is_excluded {
            true => recount.pass_excluded(),
            false => recount.add(&rating.row),
        }
        *ratings += 1;
        Ok(())
    }

    pub fn finish(self, each: &mut (dyn FnMut(Recounted) + Send)) {
        for (post, (average, recount, ratings)) in self.posts {
            each(Recounted { post, ratings, differences: recount.differences(&average) });
        }
    }
}

fn recount(average: &Average) -> Recount {
    Recount::new(average.calm.clock, average.surge.clock)
}

pub(super) const VERIFY_RATINGS: &str =
    "select * from ratings where post_id > $1 and post_id <= $2 order by post_id";

/// Sorts after every id: `~` is the alphabet's last character, DEL comes after it.
const AFTER_ALL_IDS: &str = "\u{7f}";

/// The stretch of post ids that an audit has still to look at, a page at a time.
pub(super) struct VerifyRange {
    rest: Option<(String, String)>,
}

impl VerifyRange {
    /// All ids, or one: a page is `(after, through]`.
    pub fn of(post: Option<&PostId>) -> Self {
        let rest = match post {
            // The text before an id in byte order: its own beginning, then the last character lowered by one.
            Some(post) => (before(post.as_str()), post.to_string()),
            None => (String::new(), AFTER_ALL_IDS.to_owned()),
        };
        Self { rest: Some(rest) }
    }

    /// The next page's bounds; nothing when all is done.
    pub fn next(&self) -> Option<(String, String)> {
        self.rest.clone()
    }

    /// Ends the page at the last average found when it is full, else with the range; returns where it ends.
    pub fn narrow(&mut self, last: Option<&str>, found: usize) -> String {
        let (_, through) = self.rest.take().unwrap_or_default();
        match last {
            Some(last) if found as i64 == VERIFY_POSTS => {
                self.rest = Some((last.to_owned(), through));
                last.to_owned()
            }
            _ => through,
        }
    }
}

/// A text that sorts right below `id`: no id lies between them, since none holds DEL.
fn before(id: &str) -> String {
    let mut bytes = id.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last -= 1;
    }
    bytes.push(0x7f);
    String::from_utf8(bytes).unwrap_or_default()
}
