//! Someone who is signed in, and the token that forms of their session hold.

use ring::hmac;

use crate::api::{Answer, Problem};
use crate::error::Kind;
use crate::model::UserId;

/// What a form token is made for.
const FORM_PURPOSE: &[u8] = b"damper form";

/// Someone who is signed in.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub user: UserId,
    pub is_admin: bool,
    /// What the browser keeps.
    pub key: String,
    /// What forms of this session hold.
    pub form: String,
}

impl Viewer {
    /// The holder of a key; `key` is what their browser keeps.
    pub fn new(user: UserId, is_admin: bool, key: &str) -> Self {
        let form = signed(key);
        Self { user, is_admin, key: key.to_owned(), form }
    }

    /// Whether a form token is this session's. Both are signed again, so the time that it takes reveals nothing.
    pub fn owns(&self, form: &str) -> bool {
        signed(form) == signed(&self.form)
    }

    /// Passes an admin.
    pub fn check_admin(&self) -> Answer<()> {
        match self.is_admin {
            true => Ok(()),
            false => Err(Problem::new(Kind::RoleMissing, "this page requires the role admin")),
        }
    }
}

fn signed(key: &str) -> String {
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), FORM_PURPOSE);
    signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
