//! The admin token of an open Damper: created at the first start, shown once, stored as a hash.

use ring::digest::{SHA256, digest};

use super::Upkeep;
use crate::error::{Invalid, Kind, Result};

/// The prefix of every admin token, so that one found in a log or a repository is recognised.
const PREFIX: &str = "dmp_";

impl Upkeep {
    /// Creates the admin token at the first start; `None` when there is one already.
    pub async fn first_admin_token(&self) -> Result<Option<String>> {
        if self.store.admin_token().await?.is_some() {
            return Ok(None);
        }
        let token = random();
        // Another process may have been first.
        let is_kept = self.store.keep_admin_token(&hash(&token), false).await?;
        Ok(is_kept.then_some(token))
    }

    /// Creates a new admin token; the old one stops working.
    ///
    /// # Errors
    /// `Invalid` when the settings hold keys: then the admin token is not used.
    pub async fn new_admin_token(&self) -> Result<String> {
        if self.core.context.config.has_keys() {
            let detail = "with keys in the settings operators show a token with the role admin: \
                          damper token --user NAME --role admin";
            return Err(Invalid::new(Kind::NotOpen, detail).into());
        }
        let token = random();
        self.store.keep_admin_token(&hash(&token), true).await?;
        Ok(token)
    }

    /// Whether this is the admin token.
    pub async fn is_admin_token(&self, token: &str) -> Result<bool> {
        // Hashes are compared, so the time that it takes reveals nothing about the token.
        Ok(self.store.admin_token().await? == Some(hash(token)))
    }
}

/// 244 random bits.
pub(super) fn random() -> String {
    format!("{PREFIX}{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// A token of 244 random bits cannot be guessed, so a fast hash is enough.
pub(super) fn hash(token: &str) -> String {
    digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
