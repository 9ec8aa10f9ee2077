//! A user with a name. Users without one rate and post under an id alone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::text::text;
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

text! {
    /// A user's name: one visible line.
    Username: "username", 64, Line;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_name_is_one_visible_line() {
        for good in ["a", "Ann B.", "é", "名前", &"x".repeat(64), &"é".repeat(64)] {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " ", " a", "a\t", "a\0b", "a\nb", &"x".repeat(65)] {
            assert_eq!(Username::parse(bad).unwrap_err().kind, Kind::InvalidText, "{bad:?}");
        }
    }
}
