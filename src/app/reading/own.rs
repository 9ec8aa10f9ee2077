//! A reader's own ratings: the newest of what waits in the log and what is stored.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::PostReader;
use super::own_loader::Found;
use crate::cache::Cached;
use crate::entry::Position;
use crate::error::Result;
use crate::model::{PostId, Score, Time, UserId};
use crate::store::StoredRating;

/// A reader's own newest rating of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnRating {
    /// The score; null for a withdrawal that waits.
    pub score: Option<Score>,
    /// Whether it waits to be merged.
    pub pending: bool,
    /// Whether it is held for a moderator and does not count meanwhile; present only when true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

impl PostReader {
    /// The own ratings of `reader`: the newer of what waits and what is stored. A cached state that is older than a
    /// stored rating is read again, so that a user sees a rating count right after a flush.
    pub(super) async fn own(
        &self,
        reader: Option<&UserId>,
        mut states: Vec<Arc<Cached>>,
        now: Time,
    ) -> Result<(Vec<Arc<Cached>>, Vec<Option<OwnRating>>)> {
        let Some(reader) = reader else {
            let none = vec![None; states.len()];
            return Ok((states, none));
        };
        if states.is_empty() {
            return Ok((states, Vec::new()));
        }
        let ids: Vec<PostId> = states.iter().map(|cached| cached.state.post.id.clone()).collect();
        let keys = ids.iter().map(|id| (id.clone(), reader.clone())).collect();
        let Found { waiting, stored } = self.own_loader.load(keys).await?;
        let store_answered = stored.is_ok();
        let (waiting, stored) = match (waiting, stored) {
            (Ok(waiting), Ok(stored)) => (waiting, stored),
            // Without the buffer the stored ratings are the best answer there is.
            (Err(_), Ok(stored)) => (vec![None; ids.len()], stored),
            // Without the store a rating that waits is certainly the newest; "none" would be a guess.
            (Ok(waiting), Err(_)) if waiting.iter().all(Option::is_some) => (waiting, vec![None; ids.len()]),
            (_, Err(error)) => return Err(error),
        };
        // The stored ratings were read with these versions known, not with those of a state that is read again below.
        let versions: Vec<Position> = states.iter().map(|cached| cached.state.version).collect();
        let is_stale = |i: &usize| stored[*i].is_some_and(|stored| stored.position > versions[*i]);
        let stale: Vec<usize> = (0..ids.len()).filter(is_stale).collect();
        if !stale.is_empty() {
            let found = self.loader.load(stale.iter().map(|&i| ids[i].clone()).collect(), now).await?;
            for (i, state) in stale.into_iter().zip(found) {
                states[i] = state.unwrap_or_else(|| states[i].clone());
            }
        }
        let newest = states.iter().zip(versions).zip(waiting).zip(stored);
        let newest = newest.map(|(((cached, version), waiting), stored)| {
            // The store has the truth about what is merged, if it answered.
            let is_newer = |position| !store_answered || position > version;
            let waiting = waiting.filter(|waiting| is_newer(waiting.position)).map(|waiting| {
                let score = waiting.action.score();
                (waiting.position, OwnRating { score, pending: true, held: false })
            });
            let stored = stored.map(|StoredRating { position, score, is_held }| {
                (position, OwnRating { score: Some(score), pending: false, held: is_held })
            });
            let (position, own) = waiting.into_iter().chain(stored).max_by_key(|(position, _)| *position)?;
            let pending = position > cached.state.version;
            // After its merge a withdrawal leaves no rating.
            (pending || own.score.is_some()).then_some(OwnRating { pending, ..own })
        });
        let newest = newest.collect();
        Ok((states, newest))
    }
}
