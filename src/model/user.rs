//! A user who has told a name. Whoever has not rates and posts under an id alone.

use serde::{Deserialize, Serialize};

use crate::error::{Invalid, Kind};
use crate::model::{Time, UserId};

/// Longest name, in characters.
pub const USERNAME_CHARS_MAX: usize = 64;

/// A user by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// A name that nobody else has.
    pub username: String,
    /// When the name was told.
    pub created_at: Time,
}

impl User {
    /// A user who enters now; the name is checked here.
    pub fn new(id: UserId, username: String, now: Time) -> Result<Self, Invalid> {
        let wrong = |detail: String| Err(Invalid::new(Kind::InvalidText, detail));
        let chars = username.chars().count();
        if chars > USERNAME_CHARS_MAX {
            return wrong(format!("username has {chars} characters; at most {USERNAME_CHARS_MAX}"));
        }
        if username.trim().is_empty() {
            return wrong("username is empty; it takes at least one character".into());
        }
        if username.trim() != username {
            return wrong("username begins or ends with a space; leave it out".into());
        }
        if let Some(bad) = username.chars().find(|c| c.is_control()) {
            return wrong(format!(
                "username holds the control character U+{:04X}; leave it out",
                u32::from(bad)
            ));
        }
        Ok(Self { id, username, created_at: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_line() {
        let named = |name: &str| User::new(UserId::parse("u").unwrap(), name.into(), Time::default());
        for good in ["a", "Ann B.", "é", "名前", &"x".repeat(64), &"é".repeat(64)] {
            assert!(named(good).is_ok(), "{good}");
        }
        for bad in ["", " ", " a", "a\t", "a\0b", "a\nb", &"x".repeat(65)] {
            assert_eq!(named(bad).unwrap_err().kind, Kind::InvalidText, "{bad:?}");
        }
    }
}
