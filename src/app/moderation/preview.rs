//! A preview of an exclusion: the same fold over what is stored, without writing anything.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Moderation;
use crate::entry::{Action, Batch, Decision, Entry, Line, Position, Reason, Ruling, Window};
use crate::error::{Error, Result};
use crate::merge::bulk::{BulkDecision, HeldFate};
use crate::merge::{HeldRating, Key, LoadedPost, Outcome, PostState};
use crate::model::{PostId, Time, UserId};
use crate::smoothing::Average;
use crate::store::Store;

/// Ratings read together.
const PAGE: usize = 5_000;

/// What an exclusion would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The outcome of the decision.
    pub outcome: Outcome,
    /// The number of users whose ratings it would exclude.
    pub users: u64,
    /// The average that it would leave.
    pub after: Average,
}

impl Moderation {
    /// The decision that an exclusion would be, on what is merged now. Nothing is written.
    ///
    /// # Errors
    /// `NotFound` when there is no such post; `Busy` while a decision on it is being merged.
    pub async fn preview(&self, post: &PostId, by: &UserId, window: Window, now: Time) -> Result<Preview> {
        let under_way = self.store.under_way(self.core.context.shard_of(post)).await?;
        if under_way.as_ref().and_then(Batch::bulk).is_some_and(|(_, entry)| entry.post == *post) {
            let detail = format!("a decision on {post} is being merged; ask again when it is");
            return Err(Error::Busy(detail));
        }
        let PostState { average, standing, .. } = self.stored(post).await?;
        let decision = Decision { deed: Ruling::Exclude(window), reason: Reason::parse("a preview")? };
        let entry = Entry::new(post.clone(), by.clone(), now, Action::Decide(Arc::new(decision)));
        // After everything in the log.
        let line = Line { position: Position::new(u64::MAX, u64::MAX), entry: Ok(entry) };
        let loaded = Some(LoadedPost { average, standing });
        let impossible = || Error::Internal("an exclusion cannot be previewed".into());
        let mut fold = BulkDecision::begin(&line, loaded, Vec::new(), &self.core.context.params)
            .map_err(|_| impossible())?;
        let mut held = HeldWalk {
            store: &self.store,
            post,
            page: VecDeque::new(),
            after: None,
            is_end: !fold.takes_held(),
        };
        let (mut after, mut both) = (None, 0);
        loop {
            let page = self.store.ratings_page(post, after.as_ref(), PAGE).await?;
            for (user, rating) in &page {
                let is_taken = fold.visit(rating).is_some();
                let of_same = held.visit_through(Some(user), &mut fold).await?;
                both += u64::from(is_taken && of_same);
            }
            match page.into_iter().nth(PAGE - 1) {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        held.visit_through(None, &mut fold).await?;
        let merged = fold.finish();
        let after = merged.averages.last().map_or(average, |merged| merged.after);
        let outcome = merged.decided.into_iter().next_back().ok_or_else(impossible)?.outcome;
        let users = outcome.touched + outcome.held - both;
        Ok(Preview { outcome, users, after })
    }
}

/// A walk through a post's held ratings in step with the walk through its ratings; both are in the order of users.
struct HeldWalk<'a> {
    store: &'a Store,
    post: &'a PostId,
    page: VecDeque<(Key, HeldRating)>,
    after: Option<Key>,
    is_end: bool,
}

impl HeldWalk<'_> {
    /// Visits the held ratings of users up to and including `user`, or all that are left; returns whether one of `user`
    /// would be excluded.
    async fn visit_through(&mut self, user: Option<&UserId>, fold: &mut BulkDecision) -> Result<bool> {
        loop {
            if self.page.is_empty() && !self.is_end {
                let page = self.store.held_page(Some(self.post), self.after.as_ref(), PAGE, true).await?;
                self.is_end = page.len() < PAGE;
                self.after = page.last().map(|(key, _)| key.clone());
                self.page = page.into();
            }
            let is_next = |((_, next), _): &mut (Key, HeldRating)| user.is_none_or(|user| &*next <= user);
            let Some(((_, next), held)) = self.page.pop_front_if(is_next) else { return Ok(false) };
            let is_taken = fold.visit_held(&next, &held, None) != HeldFate::Stays;
            if user == Some(&next) {
                return Ok(is_taken);
            }
        }
    }
}
