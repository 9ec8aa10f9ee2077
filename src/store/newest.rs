//! Users' newest ratings, whether they count or are held.

use std::collections::HashMap;

use super::held::HELD;
use super::prelude::*;
use super::ratings::{RATINGS, key};

/// A user's newest rating of a post in the store: counted, excluded or held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRating {
    /// Where it stood in the log.
    pub position: Position,
    /// The score.
    pub score: Score,
    /// Whether it is held for a moderator.
    pub is_held: bool,
}

impl Store {
    /// Users' newest ratings of posts, counted, excluded or held, in the order of the keys. One statement sees one state:
    /// a rating that is approved meanwhile is either held or counted.
    pub async fn newest_of(&self, keys: &[Key]) -> Result<Vec<Option<StoredRating>>> {
        let of = |table: &str| {
            format!(
                "select r.post_id, r.user_id, r.position, r.score, '{table}' as place
                 from {{keys}} {{join}} {table} r on r.post_id = k.post_id and r.user_id = k.user_id"
            )
        };
        let sql = format!("{} union all {}", of(RATINGS.name), of(HELD.name));
        let found = self.database.ask(Patience::Quick, &sql, values![keys]).await?;
        let mut newest: HashMap<Key, StoredRating> = HashMap::with_capacity(found.len());
        for row in &found {
            let is_held = row.text("place")? == HELD.name;
            let rating =
                StoredRating { position: row.position("position")?, score: row.score("score")?, is_held };
            let known = newest.entry(key(row)?).or_insert(rating);
            if rating.position > known.position {
                *known = rating;
            }
        }
        Ok(keys.iter().map(|key| newest.get(key).copied()).collect())
    }
}
