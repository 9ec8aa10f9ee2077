//! The recount behind `damper verify`: averages are counted anew from the ratings, a page of posts at a time.

use std::collections::BTreeMap;

use super::Store;
use super::averages::{AVERAGES, average};
use super::ratings::{RATINGS, rating};
use crate::database::{Row, values};
use crate::error::Result;
use crate::model::PostId;
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
    /// every post as it is done. It reads every rating there is, so it takes as long as it takes.
    pub async fn verify(
        &self,
        post: Option<&PostId>,
        each: &mut (dyn FnMut(Recounted) + Send),
    ) -> Result<()> {
        let mut snapshot = self.database.snapshot().await?;
        // A page is what sorts after `after`, up to and with `through`.
        let (mut after, through) = match post {
            Some(post) => (before(post.as_str()), post.to_string()),
            None => (String::new(), AFTER_ALL_IDS.to_owned()),
        };
        loop {
            let sql = format!(
                "select {} from averages where post_id > $1 and post_id <= $2 order by post_id limit $3",
                AVERAGES.columns()
            );
            let averages = snapshot.ask(&sql, values![&after, &through, VERIFY_POSTS]).await?;
            let mut page = Page::new(&averages)?;
            let last = averages.last().filter(|_| averages.len() == VERIFY_POSTS);
            let last = last.map(|row| Ok::<_, crate::Error>(row.text("post_id")?.to_owned())).transpose()?;
            let sql = format!(
                "select {} from ratings where post_id > $1 and post_id <= $2 order by post_id",
                RATINGS.columns()
            );
            let end = last.as_ref().unwrap_or(&through);
            snapshot.each(&sql, values![&after, end], |row| page.add(row)).await?;
            page.finish(each);
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }
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

/// The averages of a page of posts, and what their ratings have added up to so far.
struct Page {
    posts: BTreeMap<PostId, (Average, Recount, u64)>,
}

impl Page {
    fn new(rows: &[Row]) -> Result<Self> {
        let mut posts = BTreeMap::new();
        for row in rows {
            let average = average(row)?;
            posts.insert(row.post_id("post_id")?, (average, recount(&average), 0));
        }
        Ok(Self { posts })
    }

    /// Counts a rating; one whose post has no average at all is a difference too.
    fn add(&mut self, row: &Row) -> Result<()> {
        let none = Average::default();
        let (_, recount, ratings) =
            self.posts.entry(row.post_id("post_id")?).or_insert_with(|| (none, recount(&none), 0));
        let rating = rating(row)?;
        match rating.is_excluded {
            true => recount.pass_excluded(),
            false => recount.add(&rating.row),
        }
        *ratings += 1;
        Ok(())
    }

    fn finish(self, each: &mut (dyn FnMut(Recounted) + Send)) {
        for (post, (average, recount, ratings)) in self.posts {
            each(Recounted { post, ratings, differences: recount.differences(&average) });
        }
    }
}

fn recount(average: &Average) -> Recount {
    Recount::new(average.calm.clock, average.surge.clock)
}
