//! What an exclusion would do, without doing it: the same sweep through what is stored, of which nothing is written.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::app::App;
use crate::entry::{Action, Decision, Entry, Line, Position, Reason, Ruling, Window};
use crate::error::{Error, Result};
use crate::merge::bulk::{BulkDecision, HeldFate};
use crate::merge::{HeldRating, Key, LoadedPost};
use crate::model::{PostId, Time, UserId};
use crate::smoothing::Published;

/// Ratings that are looked at together.
const PAGE: usize = 5_000;

/// What an exclusion would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Ratings that it would take out, each of another user.
    pub excluded: u64,
    /// Held ratings that it would take out besides.
    pub held: u64,
    /// Users whose ratings these are.
    pub users: u64,
    /// The post without it.
    pub before: Published,
    /// The post with it.
    pub after: Published,
}

impl App {
    /// What an exclusion would do now to what is merged.
    ///
    /// # Errors
    /// `NotFound` when there is no such post.
    pub async fn preview(&self, post: &PostId, by: &UserId, window: Window, now: Time) -> Result<Preview> {
        self.state(post, now).await?;
        let found = self.store.posts(std::slice::from_ref(post)).await?.pop().flatten();
        let loaded = found.map(|state| LoadedPost { average: state.average, standing: state.standing });
        let decision = Decision { deed: Ruling::Exclude(window), reason: Reason::parse("a preview")? };
        let entry = Entry::new(post.clone(), by.clone(), now, Action::Decide(Arc::new(decision)));
        // After all that there is.
        let line = Line { position: Position::new(u64::MAX, u64::MAX), entry: Ok(entry) };
        let sweep = BulkDecision::begin(&line, loaded, Vec::new(), &self.params);
        let mut sweep = sweep.map_err(|_| Error::NotFound(format!("there is no post {post}")))?;
        let mut held =
            HeldWalk { app: self, post, page: VecDeque::new(), after: None, is_end: !sweep.takes_held() };
        let (mut after, mut both) = (None, 0);
        loop {
            let page = self.store.ratings_page(post, after.as_ref(), PAGE).await?;
            for (user, rating) in &page {
                let is_taken = sweep.visit(rating).is_some();
                let of_same = held.visit_through(Some(user), &mut sweep).await?;
                both += u64::from(is_taken && of_same);
            }
            match page.into_iter().nth(PAGE - 1) {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        held.visit_through(None, &mut sweep).await?;
        let (before, after) = sweep.figures();
        let (excluded, held) = sweep.touched();
        Ok(Preview { excluded, held, users: excluded + held - both, before, after })
    }
}

/// A walk through a post's held ratings, beside the one through its ratings: both are in the order of their users.
struct HeldWalk<'a> {
    app: &'a App,
    post: &'a PostId,
    page: VecDeque<(Key, HeldRating)>,
    after: Option<Key>,
    is_end: bool,
}

impl HeldWalk<'_> {
    /// Hands over those of users up to and including `user`, or all that are left; returns whether one of `user` was
    /// taken.
    async fn visit_through(&mut self, user: Option<&UserId>, sweep: &mut BulkDecision) -> Result<bool> {
        loop {
            if self.page.is_empty() && !self.is_end {
                let page = self.app.store.held_page(Some(self.post), self.after.as_ref(), PAGE, true).await?;
                self.is_end = page.len() < PAGE;
                self.after = page.last().map(|(key, _)| key.clone());
                self.page = page.into();
            }
            let is_next = |((_, next), _): &(Key, HeldRating)| user.is_none_or(|user| next <= user);
            let Some(((_, next), held)) = self.page.front().filter(|held| is_next(held)) else {
                return Ok(false);
            };
            let is_taken = sweep.visit_held(next, held, None) != HeldFate::Stays;
            let is_same = user == Some(next);
            self.page.pop_front();
            if is_same {
                return Ok(is_taken);
            }
        }
    }
}
