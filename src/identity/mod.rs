//! Who is asking: users and roles, from tokens (JWT) that the host site has signed.
//!
//! The key in the settings fixes the algorithm, never the token; a token's own keys (`jwk`, `jku`, `x5u`) are ignored.
//! `keys` reads what is trusted (with `pem`), `token` verifies and mints (with `crypto`). The API decides who may do what.

mod crypto;
mod keys;
mod pem;
mod token;

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::model::{Time, UserId};

pub use keys::Keys;
pub use token::{HOURS_MAX, mint};

/// A shorter secret can be guessed.
const SECRET_BYTES_MIN: usize = 32;

/// A key and the one algorithm that it may be used for.
struct TrustedKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What a user may do besides rating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Rate and post: every user has it.
    User,
    /// Send ratings of other users.
    Ingest,
    /// Decide on ratings.
    Moderator,
    /// Operate Damper, and whatever a moderator may.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::User, Self::Ingest, Self::Moderator, Self::Admin];

    /// The word that tokens use.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Ingest => "ingest",
            Role::Moderator => "moderator",
            Role::Admin => "admin",
        }
    }

    /// The role of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// A caller with a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The token's `sub`.
    pub user: UserId,
    /// When the account was created, where the token says so.
    pub account_created_at: Option<Time>,
    roles: Vec<Role>,
}

impl Identity {
    /// Whether the caller may act in `role`.
    pub fn has(&self, role: Role) -> bool {
        let is_within_admin = role == Role::Moderator && self.roles.contains(&Role::Admin);
        role == Role::User || is_within_admin || self.roles.contains(&role)
    }
}
