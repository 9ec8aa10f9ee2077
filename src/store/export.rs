//! Everything, in one snapshot: users, posts, and of each post what was kept, in the order of the log. Rows are handed over
//! one by one, so memory holds a page of posts, however many ratings they have.

use super::averages::{AVERAGES, HISTORY, hour};
use super::bulk::averages_under_way;
use super::decisions::{AUDIT, decided, exclusion_state};
use super::held::held;
use super::next_after;
use super::posts::state;
use super::prelude::*;
use super::ratings::{key, rating, withdrawal};
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

/// All rows of some posts in the order of the log. A table's own columns stand where it has them.
fn rows() -> String {
    const NO_TEXT: &str = "cast(null as text)";
    const NO_FLOAT: &str = "cast(0 as double precision)";
    const NO_INT: &str = "cast(0 as bigint)";
    const NO_SMALL: &str = "cast(0 as smallint)";
    let part = |kind: &str, table: &str, columns: [&str; 12]| {
        const NAMES: [&str; 12] = [
            "user_id",
            "position",
            "score",
            "status",
            "lane",
            "rated_at",
            "withdrawn_at",
            "vest_clock",
            "unvested_sum",
            "unvested_count",
            "decision",
            "outcome",
        ];
        let columns: Vec<String> =
            columns.iter().zip(NAMES).map(|(column, name)| format!("{column} as {name}")).collect();
        format!("select '{kind}' as kind, post_id, {} from {table}", columns.join(", "))
    };
    let parts = [
        part(
            "rating",
            "ratings",
            [
                "user_id",
                "position",
                "score",
                "status",
                "lane",
                "rated_at",
                NO_INT,
                "vest_clock",
                "unvested_sum",
                "unvested_count",
                NO_TEXT,
                NO_TEXT,
            ],
        ),
        part(
            "held",
            "held",
            [
                "user_id",
                "position",
                "score",
                "status",
                "lane",
                "rated_at",
                NO_INT,
                "vest_clock",
                NO_FLOAT,
                NO_FLOAT,
                NO_TEXT,
                NO_TEXT,
            ],
        ),
        part(
            "withdrawal",
            "withdrawals",
            [
                "user_id",
                "position",
                NO_SMALL,
                NO_TEXT,
                "lane",
                NO_INT,
                "withdrawn_at",
                "vest_clock",
                NO_FLOAT,
                NO_FLOAT,
                NO_TEXT,
                NO_TEXT,
            ],
        ),
    ];
    let range = "post_id > $1 and post_id <= $2";
    let parts = parts.map(|part| format!("{part} where {range}"));
    format!(
        "select q.*, e.excluded, e.undone from (
             {}
             union all select 'decision' as kind, post_id, decided_by as user_id, position, {NO_SMALL} as score,
                 {NO_TEXT} as status, {NO_TEXT} as lane, decided_at as rated_at, {NO_INT} as withdrawn_at,
                 {NO_FLOAT} as vest_clock, {NO_FLOAT} as unvested_sum, {NO_FLOAT} as unvested_count, decision, outcome
             from {} where {range}
         ) q left join exclusions e on e.post_id = q.post_id and e.position = q.position and q.kind = 'decision'
         order by q.post_id, q.position, q.user_id, q.kind",
        parts.join(" union all "),
        AUDIT.name
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
