//! Posts: what is rated, with its average and its standing.

use super::averages::{AVERAGES, average};
use super::prelude::*;
use super::ratings::in_order;
use crate::entry::Hold;
use crate::merge::{LoadedPost, PostState, Standing};
use crate::model::DAY_MS;
use crate::model::post::{Content, Edit, Post, Title};

const POSTS: Table = Table {
    name: "posts",
    keys: &["id"],
    others: &["title", "content", "created_by", "repost_of", "created_at", "revision", "reposts"],
    rule: Rule::Keep,
};
/// The index of titles holds so many of their characters.
const TITLE_SEARCHED: usize = 64;
/// No character sorts behind it.
const LAST_CHAR: char = char::MAX;
/// What commits change of a post.
pub(super) const STANDINGS: Table =
    Table { rule: Rule::Update, ..Table::new("posts", &["id"], &["frozen", "excluded", "hold", "held"]) };

fn write_post(sink: &mut dyn Sink, post: &Post) {
    sink.text(post.id.as_str());
    sink.text(&post.title);
    sink.text_or_null(post.content.as_deref());
    sink.text_or_null(post.created_by.as_ref().map(UserId::as_str));
    sink.text_or_null(post.repost_of.as_ref().map(PostId::as_str));
    sink.int(post.created_at.ms());
    sink.int(signed(post.revision));
    sink.int(signed(post.reposts));
}

pub(super) fn write_standing(sink: &mut dyn Sink, (post, standing): &(PostId, Standing)) {
    let Standing { is_frozen, excluded, hold, held } = standing;
    sink.text(post.as_str());
    sink.small((*is_frozen).into());
    sink.int(signed(*excluded));
    sink.text_or_null(hold.map(|hold| hold.as_str()));
    sink.int(signed(*held));
}

/// A post's standing and average in a row of `posts` with its row of `averages`; the latter is null for a post that was
/// never rated.
pub(super) fn loaded(row: &Row) -> Result<LoadedPost> {
    let standing = Standing {
        is_frozen: row.flag("frozen")?,
        excluded: row.count("excluded")?,
        hold: row.text_or_null("hold")?.and_then(Hold::parse),
        held: row.count("held")?,
    };
    let is_rated = row.int_or_null("calm_count")?.is_some();
    Ok(LoadedPost { average: if is_rated { average(row)? } else { Default::default() }, standing })
}

pub(super) fn state(row: &Row) -> Result<PostState> {
    let LoadedPost { average, standing } = loaded(row)?;
    let is_rated = row.int_or_null("calm_count")?.is_some();
    Ok(PostState {
        average,
        version: if is_rated { row.position("version")? } else { Position::START },
        standing,
        post: Post {
            id: row.post_id("id")?,
            title: row.text("title")?.to_owned(),
            content: row.text_or_null("content")?.map(str::to_owned),
            created_by: row.text_or_null("created_by")?.map(|_| row.user_id("created_by")).transpose()?,
            repost_of: row.text_or_null("repost_of")?.map(|_| row.post_id("repost_of")).transpose()?,
            reposts: row.count("reposts")?,
            created_at: row.time("created_at")?,
            revision: row.count("revision")?,
        },
    })
}

/// The outcome of adding a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It exists now.
    Done,
    /// Its id is taken.
    Taken,
    /// Its author has made enough of them today.
    Limited,
}

/// Adds those of the posts that do not exist yet; returns how many.
pub(super) async fn add(transaction: &mut Transaction, posts: &[Post]) -> Result<u64> {
    let added = transaction.insert(&POSTS, posts, write_post).await?;
    // Only those without a row: an insert waits while a commit writes one that is there.
    let ids: Vec<&str> = posts.iter().map(|post| post.id.as_str()).collect();
    let sql = "
        insert into ranking (post_id, smoothed, as_of, moving, author)
        select p.id, -1, 0, 0, p.created_by from {ids} {join} posts p on p.id = k.id
        where not exists (select 1 from ranking r where r.post_id = k.id) on conflict do nothing";
    transaction.change(sql, vec![Value::Texts(ids)]).await?;
    Ok(added)
}

impl Store {
    /// Adds those of the posts whose ids are not taken yet; returns how many.
    pub async fn add_posts(&self, posts: &[Post]) -> Result<u64> {
        let mut transaction = self.database.begin(Patience::Patient).await?;
        let added = add(&mut transaction, posts).await?;
        transaction.commit().await?;
        Ok(added)
    }

    /// Adds a post, unless its id is taken or its author has made `per_day` posts on the UTC day of its creation. A
    /// repost is counted by the post that it repeats.
    pub async fn add_post(&self, post: &Post, per_day: Option<u32>) -> Result<Added> {
        let mut transaction = self.database.begin(Patience::Patient).await?;
        let added = add_counted(&mut transaction, post, per_day).await?;
        match added {
            Added::Done => transaction.commit().await?,
            Added::Taken | Added::Limited => transaction.roll_back().await?,
        }
        Ok(added)
    }

    /// Changes a post that `author` has made; returns whether there is one.
    pub async fn edit_post(&self, id: &PostId, author: &UserId, edit: &Edit) -> Result<bool> {
        let sql = "
            update posts set
                title = coalesce($3, title),
                content = case when $4 = 1 then $5 else content end,
                revision = revision + 1
            where id = $1 and created_by = $2";
        let content = edit.content.as_ref().and_then(|content| content.as_ref().map(Content::as_str));
        let title = edit.title.as_ref().map(Title::as_str);
        let values = values![id, author, title, edit.content.is_some(), content];
        Ok(self.database.change(Patience::Patient, sql, values).await? == 1)
    }

    /// Posts with their averages, in the order asked (at most [`POSTS_ASKED_MAX`](super::POSTS_ASKED_MAX)).
    pub async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<PostState>>> {
        let found = self.posts_with(ids, "p.content", Patience::Quick).await?;
        in_order(ids, &found, "id", state)
    }

    /// The same without contents of more than `bytes_max`, and whether each was left out.
    pub async fn posts_cut(
        &self,
        ids: &[PostId],
        bytes_max: usize,
    ) -> Result<Vec<Option<(PostState, bool)>>> {
        // Neither database reads a text to say how long it is.
        let is_long = format!("coalesce(octet_length(p.content), 0) > {bytes_max}");
        let content = format!(
            "case when {is_long} then null else p.content end as content,
             case when {is_long} then cast(1 as smallint) else cast(0 as smallint) end as is_cut"
        );
        let found = self.posts_with(ids, &content, Patience::Commit).await?;
        in_order(ids, &found, "id", |row| Ok((state(row)?, row.flag("is_cut")?)))
    }

    async fn posts_with(&self, ids: &[PostId], content: &str, patience: Patience) -> Result<Vec<Row>> {
        let sql = format!(
            "select p.id, p.title, {content}, p.created_by, p.repost_of, p.reposts, p.created_at, p.revision,
                   p.frozen, p.excluded, p.hold, p.held, {} from {{ids}} {{join}} posts p on p.id = k.id
                   left join averages a on a.post_id = p.id",
            AVERAGES.columns_of("a")
        );
        self.database.ask(patience, &sql, values![ids]).await
    }

    /// At most `limit` posts whose ids begin with `text`, and then at most `limit` whose titles do; case counts in ids only,
    /// and in titles beyond ASCII.
    pub async fn beginning_with(&self, text: &str, limit: usize) -> Result<Vec<PostId>> {
        let by_id = "select id from posts where id >= $1 and id < $2 order by id limit $3";
        let by_title = "select id from posts where lower(substr(title{binary}, 1, 64)) >= $1
                and lower(substr(title{binary}, 1, 64)) < $2
            order by lower(substr(title{binary}, 1, 64)), id limit $3";
        let title: String = text.chars().take(TITLE_SEARCHED).collect::<String>().to_ascii_lowercase();
        let mut ids = Vec::new();
        for (sql, text) in [(by_id, text), (by_title, title.as_str())] {
            let end = format!("{text}{LAST_CHAR}");
            for row in self.database.ask(Patience::Patient, sql, values![text, &end, limit]).await? {
                let id = row.post_id("id")?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        Ok(ids)
    }

    /// Those of the ids that posts have (at most [`POSTS_ASKED_MAX`](super::POSTS_ASKED_MAX)).
    pub async fn existing(&self, ids: &[PostId]) -> Result<Vec<PostId>> {
        let sql = "select p.id from {ids} {join} posts p on p.id = k.id";
        let found = self.database.ask(Patience::Quick, sql, values![ids]).await?;
        found.iter().map(|row| row.post_id("id")).collect()
    }

    /// The posts that take no ratings.
    pub async fn frozen(&self) -> Result<Vec<PostId>> {
        let sql = "select id from posts where frozen = 1";
        let found = self.database.ask(Patience::Quick, sql, values![]).await?;
        found.iter().map(|row| row.post_id("id")).collect()
    }

    /// How many posts there are.
    pub async fn count_posts(&self) -> Result<u64> {
        let sql = "select count(*) as posts from posts";
        self.database.ask_one(Patience::Heavy, sql, values![]).await?.count("posts")
    }
}

/// Adds a post and what is counted with it; what is not [`Added::Done`] must be rolled back.
async fn add_counted(transaction: &mut Transaction, post: &Post, per_day: Option<u32>) -> Result<Added> {
    if add(transaction, std::slice::from_ref(post)).await? == 0 {
        return Ok(Added::Taken);
    }
    if let (Some(author), Some(per_day)) = (&post.created_by, per_day) {
        // A clock that is behind counts on.
        let sql = "
            insert into daily_posts (user_id, day, posts) values ($1, $2, 1)
            on conflict (user_id) do update set
                posts = case when daily_posts.day < excluded.day then 1 else daily_posts.posts + 1 end,
                day = case when daily_posts.day < excluded.day then excluded.day else daily_posts.day end
            where daily_posts.day < excluded.day or daily_posts.posts < $3";
        let day = post.created_at.ms().div_euclid(DAY_MS);
        if transaction.change(sql, values![author, day, i64::from(per_day)]).await? == 0 {
            return Ok(Added::Limited);
        }
    }
    if let Some(origin) = &post.repost_of {
        let sql = "update posts set reposts = reposts + 1, revision = revision + 1 where id = $1";
        transaction.change(sql, values![origin]).await?;
    }
    Ok(Added::Done)
}
