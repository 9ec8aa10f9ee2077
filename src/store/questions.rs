//! Questions that both databases answer with the same SQL, and the rows that come back.
//!
//! What differs (how a list is passed, how many rows go into a table) is in `postgres` and `sqlite`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sqlx::FromRow;

use super::rows::{AVERAGES, HISTORY, position, post_id, user_id};
use super::{Checkpoint, DrainRun, PageKey, QuarantinedEntry, Trigger};
use crate::entry::{Position, Shard};
use crate::error::Result;
use crate::merge::{Merged, Quarantined};
use crate::model::User;
use crate::model::post::Post;
use crate::model::{PostId, Time, UserId};

pub(super) const CHECKPOINT: &str =
    "select position, applied, quarantined, seen_appends, seen_position, accepted_base, lost
     from checkpoints where shard = $1";

#[derive(FromRow)]
pub(super) struct CheckpointRow {
    position: Vec<u8>,
    applied: i64,
    quarantined: i64,
    seen_appends: i64,
    seen_position: Vec<u8>,
    accepted_base: i64,
    lost: i64,
}

impl CheckpointRow {
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            position: position(&self.position)?,
            applied: self.applied.unsigned_abs(),
            quarantined: self.quarantined.unsigned_abs(),
            seen_appends: self.seen_appends.unsigned_abs(),
            seen_position: position(&self.seen_position)?,
            accepted_base: self.accepted_base,
            lost: self.lost.unsigned_abs(),
        })
    }
}

/// The compare-and-swap: moves a shard's checkpoint with the counts, unless another drain moved it first, the log
/// was counted anew meanwhile, or the schema is not the one that this program was written for.
pub(super) const SWAP: &str = "
    update checkpoints set
        position = $3,
        applied = applied + $4,
        quarantined = quarantined + $5,
        seen_appends = case when seen_appends < $6 then $6 else seen_appends end,
        seen_position = case when seen_position < $7 then $7 else seen_position end
    where shard = $1 and position = $2 and (select schema_version from installation) = $8
        and accepted_base = $9 and lost = $10";

/// Counts anew what a log that came back with less has accepted: what is merged and what waits ($2), whatever its
/// own count of appends ($3) says. What is missing is lost, at least.
pub(super) const RECOUNT: &str = "
    update checkpoints set
        lost = lost + case when accepted_base + $5 > applied + quarantined + $2
            then accepted_base + $5 - applied - quarantined - $2 else 0 end,
        accepted_base = applied + quarantined + $2 - $3,
        seen_appends = $3,
        seen_position = $4
    where shard = $1 and position = $6 and accepted_base = $7 and lost = $8";

pub(super) const SCHEMA: &str = "select schema_version from installation";

pub(super) const QUARANTINED: &str = "
    select cast(shard as bigint), position, reason, payload from quarantine
    where (shard, position) > ($1, $2) order by shard, position limit $3";

pub(super) const COUNT_QUARANTINED: &str = "select count(*) from quarantine";
pub(super) const FORGET_QUARANTINED: &str = "delete from quarantine where shard = $1 and position = $2";

/// Shard, position, reason, payload.
pub(super) type QuarantineRow = (i64, Vec<u8>, String, Vec<u8>);

pub(super) fn kept((shard, at, reason, payload): QuarantineRow) -> Result<QuarantinedEntry> {
    let shard = Shard(u16::try_from(shard).unwrap_or_default());
    Ok(QuarantinedEntry { shard, entry: Quarantined { position: position(&at)?, reason, payload } })
}

pub(super) const RECORD_DRAIN: &str = "
    insert into drains (started_at, started_by, applied, quarantined, batches, duration_ms, error)
    values ($1, $2, $3, $4, $5, $6, $7)";

/// Rows that `drains` keeps.
pub(super) const FORGET_DRAINS: &str = "delete from drains where id <= (select max(id) from drains) - 10000";

pub(super) const DRAINS: &str = "
    select started_at, started_by, applied, quarantined, batches, duration_ms, error
    from drains order by id desc limit $1";

#[derive(FromRow)]
pub(super) struct DrainRow {
    started_at: i64,
    started_by: String,
    applied: i64,
    quarantined: i64,
    batches: i64,
    duration_ms: i64,
    error: Option<String>,
}

impl DrainRow {
    pub fn run(self) -> DrainRun {
        DrainRun {
            started_at: Time::from_ms(self.started_at),
            trigger: if self.started_by == Trigger::Tick.as_str() { Trigger::Tick } else { Trigger::Flush },
            applied: self.applied.unsigned_abs(),
            quarantined: self.quarantined.unsigned_abs(),
            batches: self.batches.unsigned_abs(),
            duration_ms: self.duration_ms.unsigned_abs(),
            error: self.error,
        }
    }
}

/// Posts that a commit names; of more it says only that there are.
const CHANGED_POSTS_MAX: usize = 500;
/// Commits that are remembered of a shard, at most.
pub(super) const CHANGES_MAX: i64 = 200;

pub(super) const KEEP_CHANGES: &str =
    "insert into changes (shard, position, after, posts) values ($1, $2, $3, $4)";
pub(super) const FORGET_CHANGES: &str = "
    delete from changes where (shard, position) in (
        select shard, position from (
            select shard, position, row_number() over (partition by shard order by position desc) as place
            from changes
        ) placed where place > $1)";
pub(super) const CHECKPOINTS: &str = "select position from checkpoints order by shard";
pub(super) const CHANGED: &str = "
    select after, position, posts from changes
    where shard = $1 and position > $2 and position <= $3 order by position limit $4";

/// The posts that a commit changed, as text.
pub(super) fn changed_text(merged: &Merged) -> Option<String> {
    let posts = &merged.averages;
    let ids = posts.iter().map(|average| average.post.as_str());
    // A space lies outside the alphabet of ids.
    (posts.len() <= CHANGED_POSTS_MAX).then(|| ids.collect::<Vec<_>>().join(" "))
}

/// After, position, posts.
pub(super) type ChangesRow = (Vec<u8>, Vec<u8>, Option<String>);

/// The posts that commits changed from one position to another, unless they are too many or the commits are not all
/// remembered.
pub(super) fn changed(rows: &[ChangesRow], from: Position, to: Position) -> Result<Option<BTreeSet<PostId>>> {
    if rows.len() as i64 > CHANGES_MAX {
        return Ok(None);
    }
    let (mut at, mut posts) = (from, BTreeSet::new());
    for (after, through, changed) in rows {
        let (true, Some(changed)) = (position(after)? <= at, changed) else { return Ok(None) };
        for id in changed.split(' ').filter(|id| !id.is_empty()) {
            posts.insert(post_id(id)?);
        }
        at = position(through)?;
    }
    Ok((at == to).then_some(posts))
}

pub(super) const PAGE_NEW: &str = "select created_at, id from posts where (created_at, id) < ($1, $2)
                                   order by created_at desc, id desc limit $3";
pub(super) const PAGE_TOP: &str = "select smoothed, post_id from ranking where (smoothed, post_id) < ($1, $2)
                                   order by smoothed desc, post_id desc limit $3";

/// The same of one author ($4).
pub(super) const PAGE_NEW_BY: &str =
    "select created_at, id from posts where created_by = $4 and (created_at, id) < ($1, $2)
                                      order by created_at desc, id desc limit $3";
pub(super) const PAGE_TOP_BY: &str =
    "select r.smoothed, r.post_id from posts p join ranking r on r.post_id = p.id
                                      where p.created_by = $4 and (r.smoothed, r.post_id) < ($1, $2)
                                      order by r.smoothed desc, r.post_id desc limit $3";

pub(super) const ADD_POST: &str =
    "insert into posts (id, title, content, created_by, repost_of, created_at, revision)
     values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing";
pub(super) const RANK_POST: &str =
    "insert into ranking (post_id, smoothed, as_of, moving) values ($1, -1, 0, 0) on conflict do nothing";

/// Counts a post of the user $1 on the day $2, unless there are $3 already. A clock that is behind counts on.
pub(super) const COUNT_POST: &str = "
    insert into daily_posts (user_id, day, posts) values ($1, $2, 1)
    on conflict (user_id) do update set
        posts = case when daily_posts.day < excluded.day then 1 else daily_posts.posts + 1 end,
        day = case when daily_posts.day < excluded.day then excluded.day else daily_posts.day end
    where daily_posts.day < excluded.day or daily_posts.posts < $3";
pub(super) const FORGET_DAYS: &str = "delete from daily_posts where user_id = $1";

/// The day of a post's creation, counted in UTC from the epoch.
pub(super) fn day(post: &Post) -> i64 {
    post.created_at.ms().div_euclid(DAY_MS)
}

const DAY_MS: i64 = 86_400_000;

pub(super) const COUNT_REPOST: &str =
    "update posts set reposts = reposts + 1, revision = revision + 1 where id = $1";

/// Title $3 and, if $4 is 1, content $5 of the post $1 by the author $2.
pub(super) const EDIT_POST: &str = "
    update posts set
        title = coalesce($3, title),
        content = case when $4 = 1 then $5 else content end,
        revision = revision + 1
    where id = $1 and created_by = $2";

pub(super) const ADD_USER: &str =
    "insert into users (id, username, created_at) values ($1, $2, $3) on conflict do nothing";
pub(super) const USER: &str = "select id, username, created_at from users where id = $1";
pub(super) const USERS: &str = "select id, username, created_at from users where (created_at, id) < ($1, $2)
                                order by created_at desc, id desc limit $3";
pub(super) const FORGET_USER: &str = "delete from users where id = $1";

/// Id, name, when it was told.
pub(super) type UserRow = (String, String, i64);

pub(super) fn user((id, username, created_at): UserRow) -> Result<User> {
    Ok(User { id: user_id(&id)?, username, created_at: Time::from_ms(created_at) })
}

/// The key after which a page of users begins; the first page comes after the end of time.
pub(super) fn users_after(after: Option<&(Time, UserId)>) -> (i64, &str) {
    after.map_or((i64::MAX, ""), |(at, id)| (at.ms(), id.as_str()))
}

/// The key after which a page of the newest begins; the first page comes after the end of time.
pub(super) fn new_after(after: Option<&PageKey>) -> (i64, &str) {
    match after {
        Some(PageKey::New(at, post)) => (at.ms(), post.as_str()),
        _ => (i64::MAX, ""),
    }
}

/// The key after which a page of the highest begins; the first page comes after every mean.
pub(super) fn top_after(after: Option<&PageKey>) -> (f64, &str) {
    match after {
        Some(PageKey::Top(mean, post)) => (*mean, post.as_str()),
        _ => (f64::MAX, ""),
    }
}

pub(super) const ADMIN_TOKEN: &str = "select hash from admin_token";
/// Keeps $1; replaces what there is when $2 is 1.
pub(super) const KEEP_ADMIN_TOKEN: &str = "
    insert into admin_token (only_row, hash) values (1, $1)
    on conflict (only_row) do update set hash = excluded.hash where $2 = 1";

pub(super) const RATINGS_BY: &str =
    "select * from ratings where post_id > $2 and user_id = $1 order by post_id limit $3";
pub(super) const POSTS_BY: &str = "select id from posts where created_by = $1 order by id";
pub(super) const WITHDRAWALS_BY: &str = "select post_id from withdrawals where user_id = $1 order by post_id";
/// By the keys, so that nobody waits for a walk through the table.
pub(super) const FORGET_AUTHOR: &str =
    "update posts set created_by = null, revision = revision + 1 where created_by = $1 and id = $2";
pub(super) const FORGET_WITHDRAWAL: &str = "delete from withdrawals where user_id = $1 and post_id = $2";

pub(super) const COUNT_POSTS: &str = "select count(*) from posts";

/// A page of the newest as places in the list.
pub(super) fn newest(rows: Vec<(i64, String)>) -> Result<Vec<PageKey>> {
    rows.into_iter().map(|(at, id)| Ok(PageKey::New(Time::from_ms(at), post_id(&id)?))).collect()
}

/// A page of the highest as places in the list.
pub(super) fn highest(rows: Vec<(f64, String)>) -> Result<Vec<PageKey>> {
    rows.into_iter().map(|(mean, id)| Ok(PageKey::Top(mean, post_id(&id)?))).collect()
}

pub(super) static HOURS: LazyLock<String> =
    LazyLock::new(|| format!("select {} from history where post_id = $1 order by hour", HISTORY.columns()));

pub(super) static VERIFY_AVERAGES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from averages where post_id > $1 and post_id <= $2 order by post_id limit $3",
        AVERAGES.columns()
    )
});

/// Posts that still move without new ratings, those first whose ranking lags most.
pub(super) static MOVING: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<String> = AVERAGES.others[1..].iter().map(|column| format!("a.{column}")).collect();
    format!(
        "select r.post_id, {} from ranking r join averages a on a.post_id = r.post_id
         where r.moving = 1 and r.as_of < $1 order by r.as_of limit $2",
        columns.join(", ")
    )
});
