//! A secret from the settings, which never shows itself.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that no output shows.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, only for code that computes with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is unset.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { "***" }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

/// A message about a secret of the wrong type must not quote it, as a derived one would.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("a secret is a text in quotes"))
            }

            fn visit_i128<E: Error>(self, _: i128) -> Result<Secret, E> {
                Err(E::custom("a secret is a text in quotes"))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom("a secret is a text in quotes"))
            }

            fn visit_u128<E: Error>(self, _: u128) -> Result<Secret, E> {
                Err(E::custom("a secret is a text in quotes"))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("a secret is a text in quotes"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret: Secret = serde_json::from_str("\"canary\"").unwrap();
        assert_eq!((secret.expose(), secret.is_empty()), ("canary", false));
        for shown in [format!("{secret:?}"), serde_json::to_string(&secret).unwrap()] {
            assert!(!shown.contains("canary") && shown.contains("***"), "{shown}");
        }
        for wrong in ["424242", "-424242", "4242.42"] {
            let refusal = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(!refusal.contains("4242") && refusal.contains("text in quotes"), "{refusal}");
        }
    }
}
