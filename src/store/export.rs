//! Everything, in one snapshot: users, posts, and of each post what was kept, in the order of the log. Rows are handed over
//! one by one, so memory holds a page of posts, however many ratings they have.

use super::averages::{AVERAGES, HISTORY, hour};
use super::bulk::averages_under_way;
use super::decisions::{AUDIT, decided, exclusion_state};
use super::held::{HELD, held};
use super::next_after;
use super::posts::state;
use super::prelude::*;
use super::ratings::{RATINGS, WITHDRAWALS, key, rating, withdrawal};
use super::users::user;
use crate::merge::{Adopted, Decided, Excluded, Hour, Kept, PostState, pieces_of};
use crate::model::User;

/// Posts whose texts are read together.
const POSTS: usize = 100;
/// Sorts after every id.
const AFTER_ALL_IDS: &str = "\u{7f}";

/// What an export consists of, in its order.
#[derive(Debug)]
pub enum Exported {
    /// A user with a name.
    User(Box<User>),
    /// A post; all that follows up to the next page of posts is of these.
    Post(Box<PostState>),
    /// An hour of a post's history.
    Hour(Box<Hour>),
    /// A rating, a held rating or a withdrawal, with its place in the log.
    Kept(PostId, UserId, Position, Box<Adopted>),
    /// A decision, with the state of its exclusion.
    Decided(Box<Decided>, Option<Excluded>),
    /// The average of a post whose pieces have all been handed over.
    Closed(Box<PostState>),
}

impl Store {
    /// Hands everything over, as it was at one moment.
    ///
    /// # Errors
    /// `Busy` while a decision over many ratings is being merged; what `each` answers.
    pub async fn export(&self, each: &mut (dyn FnMut(Exported) -> Result<()> + Send)) -> Result<()> {
        let mut snapshot = self.database.snapshot().await?;
        if !averages_under_way(&mut snapshot).await?.is_empty() {
            return Err(Error::Busy("a moderator's decision is being merged; try again".to_owned()));
        }
        let users = "select id, username, created_at from users order by id";
        snapshot.each(users, values![], |row| each(Exported::User(Box::new(user(row)?)))).await?;
        let mut after = String::new();
        loop {
            let sql = format!(
                "select p.id, p.title, p.content, p.created_by, p.repost_of, p.reposts, p.created_at, p.revision,
                        p.frozen, p.excluded, p.hold, p.held, {}
                 from posts p left join averages a on a.post_id = p.id
                 where p.id > $1 order by p.id limit $2",
                AVERAGES.columns_of("a")
            );
            let found = snapshot.ask(&sql, values![&after, POSTS]).await?;
            let posts = found.iter().map(state).collect::<Result<Vec<_>>>()?;
            let next = next_after(&found, POSTS, "id")?;
            let through = next.clone().unwrap_or_else(|| AFTER_ALL_IDS.to_owned());
            for post in &posts {
                each(Exported::Post(Box::new(post.clone())))?;
            }
            let sql = HISTORY.select("where post_id > $1 and post_id <= $2 order by post_id, hour");
            let take = |row: &Row| each(Exported::Hour(Box::new(hour(&row.post_id("post_id")?, row)?)));
            snapshot.each(&sql, values![&after, &through], take).await?;
            let born = |id: &PostId| {
                let at = posts.binary_search_by(|post| post.post.id.cmp(id)).ok()?;
                posts[at].average.born
            };
            let take = |row: &Row| row_of(row, &born).and_then(|found| found.map_or(Ok(()), &mut *each));
            snapshot.each(&rows(), values![&after, &through], take).await?;
            for post in posts {
                each(Exported::Closed(Box::new(post)))?;
            }
            match next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }
}

/// The columns of a row of any kind, and what stands in those that its table does not have.
const COLUMNS: [(&str, &str); 12] = [
    ("user_id", "cast(null as text)"),
    ("position", "cast(null as text)"),
    ("score", "cast(0 as smallint)"),
    ("status", "cast(null as text)"),
    ("lane", "cast(null as text)"),
    ("rated_at", "cast(0 as bigint)"),
    ("withdrawn_at", "cast(0 as bigint)"),
    ("vest_clock", "cast(0 as double precision)"),
    ("unvested_sum", "cast(0 as double precision)"),
    ("unvested_count", "cast(0 as double precision)"),
    ("decision", "cast(null as text)"),
    ("outcome", "cast(null as text)"),
];
/// What the audit calls two of them.
const OF_AUDIT: [(&str, &str); 2] = [("user_id", "decided_by"), ("rated_at", "decided_at")];

/// All rows of some posts in the order of the log.
fn rows() -> String {
    let part = |kind: &str, table: &Table| {
        let has = |name: &str| table.keys.iter().chain(table.others).any(|own| *own == name);
        let column = |(name, none): (&'static str, &'static str)| {
            let renamed = OF_AUDIT.into_iter().find(|(usual, own)| *usual == name && has(own));
            let own = if has(name) { name } else { renamed.map_or(none, |(_, own)| own) };
            format!("{own} as {name}")
        };
        let columns = COLUMNS.map(column).join(", ");
        format!(
            "select '{kind}' as kind, post_id, {columns} from {} where post_id > $1 and post_id <= $2",
            table.name
        )
    };
    let parts = [("rating", &RATINGS), ("held", &HELD), ("withdrawal", &WITHDRAWALS), ("decision", &AUDIT)];
    let parts = parts.map(|(kind, table)| part(kind, table));
    format!(
        "select q.*, e.excluded, e.undone from ({}) q
         left join exclusions e on e.post_id = q.post_id and e.position = q.position and q.kind = 'decision'
         order by q.post_id, q.position, q.user_id, q.kind",
        parts.join(" union all ")
    )
}

fn row_of(row: &Row, born: &impl Fn(&PostId) -> Option<Time>) -> Result<Option<Exported>> {
    let (post, user) = key(row)?;
    let kind = row.text("kind")?;
    if kind == "decision" {
        let (decided, excluded) = (decided_of(row, post, user)?, exclusion_state(row)?);
        return Ok(Some(Exported::Decided(Box::new(decided), excluded)));
    }
    let mut kept = Kept::default();
    match kind {
        "rating" => kept.rating = Some(rating(row)?),
        "held" => kept.held = Some(held(row)?),
        _ => kept.withdrawal = Some(withdrawal(row)?),
    }
    let (place, Some(born)) = (row.position("position")?, born(&post)) else { return Ok(None) };
    Ok(pieces_of(born, &kept).next().map(|piece| Exported::Kept(post, user, place, Box::new(piece))))
}

fn decided_of(row: &Row, post: PostId, by: UserId) -> Result<Decided> {
    decided(row, post, row.time("rated_at")?, by)
}
