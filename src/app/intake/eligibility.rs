//! Eligibility: whether an account is old enough for its ratings to be counted at once.
//!
//! The age comes from the token, or else from when the user was created here. An account of unknown age is too young: its
//! ratings are held, and released by themselves. This is decided at acceptance and carried in the entry
//! ([`Terms`](crate::entry::Terms)); the merge only follows it.

use std::time::Duration;

use moka::future::Cache;

use crate::model::{DAY_MS, Time, UserId};
use crate::store::Ledger;

/// Most users that a process remembers as old enough. A user never becomes younger.
const GROWN_USERS_MAX: u64 = 200_000;
/// A user who is too young is looked up again after this.
const YOUNG_LIFE: Duration = Duration::from_secs(60);

/// A user who rates.
#[derive(Debug, Clone, Copy)]
pub struct Rater<'a> {
    /// The user's id.
    pub user: &'a UserId,
    /// When the account was created, if the token says so.
    pub account_created_at: Option<Time>,
}

impl<'a> From<&'a UserId> for Rater<'a> {
    fn from(user: &'a UserId) -> Self {
        Self { user, account_created_at: None }
    }
}

/// The accounts that are old enough, as far as this process knows.
pub struct Eligibility {
    grown: Cache<UserId, ()>,
    /// Users who were too young a moment ago, so that a bomb of unknown users does not ask the store for each.
    young: Cache<UserId, ()>,
}

impl Default for Eligibility {
    fn default() -> Self {
        let young = Cache::builder().max_capacity(GROWN_USERS_MAX).time_to_live(YOUNG_LIFE).build();
        Self { grown: Cache::new(GROWN_USERS_MAX), young }
    }
}

impl Eligibility {
    /// Whether the account of `rater` is younger than `days`, or of unknown age.
    pub async fn is_too_young(&self, rater: Rater<'_>, days: u32, now: Time, store: &dyn Ledger) -> bool {
        if days == 0 {
            return false;
        }
        let since = now.plus_ms(-i64::from(days) * DAY_MS);
        match rater.account_created_at {
            Some(created_at) => created_at > since,
            None => !self.is_known_since(rater.user, since, store).await,
        }
    }

    /// Whether `user` was created here before `since`.
    async fn is_known_since(&self, user: &UserId, since: Time, store: &dyn Ledger) -> bool {
        if self.grown.get(user).await.is_some() {
            return true;
        }
        if self.young.get(user).await.is_some() {
            return false;
        }
        // While the store does not answer, the age is unknown.
        let Ok(found) = store.user(user).await else { return false };
        let is_grown = found.is_some_and(|user| user.created_at <= since);
        let known = if is_grown { &self.grown } else { &self.young };
        known.insert(user.clone(), ()).await;
        is_grown
    }
}
