//! The token that operators show while Damper is open: made at the first start, told once, kept as a hash.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::app::App;
use crate::error::{Invalid, Kind, Result};

/// What every admin token begins with, so that whoever finds one knows what it is.
const PREFIX: &str = "dmp_";

impl App {
    /// The admin token of a first start: nothing when there is one already.
    pub async fn first_admin_token(&self) -> Result<Option<String>> {
        if self.store.admin_token().await?.is_some() {
            return Ok(None);
        }
        let token = random();
        // Another process may have been first.
        let is_kept = self.store.keep_admin_token(&hash(&token), false).await?;
        Ok(is_kept.then_some(token))
    }

    /// Makes a new admin token; the old one is good no more.
    ///
    /// # Errors
    /// `Invalid` when there are keys: then nobody would be asked for it.
    pub async fn new_admin_token(&self) -> Result<String> {
        if self.config.has_keys() {
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
        // How long a comparison of hashes takes tells nothing of what was hashed.
        Ok(self.store.admin_token().await? == Some(hash(token)))
    }
}

/// 244 random bits.
fn random() -> String {
    format!("{PREFIX}{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// Of so much chance a plain hash is as good as a slow one.
fn hash(token: &str) -> String {
    Sha256::digest(token).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
