//! Eligibility: whether an account is old enough for its ratings to be counted at once.
//!
//! Its age is what its site says in the token, else how long it has been known here. One whose age nobody can tell is too
//! young: its ratings are held, and let go by themselves. It is decided at acceptance and carried in the entry
//! ([`Terms`](crate::entry::Terms)); the merge only obeys.

use std::time::Duration;

use moka::future::Cache;

use crate::model::{Time, UserId};
use crate::store::Ledger;

const DAY_MS: i64 = 86_400_000;
/// Users that a process remembers to be old enough; nobody grows younger.
const GROWN_USERS_MAX: u64 = 200_000;
/// Those who are not are looked up again after this.
const YOUNG_LIFE: Duration = Duration::from_secs(60);

/// Whoever rates.
#[derive(Debug, Clone, Copy)]
pub struct Rater<'a> {
    /// Who.
    pub user: &'a UserId,
    /// Since when there is the account, where the site says so.
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
    /// Users who were not old enough a moment ago: a bomb of unknown users shall not ask for each.
    young: Cache<UserId, ()>,
}

impl Default for Eligibility {
    fn default() -> Self {
        let young = Cache::builder().max_capacity(GROWN_USERS_MAX).time_to_live(YOUNG_LIFE).build();
        Self { grown: Cache::new(GROWN_USERS_MAX), young }
    }
}

impl Eligibility {
    /// Whether the account of `rater` is younger than so many days, or nobody can tell.
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

    /// Whether `user` told a name here before `since`.
    async fn is_known_since(&self, user: &UserId, since: Time, store: &dyn Ledger) -> bool {
        if self.grown.get(user).await.is_some() {
            return true;
        }
        if self.young.get(user).await.is_some() {
            return false;
        }
        // While the store does not answer nobody can tell.
        let Ok(found) = store.user(user).await else { return false };
        let is_grown = found.is_some_and(|user| user.created_at <= since);
        let known = if is_grown { &self.grown } else { &self.young };
        known.insert(user.clone(), ()).await;
        is_grown
    }
}
