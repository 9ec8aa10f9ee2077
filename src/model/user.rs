//! A user with a name. Users without one rate and post under an id alone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Invalid;
use crate::model::text::{Form, Text};
use crate::model::{Time, UserId};

/// A user by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// A name that no other user has.
    pub username: String,
    /// When the user was created.
    pub created_at: Time,
}

impl User {
    /// A user who is created now.
    pub fn new(id: UserId, username: Username, now: Time) -> Self {
        Self { id, username: username.0, created_at: now }
    }
}

/// A user's name: one visible line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// What is taken.
    pub const RULE: Text = Text { name: "username", chars_max: 64, form: Form::Line };

    /// Takes a text that keeps the rule.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        Self::RULE.check(&text)?;
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_name_is_one_visible_line() {
        for good in ["a", "Ann B.", "é", "名前", &"x".repeat(64), &"é".repeat(64)] {
            assert!(Username::parse(good.into()).is_ok(), "{good}");
        }
        for bad in ["", " ", " a", "a\t", "a\0b", "a\nb", &"x".repeat(65)] {
            assert_eq!(Username::parse(bad.into()).unwrap_err().kind, Kind::InvalidText, "{bad:?}");
        }
    }
}
