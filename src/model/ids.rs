//! Ids of posts and users: opaque texts that the host site may choose, safe in URLs, keys and logs.

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Invalid, Kind};

/// Longest id of a post or user, in characters.
pub const ID_CHARS_MAX: usize = 64;
/// The characters an id may hold, as shown to people.
const ID_ALPHABET: &str = "A-Z a-z 0-9 . _ ~ : @ + = | -";

/// Passes a text that is an id of a `kind` ("post", "user").
fn check_id(kind: &str, text: &str) -> Result<(), Invalid> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._~:@+=|-".contains(c);
    let problem = if text.is_empty() {
        format!("is empty; it takes 1 to {ID_CHARS_MAX} characters")
    } else if let Some(bad) = text.chars().find(|c| !is_allowed(*c)) {
        let shown = match bad {
            ' ' => "a space".to_owned(),
            c if c.is_control() || !c.is_ascii() => format!("U+{:04X}", u32::from(c)),
            c => format!("\"{c}\""),
        };
        format!("holds {shown}; allowed are {ID_ALPHABET}")
    } else if text.len() > ID_CHARS_MAX {
        // Only ASCII from here on, so bytes are characters.
        format!("has {} characters; at most {ID_CHARS_MAX} are allowed", text.len())
    } else if text == "." || text == ".." {
        format!("\"{text}\" would be a path; choose another")
    } else {
        return Ok(());
    };
    Err(Invalid::new(Kind::InvalidId, format!("{kind} id {problem}")))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident: $kind:literal,)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes 1 to 64 characters of the id alphabet, other than `.` and `..`.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                check_id($kind, text)?;
                Ok(Self(text.into()))
            }

            /// The id as one segment of a URL's path.
            pub fn as_path_segment(&self) -> String {
                // Of the alphabet only `|` may not stand in a path as it is (RFC 3986, section 3.3).
                self.0.replace('|', "%7C")
            }

            /// The id as the host site wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(D::Error::custom)
            }
        }
    )*};
}

ids! {
    /// What is rated; an opaque text that the host site may choose.
    PostId: "post",
    /// Who rates; an opaque text that the host site may choose.
    UserId: "user",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_the_host_sites_own() {
        for good in ["a", "m255", "9f1c-22", "user@example.org", "a|b=c+d~e:f.g_h-i", &"x".repeat(64)] {
            assert_eq!(PostId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a b", "a/b", "a{b}", "a\0", "a\r\n", "é", "٣", &"x".repeat(65)] {
            assert_eq!(UserId::parse(bad).unwrap_err().kind, Kind::InvalidId, "{bad:?}");
        }
    }
}
