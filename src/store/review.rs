//! What moderators and the merge ask of held and excluded ratings, of decisions, and of alerts: the questions, their
//! SQL, and the rows that come back. Both databases share all but how a list is passed.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use sqlx::FromRow;

use super::rows::{EXCLUDED, HISTORY, RatingRow, Sink, Table, corrupt, position, post_id, signed, user_id};
use crate::entry::{Position, Reason, Shard, Window};
use crate::error::Result;
use crate::merge::Standing;
use crate::merge::bulk::{BulkDecision, HeldFate};
use crate::merge::{Decided, Exclusion};
use crate::merge::{HeldRating, Hour, Key, Rating};
use crate::model::{PostId, Score, Time, UserId};

/// A decision's place in the audit, newest first.
pub type AuditKey = (Position, Shard);
/// An alert's place in the list, newest first: since when, and which post.
pub type AlertKey = (Time, PostId);

/// Ratings of one step, by their own times: each user's latest, whether it counts, is held or excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrivals {
    /// The step's number since 1970.
    pub step: i64,
    /// How many have the score 0, 1, .. 5.
    pub by_score: [u64; Score::COUNT],
    /// Of users who have no older rating, of any post.
    pub first_ratings: u64,
    /// Of users who told a name here.
    pub known_accounts: u64,
    /// Of these, who had told it less than a week before.
    pub young_accounts: u64,
}

impl Arrivals {
    /// How many there are.
    pub fn ratings(&self) -> u64 {
        self.by_score.iter().sum()
    }
}

/// What is kept for moderators.
#[async_trait]
pub trait Review: Send + Sync {
    /// The ratings of a post in the order of their users: at most `limit` that come after `after`.
    async fn ratings_page(
        &self,
        post: &PostId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Rating)>>;

    /// Held ratings in the order of posts and users, of one post if one is named: at most `limit` that come after
    /// `after`. Those that an exclusion covers only if asked for.
    async fn held_page(
        &self,
        post: Option<&PostId>,
        after: Option<&Key>,
        limit: usize,
        with_excluded: bool,
    ) -> Result<Vec<(Key, HeldRating)>>;

    /// A user's held ratings of these posts, in the order asked.
    async fn held_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<HeldRating>>>;

    /// The posts that a user's held ratings are of, in order: at most `limit` that come after `after`.
    async fn held_by(
        &self,
        user: &UserId,
        after: Option<&PostId>,
        limit: usize,
    ) -> Result<Vec<(PostId, HeldRating)>>;

    /// The oldest held ratings from before `before` that no exclusion covers, at most `limit`.
    async fn held_before(&self, before: Time, limit: usize) -> Result<Vec<(Key, HeldRating)>>;

    /// A post's ratings whose own time lies between two moments, counted by steps of so many milliseconds.
    async fn arrivals(&self, post: &PostId, span: (Time, Time), step_ms: i64) -> Result<Vec<Arrivals>>;

    /// A post's hours from `since` on, in order of time.
    async fn hours_since(&self, post: &PostId, since: Time) -> Result<Vec<Hour>>;

    /// The posts that have been in a surge or crowded since the newest moments: at most `limit` that come after `after`.
    async fn alerted(&self, after: Option<&AlertKey>, limit: usize) -> Result<Vec<AlertKey>>;

    /// Of those that have been so since a moment after `since`, the oldest that nobody was told of.
    async fn untold(&self, since: Time, limit: usize) -> Result<Vec<AlertKey>>;

    /// Remembers that somebody was told.
    async fn mark_told(&self, alert: &AlertKey) -> Result<()>;

    /// A post's exclusions, the undone ones too, in the order of the log.
    async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>>;

    /// The posts that take no ratings.
    async fn frozen(&self) -> Result<Vec<PostId>>;

    /// What came of the decision at that place, once it is merged.
    async fn decided(&self, shard: Shard, position: Position) -> Result<Option<Decided>>;

    /// The newest decisions, of one post if one is named: at most `limit` that come after `after`.
    async fn audit_page(
        &self,
        post: Option<&PostId>,
        after: Option<AuditKey>,
        limit: usize,
    ) -> Result<Vec<Decided>>;
}

pub(super) const EXCLUSIONS: Table = Table {
    name: "exclusions",
    keys: &["post_id", "position"],
    others: &["from_at", "to_at", "scores", "decided_by", "decided_at", "reason", "excluded", "undone"],
};
pub(super) const AUDIT: Table = Table {
    name: "audit",
    keys: &["shard", "position"],
    others: &["post_id", "decided_at", "decided_by", "decision", "outcome"],
};

pub(super) const HELD: Table = Table {
    name: "held",
    keys: &["post_id", "user_id"],
    others: &["score", "status", "rated_at", "position"],
};

pub(super) const SET_STANDING: &str =
    "update posts set frozen = $2, excluded = $3, hold = $4, held = $5 where id = $1";
pub(super) const FROZEN: &str = "select id from posts where frozen = 1";
pub(super) const EXCLUSIONS_OF: &str = "select * from exclusions where post_id = $1 order by position";
/// In the order of the key, and nothing but the key decides how far a page goes.
pub(super) const RATINGS_PAGE: &str =
    "select * from ratings where post_id = $1 and user_id > $2 order by user_id limit $3";
pub(super) const DECIDED: &str = "select * from audit where shard = $1 and position = $2";
/// The newest first; of one post ($4), or with an empty text of all.
pub(super) const AUDIT_PAGE: &str = "
    select * from audit where (position, shard) < ($1, $2) and ($4 = '' or post_id = $4)
    order by position desc, shard desc limit $3";
/// After every place in every log.
pub(super) const AUDIT_NEWEST: ([u8; 16], i16) = ([0xff; 16], i16::MAX);

/// Those that an exclusion covers only where $4 is 1.
pub(super) const HELD_PAGE: &str = "
    select * from held where (post_id, user_id) > ($1, $2) and ($4 = 1 or status = 'held')
    order by post_id, user_id limit $3";
/// The same of one post.
pub(super) const HELD_PAGE_OF: &str = "
    select * from held where post_id = $1 and user_id > $2 and ($4 = 1 or status = 'held')
    order by user_id limit $3";
pub(super) const ARRIVALS: &str = "
    select rated_at / $4, score, count(*), sum(is_first), sum(is_known), sum(is_young) from (
        select x.rated_at, x.score,
            case when exists (
                select 1 from ratings o where o.user_id = x.user_id and o.rated_at < x.rated_at
            ) or exists (
                select 1 from held o where o.user_id = x.user_id and o.rated_at < x.rated_at
            ) then 0 else 1 end as is_first,
            case when u.created_at is null then 0 else 1 end as is_known,
            case when u.created_at > x.rated_at - 604800000 then 1 else 0 end as is_young
        from (
            select r.user_id, r.rated_at, r.score from ratings r
            where r.post_id = $1 and r.rated_at >= $2 and r.rated_at < $3
                and not exists (select 1 from held h where h.post_id = $1 and h.user_id = r.user_id)
            union all
            select user_id, rated_at, score from held
            where post_id = $1 and rated_at >= $2 and rated_at < $3
        ) x left join users u on u.id = x.user_id
    ) seen group by 1, 2 order by 1, 2";

/// Step, score, ratings, first ones, of known accounts, of young ones.
pub(super) type ArrivalsRow = (i64, i16, i64, i64, i64, i64);

/// Steps, each with all its scores.
pub(super) fn arrivals(rows: &[ArrivalsRow]) -> Result<Vec<Arrivals>> {
    let mut steps: Vec<Arrivals> = Vec::new();
    for &(step, score, ratings, first, known, young) in rows {
        let score = Score::parse(score.into()).map_err(|_| corrupt("a score", score))?;
        if steps.last().is_none_or(|last| last.step != step) {
            steps.push(Arrivals { step, ..Arrivals::default() });
        }
        if let Some(last) = steps.last_mut() {
            last.by_score[score.index()] += ratings.unsigned_abs();
            last.first_ratings += first.unsigned_abs();
            last.known_accounts += known.unsigned_abs();
            last.young_accounts += young.unsigned_abs();
        }
    }
    Ok(steps)
}

pub(super) static HOURS_SINCE: LazyLock<String> = LazyLock::new(|| {
    format!("select {} from history where post_id = $1 and hour >= $2 order by hour", HISTORY.columns())
});

pub(super) const ALERTED: &str = "
    select alerted_at, post_id from ranking
    where alerted_at is not null and (alerted_at, post_id) < ($1, $2)
    order by alerted_at desc, post_id desc limit $3";
pub(super) const UNTOLD: &str = "
    select alerted_at, post_id from ranking
    where alerted_at is not null and alerted_at > $1 and (told_at is null or told_at <> alerted_at)
    order by alerted_at, post_id limit $2";
pub(super) const MARK_TOLD: &str =
    "update ranking set told_at = alerted_at where post_id = $1 and alerted_at = $2";

pub(super) fn alert_keys(rows: Vec<(i64, String)>) -> Result<Vec<AlertKey>> {
    rows.into_iter().map(|(at, post)| Ok((Time::from_ms(at), post_id(&post)?))).collect()
}

pub(super) const HELD_ONE: &str = "select * from held where post_id = $1 and user_id = $2";
pub(super) const HELD_BY: &str =
    "select * from held where user_id = $1 and post_id > $2 order by post_id limit $3";
pub(super) const HELD_BEFORE: &str = "
    select * from held where status = 'held' and rated_at < $1
    order by rated_at, post_id, user_id limit $2";

pub(super) fn write_exclusion(sink: &mut dyn Sink, exclusion: &Exclusion) {
    let scores: Vec<String> = exclusion.window.scores.iter().map(Score::to_string).collect();
    sink.text(exclusion.post.as_str());
    sink.bytes(&exclusion.id.to_bytes());
    sink.int(Some(exclusion.window.from.ms()));
    sink.int(Some(exclusion.window.to.ms()));
    sink.text(&scores.join(" "));
    sink.text(exclusion.by.as_str());
    sink.int(Some(exclusion.at.ms()));
    sink.text(exclusion.reason.as_str());
    sink.int(Some(signed(exclusion.excluded)));
    sink.small(exclusion.is_undone.into());
}

pub(super) fn write_decided(sink: &mut dyn Sink, shard: i16, decided: &Decided) {
    sink.small(shard);
    sink.bytes(&decided.position.to_bytes());
    sink.text(decided.post.as_str());
    sink.int(Some(decided.at.ms()));
    sink.text(decided.by.as_str());
    // Texts and numbers: nothing that JSON could not hold.
    sink.text(&serde_json::to_string(&decided.decision).unwrap_or_default());
    sink.text(&serde_json::to_string(&decided.outcome).unwrap_or_default());
}

#[derive(FromRow)]
pub(super) struct ExclusionRow {
    post_id: String,
    position: Vec<u8>,
    from_at: i64,
    to_at: i64,
    scores: String,
    decided_by: String,
    decided_at: i64,
    reason: String,
    excluded: i64,
    undone: i16,
}

impl ExclusionRow {
    pub fn exclusion(self) -> Result<Exclusion> {
        let score = |text: &str| text.parse().ok().and_then(|value| Score::parse(value).ok());
        let scores: Option<Vec<Score>> =
            self.scores.split(' ').filter(|text| !text.is_empty()).map(score).collect();
        Ok(Exclusion {
            post: post_id(&self.post_id)?,
            id: position(&self.position)?,
            window: Window {
                from: Time::from_ms(self.from_at),
                to: Time::from_ms(self.to_at),
                scores: scores.ok_or_else(|| corrupt("scores", &self.scores))?,
            },
            by: user_id(&self.decided_by)?,
            at: Time::from_ms(self.decided_at),
            reason: Reason::parse(&self.reason).map_err(|_| corrupt("a reason", &self.reason))?,
            excluded: self.excluded.unsigned_abs(),
            is_undone: self.undone != 0,
        })
    }
}

#[derive(FromRow)]
pub(super) struct DecidedRow {
    position: Vec<u8>,
    post_id: String,
    decided_at: i64,
    decided_by: String,
    decision: String,
    outcome: String,
}

impl DecidedRow {
    pub fn decided(self) -> Result<Decided> {
        Ok(Decided {
            position: position(&self.position)?,
            post: post_id(&self.post_id)?,
            at: Time::from_ms(self.decided_at),
            by: user_id(&self.decided_by)?,
            decision: serde_json::from_str(&self.decision)
                .map_err(|_| corrupt("a decision", &self.decision))?,
            outcome: serde_json::from_str(&self.outcome).map_err(|_| corrupt("an outcome", &self.outcome))?,
        })
    }
}

/// Hands a page to `sweep`; returns the ratings that change.
pub(super) fn visit(page: &[RatingRow], sweep: &mut BulkDecision) -> Result<Vec<(Key, Rating)>> {
    let mut changed = Vec::new();
    for row in page {
        if let Some(rating) = sweep.visit(&row.rating()?) {
            changed.push((row.key()?, rating));
        }
    }
    Ok(changed)
}

const HELD_STATUS: &str = "held";

pub(super) fn write_held(sink: &mut dyn Sink, ((post, user), held): &(Key, HeldRating)) {
    sink.text(post.as_str());
    sink.text(user.as_str());
    sink.small(held.score.get().into());
    sink.text(if held.is_excluded { EXCLUDED } else { HELD_STATUS });
    sink.int(Some(held.rated_at.ms()));
    sink.bytes(&held.position.to_bytes());
}

#[derive(FromRow)]
pub(super) struct HeldRow {
    pub post_id: String,
    pub user_id: String,
    score: i16,
    status: String,
    rated_at: i64,
    position: Vec<u8>,
}

impl HeldRow {
    pub fn key(&self) -> Result<Key> {
        Ok((post_id(&self.post_id)?, user_id(&self.user_id)?))
    }

    pub fn held(&self) -> Result<HeldRating> {
        Ok(HeldRating {
            score: Score::parse(self.score.into()).map_err(|_| corrupt("a score", self.score))?,
            rated_at: Time::from_ms(self.rated_at),
            position: position(&self.position)?,
            is_excluded: self.status == EXCLUDED,
        })
    }
}

/// Held ratings with their keys.
pub(super) fn held(found: &[HeldRow]) -> Result<Vec<(Key, HeldRating)>> {
    found.iter().map(|row| Ok((row.key()?, row.held()?))).collect()
}

/// A user's held ratings in the order in which posts were asked for.
pub(super) fn held_in_order(posts: &[PostId], found: &[HeldRow]) -> Result<Vec<Option<HeldRating>>> {
    let mut of = HashMap::new();
    for row in found {
        of.insert(post_id(&row.post_id)?, row.held()?);
    }
    Ok(posts.iter().map(|post| of.get(post).copied()).collect())
}

/// What a sweep makes of a page.
#[derive(Default)]
pub(super) struct Swept {
    pub ratings: Vec<(Key, Rating)>,
    pub held: Vec<(Key, HeldRating)>,
    pub unheld: Vec<Key>,
    /// Where rejected ones stood: what is older shall not come back for them.
    pub marks: Vec<(Key, Position)>,
}

/// Hands a page of held ratings to `sweep`; `beside` are the ratings of the same users that are not held.
pub(super) fn visit_held(page: &[HeldRow], beside: &[RatingRow], sweep: &mut BulkDecision) -> Result<Swept> {
    let mut ratings = HashMap::new();
    for row in beside {
        ratings.insert(row.user_id.as_str(), row.rating()?);
    }
    let mut swept = Swept::default();
    for row in page {
        let key = row.key()?;
        match sweep.visit_held(&key.1, &row.held()?, ratings.get(row.user_id.as_str())) {
            HeldFate::Stays => {}
            HeldFate::Becomes(held) => swept.held.push((key, held)),
            HeldFate::Goes => {
                swept.marks.push((key.clone(), row.held()?.position));
                swept.unheld.push(key);
            }
            HeldFate::Counts(rating) => {
                swept.ratings.push((key.clone(), rating));
                swept.unheld.push(key);
            }
        }
    }
    Ok(swept)
}

/// The parameters of [`SET_STANDING`] behind the post.
pub(super) fn standing_values(standing: &Standing) -> (i16, i64, Option<&'static str>, i64) {
    let Standing { is_frozen, excluded, hold, held } = standing;
    (i16::from(*is_frozen), signed(*excluded), hold.map(|hold| hold.as_str()), signed(*held))
}
