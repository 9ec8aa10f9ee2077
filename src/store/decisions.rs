//! Decisions of moderators: the audit keeps each with its outcome for good; exclusions are windows of excluded ratings.

use super::prelude::*;
use crate::entry::{Reason, Window};
use crate::merge::{Decided, Excluded, Exclusion};

pub(super) const EXCLUSIONS: Table = Table::new(
    "exclusions",
    &["post_id", "position"],
    &["from_at", "to_at", "scores", "decided_by", "decided_at", "reason", "excluded", "undone"],
);
pub(super) const AUDIT: Table = Table::new(
    "audit",
    &["shard", "position"],
    &["post_id", "decided_at", "decided_by", "decision", "outcome"],
);

/// A decision's place in the audit, newest first.
pub type AuditKey = (Position, Shard);
/// After every place in every log.
const NEWEST: AuditKey = (Position::new(u64::MAX, u64::MAX), Shard(i16::MAX as u16));

pub(super) fn write_exclusion(sink: &mut dyn Sink, exclusion: &Exclusion) {
    let scores: Vec<String> = exclusion.window.scores.iter().map(Score::to_string).collect();
    sink.text(exclusion.post.as_str());
    sink.bytes(&exclusion.id.to_bytes());
    sink.int(exclusion.window.from.ms());
    sink.int(exclusion.window.to.ms());
    sink.text(&scores.join(" "));
    sink.text(exclusion.by.as_str());
    sink.int(exclusion.at.ms());
    sink.text(exclusion.reason.as_str());
    sink.int(signed(exclusion.excluded));
    sink.small(exclusion.is_undone.into());
}

pub(super) fn exclusion(row: &Row) -> Result<Exclusion> {
    let score = |text: &str| text.parse().ok().and_then(|value| Score::parse(value).ok());
    let scores = |text: &str| text.split(' ').filter(|text| !text.is_empty()).map(score).collect();
    Ok(Exclusion {
        post: row.post_id("post_id")?,
        id: row.position("position")?,
        window: Window {
            from: row.time("from_at")?,
            to: row.time("to_at")?,
            scores: row.parsed("scores", scores)?,
        },
        by: row.user_id("decided_by")?,
        at: row.time("decided_at")?,
        reason: row.parsed("reason", |reason| Reason::parse(reason).ok())?,
        excluded: row.count("excluded")?,
        is_undone: row.flag("undone")?,
    })
}

pub(super) fn write_decided(sink: &mut dyn Sink, shard: Shard, decided: &Decided) {
    sink.small(shard.0 as i16);
    sink.bytes(&decided.position.to_bytes());
    sink.text(decided.post.as_str());
    sink.int(decided.at.ms());
    sink.text(decided.by.as_str());
    // Texts and numbers: nothing that JSON could not hold.
    sink.text(&serde_json::to_string(&decided.decision).unwrap_or_default());
    sink.text(&serde_json::to_string(&decided.outcome).unwrap_or_default());
}

fn audited(row: &Row) -> Result<Decided> {
    decided(row, row.post_id("post_id")?, row.time("decided_at")?, row.user_id("decided_by")?)
}

/// The decision in a row with its position, its text and its outcome.
pub(super) fn decided(row: &Row, post: PostId, at: Time, by: UserId) -> Result<Decided> {
    Ok(Decided {
        position: row.position("position")?,
        post,
        at,
        by,
        decision: row.parsed("decision", |json| serde_json::from_str(json).ok())?,
        outcome: row.parsed("outcome", |json| serde_json::from_str(json).ok())?,
    })
}

/// The state of the exclusion that a row is joined with, if it is.
pub(super) fn exclusion_state(row: &Row) -> Result<Option<Excluded>> {
    let Some(excluded) = row.int_or_null("excluded")? else { return Ok(None) };
    Ok(Some(Excluded { excluded: excluded.unsigned_abs(), is_undone: row.flag("undone")? }))
}

impl Store {
    /// A post's exclusions, the undone ones too, in the order of the log.
    pub async fn exclusions(&self, post: &PostId) -> Result<Vec<Exclusion>> {
        self.exclusions_of(Patience::Patient, post).await
    }

    pub(super) async fn exclusions_of(&self, patience: Patience, post: &PostId) -> Result<Vec<Exclusion>> {
        let sql = EXCLUSIONS.select("where post_id = $1 order by position");
        self.database.ask(patience, &sql, values![post]).await?.iter().map(exclusion).collect()
    }

    /// The decision at that place with its outcome, once it is merged.
    pub async fn decided(&self, shard: Shard, position: Position) -> Result<Option<Decided>> {
        let sql = AUDIT.select("where shard = $1 and position = $2");
        let found = self.database.ask_optional(Patience::Patient, &sql, values![shard, position]).await?;
        found.map(|row| audited(&row)).transpose()
    }

    /// The newest decisions, of one post and of one moderator if they are named: at most `limit` that come after `after`.
    pub async fn audit_page(
        &self,
        post: Option<&PostId>,
        by: Option<&UserId>,
        after: Option<AuditKey>,
        limit: usize,
    ) -> Result<Vec<Decided>> {
        let of_post = if post.is_some() { "post_id = $4 and" } else { "" };
        let of_moderator = match (post, by) {
            (_, None) => "",
            (None, Some(_)) => "decided_by = $4 and",
            (Some(_), Some(_)) => "decided_by = $5 and",
        };
        let sql = AUDIT.select(&format!(
            "where {of_post} {of_moderator} (position, shard) < ($1, $2)
             order by position desc, shard desc limit $3"
        ));
        let (position, shard) = after.unwrap_or(NEWEST);
        let mut values = values![position, shard, limit];
        values.extend(post.map(Value::from));
        values.extend(by.map(Value::from));
        self.database.ask(Patience::Patient, &sql, values).await?.iter().map(audited).collect()
    }
}
