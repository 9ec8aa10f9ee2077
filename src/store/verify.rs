//! The recount behind `damper verify`: averages are counted again from the ratings, a page of posts at a time.

use std::collections::BTreeMap;

use super::averages::{AVERAGES, average};
use super::bulk::averages_under_way;
use super::next_after;
use super::prelude::*;
use super::ratings::{RATINGS, rating};
use crate::smoothing::{Average, Difference, Recount};

/// Posts whose ratings are read together.
pub const VERIFY_POSTS: usize = 500;
/// Sorts after every id: `~` is the alphabet's last character, DEL comes after it.
const AFTER_ALL_IDS: &str = "\u{7f}";

/// One post, recounted.
#[derive(Debug, Clone)]
pub struct Recounted {
    /// Whose ratings were counted.
    pub post: PostId,
    /// How many there are.
    pub ratings: u64,
    /// Figures of the stored average that the rows do not give.
    pub differences: Vec<Difference>,
}

impl Store {
    /// Recounts the averages of all posts, or of one, from the ratings' rows, in one snapshot. Calls `each` with
    /// every post as it is done. It reads all ratings, so it has no time limit.
    pub async fn verify(
        &self,
        post: Option<&PostId>,
        each: &mut (dyn FnMut(Recounted) + Send),
    ) -> Result<()> {
        let mut snapshot = self.database.snapshot().await?;
        let under_way = averages_under_way(&mut snapshot).await?;
        let stored = |id: &PostId, stored| uncounted(under_way.get(id).copied().unwrap_or(stored));
        // A page is what sorts after `after`, up to and with `through`.
        let (mut next, through) = match post {
            Some(post) => (Some(before(post.as_str())), post.to_string()),
            None => (Some(String::new()), AFTER_ALL_IDS.to_owned()),
        };
        while let Some(after) = next {
            let sql = AVERAGES.select("where post_id > $1 and post_id <= $2 order by post_id limit $3");
            let averages = snapshot.ask(&sql, values![&after, &through, VERIFY_POSTS]).await?;
            let mut page = BTreeMap::new();
            for row in &averages {
                let id = row.post_id("post_id")?;
                let average = stored(&id, average(row)?);
                page.insert(id, average);
            }
            next = next_after(&averages, VERIFY_POSTS, "post_id")?;
            let sql = RATINGS.select("where post_id > $1 and post_id <= $2 order by post_id");
            let end = next.as_ref().unwrap_or(&through);
            let count = |row: &Row| {
                // A rating whose post has no average at all is a difference too.
                let id = row.post_id("post_id")?;
                let post = page.entry(id.clone());
                let (_, recount, ratings) = post.or_insert_with(|| stored(&id, Average::default()));
                let rating = rating(row)?;
                match rating.is_excluded {
                    true => recount.pass_excluded(),
                    false => recount.add(&rating.row),
                }
                *ratings += 1;
                Ok(())
            };
            snapshot.each(&sql, values![&after, end], count).await?;
            for (post, (average, recount, ratings)) in page {
                each(Recounted { post, ratings, differences: recount.differences(&average) });
            }
        }
        Ok(())
    }
}

/// A stored average, its recount, and how many ratings that has counted so far.
fn uncounted(average: Average) -> (Average, Recount, u64) {
    (average, Recount::new(average.calm.clock, average.surge.clock), 0)
}

/// A text that sorts right below `id`, in byte order: its own beginning, then its last character lowered by one, then
/// DEL. No id lies between them, since none holds DEL.
fn before(id: &str) -> String {
    let mut bytes = id.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last -= 1;
    }
    bytes.push(0x7f);
    String::from_utf8(bytes).unwrap_or_default()
}
