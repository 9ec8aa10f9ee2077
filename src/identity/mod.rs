//! Who is asking: users and roles, as tokens (JWT) tell them that the host site has signed.
//!
//! The algorithm is pinned by the key in the settings, never by the token; what a token says of keys (`jwk`, `jku`,
//! `x5u`) is not looked at. `keys` reads what is trusted (out of PEM files with `pem`), `token` verifies and mints
//! (with `crypto`). Who may do what is the business of the API.

mod crypto;
mod keys;
mod pem;
mod token;

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::model::{Time, UserId};

pub use keys::Keys;
pub use token::{HOURS_MAX, Order, mint};

/// A shorter secret can be guessed.
const SECRET_BYTES_MIN: usize = 32;

/// A key and what it may be used for.
struct TrustedKey {
    /// Its name, where it has one.
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What a user may do besides rating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Rate and post: every user has it.
    User,
    /// Bring in ratings of others.
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

/// A caller who has shown a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The token's `sub`.
    pub user: UserId,
    /// Since when there is the account, where the token says so.
    pub account_created_at: Option<Time>,
    roles: Vec<Role>,
}

impl Identity {
    /// Whether the caller may act in `role`.
    pub fn has(&self, role: Role) -> bool {
        match role {
            Role::User => true,
            Role::Moderator => self.roles.contains(&Role::Moderator) || self.roles.contains(&Role::Admin),
            Role::Ingest | Role::Admin => self.roles.contains(&role),
        }
    }
}
